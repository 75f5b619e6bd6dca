//! The token and the CA bundle of a connection, from Secrets of its namespace.
//!
//! A token is sent to an address that the connection's author chose. So a Secret is used as a token only if
//! its own author marked it as one: otherwise, permission to write GitLabConnections would be enough to have
//! any Secret of the namespace sent anywhere.

use std::collections::BTreeMap;

use reqwest::{Certificate, header::HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    api::v1alpha1::{SecretKeyRef, token_secret},
    domain::digest::Sha256,
    ports::{
        CallError, CallErrorKind,
        secrets::{SecretData, Secrets},
    },
};

/// The longest token: GitLab's own have some tens of characters.
const TOKEN_BYTES: usize = 4 << 10;
/// The largest CA bundle: all certificates that a browser trusts take less than half of either limit.
const BUNDLE_BYTES: usize = 512 << 10;
const BUNDLE_CERTIFICATES: usize = 300;

/// A token as it is sent.
pub struct Token {
    pub header: HeaderValue,
    pub digest: Sha256,
    /// `key token of Secret shop/gitlab`.
    pub place: String,
}

/// Certificates to trust in place of the public ones.
pub struct Bundle {
    pub certificates: Vec<Certificate>,
    pub digest: Sha256,
}

/// Secrets of one namespace, each read once.
pub struct ReadSecrets<'a> {
    secrets: &'a dyn Secrets,
    namespace: &'a str,
    read: BTreeMap<String, SecretData>,
}

impl<'a> ReadSecrets<'a> {
    pub fn new(secrets: &'a dyn Secrets, namespace: &'a str) -> Self {
        Self {
            secrets,
            namespace,
            read: BTreeMap::new(),
        }
    }

    /// Reads the token.
    pub async fn token(&mut self, reference: &SecretKeyRef) -> Result<Token, CallError> {
        let namespace = self.namespace;
        let secret = self.secret(&reference.name).await?;
        if !token_secret::is_token_secret(&secret.type_, &secret.labels) {
            let name = &reference.name;
            return Err(secret_error(
                namespace,
                name,
                CallErrorKind::Unauthenticated,
                format!(
                    "it is not marked as a GitLab token, so Sluice does not send it. If it does \
                     hold one, run: kubectl --namespace {namespace} label secret {name} {}={}",
                    token_secret::LABEL,
                    token_secret::LABEL_VALUE
                ),
            ));
        }
        let value = self.value(reference).await?;
        let header = token_header(&value).ok_or_else(|| {
            let message = format!(
                "key {} does not hold a token: one line of at most {TOKEN_BYTES} visible characters",
                reference.key
            );
            secret_error(namespace, &reference.name, CallErrorKind::Invalid, message)
        })?;
        Ok(Token {
            header,
            digest: Sha256::of(value.expose_secret().as_bytes()),
            place: format!(
                "key {} of Secret {namespace}/{}",
                reference.key, reference.name
            ),
        })
    }

    /// Reads the CA bundle.
    pub async fn bundle(&mut self, reference: &SecretKeyRef) -> Result<Bundle, CallError> {
        let namespace = self.namespace;
        let value = self.value(reference).await?;
        let pem = value.expose_secret().as_bytes();
        let invalid = |problem: String| {
            let message = format!("key {} {problem}", reference.key);
            secret_error(namespace, &reference.name, CallErrorKind::Invalid, message)
        };
        if pem.len() > BUNDLE_BYTES {
            let size = pem.len();
            return Err(invalid(format!(
                "has {size} bytes, more than the limit of {BUNDLE_BYTES}: keep only the CA certificates of \
                 this server"
            )));
        }
        let certificates = Certificate::from_pem_bundle(pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(invalid("holds no certificates in PEM".to_owned()));
        }
        if certificates.len() > BUNDLE_CERTIFICATES {
            let count = certificates.len();
            return Err(invalid(format!(
                "holds {count} certificates, more than the limit of {BUNDLE_CERTIFICATES}: leave only \
                 those of this server's CAs"
            )));
        }
        Ok(Bundle {
            certificates,
            digest: Sha256::of(pem),
        })
    }

    async fn secret(&mut self, name: &str) -> Result<&SecretData, CallError> {
        if !self.read.contains_key(name) {
            let secret = self.secrets.get(self.namespace, name).await?;
            self.read.insert(name.to_owned(), secret);
        }
        self.read.get(name).ok_or_else(|| {
            let kind = CallErrorKind::NotFound;
            secret_error(self.namespace, name, kind, "it was not read".to_owned())
        })
    }

    async fn value(&mut self, reference: &SecretKeyRef) -> Result<SecretString, CallError> {
        let namespace = self.namespace;
        let secret = self.secret(&reference.name).await?;
        secret.values.get(&reference.key).cloned().ok_or_else(|| {
            let message = format!("it has no key {}", reference.key);
            secret_error(namespace, &reference.name, CallErrorKind::NotFound, message)
        })
    }
}

fn secret_error(namespace: &str, name: &str, kind: CallErrorKind, message: String) -> CallError {
    let resource = format!("Secret {namespace}/{name}");
    CallError::new("read a Secret", resource, kind, message)
}

/// The token as a header, without the white space that editors and `echo` leave at the end.
fn token_header(token: &SecretString) -> Option<HeaderValue> {
    let text = token.expose_secret().trim();
    if text.is_empty() || text.len() > TOKEN_BYTES {
        return None;
    }
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}
