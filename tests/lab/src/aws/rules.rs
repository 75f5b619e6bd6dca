//! Fault rules: which calls they match, how often they apply, and what they do.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{call::Call, reply::Reply};
use crate::hook;

/// The calls that a rule matches; an omitted field matches everything.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Pattern {
    /// Signing name, such as `lambda`.
    pub service: Option<String>,
    /// API name, such as `UpdateFunctionCode`.
    pub operation: Option<String>,
    /// A part of the function's name, of `bucket/key`, of the role's ARN or of the stack's name.
    pub resource_contains: Option<String>,
    /// Account id of the caller.
    pub account: Option<String>,
    /// Region that the request is signed for.
    pub region: Option<String>,
}

impl Pattern {
    /// Calls of one operation.
    pub fn operation(service: &str, operation: &str) -> Self {
        Self {
            service: Some(service.to_owned()),
            operation: Some(operation.to_owned()),
            ..Self::default()
        }
    }

    /// Restricts the pattern to resources that contain `part`.
    #[must_use]
    pub fn about(mut self, part: &str) -> Self {
        self.resource_contains = Some(part.to_owned());
        self
    }

    /// Whether `call` matches.
    pub fn matches(&self, call: &Call) -> bool {
        let equal = |wanted: &Option<String>, actual: Option<&str>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| Some(wanted) == actual)
        };
        equal(&self.service, Some(&call.service))
            && equal(&self.operation, Some(&call.operation))
            && equal(&self.account, call.account.as_deref())
            && equal(&self.region, call.region.as_deref())
            && self
                .resource_contains
                .as_ref()
                .is_none_or(|part| call.resource.contains(part))
    }
}

/// What a fault does to a call.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Action {
    /// An error in the service's own format; nothing reaches AWS.
    Respond {
        /// HTTP status.
        status: u16,
        /// Error code, such as `ServiceException`.
        code: String,
        /// Error message.
        message: String,
    },
    /// The service's own throttling error; nothing reaches AWS.
    Throttle,
    /// Waits, then forwards the call.
    Delay {
        /// How long, in milliseconds.
        millis: u64,
    },
    /// Closes the connection; nothing reaches AWS.
    DropRequest,
    /// AWS carries out the call; the connection closes without a response.
    LoseReply,
    /// AWS carries out the call; the response is held until the rule is removed.
    HoldReply,
    /// Never responds; nothing reaches AWS. Ends when the caller gives up.
    Hang,
}

