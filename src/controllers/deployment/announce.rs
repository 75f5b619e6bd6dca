//! Events about a Deployment: deliveries, traffic, gates and rollbacks that are new in its status.
//!
//! A Release that goes straight through the only stage gets two Events: it was created, and it serves. Each
//! Event is a write, and a thousand Deployments make thousands of them.

use kube::Resource as _;

use super::controller::DeploymentController;
use crate::{
    api::v1alpha1::{Deployment, DeploymentStatus, PassageStatus, StageStatus, condition},
    controllers::events::EventType,
    domain::{
        outcome::{self, Outcome},
        reason::Reason,
    },
};

/// One Event: its kind, reason and message.
pub type NewEvent = (EventType, Reason, String);

impl DeploymentController {
    /// Publishes Events for what is new since the status `before`.
    pub(super) fn announce(
        &self,
        deployment: &Deployment,
        before: &DeploymentStatus,
        outcome: Option<&Outcome>,
    ) {
        let Some(status) = &deployment.status else {
            return;
        };
        self.announce_stages(deployment, before, status);
        self.announce_drift(deployment, before, status);
        if let Some(outcome) = outcome {
            self.announce_ending(deployment, before, status, outcome);
        }
    }

    /// Publishes an Event when the Deployment is done or has stalled.
    fn announce_ending(
        &self,
        deployment: &Deployment,
        before: &DeploymentStatus,
        status: &DeploymentStatus,
        outcome: &Outcome,
    ) {
        let ready = |status: &DeploymentStatus| {
            outcome::find(&status.conditions, condition::READY)
                .map(|ready| (ready.status.clone(), ready.reason.clone()))
        };
        if ready(before) == ready(status) {
            return;
        }
        let kind = match outcome {
            Outcome::Stalled { .. } => EventType::Warning,
            Outcome::Done { .. } => EventType::Normal,
            _ => return,
        };
        self.publish_events(
            deployment,
            [(kind, outcome.reason(), outcome.message().to_owned())],
        );
    }

    fn announce_stages(
        &self,
        deployment: &Deployment,
        before: &DeploymentStatus,
        status: &DeploymentStatus,
    ) {
        let is_ready = outcome::is_true(&status.conditions, condition::READY);
        for (nth, stage) in status.stages.iter().enumerate() {
            let previous = before.stages.iter().find(|it| it.name == stage.name);
            let mut events = stage_events(previous, stage);
            // Other Events report that the Release was created, and that it serves everywhere.
            let is_new = previous.and_then(|it| it.revision) != stage.revision;
            let went_straight = nth == 0 && is_new && stage.passage.is_none();
            events.retain(|(_, reason, _)| match reason {
                Reason::Delivering => !went_straight,
                Reason::Delivered => !is_ready,
                _ => true,
            });
            self.publish_events(deployment, events);
        }
    }

    /// Publishes Events about the Deployment.
    pub(super) fn publish_events(
        &self,
        deployment: &Deployment,
        events: impl IntoIterator<Item = NewEvent>,
    ) {
        for (kind, reason, message) in events {
            let about = deployment.object_ref(&());
            self.context.events.publish(about, kind, reason, &message);
        }
    }
}

/// The Events for what is new in a stage.
fn stage_events(before: Option<&StageStatus>, now: &StageStatus) -> Vec<NewEvent> {
    let name = &now.name;
    let release = format!("r{}", now.revision.unwrap_or_default());
    let mut events = Vec::new();
    if let Some(passage) = &now.passage
        && before.and_then(|it| it.passage.as_ref()) != Some(passage)
    {
        events.push((EventType::Normal, Reason::GateOpened, opened(name, passage)));
    }
    let was = before.map(|it| (it.state.as_str(), it.revision));
    let is = (now.state.as_str(), now.revision);
    match now.state.as_str() {
        // A held delivery that continues is not a new one.
        "Progressing" if was != Some(is) && was != Some(("Held", now.revision)) => {
            let message = format!("{name}: delivering {release}");
            events.push((EventType::Normal, Reason::Delivering, message));
        }
        "Succeeded" if was.is_some_and(|was| was != is) => {
            let message = format!("{name}: {release} serves");
            events.push((EventType::Normal, Reason::Delivered, message));
        }
        "RollingBack" if was != Some(is) => {
            let why = now.message.as_deref().unwrap_or("a Target failed");
            let message = format!("{name}: restoring the state before {release}: {why}");
            events.push((EventType::Warning, Reason::RollingBack, message));
        }
        _ => {}
    }
    let weight_before = before.filter(|_| was == Some(is)).and_then(|it| it.weight);
    if let Some(weight) = now.weight.filter(|weight| Some(*weight) != weight_before) {
        let message = format!("{name}: {release} has {weight} % of the traffic");
        events.push((EventType::Normal, Reason::TrafficMoved, message));
    }
    if let Some(waiting) = now.waiting.as_ref().filter(|it| it.digest.is_some()) {
        let key = |at: &crate::api::v1alpha1::GateStatus| {
            (
                at.release.clone(),
                at.attempt,
                at.digest.clone(),
                at.reason.clone(),
            )
        };
        let before = before.and_then(|it| it.waiting.as_ref());
        if before.map(key) != Some(key(waiting)) {
            // The approve command is only in the status, where it is not cut off.
            let what = waiting.message.split(". To approve: ").next();
            let message = format!("{name}: {}", what.unwrap_or(&waiting.message));
            events.push((EventType::Normal, Reason::GateWaiting, message));
        }
    }
    events
}

