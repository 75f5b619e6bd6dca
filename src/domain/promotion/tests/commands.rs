//! Commands of users, and how stages treat their targets.

use super::*;

fn roll_back(sim: &mut Simulation, value: &str) {
    let rollback = RollbackStatus::of(&sim.overview, "checkout", value).expect("a bad Release");
    sim.overview.commands.rollback = Some(rollback);
}

fn outcome_of(sim: &Simulation, revision: i64, stage: &str) -> Option<String> {
    let release = sim
        .overview
        .releases
        .iter()
        .find(|release| release.reference.revision == revision)?;
    let outcome = release.outcomes.iter().find(|one| one.stage == stage)?;
    Some(outcome.outcome.clone())
}

#[test]
fn rollback_returns_to_the_last_good_release_where_needed() {
    let mut sim = two_releases_delivered();
    sim.release(3);
    sim.plan();
    sim.report("dev", "dev", Step::Succeeded, None);
    roll_back(&mut sim, "incident-4711");
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r2 Deliver 2");
    assert_eq!(
        sim.runs()["prod/prod-a"],
        "r2 Deliver 1",
        "prod never had the bad Release"
    );
    let assigned = sim.target("dev", &stage_target("dev")).assigned_run.clone();
    assert!(assigned.is_some_and(|assigned| assigned.immediate));
    sim.report("dev", "dev", Step::Succeeded, None);
    let plan = sim.plan();
    assert_eq!(plan.live, "dev=r2 prod=r2");
    assert_eq!(outcome_of(&sim, 3, "dev").as_deref(), Some("RolledBack"));
    assert_eq!(plan.outcome.reason(), Reason::RolledBack);
    let message = plan.outcome.message();
    assert!(
        message.contains("rolled back to r2 by sluice.dev/rollback; dev=r2 prod=r2"),
        "{message}"
    );
    sim.plan();
    assert_eq!(
        sim.runs()["dev/dev"],
        "r2 Deliver 2",
        "r3 is not delivered again"
    );
}

#[test]
fn rollback_returns_to_the_named_release() {
    let mut sim = two_releases_delivered();
    sim.release(3);
    sim.deliver_everywhere();
    roll_back(&mut sim, "incident-4711 to r1");
    sim.plan();
    for at in ["dev/dev", "prod/prod-a", "prod/prod-b"] {
        assert_eq!(sim.runs()[at], "r1 Deliver 2", "{at}");
    }
    let gone =
        RollbackStatus::of(&sim.overview, "checkout", "x to r7").expect_err("no such Release");
    assert!(gone.contains("there is no Release r7"), "{gone}");
    let mut first = Simulation::new();
    first.release(1);
    first.deliver_everywhere();
    let alone =
        RollbackStatus::of(&first.overview, "checkout", "x").expect_err("no earlier Release");
    assert!(alone.contains("no stage rolls back from r1"), "{alone}");
    let none = RollbackStatus::of(&Simulation::new().overview, "checkout", "x")
        .expect_err("no Release yet");
    assert!(none.contains("nothing to roll back"), "{none}");
}

#[test]
fn rollback_value_is_a_token_or_names_a_release() {
    let mut sim = two_releases_delivered();
    sim.release(3);
    sim.deliver_everywhere();
    let back =
        |value: &str| RollbackStatus::of(&sim.overview, "checkout", value).map(|back| back.to);
    for value in ["incident-4711", "1718000000", "to", "r3x", "checkout-x"] {
        assert_eq!(back(value), Ok(None), "{value}");
    }
    for value in [
        "to=r1",
        "incident to r1",
        "r1",
        " r1 ",
        "to= r1",
        "4711 to  r1",
    ] {
        assert_eq!(back(value), Ok(Some("r1".to_owned())), "{value}");
    }
    for value in ["incident r1", "r1!", "to r1", "rollback-to:r1", "r1,r2"] {
        let refused = back(value).expect_err(value);
        assert!(
            refused.contains("does not say whether to roll back to it"),
            "{refused}"
        );
        assert!(refused.contains("use to=r1"), "{refused}");
    }
    for value in ["checkout-7", "to=checkout-7"] {
        let gone = back(value).expect_err("it is not kept");
        assert!(
            gone.contains("there is no Release checkout-7 any more"),
            "{gone}"
        );
    }
}

