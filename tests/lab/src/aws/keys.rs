//! The owners of access keys, learned from the responses that issue the keys.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What the proxy knows about a key: enough to name its account and to sign a changed request.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) account: String,
    /// `None` for a key that was issued past the proxy.
    pub(super) secret: Option<String>,
    pub(super) token: Option<String>,
}

/// All known keys.
#[derive(Default)]
pub(super) struct Keys(Mutex<HashMap<String, Key>>);

impl Keys {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learn(&self, key: Key) {
        self.lock().insert(key.id.clone(), key);
    }

    /// The key with this id. An account's id is the key of its root user.
    pub(super) fn find(&self, id: &str) -> Option<Key> {
        if id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Key {
                id: id.to_owned(),
                account: id.to_owned(),
                secret: Some("root".to_owned()),
                token: None,
            });
        }
        self.lock().get(id).cloned()
    }

    /// Learns the key in a response of STS or IAM; `account` is the caller's.
    pub(super) fn learn_from(&self, xml: &str, account: Option<&str>) {
        let Some((id, secret)) = element(xml, "AccessKeyId").zip(element(xml, "SecretAccessKey"))
        else {
            return;
        };
        let assumed = element(xml, "AssumedRoleUser").and_then(|user| element(user, "Arn"));
        let account = assumed.and_then(|arn| arn.split(':').nth(4)).or(account);
        if let Some(account) = account {
            self.learn(Key {
                id: id.to_owned(),
                account: account.to_owned(),
                secret: Some(secret.to_owned()),
                token: element(xml, "SessionToken").map(str::to_owned),
            });
        }
    }
}

/// The content of the first element with this name.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>"))
        .map(|(content, _)| content)
}
