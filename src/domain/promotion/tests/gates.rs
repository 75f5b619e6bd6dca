//! Gates of stages.

use super::*;
use crate::{
    api::v1alpha1::{GatePassage, UsedApproval},
    domain::gates::{Ignored, Judgement, entry::Way},
};

/// A gatekeeper with a gate at prod that gives this answer.
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

/// A gatekeeper whose Account of prod requires approvals and gives this answer.
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
        assert_eq!(way, Way::Rollback, "only the Account is asked");
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

/// The Targets of prod plan the Release with these digests.
pub(super) fn planned(sim: &mut Simulation, revision: i64, digests: [&str; 2]) {
    for (account, digest) in ["prod-a", "prod-b"].into_iter().zip(digests) {
        let reference = ReleaseRef {
            name: format!("r{revision}"),
            uid: format!("uid-{revision}"),
            revision,
        };
        sim.target("prod", &stage_target(account)).plan = Some((reference, digest.into()));
    }
}

/// r1 serves in dev and is next for prod.
pub(super) fn before_the_gate(gate: &Gate) -> (Simulation, Plan) {
    let mut sim = Simulation::new();
    sim.release(1);
    sim.plan_with(gate);
    sim.report("dev", "dev", Step::Succeeded, None);
    let plan = sim.plan_with(gate);
    (sim, plan)
}

pub(super) fn waiting(plan: &Plan) -> Option<(i64, String)> {
    let prod = plan.stages.iter().find(|stage| stage.name == "prod")?;
    let waiting = prod.waiting.as_ref()?;
    Some((waiting.release.revision, waiting.reason.clone()))
}

#[test]
fn a_release_waits_with_its_plan_until_the_gate_opens() {
    let (mut sim, plan) = before_the_gate(&closed());
    assert_eq!(
        plan.plan_requests.len(),
        2,
        "a plan is requested from both targets"
    );
    assert_eq!(waiting(&plan), Some((1, "Planning".into())));
    assert_eq!(plan.outcome.reason(), Reason::Planning);
    planned(&mut sim, 1, ["aa", "bb"]);
    let plan = sim.plan_with(&closed());
    assert_eq!(plan.plan_requests, []);
    assert_eq!(waiting(&plan), Some((1, "WaitingForApproval".into())));
    assert!(
        matches!(plan.outcome, Outcome::Paused { .. }),
        "no run is in progress, and nothing failed"
    );
    assert_eq!(sim.runs().len(), 1, "prod has no run");
    let plan = super::super::plan(&sim.overview, &open("one"), NOW);
    assert!(plan.passes_gate, "what opened the gate is recorded first");
    assert_eq!(waiting(&plan), None);
    sim.plan_with(&open("one"));
    let assigned = sim
        .target("prod", &stage_target("prod-b"))
        .assigned_run
        .clone();
    assert_eq!(
        assigned
            .and_then(|assigned| assigned.plan_digest)
            .as_deref(),
        Some("bb")
    );
}

#[test]
fn failed_planning_stalls_with_the_message_of_the_target() {
    let (mut sim, _) = before_the_gate(&closed());
    let denied = "lambda:GetFunction on checkout-api: denied";
    sim.target("prod", &stage_target("prod-a")).stalled =
        Some(("AccessDenied".into(), denied.into()));
    let plan = sim.plan_with(&closed());
    assert_eq!(waiting(&plan), Some((1, "TargetStalled".into())));
    assert!(
        matches!(plan.outcome, Outcome::Stalled { .. }),
        "only a person can help: {:?}",
        plan.outcome
    );
    assert!(plan.outcome.message().contains(denied));
}

#[test]
fn passage_survives_a_crash() {
    let (mut sim, _) = before_the_gate(&closed());
    planned(&mut sim, 1, ["aa", "bb"]);
    let plan = super::super::plan(&sim.overview, &open("one"), NOW);
    // The status was written, the runs were not, and the Approval no longer counts.
    sim.overview.reported = plan.stages;
    let plan = super::super::plan(&sim.overview, &closed(), NOW);
    assert_eq!(plan.runs.len(), 2);
}