#[test]
fn command_without_effect_is_answered() {
    let mut sim = two_releases_delivered();
    let all = Commands {
        retry: true,
        abort: true,
        promote: true,
        rollback: None,
    };
    sim.overview.commands = all.clone();
    let answers = super::super::plan(&sim.overview, &NoGates, NOW).answers;
    let parts = ["nothing to retry", "nothing to abort", "nothing to promote"];
    for (answer, part) in answers.iter().zip(parts) {
        assert!(answer.idle && answer.message.contains(part), "{answer:?}");
    }
    sim.overview.commands = Commands::default();
    sim.release(3);
    sim.plan();
    sim.report("dev", "dev", Step::Promote, None);
    sim.overview.commands = all;
    let answers = super::super::plan(&sim.overview, &NoGates, NOW).answers;
    let idle: Vec<_> = answers
        .iter()
        .map(|answer| (answer.command, answer.idle))
        .collect();
    let expected = [
        (Command::Retry, true),
        (Command::Abort, false),
        (Command::Promote, true),
    ];
    assert_eq!(idle, expected);
    assert_eq!(answers[1].message, "dev: r3 is aborted");
}

#[test]
fn rollback_refuses_a_release_that_never_served() {
    let mut sim = two_releases_delivered();
    sim.release(3);
    sim.plan();
    sim.report("dev", "dev", Step::RolledBack, Some("alarm"));
    sim.release(4);
    sim.deliver_everywhere();
    let never =
        RollbackStatus::of(&sim.overview, "checkout", "x to r3").expect_err("r3 never succeeded");
    assert!(never.contains("r3 has never served"), "{never}");
}

#[test]
fn rollback_of_a_run_in_progress_restores_it() {
    let mut sim = two_releases_delivered();
    sim.release(3);
    sim.plan();
    sim.report("dev", "dev", Step::Promote, None);
    roll_back(&mut sim, "incident-4711");
    let plan = sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r3 Restore 1");
    assert_eq!(plan.outcome.reason(), Reason::RollingBack);
    assert!(plan.outcome.message().contains("sluice.dev/rollback"));
}

#[test]
fn only_the_pinned_release_is_delivered() {
    let mut sim = two_releases_delivered();
    sim.overview.pin = Some("r1".into());
    sim.release(3);
    sim.deliver_everywhere();
    for at in ["dev/dev", "prod/prod-a", "prod/prod-b"] {
        assert_eq!(sim.runs()[at], "r1 Deliver 2", "{at}");
    }
    assert_eq!(sim.plan().outcome.reason(), Reason::Pinned);
    sim.overview.pin = None;
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r3 Deliver 1");
}

#[test]
fn release_that_failed_before_a_pin_keeps_its_reason_after_it() {
    let failures = [
        (Step::Failed, Reason::DeliveryFailed),
        (Step::RolledBack, Reason::RolledBack),
    ];
    for (step, reason) in failures {
        let mut sim = two_releases_delivered();
        sim.release(3);
        sim.plan();
        sim.report("dev", "dev", step, Some("the role is missing"));
        assert_eq!(sim.plan().outcome.reason(), reason);
        sim.overview.pin = Some("r1".into());
        sim.deliver_everywhere();
        sim.overview.pin = None;
        let plan = sim.plan();
        assert_eq!(plan.outcome.reason(), reason, "{}", plan.outcome.message());
    }
}

