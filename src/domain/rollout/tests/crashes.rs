//! Each command is carried out once, wherever the controller dies or a write fails.

use super::{
    commands::two_delivered,
    gates::{before_the_gate, closed, open, planned},
    *,
};
use crate::domain::reason::Reason;

/// The controller dies when its decision is on record, and before any order is given. The next one gets the
/// record, without the command.
fn dies_before_its_orders(story: &mut Play) -> Plan {
    let plan = super::super::plan(&story.overview, &NoGates, NOW);
    assert!(plan.has_decided(), "{:?}", plan.stages);
    assert!(!plan.runs.is_empty());
    story.overview.reported.clone_from(&plan.stages);
    story.overview.commands = Commands::default();
    let after = super::super::plan(&story.overview, &NoGates, NOW);
    assert_eq!(after.runs, plan.runs, "the orders follow from the record");
    plan
}

/// Gives these orders, and no others.
fn give(story: &mut Play, orders: &[(String, StageTarget, Run)]) {
    for (stage, place, run) in orders {
        story.target(stage, place).order = Some(run.clone());
    }
}

/// r3 moves in dev, and has come as far as this.
fn third(step: Step) -> Play {
    let mut story = two_delivered();
    story.release(3);
    story.plan();
    story.report("dev", "dev", step, Some("alarm"));
    story.plan();
    story
}

/// r3 moves in prod, held on one target of two.
fn held_in_prod() -> Play {
    let mut story = two_delivered();
    story.release(3);
    story.plan();
    story.report("dev", "dev", Step::Succeeded, None);
    story.plan();
    story.report("prod", "prod-a", Step::Held, Some("alarm"));
    story.report("prod", "prod-b", Step::Held, Some("alarm"));
    story.plan();
    story
}

#[test]
fn a_retry_survives_a_crash_and_is_carried_out_once() {
    let mut story = third(Step::RolledBack);
    story.overview.commands.retry = true;
    dies_before_its_orders(&mut story);
    story.plan();
    assert_eq!(story.orders()["dev/dev"], "r3 Deliver 2");
    story.report("dev", "dev", Step::RolledBack, Some("alarm"));
    story.plan();
    assert_eq!(
        story.orders()["dev/dev"],
        "r3 Deliver 2",
        "no third attempt"
    );
}

#[test]
fn a_promotion_of_what_is_held_survives_a_crash_and_is_carried_out_once() {
    let mut story = held_in_prod();
    story.overview.commands.promote = true;
    dies_before_its_orders(&mut story);
    story.plan();
    for account in ["prod-a", "prod-b"] {
        let order = story.target("prod", &place(account)).order.clone();
        let order = order.expect("an order");
        assert_eq!((order.attempt, order.immediate), (2, true), "{account}");
    }
    story.report("prod", "prod-a", Step::Held, Some("alarm"));
    story.report("prod", "prod-b", Step::Held, Some("alarm"));
    assert_eq!(
        story.plan().outcome.reason(),
        Reason::Held,
        "it is not promoted again"
    );
    assert_eq!(story.orders()["prod/prod-a"], "r3 Deliver 2");
}

#[test]
fn a_promotion_of_what_moves_survives_a_crash() {
    let mut story = third(Step::Promote);
    story.overview.commands.promote = true;
    dies_before_its_orders(&mut story);
    story.plan();
    let order = story.target("dev", &place("dev")).order.clone();
    assert!(order.is_some_and(|order| order.immediate && order.attempt == 1));
    let plan = story.plan();
    assert!(plan.stages.iter().all(|stage| stage.decided.is_none()));
}

#[test]
fn an_abort_survives_a_crash() {
    let mut story = third(Step::Promote);
    story.overview.commands.abort = true;
    dies_before_its_orders(&mut story);
    let plan = story.plan();
    assert_eq!(story.orders()["dev/dev"], "r3 Restore 1");
    assert_eq!(plan.outcome.reason(), Reason::RollingBack);
    let reason = story.target("dev", &place("dev")).order.clone();
    let reason = reason.and_then(|order| order.reason);
    assert_eq!(
        reason.as_deref(),
        Some("it was aborted by sluice.dev/abort")
    );
}