fn opened(stage: &str, passage: &PassageStatus) -> String {
    let approvers = passage.by.approvals.iter().map(|one| one.username.clone());
    let starters = passage
        .by
        .jobs
        .iter()
        .filter_map(|job| job.username.clone());
    let by: Vec<String> = approvers.chain(starters).collect();
    let release = &passage.release.name;
    if by.is_empty() {
        format!("{stage}: the gate is open for {release}")
    } else {
        let by = by.join(", ");
        format!("{stage}: the gate is open for {release}, approved by {by}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn stage(more: &Value) -> StageStatus {
        let mut stage = json!({"name": "prod", "state": "Progressing", "revision": 3});
        for (key, value) in more.as_object().into_iter().flatten() {
            stage[key] = value.clone();
        }
        serde_json::from_value(stage).unwrap()
    }

    fn events(before: Option<&StageStatus>, now: &StageStatus) -> Vec<String> {
        let events = stage_events(before, now).into_iter();
        events
            .map(|(_, reason, message)| format!("{reason} {message}"))
            .collect()
    }

    #[test]
    fn delivery_start_and_each_traffic_step_are_announced_once() {
        let started = stage(&json!({}));
        assert_eq!(events(None, &started), ["Delivering prod: delivering r3"]);
        assert_eq!(events(Some(&started), &started), [""; 0]);
        let moved = stage(&json!({"weight": 10}));
        let expected = ["TrafficMoved prod: r3 has 10 % of the traffic"];
        assert_eq!(events(Some(&started), &moved), expected);
        assert_eq!(events(Some(&moved), &moved), [""; 0]);
        let further = stage(&json!({"weight": 50}));
        assert_eq!(events(Some(&moved), &further).len(), 1);
    }

    #[test]
    fn gate_is_announced_when_it_waits_and_when_it_opens() {
        let release = json!({"name": "checkout-3", "uid": "u", "revision": 3});
        let waiting = |reason: &str| {
            stage(&json!({"state": "Succeeded", "revision": 2, "waiting": {
                "release": release, "attempt": 1, "digest": "aa", "reason": reason, "message": "bea has to approve. To approve: kubectl",
                "since": "2026-01-01T00:00:00Z",
            }}))
        };
        let before = stage(&json!({"state": "Succeeded", "revision": 2}));
        let actual = events(Some(&before), &waiting("WaitingForApproval"));
        assert_eq!(actual, ["GateWaiting prod: bea has to approve"]);
        let again = waiting("WaitingForApproval");
        assert_eq!(events(Some(&again), &again), [""; 0]);
        let passed = stage(&json!({"passage": {
            "release": release, "attempt": 1, "digest": "aa", "at": "2026-01-01T00:00:00Z",
            "by": {"approvals": [{"name": "a", "uid": "a", "username": "bea"}]},
        }}));
        let actual = events(Some(&again), &passed);
        let opened = "GateOpened prod: the gate is open for checkout-3, approved by bea";
        assert_eq!(actual, [opened, "Delivering prod: delivering r3"]);
    }

    #[test]
    fn delivered_stage_is_announced_once() {
        let (moving, there) = (stage(&json!({})), stage(&json!({"state": "Succeeded"})));
        assert_eq!(events(Some(&moving), &there), ["Delivered prod: r3 serves"]);
        assert_eq!(events(Some(&there), &there), [""; 0]);
        assert_eq!(
            events(None, &there),
            [""; 0],
            "a stage that was delivered before this process started"
        );
    }

    #[test]
    fn abort_is_announced_with_its_reason() {
        let moving = stage(&json!({}));
        let back = stage(&json!({"state": "RollingBack", "message": "it was aborted"}));
        let expected = ["RollingBack prod: restoring the state before r3: it was aborted"];
        assert_eq!(events(Some(&moving), &back), expected);
    }
}
