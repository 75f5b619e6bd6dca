//! Faults on the wire: rules that make chosen requests go wrong.
//!
//! Rules are asked in the order in which they were added; the first that matches and has uses
//! left acts. They hold for both origins, the API and the object storage.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FaultAction {
    /// This answer, without asking GitLab.
    Respond {
        /// HTTP status.
        status: u16,
        /// The body's type.
        content_type: String,
        /// The body.
        body: String,
    },
    /// 429 of the HTTP throttle: plain text and `Retry-After`.
    Throttled {
        /// Seconds to wait.
        retry_after: u64,
    },
    /// 429 of an application limit: JSON, with `Retry-After`.
    ApplicationLimit {
        /// Seconds to wait.
        retry_after: u64,
    },
    /// 502 with the page of a proxy in front.
    BadGateway,
    /// 503 of a maintenance mode, in JSON.
    Maintenance,
    /// No answer until the client gives up.
    Hang,
    /// The answer comes late.
    Delay {
        /// How late.
        millis: u64,
    },
    /// The body ends after so many bytes although its whole length was announced.
    Truncate {
        /// Bytes sent.
        after: u64,
    },
    /// The connection ends without an answer.
    Drop,
}

impl FaultAction {
    /// An answer that comes late.
    pub fn delay(by: Duration) -> Self {
        Self::Delay {
            millis: u64::try_from(by.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Which requests go wrong, how, and how often.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultRule {
    /// Only this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only paths (as sent, percent-encoded) that contain this.
    #[serde(default)]
    pub path: String,
    /// Only so many times; without it always.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens.
    pub action: FaultAction,
}

impl FaultRule {
    /// Every request whose path contains `path`.
    pub fn on(path: &str, action: FaultAction) -> Self {
        Self {
            method: None,
            path: path.to_owned(),
            times: None,
            action,
        }
    }

    /// Only so many of them.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// Only with this method.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            ..self
        }
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        self.times != Some(0)
            && path.contains(&self.path)
            && self
                .method
                .as_deref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
    }
}

#[derive(Debug, Default)]
struct Table {
    rules: BTreeMap<u64, FaultRule>,
    last: u64,
}

/// The faults in force.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Table>>);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule. It goes when the handle does, unless that is [kept](FaultHandle::keep).
    pub fn add(&self, rule: FaultRule) -> FaultHandle {
        let mut table = self.lock();
        table.last += 1;
        let id = table.last;
        table.rules.insert(id, rule);
        drop(table);
        FaultHandle {
            id,
            faults: self.clone(),
            kept: false,
        }
    }

    /// Takes a rule away; whether there was one.
    pub fn remove(&self, id: u64) -> bool {
        self.lock().rules.remove(&id).is_some()
    }

    /// Takes all rules away.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// The rules, by their id.
    pub fn list(&self) -> BTreeMap<u64, FaultRule> {
        self.lock().rules.clone()
    }

    pub(super) fn take(&self, method: &str, path: &str) -> Option<FaultAction> {
        let mut table = self.lock();
        let rule = table
            .rules
            .values_mut()
            .find(|rule| rule.matches(method, path))?;
        if let Some(left) = &mut rule.times {
            *left -= 1;
        }
        Some(rule.action.clone())
    }
}

/// Takes its rule away when it goes.
#[derive(Debug)]
#[must_use = "the rule goes when its handle does"]
pub struct FaultHandle {
    id: u64,
    faults: Faults,
    kept: bool,
}

impl FaultHandle {
    /// The rule's id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Leaves the rule in force.
    pub fn keep(mut self) {
        self.kept = true;
    }

    /// Takes the rule away now.
    pub fn remove(self) {}
}

impl Drop for FaultHandle {
    fn drop(&mut self) {
        if !self.kept {
            self.faults.remove(self.id);
        }
    }
}