impl Action {
    /// An error response.
    pub fn respond(status: u16, code: &str, message: &str) -> Self {
        Self::Respond {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    /// The error response, if the action is one.
    pub(super) fn refusal(&self, service: &str) -> Option<Reply> {
        match self {
            Self::Respond {
                status,
                code,
                message,
            } => Some(Reply::error(service, *status, code, message)),
            Self::Throttle => Some(Reply::throttled(service)),
            _ => None,
        }
    }

    /// The action for a hook's fault, with AWS's own codes and messages.
    fn of_hook(fault: hook::Fault, service: &str) -> Self {
        match fault {
            hook::Fault::Throttled => Self::Throttle,
            hook::Fault::Unavailable => {
                Self::respond(503, "ServiceUnavailable", "The service is unavailable.")
            }
            hook::Fault::Expired => {
                let (status, code) = match service {
                    "s3" => (400, "ExpiredToken"),
                    "sts" | "iam" | "cloudformation" => (403, "ExpiredToken"),
                    _ => (403, "ExpiredTokenException"),
                };
                let words = "The security token included in the request is expired";
                Self::respond(status, code, words)
            }
            hook::Fault::Refused if service == "cloudformation" => Self::respond(
                400,
                "LimitExceededException",
                "The limit for stacks has been exceeded.",
            ),
            hook::Fault::Refused => Self::respond(
                400,
                "CodeStorageExceededException",
                "Code storage limit exceeded.",
            ),
            hook::Fault::Unsent => Self::DropRequest,
            hook::Fault::ReplyLost => Self::LoseReply,
            hook::Fault::Silent | hook::Fault::Stale => Self::Hang,
        }
    }

    /// A delay before the call is forwarded.
    pub fn delay(duration: Duration) -> Self {
        Self::Delay {
            millis: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A fault: of the calls that match, the first `skip` pass, then `times` (or all) are hit.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The calls that the rule matches.
    #[serde(default)]
    pub on: Pattern,
    /// How many of them pass first.
    #[serde(default)]
    pub skip: u32,
    /// How many are hit after that; all if `None`.
    #[serde(default)]
    pub times: Option<u32>,
    /// What the rule does to them.
    pub action: Action,
}

impl Rule {
    /// Hits every call that matches.
    pub fn always(on: Pattern, action: Action) -> Self {
        Self {
            on,
            skip: 0,
            times: None,
            action,
        }
    }

    /// Hits the first call that matches.
    pub fn once(on: Pattern, action: Action) -> Self {
        Self {
            on,
            skip: 0,
            times: Some(1),
            action,
        }
    }
}

#[derive(Debug)]
struct Active {
    id: u64,
    rule: Rule,
    seen: u32,
    hits: u32,
    /// Dropped with the rule, which ends held responses; nothing is ever sent.
    in_force: watch::Sender<()>,
}

/// A fault that applies to one call.
#[derive(Debug)]
pub(super) struct InjectedFault {
    pub(super) action: Action,
    /// `None` for a fault without a rule, which never ends.
    rule: Option<watch::Receiver<()>>,
}

impl InjectedFault {
    /// A hook's fault, which has no rule.
    pub(super) fn of_hook(fault: hook::Fault, service: &str) -> Self {
        let action = Action::of_hook(fault, service);
        Self { action, rule: None }
    }

    /// Returns once the rule is removed.
    pub(super) async fn rule_removed(&mut self) {
        match &mut self.rule {
            Some(rule) => while rule.changed().await.is_ok() {},
            None => std::future::pending().await,
        }
    }
}

impl Active {
    fn hit(&mut self) -> bool {
        self.seen += 1;
        let due =
            self.seen > self.rule.skip && self.rule.times.is_none_or(|times| self.hits < times);
        if due {
            self.hits += 1;
        }
        due
    }
}

/// The rules in force. The first one that matches and is due applies.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    active: Arc<Mutex<Vec<Active>>>,
    next: Arc<AtomicU64>,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Vec<Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a rule in force until the handle is dropped.
    pub fn add(&self, rule: Rule) -> Fault {
        Fault {
            faults: self.clone(),
            id: self.insert(rule),
        }
    }

    /// Puts a rule in force until it is removed by its id.
    pub(super) fn insert(&self, rule: Rule) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().push(Active {
            id,
            rule,
            seen: 0,
            hits: 0,
            in_force: watch::Sender::new(()),
        });
        id
    }

    pub(super) fn remove(&self, id: u64) -> bool {
        let mut active = self.lock();
        let before = active.len();
        active.retain(|fault| fault.id != id);
        active.len() < before
    }

    pub(super) fn list(&self) -> Vec<(u64, Rule, u32)> {
        self.lock()
            .iter()
            .map(|fault| (fault.id, fault.rule.clone(), fault.hits))
            .collect()
    }

    /// The fault that applies to `call`, if any; counts as a hit.
    pub(super) fn strike(&self, call: &Call) -> Option<InjectedFault> {
        self.lock()
            .iter_mut()
            .filter(|fault| fault.rule.on.matches(call))
            .find_map(|fault| {
                fault.hit().then(|| InjectedFault {
                    action: fault.rule.action.clone(),
                    rule: Some(fault.in_force.subscribe()),
                })
            })
    }
}

/// A rule in force; dropping this removes it.
#[must_use = "the rule is removed as soon as this is dropped"]
#[derive(Debug)]
pub struct Fault {
    faults: Faults,
    id: u64,
}

impl Fault {
    /// How many calls it has hit.
    pub fn hits(&self) -> u32 {
        self.faults
            .lock()
            .iter()
            .find(|fault| fault.id == self.id)
            .map_or(0, |fault| fault.hits)
    }

    /// Removes the rule.
    pub fn remove(self) {
        drop(self);
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.faults.remove(self.id);
    }
}
