//! The outcome of a reconcile, and its conversion to conditions.
//!
//! | outcome | Ready | Reconciling | Stalled |
//! |---|---|---|---|
//! | [`Outcome::Done`] | True | – | – |
//! | [`Outcome::Paused`] | True, with its reason | – | – |
//! | [`Outcome::Waiting`], [`Outcome::Transient`] | Unknown | True | – |
//! | [`Outcome::Stalled`] | False | – | True |
//!
//! So `kubectl wait`, Flux and Argo CD neither hang on an object that waits for a user, nor report a
//! restored delivery as healthy.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    failure::{CallError, CallErrorKind},
    reason::Reason,
};
use crate::api::v1alpha1::condition::{READY, RECONCILING, STALLED};

/// The outcome of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The state matches the spec.
    Done {
        /// Machine-readable reason.
        reason: Reason,
        /// Human-readable message.
        message: String,
    },
    /// Nothing is wrong, and the object continues after a user's action or in a window.
    Paused {
        /// Machine-readable reason.
        reason: Reason,
        /// Human-readable message: what the object waits for.
        message: String,
    },
    /// The object waits for something that will happen by itself.
    Waiting {
        /// Machine-readable reason.
        reason: Reason,
        /// Human-readable message: what the object waits for.
        message: String,
        /// When to reconcile again, if no event comes first.
        after: Duration,
    },
    /// The reconcile failed and may succeed later: it is retried with backoff.
    Transient {
        /// Machine-readable reason.
        reason: Reason,
        /// Human-readable message: what failed.
        message: String,
        /// When to retry at the earliest, if the other side said so.
        after: Option<Duration>,
    },
    /// The object needs a user's action.
    Stalled {
        /// Machine-readable reason.
        reason: Reason,
        /// Human-readable message: the problem and its remedy.
        message: String,
    },
}

impl Outcome {
    /// The machine-readable reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Done { reason, .. }
            | Self::Paused { reason, .. }
            | Self::Waiting { reason, .. }
            | Self::Transient { reason, .. }
            | Self::Stalled { reason, .. } => *reason,
        }
    }

    /// The human-readable message.
    pub fn message(&self) -> &str {
        match self {
            Self::Done { message, .. }
            | Self::Paused { message, .. }
            | Self::Waiting { message, .. }
            | Self::Transient { message, .. }
            | Self::Stalled { message, .. } => message,
        }
    }

    /// The state matches the spec.
    pub fn done(reason: Reason, message: impl Into<String>) -> Self {
        Self::Done {
            reason,
            message: message.into(),
        }
    }

    /// The object needs a user's action.
    pub fn stalled(reason: Reason, message: impl Into<String>) -> Self {
        Self::Stalled {
            reason,
            message: message.into(),
        }
    }

    /// Writes Ready, Reconciling and Stalled. A condition whose status does not change keeps its time.
    pub fn write_conditions(
        &self,
        conditions: &mut Vec<Condition>,
        generation: Option<i64>,
        now: Timestamp,
    ) {
        let (ready, other) = match self {
            Self::Done { .. } | Self::Paused { .. } => ("True", None),
            Self::Waiting { .. } | Self::Transient { .. } => ("Unknown", Some(RECONCILING)),
            Self::Stalled { .. } => ("False", Some(STALLED)),
        };
        let stamp = Stamp {
            reason: self.reason(),
            message: self.message(),
            generation,
            now,
        };
        set(conditions, READY, ready, &stamp);
        for kind in [RECONCILING, STALLED] {
            if other == Some(kind) {
                set(conditions, kind, "True", &stamp);
            } else {
                conditions.retain(|condition| condition.type_ != kind);
            }
        }
    }
}