#[test]
fn newer_release_supersedes_the_waiting_one_when_it_arrives() {
    for (superseding, first) in [(Superseding::Newest, 2), (Superseding::Hold, 1)] {
        let (mut sim, _) = before_the_gate(&closed());
        sim.overview.superseding = superseding;
        planned(&mut sim, 1, ["aa", "bb"]);
        sim.plan_with(&closed());
        sim.release(2);
        let plan = sim.plan_with(&closed());
        assert_eq!(
            waiting(&plan).map(|(revision, _)| revision),
            Some(1),
            "r2 is still in dev"
        );
        sim.report("dev", "dev", Step::Succeeded, None);
        let plan = sim.plan_with(&closed());
        assert_eq!(waiting(&plan).map(|(revision, _)| revision), Some(first));
    }
}

#[test]
fn a_bad_newer_release_leaves_the_older_one_to_be_approved() {
    let (mut sim, _) = before_the_gate(&closed());
    planned(&mut sim, 1, ["aa", "bb"]);
    sim.release(2);
    sim.plan_with(&closed());
    sim.report("dev", "dev", Step::RolledBack, Some("check smoke failed"));
    let plan = sim.plan_with(&closed());
    assert_eq!(waiting(&plan).map(|(revision, _)| revision), Some(1));
    sim.plan_with(&open("one"));
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Deliver 1");
}

#[test]
fn changed_plan_has_to_pass_again() {
    let (mut sim, _) = before_the_gate(&closed());
    planned(&mut sim, 1, ["aa", "bb"]);
    sim.plan_with(&open("one"));
    planned(&mut sim, 1, ["aa", "cc"]);
    let plan = sim.plan_with(&closed());
    assert_eq!(waiting(&plan), Some((1, "WaitingForApproval".into())));
    sim.plan_with(&open("two"));
    let assigned = sim
        .target("prod", &stage_target("prod-b"))
        .assigned_run
        .clone()
        .expect("an order");
    assert_eq!(
        (assigned.plan_digest.as_deref(), assigned.sequence),
        (Some("cc"), 2)
    );
    // If another target has begun by then, the stage is restored.
    sim.report("prod", "prod-a", Step::Promote, None);
    planned(&mut sim, 1, ["aa", "dd"]);
    sim.plan_with(&closed());
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Restore 1");
}

#[test]
fn a_rejected_release_ends_without_a_change() {
    let (mut sim, _) = before_the_gate(&closed());
    planned(&mut sim, 1, ["aa", "bb"]);
    let plan = sim.plan_with(&Gate(Answer::Rejected(
        "bea rejected r1 before prod".into(),
    )));
    assert_eq!(plan.outcome.reason(), Reason::Rejected);
    assert_eq!(sim.runs().len(), 1, "prod has no run");
    let outcomes = &sim.overview.releases[0].outcomes;
    assert!(
        outcomes
            .iter()
            .any(|one| one.stage == "prod" && one.outcome == "Rejected")
    );
    let plan = sim.plan_with(&open("one"));
    assert_eq!(waiting(&plan), None);
    assert_eq!(
        sim.runs().len(),
        1,
        "an approval after the rejection has no effect"
    );
}

#[test]
fn another_attempt_needs_another_approval() {
    let (mut sim, _) = before_the_gate(&closed());
    planned(&mut sim, 1, ["aa", "bb"]);
    sim.plan_with(&open("one"));
    for account in ["prod-a", "prod-b"] {
        sim.report("prod", account, Step::RolledBack, Some("alarm"));
    }
    sim.plan_with(&closed());
    sim.overview.commands.retry = true;
    let plan = sim.plan_with(&closed());
    assert_eq!(waiting(&plan).map(|(revision, _)| revision), Some(1));
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Deliver 1");
    sim.plan_with(&open("two"));
    assert_eq!(sim.runs()["prod/prod-a"], "r1 Deliver 2");
}

