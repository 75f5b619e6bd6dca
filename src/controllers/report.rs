//! Publishes the result of a check: the object's status, and an Event if the state changed.

use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Resource, ResourceExt as _};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    api_failure::api_failure, context::Context, events::EventType, status::publish_status,
};
use crate::{
    api::v1alpha1::{AccountStatus, GitLabConnectionStatus, condition::READY},
    domain::{
        outcome::{Outcome, find},
        reason::Reason,
    },
};

/// A status with an observed generation and conditions.
pub trait Reported: Serialize + PartialEq + Clone + Send + Sync {
    /// The observed generation.
    fn observed_generation(&mut self) -> &mut Option<i64>;
    /// The observed generation, to read.
    fn speaks_of(&self) -> Option<i64>;
    /// Its conditions.
    fn conditions(&mut self) -> &mut Vec<Condition>;
    /// Its conditions, to read.
    fn current_conditions(&self) -> &[Condition];
}

macro_rules! reported {
    ($($status:ty),*) => {$(
        impl Reported for $status {
            fn observed_generation(&mut self) -> &mut Option<i64> {
                &mut self.observed_generation
            }
            fn speaks_of(&self) -> Option<i64> {
                self.observed_generation
            }
            fn conditions(&mut self) -> &mut Vec<Condition> {
                &mut self.conditions
            }
            fn current_conditions(&self) -> &[Condition] {
                &self.conditions
            }
        }
    )*};
}
reported!(AccountStatus, GitLabConnectionStatus);

/// The result of a check.
pub struct Found<S> {
    /// The new status, except its conditions.
    pub status: S,
    /// The outcome.
    pub outcome: Outcome,
}

/// Publishes a result, if it changed. Returns the object as written, or the outcome of a failed write.
pub async fn publish<K, S>(
    context: &Context,
    api: &Api<K>,
    object: &K,
    before: &S,
    found: &Found<S>,
) -> Result<K, Outcome>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    S: Reported,
{
    let mut after = found.status.clone();
    let generation = object.meta().generation;
    *after.observed_generation() = generation;
    found
        .outcome
        .write_conditions(after.conditions(), generation, Timestamp::now());
    let version = object.resource_version();
    let written = publish_status(api, object, version, before, &after)
        .await
        .map_err(api_failure)?;
    if let Some(kind) = event_type(
        before.current_conditions(),
        after.current_conditions(),
        &found.outcome,
    ) {
        let outcome = &found.outcome;
        let about = object.object_ref(&());
        context
            .events
            .publish(about, kind, outcome.reason(), outcome.message());
    }
    Ok(written)
}

/// The type of the Event to publish, if any: when the state or its reason changes, and for a problem that
/// needs a person also when the message changes.
fn event_type(before: &[Condition], after: &[Condition], outcome: &Outcome) -> Option<EventType> {
    let kind = match outcome {
        // That state is good, but not for long.
        Outcome::Done {
            reason: Reason::TokenExpires,
            ..
        }
        | Outcome::Stalled { .. }
        | Outcome::Transient { .. } => EventType::Warning,
        Outcome::Done { .. } | Outcome::Paused { .. } => EventType::Normal,
        Outcome::Waiting { .. } => return None,
    };
    let is_transient = matches!(outcome, Outcome::Transient { .. });
    let by_message = kind == EventType::Warning && !is_transient;
    let (before, after) = (find(before, READY), find(after, READY));
    let same = before.zip(after).is_some_and(|(before, after)| {
        before.status == after.status
            && before.reason == after.reason
            && (!by_message || before.message == after.message)
    });
    (!same).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(outcome: &Outcome) -> Vec<Condition> {
        let mut conditions = Vec::new();
        outcome.write_conditions(&mut conditions, Some(1), Timestamp::UNIX_EPOCH);
        conditions
    }

    fn done(reason: Reason, message: &str) -> Outcome {
        Outcome::Done {
            reason,
            message: message.to_owned(),
        }
    }

    fn kind(before: &Outcome, after: &Outcome) -> Option<EventType> {
        event_type(&conditions(before), &conditions(after), after)
    }

    #[test]
    fn first_state_and_every_change_of_state_cause_an_event() {
        let good = done(Reason::Verified, "a");
        assert_eq!(
            event_type(&[], &conditions(&good), &good),
            Some(EventType::Normal)
        );
        let bad = Outcome::stalled(Reason::AccessDenied, "a");
        assert_eq!(kind(&good, &bad), Some(EventType::Warning));
        assert_eq!(kind(&bad, &good), Some(EventType::Normal));
    }

    #[test]
    fn new_message_causes_an_event_only_if_a_person_has_to_act() {
        assert_eq!(
            kind(&done(Reason::Verified, "a"), &done(Reason::Verified, "b")),
            None
        );
        let stalled = |message| Outcome::stalled(Reason::AccessDenied, message);
        assert_eq!(kind(&stalled("a"), &stalled("b")), Some(EventType::Warning));
        assert_eq!(kind(&stalled("a"), &stalled("a")), None);
        let expires = |message| done(Reason::TokenExpires, message);
        assert_eq!(kind(&expires("a"), &expires("b")), Some(EventType::Warning));
    }
}