#[test]
fn newest_release_comes_back_after_the_pin_is_removed() {
    let mut sim = two_releases_delivered();
    sim.overview.pin = Some("r1".into());
    sim.deliver_everywhere();
    assert_eq!(sim.plan().live, "dev=r1 prod=r1");
    sim.overview.pin = None;
    sim.plan();
    assert_eq!(sim.runs()["dev/dev"], "r2 Deliver 2");
    sim.deliver_everywhere();
    assert_eq!(sim.plan().live, "dev=r2 prod=r2");
    // After a rollback, newer Releases do not come back.
    sim.release(3);
    sim.deliver_everywhere();
    roll_back(&mut sim, "incident-4711 to r1");
    sim.deliver_everywhere();
    sim.overview.commands.rollback = None;
    assert_eq!(sim.plan().live, "dev=r1 prod=r1");
    assert_eq!(sim.runs()["dev/dev"], "r1 Deliver 3");
}

#[test]
fn impossible_pin_is_reported() {
    let mut sim = two_releases_delivered();
    sim.release(3);
    sim.plan();
    sim.report("dev", "dev", Step::RolledBack, Some("alarm"));
    sim.release(4);
    sim.deliver_everywhere();
    for (pin, reason, part) in [
        ("r7", Reason::NotFound, "there is no Release r7:"),
        ("R4", Reason::NotFound, "there is no Release R4, but r4:"),
        ("r3", Reason::InvalidSpec, "r3 can't be delivered to dev"),
    ] {
        sim.overview.pin = Some(pin.into());
        let outcome = sim.plan().outcome;
        assert_eq!(outcome.reason(), reason);
        assert!(outcome.message().contains(part), "{}", outcome.message());
        assert_eq!(sim.runs()["dev/dev"], "r4 Deliver 1");
    }
}

#[test]
fn abort_restores_only_runs_in_progress() {
    let mut sim = two_releases_delivered();
    sim.overview.commands.abort = true;
    sim.plan();
    assert_eq!(
        sim.runs()["dev/dev"],
        "r2 Deliver 1",
        "no run was in progress"
    );
    sim.release(3);
    sim.plan();
    sim.report("dev", "dev", Step::Promote, None);
    sim.overview.commands.abort = true;
    sim.plan();
    let assigned = sim
        .target("dev", &stage_target("dev"))
        .assigned_run
        .clone()
        .expect("an order");
    assert_eq!(assigned.goal, Goal::Restore);
    assert_eq!(
        assigned.reason.as_deref(),
        Some("it was aborted by sluice.dev/abort")
    );

    // A failed restore is reported, not only the abort.
    let denied = "it was aborted by sluice.dev/abort; restoring failed: denied";
    sim.report("dev", "dev", Step::RollbackFailed, Some(denied));
    let plan = sim.plan();
    assert_eq!(plan.outcome.reason(), Reason::RollbackFailed);
    let message = plan.outcome.message();
    assert!(message.contains(denied), "{message}");
}

#[test]
fn pause_and_resume_reach_the_run_in_progress() {
    let mut sim = two_releases_delivered();
    sim.release(3);
    sim.plan();
    sim.report("dev", "dev", Step::Promote, None);
    let paused = |sim: &mut Simulation| {
        let assigned = sim.target("dev", &stage_target("dev")).assigned_run.clone();
        assigned.is_some_and(|assigned| assigned.paused)
    };
    sim.overview.paused = true;
    let plan = sim.plan();
    assert!(paused(&mut sim));
    assert_eq!(plan.outcome.reason(), Reason::Paused);
    sim.overview.paused = false;
    sim.plan();
    assert!(!paused(&mut sim));
    sim.overview.commands.promote = true;
    sim.plan();
    let assigned = sim.target("dev", &stage_target("dev")).assigned_run.clone();
    assert!(assigned.is_some_and(|assigned| assigned.immediate));
}

