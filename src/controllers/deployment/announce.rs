//! Events about a Deployment: what began, moved, waits, was let through and arrived since the status before.
//!
//! A Release that goes straight into the only stage, and serves there, is told of twice: that it was made, and
//! that it serves. Each Event is a write, and a thousand Deployments make thousands of them.

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
pub type Said = (EventType, Reason, String);

impl DeploymentController {
    /// Publishes what the status says that the one before did not.
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
            self.announce_rest(deployment, before, status, outcome);
        }
    }

    /// An Event where the Deployment has come to rest, or to a stop.
    fn announce_rest(
        &self,
        deployment: &Deployment,
        before: &DeploymentStatus,
        status: &DeploymentStatus,
        outcome: &Outcome,
    ) {
        let told = |status: &DeploymentStatus| {
            outcome::find(&status.conditions, condition::READY)
                .map(|ready| (ready.status.clone(), ready.reason.clone()))
        };
        if told(before) == told(status) {
            return;
        }
        let kind = match outcome {
            Outcome::Stalled { .. } => EventType::Warning,
            Outcome::Done { .. } => EventType::Normal,
            _ => return,
        };
        self.say(
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
        let arrived = outcome::is_true(&status.conditions, condition::READY);
        for (nth, stage) in status.stages.iter().enumerate() {
            let then = before.stages.iter().find(|then| then.name == stage.name);
            let mut news = news(then, stage);
            // The Release was told of when it was made, and that it serves everywhere is told by itself.
            let is_new = then.and_then(|then| then.revision) != stage.revision;
            let went_straight = nth == 0 && is_new && stage.passage.is_none();
            news.retain(|(_, reason, _)| match reason {
                Reason::Delivering => !went_straight,
                Reason::Delivered => !arrived,
                _ => true,
            });
            self.say(deployment, news);
        }
    }

    /// Publishes Events about the Deployment.
    pub(super) fn say(&self, deployment: &Deployment, news: impl IntoIterator<Item = Said>) {
        for (kind, reason, message) in news {
            let about = deployment.object_ref(&());
            self.context.events.publish(about, kind, reason, &message);
        }
    }
}

/// What is new in a stage.
fn news(then: Option<&StageStatus>, now: &StageStatus) -> Vec<Said> {
    let name = &now.name;
    let release = format!("r{}", now.revision.unwrap_or_default());
    let mut news = Vec::new();
    if let Some(passage) = &now.passage
        && then.and_then(|then| then.passage.as_ref()) != Some(passage)
    {
        news.push((EventType::Normal, Reason::GateOpened, opened(name, passage)));
    }
    let was = then.map(|then| (then.state.as_str(), then.revision));
    let is = (now.state.as_str(), now.revision);
    match now.state.as_str() {
        // What was held, and goes on, is no new delivery.
        "Progressing" if was != Some(is) && was != Some(("Held", now.revision)) => {
            let message = format!("{name}: delivering {release}");
            news.push((EventType::Normal, Reason::Delivering, message));
        }
        "Succeeded" if was.is_some_and(|was| was != is) => {
            let message = format!("{name}: {release} serves");
            news.push((EventType::Normal, Reason::Delivered, message));
        }
        "RollingBack" if was != Some(is) => {
            let why = now.message.as_deref().unwrap_or("a Target failed");
            let message = format!("{name}: restoring the state before {release}: {why}");
            news.push((EventType::Warning, Reason::RollingBack, message));
        }
        _ => {}
    }
    let weight_then = then.filter(|_| was == Some(is)).and_then(|it| it.weight);
    if let Some(weight) = now.weight.filter(|weight| Some(*weight) != weight_then) {
        let message = format!("{name}: {release} has {weight} % of the traffic");
        news.push((EventType::Normal, Reason::TrafficMoved, message));
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
        let then = then.and_then(|then| then.waiting.as_ref());
        if then.map(key) != Some(key(waiting)) {
            // The command that approves is for the status, where it is whole.
            let what = waiting.message.split(". To approve: ").next();
            let message = format!("{name}: {}", what.unwrap_or(&waiting.message));
            news.push((EventType::Normal, Reason::GateWaiting, message));
        }
    }
    news
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

    fn said(then: Option<&StageStatus>, now: &StageStatus) -> Vec<String> {
        let news = news(then, now).into_iter();
        news.map(|(_, reason, message)| format!("{reason} {message}"))
            .collect()
    }

    #[test]
    fn a_start_and_each_move_of_traffic_are_told_once() {
        let started = stage(&json!({}));
        assert_eq!(said(None, &started), ["Delivering prod: delivering r3"]);
        assert_eq!(said(Some(&started), &started), [""; 0]);
        let moved = stage(&json!({"weight": 10}));
        let told = ["TrafficMoved prod: r3 has 10 % of the traffic"];
        assert_eq!(said(Some(&started), &moved), told);
        assert_eq!(said(Some(&moved), &moved), [""; 0]);
        let further = stage(&json!({"weight": 50}));
        assert_eq!(said(Some(&moved), &further).len(), 1);
    }

    #[test]
    fn a_gate_is_told_when_it_waits_and_when_it_opens() {
        let release = json!({"name": "checkout-3", "uid": "u", "revision": 3});
        let waiting = |reason: &str| {
            stage(&json!({"state": "Succeeded", "revision": 2, "waiting": {
                "release": release, "attempt": 1, "digest": "aa", "reason": reason, "message": "bea has to approve. To approve: kubectl",
                "since": "2026-01-01T00:00:00Z",
            }}))
        };
        let before = stage(&json!({"state": "Succeeded", "revision": 2}));
        let told = said(Some(&before), &waiting("WaitingForApproval"));
        assert_eq!(told, ["GateWaiting prod: bea has to approve"]);
        let again = waiting("WaitingForApproval");
        assert_eq!(said(Some(&again), &again), [""; 0]);
        let passed = stage(&json!({"passage": {
            "release": release, "attempt": 1, "digest": "aa", "at": "2026-01-01T00:00:00Z",
            "by": {"approvals": [{"name": "a", "uid": "a", "username": "bea"}]},
        }}));
        let told = said(Some(&again), &passed);
        let opened = "GateOpened prod: the gate is open for checkout-3, approved by bea";
        assert_eq!(told, [opened, "Delivering prod: delivering r3"]);
    }

    #[test]
    fn a_stage_that_was_delivered_is_told_once() {
        let (moving, there) = (stage(&json!({})), stage(&json!({"state": "Succeeded"})));
        assert_eq!(said(Some(&moving), &there), ["Delivered prod: r3 serves"]);
        assert_eq!(said(Some(&there), &there), [""; 0]);
        assert_eq!(
            said(None, &there),
            [""; 0],
            "what served before this process began"
        );
    }

    #[test]
    fn an_abort_is_told_with_its_reason() {
        let moving = stage(&json!({}));
        let back = stage(&json!({"state": "RollingBack", "message": "it was aborted"}));
        let told = ["RollingBack prod: restoring the state before r3: it was aborted"];
        assert_eq!(said(Some(&moving), &back), told);
    }
}
