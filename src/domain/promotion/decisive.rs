//! The part of a Target's status that a Deployment decides from.
//!
//! The progress within a run and the messages about what a Target waits for are for display only. A change in
//! them does not trigger a reconcile of the Deployment; its next reconcile reports them.

use serde::Serialize;

use crate::{
    api::v1alpha1::{
        DeletionStatus, DriftStatus, InventoryItem, RunStatus, TargetStatus, condition,
    },
    domain::{engine::Step, reason::Reason},
};

/// Equal for two statuses from which a Deployment makes the same decision.
pub fn decisive(status: &TargetStatus) -> Vec<u8> {
    serde_json::to_vec(&Decisive::of(status)).unwrap_or_default()
}

#[derive(Serialize)]
struct Decisive<'a> {
    generation: Option<i64>,
    live: Option<&'a str>,
    plan: Option<(&'a str, &'a str)>,
    needs_prune: bool,
    drift: Option<&'a DriftStatus>,
    deletion: Option<&'a DeletionStatus>,
    conditions: Vec<(&'a str, &'a str, &'a str, &'a str)>,
    run: Option<DecisiveRun<'a>>,
}

/// The part of a run that a Deployment decides from.
#[derive(Serialize)]
struct DecisiveRun<'a> {
    release: &'a str,
    attempt: i64,
    /// `None` while the run moves forward.
    step: Option<&'a str>,
    traffic: Option<(i64, i32)>,
    message: Option<&'a str>,
}

impl<'a> Decisive<'a> {
    fn of(status: &'a TargetStatus) -> Self {
        // Ready only summarizes the other conditions.
        let conditions = status.conditions.iter();
        let conditions = conditions.filter(|it| it.type_ != condition::READY);
        let conditions = conditions.map(|it| match (&*it.type_, &*it.reason) {
            (condition::RECONCILING, reason)
                if Reason::parse(reason).is_some_and(Reason::is_forward_progress) =>
            {
                (&*it.type_, &*it.status, "", "")
            }
            (condition::RECONCILING, reason) => (&*it.type_, &*it.status, reason, ""),
            (kind, reason) => (kind, &*it.status, reason, &*it.message),
        });
        let plan = status.plan.as_ref();
        Self {
            generation: status.observed_generation,
            live: status.live.as_ref().map(|live| &*live.release.uid),
            plan: plan.map(|plan| (&*plan.release.uid, &*plan.digest)),
            needs_prune: status.inventory.iter().any(InventoryItem::needs_prune),
            drift: status.drift.as_ref(),
            deletion: status.deletion.as_ref(),
            conditions: conditions.collect(),
            run: status.run.as_ref().map(DecisiveRun::of),
        }
    }
}

impl<'a> DecisiveRun<'a> {
    fn of(run: &'a RunStatus) -> Self {
        let forward = matches!(Step::of(run), Some(Step::Prepare | Step::Promote));
        let gradual = run.traffic.as_ref().filter(|it| it.is_gradual());
        Self {
            release: &run.release.uid,
            attempt: run.attempt,
            step: (!forward).then_some(&*run.step),
            traffic: gradual.map(|it| (it.step, it.weight)),
            message: run.message.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut status = json!({
            "observedGeneration": 2,
            "conditions": [condition("Reconciling", "Preparing", "Preparing r1"), condition("Ready", "Preparing", "")],
            "run": {
                "release": {"name": "checkout-1", "uid": "u", "revision": 1}, "attempt": 1, "journalVersion": 1,
                "step": "Prepare", "startedAt": "2026-01-01T00:00:00Z", "progressedAt": "2026-01-01T00:00:00Z",
            },
        });
        change(&mut status);
        decisive(&serde_json::from_value(status).unwrap())
    }

    fn condition(kind: &str, reason: &str, message: &str) -> Value {
        json!({"type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn progress_of_a_run_does_not_wake_the_deployment() {
        let started = status(|_| {});
        let progress: [fn(&mut Value); 4] = [
            |it| it["run"]["step"] = json!("Promote"),
            |it| it["run"]["traffic"] = json!({"step": 0, "weight": 100}),
            |it| it["run"]["progressedAt"] = json!("2026-01-01T00:01:00Z"),
            |it| {
                it["conditions"][0] = condition("Reconciling", "Promoting", "Moving traffic to r1");
            },
        ];
        for change in progress {
            assert_eq!(status(change), started);
        }
    }

    #[test]
    fn decisive_changes_wake_the_deployment() {
        let started = status(|_| {});
        let matters: [fn(&mut Value); 10] = [
            |it| it["run"]["step"] = json!("Succeeded"),
            |it| it["run"]["step"] = json!("Held"),
            |it| it["run"]["step"] = json!("Restore"),
            |it| it["run"]["attempt"] = json!(2),
            |it| it["run"]["traffic"] = json!({"step": 0, "weight": 10}),
            |it| it["live"] = json!({"release": {"name": "checkout-1", "uid": "u", "revision": 1}, "since": "2026-01-01T00:00:00Z"}),
            |it| it["plan"] = json!({"release": {"name": "checkout-1", "uid": "u", "revision": 1}, "digest": "d", "summary": "s"}),
            |it| it["conditions"][0] = condition("Reconciling", "RoleNotAssumable", "m"),
            |it| it["conditions"][0] = condition("Stalled", "NotGranted", "m"),
            |it| it["inventory"] = json!([{"component": "a", "kind": "Function", "name": "f", "created": true, "removed": true}]),
        ];
        for (nth, change) in matters.into_iter().enumerate() {
            assert_ne!(status(change), started, "{nth}");
        }
    }
}
