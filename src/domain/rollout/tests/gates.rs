//! Gates between a Release and a stage.

use super::*;
use crate::{
    api::v1alpha1::{GatePassage, UsedApproval},
    domain::gates::{Ignored, Judgement, entry::Way},
};

/// prod has a gate, which says this.
pub(super) struct Gate(pub(super) Answer);

impl Gatekeeper for Gate {
    fn asks(&self, entry: &Entry<'_>) -> Asks {
        if entry.stage == "prod" && entry.way == Way::Forward {
            Asks::Something
        } else {
            Asks::Nothing
        }
    }

    fn ask(&self, _: &Ask<'_>) -> Evaluated {
        self.0.clone().into()
    }
}

/// prod lies in an Account that requires approvals, which says this.
struct Account(Answer);

impl Gatekeeper for Account {
    fn asks(&self, entry: &Entry<'_>) -> Asks {
        if entry.stage == "prod" {
            Asks::Something
        } else {
            Asks::Nothing
        }
    }

    fn ask(&self, ask: &Ask<'_>) -> Evaluated {
        let way = ask.entry.way;
        assert_eq!(way, Way::Back, "the stage's own gate is asked nothing");
        self.0.clone().into()
    }
}

pub(super) fn not_yet() -> Answer {
    Answer::Waiting {
        reason: Reason::WaitingForApproval,
        message: "r waits".into(),
        manual_jobs: Vec::new(),
        until: None,
    }
}

pub(super) fn closed() -> Gate {
    Gate(not_yet())
}

