//! Faults on the wire: rules that make chosen requests fail.
//!
//! Rules apply in the order in which they were added; the first one that matches and has uses left acts.
//! They apply to both origins, the API and the object storage.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// How a request fails.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FaultAction {
    /// A fixed answer; the model never sees the request.
    Respond {
        /// HTTP status.
        status: u16,
        /// The body's type.
        content_type: String,
        /// The body.
        body: String,
    },
    /// 429 of the HTTP throttle: plain text with `Retry-After`.
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
    /// The answer is delayed.
    Delay {
        /// The delay.
        millis: u64,
    },
    /// The body ends after `after` bytes although its whole length was announced.
    Truncate {
        /// Bytes sent.
        after: u64,
    },
    /// The connection ends without an answer.
    Drop,
}

impl FaultAction {
    /// An answer that is delayed.
    pub fn delay(by: Duration) -> Self {
        Self::Delay {
            millis: u64::try_from(by.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Which requests fail, how, and how often.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultRule {
    /// Only this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only paths (as sent, percent-encoded) that contain this.
    #[serde(default)]
    pub path: String,
    /// How many times; `None` means always.
    #[serde(default)]
    pub times: Option<u32>,
    /// How they fail.
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

    /// Applies the rule to this many requests only.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// Applies the rule to this method only.
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

    /// Adds a rule. Dropping the handle removes it, unless it is [kept](FaultHandle::keep).
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

    /// Removes a rule; returns whether it existed.
    pub fn remove(&self, id: u64) -> bool {
        self.lock().rules.remove(&id).is_some()
    }

    /// Removes all rules.
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

/// Removes its rule when dropped.
#[derive(Debug)]
#[must_use = "dropping the handle removes the rule"]
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

    /// Keeps the rule in force.
    pub fn keep(mut self) {
        self.kept = true;
    }

    /// Removes the rule now.
    pub fn remove(self) {}
}

impl Drop for FaultHandle {
    fn drop(&mut self) {
        if !self.kept {
            self.faults.remove(self.id);
        }
    }
}