/// The outcome of a failed call if nothing more is known.
impl From<CallError> for Outcome {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        let reason = match &error.kind {
            CallErrorKind::NotFound => Reason::NotFound,
            CallErrorKind::AlreadyExists => Reason::AlreadyExists,
            CallErrorKind::Busy => Reason::Busy,
            CallErrorKind::Stale => Reason::Conflict,
            CallErrorKind::Denied => Reason::AccessDenied,
            CallErrorKind::Unauthenticated => Reason::InvalidCredentials,
            CallErrorKind::Throttled { .. } => Reason::Throttled,
            CallErrorKind::CalledOff => Reason::WaitingForBudget,
            CallErrorKind::Unavailable => Reason::Unavailable,
            CallErrorKind::Unknown => Reason::OutcomeUnknown,
            CallErrorKind::RoleNotAssumable => Reason::RoleNotAssumable,
            CallErrorKind::Invalid => Reason::Refused,
            CallErrorKind::Corrupt => Reason::CorruptDownload,
            CallErrorKind::TooLarge => Reason::TooLarge,
            CallErrorKind::WrongAccount => Reason::WrongAccount,
        };
        if !error.is_transient() {
            return Self::Stalled { reason, message };
        }
        let after = match error.kind {
            CallErrorKind::Throttled { retry_after } => retry_after,
            _ => None,
        };
        Self::Transient {
            reason,
            message,
            after,
        }
    }
}

/// The fields of a condition besides its type and status.
pub struct Stamp<'a> {
    /// Machine-readable reason.
    pub reason: Reason,
    /// Human-readable message.
    pub message: &'a str,
    /// The generation that the condition reflects.
    pub generation: Option<i64>,
    /// The current time.
    pub now: Timestamp,
}

/// Sets one condition. Its `lastTransitionTime` changes only with its status.
pub fn set(conditions: &mut Vec<Condition>, kind: &str, status: &str, stamp: &Stamp<'_>) {
    let before = conditions
        .iter()
        .position(|condition| condition.type_ == kind);
    let since = before
        .map(|at| &conditions[at])
        .filter(|condition| condition.status == status)
        .map_or(Time(stamp.now), |condition| {
            condition.last_transition_time.clone()
        });
    let condition = Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: stamp.reason.to_string(),
        message: shorten(stamp.message, 4096),
        observed_generation: stamp.generation,
        last_transition_time: since,
    };
    match before {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// The condition with this type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition with this type is True.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// The text for a column of `kubectl get`: less than 100 characters, cut between words.
pub fn line(text: &str) -> String {
    const MOST: usize = 99;
    let short = shorten(text, MOST);
    if short == text {
        return short;
    }
    let short = short.trim_end_matches('…');
    // A long word, such as an ARN, may leave too little before it.
    match short.rfind(' ').filter(|at| *at > MOST / 2) {
        Some(at) => format!("{}…", short[..at].trim_end_matches([',', ';', ':'])),
        None => format!("{short}…"),
    }
}

/// At most `limit` characters of the text, with an ellipsis if it is cut.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let mut conditions = Vec::new();
        Outcome::stalled(Reason::Held, "a").write_conditions(&mut conditions, Some(1), at(1));
        Outcome::stalled(Reason::RolledBack, "b").write_conditions(&mut conditions, Some(2), at(2));
        let ready = find(&conditions, READY)
            .map(|ready| (ready.reason.as_str(), ready.last_transition_time.0));
        assert_eq!(ready, Some(("RolledBack", at(1))));
        Outcome::Done {
            reason: Reason::Delivered,
            message: String::new(),
        }
        .write_conditions(&mut conditions, Some(2), at(3));
        let ready = find(&conditions, READY).map(|ready| ready.last_transition_time.0);
        assert_eq!(ready, Some(at(3)));
        assert_eq!(conditions.len(), 1, "Stalled is gone");
    }

    #[test]
    fn line_is_cut_between_words_below_100_characters() {
        assert_eq!(line("r3 serves"), "r3 serves");
        let cut = line(&"seven words, ".repeat(20));
        assert!(cut.ends_with("words…") || cut.ends_with("seven…"), "{cut}");
        for text in [
            "a".repeat(300),
            "ä ö ".repeat(99),
            format!("x {}", "y".repeat(200)),
        ] {
            let cut = line(&text);
            assert!(cut.chars().count() < 100 && cut.ends_with('…'), "{cut}");
        }
    }

    #[test]
    fn waiting_is_neither_ready_nor_stalled() {
        let mut conditions = Vec::new();
        let waiting = Outcome::Waiting {
            reason: Reason::Preparing,
            message: String::new(),
            after: Duration::ZERO,
        };
        waiting.write_conditions(&mut conditions, None, at(1));
        assert_eq!(
            find(&conditions, READY).map(|ready| ready.status.as_str()),
            Some("Unknown")
        );
        assert!(is_true(&conditions, RECONCILING));
        assert!(!is_true(&conditions, STALLED));
    }
}