pub(super) fn open(by: &str) -> Gate {
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
pub(super) fn planned(story: &mut Play, revision: i64, digests: [&str; 2]) {
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
pub(super) fn before_the_gate(gate: &Gate) -> (Play, Plan) {
    let mut story = Play::new();
    story.release(1);
    story.plan_with(gate);
    story.report("dev", "dev", Step::Succeeded, None);
    let plan = story.plan_with(gate);
    (story, plan)
}

pub(super) fn waiting(plan: &Plan) -> Option<(i64, String)> {
    let prod = plan.stages.iter().find(|stage| stage.name == "prod")?;
    let waiting = prod.waiting.as_ref()?;
    Some((waiting.release.revision, waiting.reason.clone()))
}

#[test]
fn a_release_waits_with_its_plan_until_the_gate_opens() {
    let (mut story, plan) = before_the_gate(&closed());
    assert_eq!(
        plan.plan_requests.len(),
        2,
        "both targets are asked for a plan"
    );
    assert_eq!(waiting(&plan), Some((1, "Planning".into())));
    assert_eq!(plan.outcome.reason(), Reason::Planning);
    planned(&mut story, 1, ["aa", "bb"]);
    let plan = story.plan_with(&closed());
    assert_eq!(plan.plan_requests, []);
    assert_eq!(waiting(&plan), Some((1, "WaitingForApproval".into())));
    assert!(
        matches!(plan.outcome, Outcome::Paused { .. }),
        "nothing moves, nothing is wrong"
    );
    assert_eq!(story.orders().len(), 1, "prod has no order");
    let plan = super::super::plan(&story.overview, &open("one"), NOW);
    assert!(plan.passes_gate, "what opened the gate is on record first");
    assert_eq!(waiting(&plan), None);
    story.plan_with(&open("one"));
    let order = story.target("prod", &place("prod-b")).order.clone();
    assert_eq!(
        order.and_then(|order| order.plan_digest).as_deref(),
        Some("bb")
    );
}

#[test]
fn plan_that_can_not_be_made_stalls_the_deployment_in_its_targets_words() {
    let (mut story, _) = before_the_gate(&closed());
    let denied = "lambda:GetFunction on checkout-api: denied";
    story.target("prod", &place("prod-a")).stalled = Some(("AccessDenied".into(), denied.into()));
    let plan = story.plan_with(&closed());
    assert_eq!(waiting(&plan), Some((1, "TargetStalled".into())));
    assert!(
        matches!(plan.outcome, Outcome::Stalled { .. }),
        "only a person can help: {:?}",
        plan.outcome
    );
    assert!(plan.outcome.message().contains(denied));
}

#[test]
fn what_passed_before_a_crash_has_passed() {
    let (mut story, _) = before_the_gate(&closed());
    planned(&mut story, 1, ["aa", "bb"]);
    let plan = super::super::plan(&story.overview, &open("one"), NOW);
    // The status was written, the orders were not; and the Approval counts for nothing any more.
    story.overview.reported = plan.stages;
    let plan = super::super::plan(&story.overview, &closed(), NOW);
    assert_eq!(plan.runs.len(), 2);
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
    assert_eq!(plan.outcome.reason(), Reason::Rejected);
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

/// r1 and r2 serve everywhere, r2 last, as if there were no gates.
fn two_behind_a_gate() -> Play {
    let mut story = Play::new();
    for revision in 1..=2 {
        story.release(revision);
        everywhere(&mut story, &NoGates);
    }
    story
}

/// Everything that is ordered succeeds.
fn everywhere(story: &mut Play, gates: &dyn Gatekeeper) {
    story.plan_with(gates);
    story.report("dev", "dev", Step::Succeeded, None);
    story.plan_with(gates);
    story.report("prod", "prod-a", Step::Succeeded, None);
    story.report("prod", "prod-b", Step::Succeeded, None);
    story.plan_with(gates);
}

/// Both ways back: a rollback by command, and a pin.
fn both_ways_back() -> [(&'static str, Play); 2] {
    let mut by_command = two_behind_a_gate();
    let back =
        Back::of(&by_command.overview, "checkout", "incident").expect("something to take back");
    by_command.overview.commands.rollback = Some(back);
    let mut by_pin = two_behind_a_gate();
    by_pin.overview.pin = Some("r1".into());
    [("rollback", by_command), ("pin", by_pin)]
}

#[test]
fn the_way_back_to_what_has_served_passes_the_gate_of_the_stage() {
    for (way, mut story) in both_ways_back() {
        everywhere(&mut story, &closed());
        let plan = story.plan_with(&closed());
        assert_eq!(plan.live, "dev=r1 prod=r1", "{way}");
    }
}

#[test]
fn the_way_back_waits_for_what_the_account_requires_and_goes_on_then() {
    for (way, mut story) in both_ways_back() {
        let required = Account(not_yet());
        let plan = story.plan_with(&required);
        assert_eq!(waiting(&plan), Some((1, "Planning".into())), "{way}");
        planned(&mut story, 1, ["aa", "bb"]);
        let plan = story.plan_with(&required);
        let waits = Some((1, "WaitingForApproval".into()));
        assert_eq!(waiting(&plan), waits, "{way}");
        assert_eq!(story.orders()["prod/prod-a"], "r2 Deliver 1", "{way}");
        assert_eq!(story.orders()["dev/dev"], "r1 Deliver 2", "{way}");
        // Nothing newer comes in between.
        story.release(3);
        story.report("dev", "dev", Step::Succeeded, None);
        assert_eq!(waiting(&story.plan_with(&required)), waits, "{way}");

        let opened = match open("platform") {
            Gate(answer) => Account(answer),
        };
        let plan = story.plan_with(&opened);
        assert!(!plan.is_rolling_back, "{way}");
        let order = story.target("prod", &place("prod-b")).order.clone();
        let order = order.expect("an order");
        assert_eq!(order.release.revision, 1, "{way}");
        assert_eq!(order.plan_digest.as_deref(), Some("bb"), "{way}");
        assert!(order.immediate, "{way}");
    }
}

#[test]
fn a_way_back_whose_plan_changed_is_still_one() {
    for (way, mut story) in both_ways_back() {
        story.plan_with(&Account(not_yet()));
        planned(&mut story, 1, ["aa", "bb"]);
        let opened = match open("platform") {
            Gate(answer) => Account(answer),
        };
        story.plan_with(&opened);
        planned(&mut story, 1, ["aa", "cc"]);
        let plan = story.plan_with(&Account(not_yet()));
        assert_eq!(
            waiting(&plan),
            Some((1, "WaitingForApproval".into())),
            "{way}"
        );
    }
}

#[test]
fn a_rejected_way_back_ends_the_command() {
    let [(_, mut story), _] = both_ways_back();
    story.plan_with(&Account(not_yet()));
    planned(&mut story, 1, ["aa", "bb"]);
    let required = Account(Answer::Rejected("bea rejected r1 before prod".into()));
    let plan = story.plan_with(&required);
    assert_eq!(waiting(&plan), None);
    assert_eq!(story.overview.commands.rollback, None);
    let plan = story.plan_with(&Account(not_yet()));
    assert_eq!(waiting(&plan), None, "nothing is asked for again");
    assert_eq!(story.orders()["prod/prod-a"], "r2 Deliver 1");
}

#[test]
fn an_abort_ends_a_rollback_that_waits() {
    let [(_, mut story), _] = both_ways_back();
    story.plan_with(&Account(not_yet()));
    assert!(story.overview.commands.rollback.is_some());
    story.overview.commands.abort = true;
    let plan = story.plan_with(&Account(not_yet()));
    assert_eq!(waiting(&plan), None);
    assert_eq!(story.overview.commands.rollback, None);
    assert_eq!(story.orders()["prod/prod-a"], "r2 Deliver 1");
}

#[test]
fn an_older_release_that_never_served_meets_the_whole_gate() {
    let mut story = two_behind_a_gate();
    // r3 was never let into prod, and r4 was.
    story.release(3);
    story.plan_with(&closed());
    story.report("dev", "dev", Step::Succeeded, None);
    story.plan_with(&closed());
    story.release(4);
    everywhere(&mut story, &NoGates);
    assert_eq!(story.plan().live, "dev=r4 prod=r4");

    let to = Back::of(&story.overview, "checkout", "incident to r3").expect("it served in dev");
    story.overview.commands.rollback = Some(to);
    story.plan_with(&closed());
    assert_eq!(story.orders()["dev/dev"], "r3 Deliver 2");
    assert_eq!(story.orders()["prod/prod-a"], "r4 Deliver 1");

    story.overview.commands = Commands::default();
    story.overview.pin = Some("r3".into());
    story.report("dev", "dev", Step::Succeeded, None);
    let plan = story.plan_with(&closed());
    assert_eq!(waiting(&plan), Some((3, "Planning".into())));
}

#[test]
fn another_try_of_the_way_back_is_one_too() {
    let [(_, mut story), _] = both_ways_back();
    story.plan_with(&closed());
    for account in ["prod-a", "prod-b"] {
        story.report("prod", account, Step::RolledBack, Some("throttled"));
    }
    story.plan_with(&closed());
    story.overview.commands.retry = true;
    story.plan_with(&closed());
    let order = story.target("prod", &place("prod-a")).order.clone();
    let order = order.expect("an order");
    assert_eq!((order.release.revision, order.attempt), (1, 3));
    assert!(order.immediate);
}

#[test]
fn what_waits_is_told_with_what_each_target_would_change() {
    let (mut story, _) = before_the_gate(&closed());
    planned(&mut story, 1, ["aa", "bb"]);
    for account in ["prod-a", "prod-b"] {
        let summary = format!("api: will change code in {account}");
        story.target("prod", &place(account)).plan_summary = Some(summary);
    }
    // What another Release would change is no part of it.
    let mut other = story.overview.releases[0].reference.clone();
    other.uid = "uid-0".into();
    let plan = story.plan_with(&closed());
    let told = |plan: &Plan| plan.stages[1].waiting.clone().expect("it waits").plan;
    assert_eq!(
        told(&plan),
        [
            "prod-a/eu-west-1: api: will change code in prod-a",
            "prod-b/eu-west-1: api: will change code in prod-b"
        ]
    );
    story.target("prod", &place("prod-a")).plan = Some((other, "aa".into()));
    let plan = super::super::plan(&story.overview, &closed(), NOW);
    assert_eq!(
        told(&plan),
        ["prod-b/eu-west-1: api: will change code in prod-b"]
    );
}

/// Every stage waits; the gate of each considers one Approval, of prod, and has not read this.
struct Considers(Unread);

impl Gatekeeper for Considers {
    fn asks(&self, _: &Entry<'_>) -> Asks {
        Asks::Something
    }

    fn ask(&self, ask: &Ask<'_>) -> Evaluated {
        let names_stage = ask.entry.stage == "prod";
        let judgement = if names_stage {
            Judgement::Counts
        } else {
            Judgement::Ignored(Ignored::OtherStage)
        };
        Evaluated {
            judged: vec![Judged {
                approval: "uid-a".into(),
                names_stage,
                judgement,
            }],
            unread: [self.0].into(),
            ..not_yet().into()
        }
    }
}

#[test]
fn unread_state_of_gates_is_part_of_the_plan() {
    let (mut story, plan) = before_the_gate(&closed());
    assert!(plan.unread.is_empty());
    planned(&mut story, 1, ["aa", "bb"]);
    let plan = story.plan_with(&Considers(Unread::GitLab));
    assert_eq!(plan.unread, [Unread::GitLab].into());
}

#[test]
fn approval_is_judged_by_the_stage_that_it_names() {
    let (mut story, _) = before_the_gate(&closed());
    planned(&mut story, 1, ["aa", "bb"]);
    let plan = story.plan_with(&Considers(Unread::AdmissionPolicy));
    assert_eq!(plan.judgements["uid-a"], Judgement::Counts);

    // r2 waits before dev meanwhile, which comes first and names another stage.
    story.release(2);
    let two = story.overview.releases[1].reference.clone();
    story.target("dev", &place("dev")).plan = Some((two, "dd".into()));
    let plan = story.plan_with(&Considers(Unread::AdmissionPolicy));
    let waiting = plan.stages.iter().filter(|stage| stage.waiting.is_some());
    assert_eq!(waiting.count(), 2);
    assert_eq!(plan.judgements["uid-a"], Judgement::Counts);
}
