//! What is asked of a Release on its way into a stage, on every way.

use super::{
    gates::{before_the_gate, closed, open, planned, waiting},
    *,
};
use crate::{
    api::v1alpha1::DeletionPolicy,
    domain::{
        gates::entry::{Refusal, Way},
        reason::Reason,
        rollout::DriftView,
    },
};

/// The Account of this place takes nothing.
struct Refuses(&'static str);

impl Gatekeeper for Refuses {
    fn asks(&self, entry: &Entry<'_>) -> Asks {
        let stages = entry.release.stages.iter();
        let mut places = stages
            .filter(|stage| stage.name == entry.stage)
            .flat_map(|stage| &stage.targets);
        if !places.any(|place| place.account == self.0) {
            return Asks::Nothing;
        }
        Asks::Refused(Refusal {
            reason: Reason::SourceNotAllowed,
            message: format!("Account {} takes nothing", self.0),
        })
    }

    fn ask(&self, _: &Ask<'_>) -> Evaluated {
        panic!("what is refused is never asked about")
    }
}

fn delivered_to_dev() -> Play {
    let mut story = Play::new();
    story.release(1);
    story.plan();
    story.report("dev", "dev", Step::Succeeded, None);
    story
}

#[test]
fn a_refused_release_stalls_with_the_reason_and_no_plan_is_made() {
    let mut story = delivered_to_dev();
    let plan = story.plan_with(&Refuses("prod-b"));
    assert_eq!(story.orders().len(), 1, "prod has no order");
    assert_eq!(plan.plan_requests, []);
    assert_eq!(waiting(&plan), Some((1, "SourceNotAllowed".into())));
    assert!(
        matches!(plan.outcome, Outcome::Stalled { .. }),
        "{:?}",
        plan.outcome
    );
    assert_eq!(plan.outcome.message(), "prod: Account prod-b takes nothing");
    // It goes on by itself once it is let in.
    story.plan();
    assert_eq!(story.orders()["prod/prod-a"], "r1 Deliver 1");
}

#[test]
fn a_pin_a_retry_and_a_rollback_ask_for_the_places_of_the_release() {
    let refuses = Refuses("prod-a");
    // A pin.
    let mut story = delivered_to_dev();
    story.overview.pin = Some("r1".into());
    story.plan_with(&refuses);
    assert_eq!(story.orders().len(), 1, "pin");
    // A retry.
    let mut story = delivered_to_dev();
    story.plan();
    for account in ["prod-a", "prod-b"] {
        story.report("prod", account, Step::RolledBack, Some("alarm"));
    }
    story.plan();
    story.overview.commands.retry = true;
    let plan = story.plan_with(&refuses);
    assert_eq!(story.orders()["prod/prod-a"], "r1 Deliver 1", "retry");
    assert_eq!(waiting(&plan), Some((1, "SourceNotAllowed".into())));
    // A rollback.
    let mut story = delivered_to_dev();
    for revision in 1..=2 {
        if revision == 2 {
            story.release(2);
            story.plan();
            story.report("dev", "dev", Step::Succeeded, None);
        }
        story.plan();
        for account in ["prod-a", "prod-b"] {
            story.report("prod", account, Step::Succeeded, None);
        }
        story.plan();
    }
    let back = Back::of(&story.overview, "checkout", "incident").expect("something to take back");
    story.overview.commands.rollback = Some(back);
    story.plan_with(&refuses);
    assert_eq!(story.orders()["prod/prod-a"], "r2 Deliver 1", "rollback");
    assert_eq!(
        story.orders()["dev/dev"],
        "r1 Deliver 2",
        "dev is free to go back"
    );
}

#[test]
fn a_correction_asks_whether_the_account_still_takes_what_serves() {
    let mut story = delivered_to_dev();
    story.plan();
    for account in ["prod-a", "prod-b"] {
        story.report("prod", account, Step::Succeeded, None);
    }
    story.plan();
    story.overview.correct = true;
    story.target("prod", &place("prod-b")).drift = Some(DriftView {
        status: "True".into(),
        reason: Reason::Drifted,
        message: "version of checkout-api:live is 1, not 2".into(),
        correctable_since: Some(NOW),
    });
    let plan = story.plan_with(&Refuses("prod-a"));
    assert_eq!(story.orders()["prod/prod-b"], "r1 Deliver 1");
    let drift = plan.drift.expect("a report");
    let told = "prod: not corrected: Account prod-a takes nothing";
    assert!(drift.message.contains(told), "{}", drift.message);
    story.plan();
    assert_eq!(story.orders()["prod/prod-b"], "r1 Deliver 2");
}

#[test]
fn what_was_ordered_and_has_not_begun_passes_a_gate_that_came_since() {
    let mut story = delivered_to_dev();
    story.release(2);
    story.overview.releases[0].stages[1].max_concurrent_targets = Some(1);
    story.plan();
    assert_eq!(story.orders()["prod/prod-a"], "r1 Deliver 1");
    let plan = story.plan_with(&closed());
    assert_eq!(waiting(&plan), Some((1, "Planning".into())));
    planned(&mut story, 1, ["aa", "bb"]);
    let plan = story.plan_with(&closed());
    assert_eq!(waiting(&plan), Some((1, "WaitingForApproval".into())));
    story.plan_with(&open("one"));
    let order = story.target("prod", &place("prod-a")).order.clone();
    let order = order.expect("an order");
    assert_eq!(
        (order.plan_digest.as_deref(), order.sequence),
        (Some("aa"), 2)
    );
}

/// r1 was let into prod, one target at a time, and the first has it.
fn one_at_a_time() -> Play {
    let (mut story, _) = before_the_gate(&closed());
    story.overview.releases[0].stages[1].max_concurrent_targets = Some(1);
    planned(&mut story, 1, ["aa", "bb"]);
    story.plan_with(&open("one"));
    assert!(!story.orders().contains_key("prod/prod-b"));
    story.report("prod", "prod-a", Step::Succeeded, None);
    story
}

#[test]
fn a_target_that_comes_later_gets_the_plan_that_was_approved() {
    let mut story = one_at_a_time();
    story.plan_with(&closed());
    let order = story.target("prod", &place("prod-b")).order.clone();
    assert_eq!(order.expect("an order").plan_digest.as_deref(), Some("bb"));
}

#[test]
fn a_plan_that_changed_on_a_later_target_is_not_carried_out() {
    let mut story = one_at_a_time();
    planned(&mut story, 1, ["aa", "cc"]);
    let plan = story.plan_with(&closed());
    assert_eq!(
        story.orders()["prod/prod-b"],
        "r1 Restore 1",
        "it never began"
    );
    assert_eq!(story.orders()["prod/prod-a"], "r1 Restore 1");
    assert_eq!(plan.outcome.reason(), Reason::RollingBack);
}

#[test]
fn the_deletion_policy_that_a_release_was_given_with_stays_with_its_orders() {
    let mut story = delivered_to_dev();
    story.overview.deletion_policy = DeletionPolicy::Retain;
    story.plan();
    story.overview.deletion_policy = DeletionPolicy::Delete;
    for account in ["prod-a", "prod-b"] {
        let target = story.target("prod", &place(account));
        target.is_to_prune = true;
        let order = target.order.clone().expect("an order");
        assert_eq!(order.deletion_policy, Some(DeletionPolicy::Retain));
        story.report("prod", account, Step::Succeeded, None);
    }
    story.plan();
    let order = story.target("prod", &place("prod-a")).order.clone();
    let order = order.expect("an order");
    assert_eq!(order.goal, Goal::Prune);
    assert_eq!(order.deletion_policy, Some(DeletionPolicy::Retain));
}

/// prod has a window, which opens then.
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
        assert!(ask.deletes, "a plan that deletes is asked about as such");
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
fn the_plan_tells_when_time_alone_may_open_the_gate() {
    let opens = Timestamp::from_second(600).expect("a time");
    let mut story = delivered_to_dev();
    story.plan_with(&Window(opens));
    planned(&mut story, 1, ["aa", "bb"]);
    story.target("prod", &place("prod-b")).plan_deletes = true;
    let plan = story.plan_with(&Window(opens));
    assert_eq!(plan.gate_opens_at, Some(opens));
    assert!(matches!(plan.outcome, Outcome::Paused { .. }));
}

#[test]
fn a_plan_that_changed_on_a_later_target_is_not_ordered_while_the_deployment_is_suspended() {
    let mut story = one_at_a_time();
    planned(&mut story, 1, ["aa", "cc"]);
    story.overview.suspended = true;
    story.plan_with(&closed());
    assert!(
        !story.orders().contains_key("prod/prod-b"),
        "{:?}",
        story.orders()
    );
}

/// prod refuses the Release, and dev waits for somebody.
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
fn what_has_to_be_corrected_is_told_before_what_has_to_be_approved() {
    let mut story = delivered_to_dev();
    story.plan_with(&Refuses("prod-a"));
    story.release(2);
    story.plan_with(&RefusesAndWaits);
    let two = story.overview.releases[1].reference.clone();
    story.target("dev", &place("dev")).plan = Some((two, "dd".into()));
    let plan = story.plan_with(&RefusesAndWaits);
    let waiting = plan.stages[0].waiting.as_ref().expect("dev waits");
    assert_eq!(waiting.reason, "WaitingForApproval");
    assert_eq!(plan.outcome.message(), "prod: Account prod-a takes nothing");
    assert!(
        matches!(plan.outcome, Outcome::Stalled { .. }),
        "{:?}",
        plan.outcome
    );
}
