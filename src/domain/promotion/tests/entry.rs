//! Requirements of a Release that enters a stage, on every path.

use super::{
    gates::{before_the_gate, closed, open, planned, waiting},
    *,
};
use crate::{
    api::v1alpha1::DeletionPolicy,
    domain::{
        gates::entry::{Refusal, Way},
        promotion::DriftView,
        reason::Reason,
    },
};

/// A gatekeeper whose Account of this name refuses every Release.
struct Refuses(&'static str);

impl Gatekeeper for Refuses {
    fn asks(&self, entry: &Entry<'_>) -> Asks {
        let stages = entry.release.stages.iter();
        let mut stage_targets = stages
            .filter(|stage| stage.name == entry.stage)
            .flat_map(|stage| &stage.targets);
        if !stage_targets.any(|stage_target| stage_target.account == self.0) {
            return Asks::Nothing;
        }
        Asks::Refused(Refusal {
            reason: Reason::SourceNotAllowed,
            message: format!("Account {} takes nothing", self.0),
        })
    }

    fn ask(&self, _: &Ask<'_>) -> Evaluated {
        panic!("a refused Release is never evaluated")
    }
}

#[test]
fn refused_release_stalls_without_a_plan() {
    let mut sim = delivered_to_dev();
    let plan = sim.plan_with(&Refuses("prod-b"));
    assert_eq!(sim.runs().len(), 1, "prod has no run");
    assert_eq!(plan.plan_requests, []);
    assert_eq!(waiting(&plan), Some((1, "SourceNotAllowed".into())));
    assert!(
        matches!(plan.outcome, Outcome::Stalled { .. }),
        "{:?}",
        plan.outcome
    );
    assert_eq!(plan.outcome.message(), "prod: Account prod-b takes nothing");
    // It continues by itself once the Account accepts it.
    sim.plan();
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Deliver 1");
}

#[test]
fn pin_retry_and_rollback_ask_for_the_targets_of_the_release() {
    let refuses = Refuses("prod-a");
    // A pin.
    let mut sim = delivered_to_dev();
    sim.overview.pin = Some("r1".into());
    sim.plan_with(&refuses);
    assert_eq!(sim.runs().len(), 1, "pin");
    // A retry.
    let mut sim = delivered_to_dev();
    sim.plan();
    for account in ["prod-a", "prod-b"] {
        sim.report("prod", account, Step::RolledBack, Some("alarm"));
    }
    sim.plan();
    sim.overview.commands.retry = true;
    let plan = sim.plan_with(&refuses);
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Deliver 1", "retry");
    assert_eq!(waiting(&plan), Some((1, "SourceNotAllowed".into())));
    // A rollback.
    let mut sim = two_releases_delivered();
    let rollback =
        RollbackStatus::of(&sim.overview, "checkout", "incident").expect("a bad Release");
    sim.overview.commands.rollback = Some(rollback);
    sim.plan_with(&refuses);
    assert_eq!(sim.runs()["prod/prod-a"], "r2 Deliver 1", "rollback");
    assert_eq!(sim.runs()["dev/dev"], "r1 Deliver 2", "dev is rolled back");
}

#[test]
fn correction_needs_an_account_that_accepts_the_release() {
    let mut sim = delivered_to_dev();
    sim.plan();
    for account in ["prod-a", "prod-b"] {
        sim.report("prod", account, Step::Succeeded, None);
    }
    sim.plan();
    sim.overview.correct = true;
    sim.target("prod", &stage_target("prod-b")).drift = Some(DriftView {
        status: "True".into(),
        reason: Reason::Drifted,
        message: "version of checkout-api:live is 1, not 2".into(),
        correctable_since: Some(NOW),
    });
    let plan = sim.plan_with(&Refuses("prod-a"));
    assert_eq!(sim.runs()["prod/prod-b"], "r1 Deliver 1");
    let drift = plan.drift.expect("a report");
    let refused = "prod: not corrected: Account prod-a takes nothing";
    assert!(drift.message.contains(refused), "{}", drift.message);
    sim.plan();
    assert_eq!(sim.runs()["prod/prod-b"], "r1 Deliver 2");
}

#[test]
fn run_that_has_not_begun_passes_a_new_gate() {
    let mut sim = delivered_to_dev();
    sim.release(2);
    sim.overview.releases[0].stages[1].max_concurrent_targets = Some(1);
    sim.plan();
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Deliver 1");
    let plan = sim.plan_with(&closed());
    assert_eq!(waiting(&plan), Some((1, "Planning".into())));
    planned(&mut sim, 1, ["aa", "bb"]);
    let plan = sim.plan_with(&closed());
    assert_eq!(waiting(&plan), Some((1, "WaitingForApproval".into())));
    sim.plan_with(&open("one"));
    let assigned = sim
        .target("prod", &stage_target("prod-a"))
        .assigned_run
        .clone();
    let assigned = assigned.expect("an order");
    assert_eq!(
        (assigned.plan_digest.as_deref(), assigned.sequence),
        (Some("aa"), 2)
    );
}

/// r1 entered prod, one target at a time, and serves on the first.
fn one_at_a_time() -> Simulation {
    let (mut sim, _) = before_the_gate(&closed());
    sim.overview.releases[0].stages[1].max_concurrent_targets = Some(1);
    planned(&mut sim, 1, ["aa", "bb"]);
    sim.plan_with(&open("one"));
    assert!(!sim.runs().contains_key("prod/prod-b"));
    sim.report("prod", "prod-a", Step::Succeeded, None);
    sim
}

#[test]
fn later_target_gets_its_approved_plan() {
    let mut sim = one_at_a_time();
    sim.plan_with(&closed());
    let assigned = sim
        .target("prod", &stage_target("prod-b"))
        .assigned_run
        .clone();
    assert_eq!(
        assigned.expect("an order").plan_digest.as_deref(),
        Some("bb")
    );
}

#[test]
fn changed_plan_of_a_later_target_restores_the_stage() {
    let mut sim = one_at_a_time();
    planned(&mut sim, 1, ["aa", "cc"]);
    let plan = sim.plan_with(&closed());
    assert_eq!(
        sim.runs()["prod/prod-b"],
        "r1 Restore 1",
        "its run never began"
    );
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Restore 1");
    assert_eq!(plan.outcome.reason(), Reason::RollingBack);
}

#[test]
fn runs_keep_the_deletion_policy_of_their_start() {
    let mut sim = delivered_to_dev();
    sim.overview.deletion_policy = DeletionPolicy::Retain;
    sim.plan();
    sim.overview.deletion_policy = DeletionPolicy::Delete;
    for account in ["prod-a", "prod-b"] {
        let target = sim.target("prod", &stage_target(account));
        target.needs_prune = true;
        let assigned = target.assigned_run.clone().expect("an order");
        assert_eq!(assigned.deletion_policy, Some(DeletionPolicy::Retain));
        sim.report("prod", account, Step::Succeeded, None);
    }
    sim.plan();
    let assigned = sim
        .target("prod", &stage_target("prod-a"))
        .assigned_run
        .clone();
    let assigned = assigned.expect("an order");
    assert_eq!(assigned.goal, Goal::Prune);
    assert_eq!(assigned.deletion_policy, Some(DeletionPolicy::Retain));
}

/// A gatekeeper with a window at prod that opens at this time.
struct Window(Timestamp);

impl Gatekeeper for Window {
    fn asks(&self, entry: &Entry<'_>) -> Asks {
        if entry.stage == "prod" && entry.way == Way::Forward {
            Asks::Something
        } else {
            Asks::Nothing
        }
    }

    fn ask(&self, ask: &Ask<'_>) -> Evaluated {
        assert!(ask.deletes, "the gate knows that the plan deletes");
        Answer::Waiting {
            reason: Reason::OutsideWindow,
            message: "r1 waits".into(),
            manual_jobs: Vec::new(),
            until: Some(self.0),
        }
        .into()
    }
}

#[test]
fn plan_reports_when_the_gate_may_open_by_time() {
    let opens = Timestamp::from_second(600).expect("a time");
    let mut sim = delivered_to_dev();
    sim.plan_with(&Window(opens));
    planned(&mut sim, 1, ["aa", "bb"]);
    sim.target("prod", &stage_target("prod-b")).plan_deletes = true;
    let plan = sim.plan_with(&Window(opens));
    assert_eq!(plan.gate_opens_at, Some(opens));
    assert!(matches!(plan.outcome, Outcome::Paused { .. }));
}

#[test]
fn changed_plan_of_a_later_target_waits_while_suspended() {
    let mut sim = one_at_a_time();
    planned(&mut sim, 1, ["aa", "cc"]);
    sim.overview.suspended = true;
    sim.plan_with(&closed());
    assert!(!sim.runs().contains_key("prod/prod-b"), "{:?}", sim.runs());
}

/// A gatekeeper that refuses the Release at prod and waits for an approval at dev.
struct RefusesAndWaits;

impl Gatekeeper for RefusesAndWaits {
    fn asks(&self, entry: &Entry<'_>) -> Asks {
        match entry.stage {
            "dev" => Asks::Something,
            _ => Refuses("prod-a").asks(entry),
        }
    }

    fn ask(&self, _: &Ask<'_>) -> Evaluated {
        super::gates::not_yet().into()
    }
}

#[test]
fn refusal_is_reported_before_a_waiting_approval() {
    let mut sim = delivered_to_dev();
    sim.plan_with(&Refuses("prod-a"));
    sim.release(2);
    sim.plan_with(&RefusesAndWaits);
    let two = sim.overview.releases[1].reference.clone();
    sim.target("dev", &stage_target("dev")).plan = Some((two, "dd".into()));
    let plan = sim.plan_with(&RefusesAndWaits);
    let waiting = plan.stages[0].waiting.as_ref().expect("dev waits");
    assert_eq!(waiting.reason, "WaitingForApproval");
    assert_eq!(plan.outcome.message(), "prod: Account prod-a takes nothing");
    assert!(
        matches!(plan.outcome, Outcome::Stalled { .. }),
        "{:?}",
        plan.outcome
    );
}