#[test]
fn other_targets_pause_while_one_is_held() {
    let mut sim = delivered_to_dev();
    sim.plan();
    sim.report("prod", "prod-a", Step::Held, Some("alarm checkout-errors"));
    sim.report("prod", "prod-b", Step::Promote, None);
    let plan = sim.plan();
    assert_eq!(plan.outcome.reason(), Reason::Held);
    assert!(plan.outcome.message().contains("alarm checkout-errors"));
    let assigned = sim
        .target("prod", &stage_target("prod-b"))
        .assigned_run
        .clone();
    assert!(assigned.is_some_and(|assigned| assigned.paused));
    sim.overview.commands.promote = true;
    sim.plan();
    for account in ["prod-a", "prod-b"] {
        let assigned = sim
            .target("prod", &stage_target(account))
            .assigned_run
            .clone();
        let assigned = assigned.expect("an order");
        assert_eq!(
            (assigned.attempt, assigned.immediate, assigned.paused),
            (2, true, false)
        );
    }
}

#[test]
fn rollback_target_policy_restores_only_the_failed_target() {
    let mut sim = Simulation::new();
    sim.release(1);
    for stage in &mut sim.overview.releases[0].stages {
        stage.on_target_failure = OnTargetFailure::RollbackTarget;
    }
    sim.plan();
    sim.report("dev", "dev", Step::Succeeded, None);
    sim.plan();
    sim.report("prod", "prod-b", Step::RolledBack, Some("alarm"));
    assert_eq!(sim.plan().outcome.reason(), Reason::Progressing);
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Deliver 1");
    sim.report("prod", "prod-a", Step::Succeeded, None);
    let plan = sim.plan();
    assert_eq!(plan.outcome.reason(), Reason::RolledBack);
    assert_eq!(
        sim.runs()["prod/prod-a"],
        "r1 Deliver 1",
        "it keeps the Release"
    );
    assert_eq!(outcome_of(&sim, 1, "prod").as_deref(), Some("RolledBack"));
}

#[test]
fn max_concurrent_targets_limits_the_stage() {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.overview.releases[0].stages[1].max_concurrent_targets = Some(1);
    sim.plan();
    sim.report("dev", "dev", Step::Succeeded, None);
    sim.plan();
    assert_eq!(sim.runs().len(), 2);
    sim.report("prod", "prod-a", Step::Promote, None);
    sim.plan();
    assert_eq!(sim.runs().len(), 2);
    sim.report("prod", "prod-a", Step::Succeeded, None);
    sim.plan();
    assert_eq!(sim.runs()["prod/prod-b"], "r1 Deliver 1");
    sim.report("prod", "prod-b", Step::RolledBack, Some("alarm"));
    sim.plan();
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Restore 1");
}

#[test]
fn targets_prune_after_their_stage_succeeded() {
    let mut sim = delivered_to_dev();
    sim.plan();
    sim.target("prod", &stage_target("prod-a")).needs_prune = true;
    sim.report("prod", "prod-a", Step::Succeeded, None);
    sim.plan();
    assert_eq!(
        sim.runs()["prod/prod-a"],
        "r1 Deliver 1",
        "r1 does not serve everywhere yet"
    );
    sim.report("prod", "prod-b", Step::Succeeded, None);
    let plan = sim.plan();
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Prune 1");
    assert_eq!(
        plan.outcome.reason(),
        Reason::Delivered,
        "pruning does not change the outcome"
    );
    sim.target("prod", &stage_target("prod-a")).needs_prune = false;
    sim.plan();
    assert_eq!(sim.runs()["prod/prod-b"], "r1 Deliver 1");
}

#[test]
fn target_without_a_release_is_removed() {
    let mut sim = two_releases_delivered();
    sim.release(3);
    let stages = &mut sim.overview.releases[2].stages;
    stages[1]
        .targets
        .retain(|target| target.account != "prod-b");
    sim.plan();
    sim.report("dev", "dev", Step::Succeeded, None);
    assert_eq!(sim.plan().removed_targets, []);
    sim.report("prod", "prod-a", Step::Succeeded, None);
    assert_eq!(
        sim.plan().removed_targets,
        [("prod".to_owned(), stage_target("prod-b"))]
    );
}
