//! Gates between a Release and a stage.

use super::*;
use crate::api::v1alpha1::{GatePassage, UsedApproval};

/// prod has a gate, which says this.
struct Gate(Answer);

impl Gatekeeper for Gate {
    fn is_gated(&self, stage: &str, back: bool) -> bool {
        stage == "prod" && !back
    }

    fn ask(&self, _: &Ask<'_>) -> Answer {
        self.0.clone()
    }
}

fn closed() -> Gate {
    Gate(Answer::Waiting {
        reason: "WaitingForApproval",
        message: "r waits".into(),
        manual_jobs: Vec::new(),
    })
}

fn open(by: &str) -> Gate {
    Gate(Answer::Open(GatePassage {
        approvals: vec![UsedApproval {
            name: by.into(),
            uid: by.into(),
            username: "bea".into(),
        }],
        jobs: Vec::new(),
    }))
}

/// The Targets say what the Release would change.
fn planned(story: &mut Play, revision: i64, digests: [&str; 2]) {
    for (account, digest) in ["prod-a", "prod-b"].into_iter().zip(digests) {
        let reference = ReleaseRef {
            name: format!("r{revision}"),
            uid: format!("uid-{revision}"),
            revision,
        };
        story.target("prod", &place(account)).plan = Some((reference, digest.into()));
    }
}

/// r1 serves in dev and is next for prod.
fn before_the_gate(gate: &Gate) -> (Play, Plan) {
    let mut story = Play::new();
    story.release(1);
    story.plan_with(gate);
    story.report("dev", "dev", Step::Succeeded, None);
    let plan = story.plan_with(gate);
    (story, plan)
}

fn waiting(plan: &Plan) -> Option<(i64, String)> {
    let prod = plan.stages.iter().find(|stage| stage.name == "prod")?;
    let waiting = prod.waiting.as_ref()?;
    Some((waiting.release.revision, waiting.reason.clone()))
}

#[test]
fn a_release_waits_with_its_plan_until_the_gate_opens() {
    let (mut story, plan) = before_the_gate(&closed());
    assert_eq!(plan.plans.len(), 2, "both targets are asked for a plan");
    assert_eq!(waiting(&plan), Some((1, "Planning".into())));
    assert_eq!(plan.outcome.reason(), "Planning");
    planned(&mut story, 1, ["aa", "bb"]);
    let plan = story.plan_with(&closed());
    assert_eq!(plan.plans, []);
    assert_eq!(waiting(&plan), Some((1, "WaitingForApproval".into())));
    assert!(
        matches!(plan.outcome, Outcome::Paused { .. }),
        "nothing moves, nothing is wrong"
    );
    assert_eq!(story.orders().len(), 1, "prod has no order");
    let plan = super::super::plan(&story.overview, &open("one"), NOW);
    assert!(plan.passed, "what opened the gate is on record first");
    assert_eq!(waiting(&plan), None);
    story.plan_with(&open("one"));
    let order = story.target("prod", &place("prod-b")).order.clone();
    assert_eq!(
        order.and_then(|order| order.plan_digest).as_deref(),
        Some("bb")
    );
}

#[test]
fn what_passed_before_a_crash_has_passed() {
    let (mut story, _) = before_the_gate(&closed());
    planned(&mut story, 1, ["aa", "bb"]);
    let plan = super::super::plan(&story.overview, &open("one"), NOW);
    // The status was written, the orders were not; and the Approval counts for nothing any more.
    story.overview.reported = plan.stages;
    let plan = super::super::plan(&story.overview, &closed(), NOW);
    assert_eq!(plan.orders.len(), 2);
}

#[test]
fn a_newer_release_waits_in_the_place_of_an_older_one_once_it_is_there() {
    for (superseding, first) in [(Superseding::Newest, 2), (Superseding::Hold, 1)] {
        let (mut story, _) = before_the_gate(&closed());
        story.overview.superseding = superseding;
        planned(&mut story, 1, ["aa", "bb"]);
        story.plan_with(&closed());
        story.release(2);
        let plan = story.plan_with(&closed());
        assert_eq!(
            waiting(&plan).map(|(revision, _)| revision),
            Some(1),
            "r2 is still in dev"
        );
        story.report("dev", "dev", Step::Succeeded, None);
        let plan = story.plan_with(&closed());
        assert_eq!(waiting(&plan).map(|(revision, _)| revision), Some(first));
    }
}

#[test]
fn a_bad_newer_release_leaves_the_older_one_to_be_approved() {
    let (mut story, _) = before_the_gate(&closed());
    planned(&mut story, 1, ["aa", "bb"]);
    story.release(2);
    story.plan_with(&closed());
    story.report("dev", "dev", Step::RolledBack, Some("check smoke failed"));
    let plan = story.plan_with(&closed());
    assert_eq!(waiting(&plan).map(|(revision, _)| revision), Some(1));
    story.plan_with(&open("one"));
    assert_eq!(story.orders()["prod/prod-a"], "r1 Deliver 1");
}

#[test]
fn a_plan_that_changed_after_it_passed_has_to_pass_anew() {
    let (mut story, _) = before_the_gate(&closed());
    planned(&mut story, 1, ["aa", "bb"]);
    story.plan_with(&open("one"));
    planned(&mut story, 1, ["aa", "cc"]);
    let plan = story.plan_with(&closed());
    assert_eq!(waiting(&plan), Some((1, "WaitingForApproval".into())));
    story.plan_with(&open("two"));
    let order = story
        .target("prod", &place("prod-b"))
        .order
        .clone()
        .expect("an order");
    assert_eq!(
        (order.plan_digest.as_deref(), order.sequence),
        (Some("cc"), 2)
    );
    // Where another target has begun by then, the stage goes back.
    story.report("prod", "prod-a", Step::Promote, None);
    planned(&mut story, 1, ["aa", "dd"]);
    story.plan_with(&closed());
    assert_eq!(story.orders()["prod/prod-a"], "r1 Restore 1");
}

#[test]
fn a_rejected_release_ends_without_a_change() {
    let (mut story, _) = before_the_gate(&closed());
    planned(&mut story, 1, ["aa", "bb"]);
    let plan = story.plan_with(&Gate(Answer::Rejected(
        "bea rejected r1 before prod".into(),
    )));
    assert_eq!(plan.outcome.reason(), "Rejected");
    assert_eq!(story.orders().len(), 1, "prod has no order");
    let outcomes = &story.overview.releases[0].outcomes;
    assert!(
        outcomes
            .iter()
            .any(|one| one.stage == "prod" && one.outcome == "Rejected")
    );
    let plan = story.plan_with(&open("one"));
    assert_eq!(waiting(&plan), None);
    assert_eq!(story.orders().len(), 1, "an approval comes too late");
}

#[test]
fn another_try_needs_another_approval() {
    let (mut story, _) = before_the_gate(&closed());
    planned(&mut story, 1, ["aa", "bb"]);
    story.plan_with(&open("one"));
    for account in ["prod-a", "prod-b"] {
        story.report("prod", account, Step::RolledBack, Some("alarm"));
    }
    story.plan_with(&closed());
    story.overview.commands.retry = true;
    let plan = story.plan_with(&closed());
    assert_eq!(waiting(&plan).map(|(revision, _)| revision), Some(1));
    assert_eq!(story.orders()["prod/prod-a"], "r1 Deliver 1");
    story.plan_with(&open("two"));
    assert_eq!(story.orders()["prod/prod-a"], "r1 Deliver 2");
}