#[test]
fn a_retry_of_a_failed_rollback_survives_a_crash() {
    let mut story = third(Step::RollbackFailed);
    story.overview.commands.retry = true;
    dies_before_its_orders(&mut story);
    story.plan();
    assert_eq!(story.orders()["dev/dev"], "r3 Restore 2");
}

#[test]
fn an_order_that_could_not_be_given_follows_later() {
    let mut story = held_in_prod();
    story.overview.commands.promote = true;
    let plan = super::super::plan(&story.overview, &NoGates, NOW);
    story.overview.reported.clone_from(&plan.stages);
    story.overview.commands = Commands::default();
    give(&mut story, &plan.runs[..1]);
    story.report("prod", "prod-a", Step::Promote, None);
    let plan = super::super::plan(&story.overview, &NoGates, NOW);
    let [(_, at, run)] = &plan.runs[..] else {
        panic!("{:?}", plan.runs);
    };
    assert_eq!(*at, place("prod-b"));
    assert_eq!((run.attempt, run.immediate), (2, true));
}

#[test]
fn an_old_record_never_turns_a_restore_into_a_delivery() {
    let mut story = third(Step::Promote);
    story.overview.commands.promote = true;
    let promoted = super::super::plan(&story.overview, &NoGates, NOW);
    give(&mut story, &promoted.runs);
    story.overview.commands = Commands {
        abort: true,
        ..Commands::default()
    };
    let aborted = super::super::plan(&story.overview, &NoGates, NOW);
    give(&mut story, &aborted.runs);
    // A controller that has read the Deployment from before the abort.
    story.overview.reported.clone_from(&promoted.stages);
    story.overview.commands = Commands::default();
    let plan = super::super::plan(&story.overview, &NoGates, NOW);
    assert_eq!(plan.runs, []);
    assert_eq!(plan.outcome.reason(), Reason::RollingBack);
}

#[test]
fn a_retry_that_succeeds_never_says_what_the_attempt_before_came_to() {
    let mut story = Play::new();
    story.overview.stages = vec!["dev".into()];
    story.release(1);
    story.overview.releases[0].stages.truncate(1);
    story.plan();
    story.report("dev", "dev", Step::RolledBack, Some("check smoke failed"));
    story.plan();
    story.overview.commands.retry = true;
    story.plan();
    story.report("dev", "dev", Step::Succeeded, None);
    // The pass in which the success is seen, before it is on the Release's record.
    let plan = super::super::plan(&story.overview, &NoGates, NOW);
    assert_eq!(plan.outcomes.len(), 1);
    assert_eq!(
        plan.outcome.reason(),
        Reason::Delivered,
        "{}",
        plan.outcome.message()
    );
    assert_eq!(plan.undelivered, None);
}

#[test]
fn the_first_failure_is_one_of_the_present_attempt() {
    let mut story = Play::new();
    story.release(1);
    story.plan();
    story.report("dev", "dev", Step::Succeeded, None);
    story.plan();
    story.report("prod", "prod-a", Step::RolledBack, Some("alarm one"));
    story.report("prod", "prod-b", Step::RolledBack, Some(FOLLOWED));
    story.plan();
    story.overview.commands.retry = true;
    story.plan();
    story.report("prod", "prod-b", Step::RolledBack, Some("alarm two"));
    let plan = story.plan();
    let message = plan.outcome.message();
    assert!(
        message.contains("alarm two") && !message.contains("alarm one"),
        "{message}"
    );
}

#[test]
fn a_promotion_keeps_the_plans_that_were_approved_through_a_crash() {
    let (mut story, _) = before_the_gate(&closed());
    planned(&mut story, 1, ["aa", "bb"]);
    story.plan_with(&open("one"));
    for account in ["prod-a", "prod-b"] {
        story.report("prod", account, Step::Held, Some("alarm"));
    }
    story.plan();
    story.overview.commands.promote = true;
    let plan = dies_before_its_orders(&mut story);
    let approved = stage_digest(&[
        (place("prod-a"), "aa".to_owned()),
        (place("prod-b"), "bb".to_owned()),
    ]);
    let digests = plan.runs.iter().map(|(.., run)| {
        let stage = run.stage_digest.as_deref().unwrap_or_default();
        (run.plan_digest.as_deref().unwrap_or_default(), stage)
    });
    let digests: Vec<_> = digests.collect();
    assert_eq!(digests, [("aa", &*approved), ("bb", &*approved)]);
}