/// Both kinds of rollback to r1: by command and by pin.
fn rollbacks() -> [(&'static str, Simulation); 2] {
    let mut by_command = two_releases_delivered();
    let rollback =
        RollbackStatus::of(&by_command.overview, "checkout", "incident").expect("a bad Release");
    by_command.overview.commands.rollback = Some(rollback);
    let mut by_pin = two_releases_delivered();
    by_pin.overview.pin = Some("r1".into());
    [("rollback", by_command), ("pin", by_pin)]
}

#[test]
fn rollback_to_a_served_release_passes_the_gate_of_the_stage() {
    for (way, mut sim) in rollbacks() {
        sim.deliver_everywhere_past(&closed());
        let plan = sim.plan_with(&closed());
        assert_eq!(plan.live, "dev=r1 prod=r1", "{way}");
    }
}

#[test]
fn rollback_waits_for_account_approvals_and_continues() {
    for (way, mut sim) in rollbacks() {
        let required = Account(not_yet());
        let plan = sim.plan_with(&required);
        assert_eq!(waiting(&plan), Some((1, "Planning".into())), "{way}");
        planned(&mut sim, 1, ["aa", "bb"]);
        let plan = sim.plan_with(&required);
        let waits = Some((1, "WaitingForApproval".into()));
        assert_eq!(waiting(&plan), waits, "{way}");
        assert_eq!(sim.runs()["prod/prod-a"], "r2 Deliver 1", "{way}");
        assert_eq!(sim.runs()["dev/dev"], "r1 Deliver 2", "{way}");
        // A newer Release does not come in between.
        sim.release(3);
        sim.report("dev", "dev", Step::Succeeded, None);
        assert_eq!(waiting(&sim.plan_with(&required)), waits, "{way}");

        let opened = match open("platform") {
            Gate(answer) => Account(answer),
        };
        let plan = sim.plan_with(&opened);
        assert!(!plan.is_rolling_back, "{way}");
        let assigned = sim
            .target("prod", &stage_target("prod-b"))
            .assigned_run
            .clone();
        let assigned = assigned.expect("an order");
        assert_eq!(assigned.release.revision, 1, "{way}");
        assert_eq!(assigned.plan_digest.as_deref(), Some("bb"), "{way}");
        assert!(assigned.immediate, "{way}");
    }
}

#[test]
fn rollback_with_a_changed_plan_stays_a_rollback() {
    for (way, mut sim) in rollbacks() {
        sim.plan_with(&Account(not_yet()));
        planned(&mut sim, 1, ["aa", "bb"]);
        let opened = match open("platform") {
            Gate(answer) => Account(answer),
        };
        sim.plan_with(&opened);
        planned(&mut sim, 1, ["aa", "cc"]);
        let plan = sim.plan_with(&Account(not_yet()));
        assert_eq!(
            waiting(&plan),
            Some((1, "WaitingForApproval".into())),
            "{way}"
        );
    }
}

#[test]
fn rejected_rollback_ends_the_command() {
    let [(_, mut sim), _] = rollbacks();
    sim.plan_with(&Account(not_yet()));
    planned(&mut sim, 1, ["aa", "bb"]);
    let required = Account(Answer::Rejected("bea rejected r1 before prod".into()));
    let plan = sim.plan_with(&required);
    assert_eq!(waiting(&plan), None);
    assert_eq!(sim.overview.commands.rollback, None);
    let plan = sim.plan_with(&Account(not_yet()));
    assert_eq!(waiting(&plan), None, "no approval is requested again");
    assert_eq!(sim.runs()["prod/prod-a"], "r2 Deliver 1");
}

#[test]
fn abort_ends_a_waiting_rollback() {
    let [(_, mut sim), _] = rollbacks();
    sim.plan_with(&Account(not_yet()));
    assert!(sim.overview.commands.rollback.is_some());
    sim.overview.commands.abort = true;
    let plan = sim.plan_with(&Account(not_yet()));
    assert_eq!(waiting(&plan), None);
    assert_eq!(sim.overview.commands.rollback, None);
    assert_eq!(sim.runs()["prod/prod-a"], "r2 Deliver 1");
}

#[test]
fn older_release_that_never_served_passes_the_whole_gate() {
    let mut sim = two_releases_delivered();
    // r3 never entered prod, r4 did.
    sim.release(3);
    sim.plan_with(&closed());
    sim.report("dev", "dev", Step::Succeeded, None);
    sim.plan_with(&closed());
    sim.release(4);
    sim.deliver_everywhere();
    assert_eq!(sim.plan().live, "dev=r4 prod=r4");

    let to =
        RollbackStatus::of(&sim.overview, "checkout", "incident to r3").expect("it served in dev");
    sim.overview.commands.rollback = Some(to);
    sim.plan_with(&closed());
    assert_eq!(sim.runs()["dev/dev"], "r3 Deliver 2");
    assert_eq!(sim.runs()["prod/prod-a"], "r4 Deliver 1");

    sim.overview.commands = Commands::default();
    sim.overview.pin = Some("r3".into());
    sim.report("dev", "dev", Step::Succeeded, None);
    let plan = sim.plan_with(&closed());
    assert_eq!(waiting(&plan), Some((3, "Planning".into())));
}

#[test]
fn retried_rollback_stays_a_rollback() {
    let [(_, mut sim), _] = rollbacks();
    sim.plan_with(&closed());
    for account in ["prod-a", "prod-b"] {
        sim.report("prod", account, Step::RolledBack, Some("throttled"));
    }
    sim.plan_with(&closed());
    sim.overview.commands.retry = true;
    sim.plan_with(&closed());
    let assigned = sim
        .target("prod", &stage_target("prod-a"))
        .assigned_run
        .clone();
    let assigned = assigned.expect("an order");
    assert_eq!((assigned.release.revision, assigned.attempt), (1, 3));
    assert!(assigned.immediate);
}

#[test]
fn waiting_release_is_reported_with_its_plans() {
    let (mut sim, _) = before_the_gate(&closed());
    planned(&mut sim, 1, ["aa", "bb"]);
    for account in ["prod-a", "prod-b"] {
        let summary = format!("api: will change code in {account}");
        sim.target("prod", &stage_target(account)).plan_summary = Some(summary);
    }
    // The plan of another Release is not part of the report.
    let mut other = sim.overview.releases[0].reference.clone();
    other.uid = "uid-0".into();
    let plan = sim.plan_with(&closed());
    let reported = |plan: &Plan| plan.stages[1].waiting.clone().expect("it waits").plan;
    assert_eq!(
        reported(&plan),
        [
            "prod-a/eu-west-1: api: will change code in prod-a",
            "prod-b/eu-west-1: api: will change code in prod-b"
        ]
    );
    sim.target("prod", &stage_target("prod-a")).plan = Some((other, "aa".into()));
    let plan = super::super::plan(&sim.overview, &closed(), NOW);
    assert_eq!(
        reported(&plan),
        ["prod-b/eu-west-1: api: will change code in prod-b"]
    );
}

/// A gate at every stage that considers one Approval, for prod, and has not read this state.
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
    let (mut sim, plan) = before_the_gate(&closed());
    assert!(plan.unread.is_empty());
    planned(&mut sim, 1, ["aa", "bb"]);
    let plan = sim.plan_with(&Considers(Unread::GitLab));
    assert_eq!(plan.unread, [Unread::GitLab].into());
}

#[test]
fn approval_is_judged_by_the_stage_that_it_names() {
    let (mut sim, _) = before_the_gate(&closed());
    planned(&mut sim, 1, ["aa", "bb"]);
    let plan = sim.plan_with(&Considers(Unread::AdmissionPolicy));
    assert_eq!(plan.judgements["uid-a"], Judgement::Counts);

    // Meanwhile r2 waits at dev, an earlier stage than the one that the Approval names.
    sim.release(2);
    let two = sim.overview.releases[1].reference.clone();
    sim.target("dev", &stage_target("dev")).plan = Some((two, "dd".into()));
    let plan = sim.plan_with(&Considers(Unread::AdmissionPolicy));
    let waiting = plan.stages.iter().filter(|stage| stage.waiting.is_some());
    assert_eq!(waiting.count(), 2);
    assert_eq!(plan.judgements["uid-a"], Judgement::Counts);
}
