//! What AWS has to compute for a plan is on record before it is created, and is deleted once it is needless.

use super::{super::*, fake_aws::*};
use crate::{
    api::v1alpha1::{PlanStatus, TargetSpec},
    domain::reason::Reason,
};

/// A Release with a note that is drafted first.
fn release(revision: i64, text: &str) -> Desired {
    let mut note = noted(text, 0);
    if let Workload::Note(note) = &mut note.workload {
        note.is_drafted = true;
    }
    let mut wanted = desired(revision, Vec::new());
    wanted.components.push(note);
    wanted
}

fn planned(aws: &mut FakeAws, wanted: &Desired) -> PlanStatus {
    let outcome = aws.plan(wanted);
    assert!(
        matches!(outcome, Outcome::Done { .. }),
        "{outcome:?}\n{}",
        aws.log
    );
    aws.status.plan.clone().expect("a plan")
}

/// Delivers the plan with this digest.
fn deliver(aws: &mut FakeAws, wanted: &Desired, attempt: i64, approved: &PlanStatus) -> Step {
    let run = Run {
        plan_digest: Some(approved.digest.clone()),
        ..run(wanted.release.revision, attempt, Goal::Deliver)
    };
    aws.known = Known::default();
    aws.finish(&Task::Deliver(wanted.clone()), &run)
}

/// Collects the garbage while the Target is to plan or deliver these Releases.
fn collect(aws: &mut FakeAws, open: &[i64]) {
    let needed = Needed {
        open: open.iter().map(|it| reference(*it).uid).collect(),
        ..Needed::default()
    };
    aws.collect(&needed);
}

fn motto(aws: &FakeAws) -> Option<&str> {
    aws.notes.get("checkout-motto").map(String::as_str)
}

fn drafts(aws: &FakeAws) -> Vec<&str> {
    let names = aws.notes.keys().map(String::as_str);
    names.filter(|name| *name != "checkout-motto").collect()
}

fn on_record(aws: &FakeAws) -> Vec<&str> {
    let proposals = aws.status.proposals.iter();
    proposals.map(|it| it.name.as_str()).collect()
}

#[test]
fn plan_creates_what_the_run_then_uses() {
    let mut aws = FakeAws::new();
    let wanted = release(1, "one");
    let approved = planned(&mut aws, &wanted);
    assert_eq!(motto(&aws), None, "a plan changes nothing that serves");
    assert_eq!(drafts(&aws), ["checkout-motto-draft-1"]);
    assert_eq!(on_record(&aws), drafts(&aws));
    let step = deliver(&mut aws, &wanted, 1, &approved);
    assert_eq!(step, Step::Succeeded, "{}", aws.log);
    assert_eq!(motto(&aws), Some("one"));
    assert_eq!(aws.log.matches("Draft ").count(), 1, "{}", aws.log);
    collect(&mut aws, &[]);
    assert!(on_record(&aws).is_empty());
}

#[test]
fn unchanged_component_needs_no_proposal() {
    let mut aws = FakeAws::new();
    assert_eq!(
        aws.deliver_as(release(1, "one")),
        Step::Succeeded,
        "{}",
        aws.log
    );
    collect(&mut aws, &[]);
    aws.log.clear();
    planned(&mut aws, &release(2, "one"));
    assert!(on_record(&aws).is_empty());
    assert!(!aws.log.contains("Draft"), "{}", aws.log);
}

#[test]
fn rejected_or_superseded_plan_leaves_nothing_in_aws() {
    let mut aws = FakeAws::new();
    planned(&mut aws, &release(1, "one"));
    planned(&mut aws, &release(2, "two"));
    collect(&mut aws, &[2]);
    assert_eq!(drafts(&aws), ["checkout-motto-draft-2"]);
    assert_eq!(on_record(&aws), drafts(&aws));
    collect(&mut aws, &[]);
    assert!(drafts(&aws).is_empty());
    assert!(on_record(&aws).is_empty());
    // A number is never used again.
    planned(&mut aws, &release(2, "two"));
    assert_eq!(drafts(&aws), ["checkout-motto-draft-3"]);
}

#[test]
fn changed_inputs_make_another_proposal_and_need_another_approval() {
    let mut aws = FakeAws::new();
    let approved = planned(&mut aws, &release(1, "one"));
    // Such as a rotated Secret: the same Release, other inputs.
    let wanted = release(1, "two");
    let run = Run {
        plan_digest: Some(approved.digest),
        ..run(1, 1, Goal::Deliver)
    };
    let task = Task::Deliver(wanted);
    let outcome =
        aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
    let reason = outcome.map(|outcome| outcome.reason());
    assert_eq!(reason, Some(Reason::PlanChanged), "{}", aws.log);
    assert_eq!(motto(&aws), None);
    collect(&mut aws, &[1]);
    assert_eq!(
        drafts(&aws),
        ["checkout-motto-draft-2"],
        "the last one counts"
    );
}

#[test]
fn externally_changed_or_deleted_proposal_is_not_used() {
    let mut aws = FakeAws::new();
    let wanted = release(1, "one");
    let approved = planned(&mut aws, &wanted);
    aws.notes
        .insert("checkout-motto-draft-1".into(), "evil".into());
    assert_eq!(
        deliver(&mut aws, &wanted, 1, &approved),
        Step::Failed,
        "{}",
        aws.log
    );
    assert_eq!(motto(&aws), None);

    aws.notes.remove("checkout-motto-draft-1");
    let step = deliver(&mut aws, &wanted, 2, &approved);
    assert_eq!(step, Step::Succeeded, "{}", aws.log);
    assert_eq!(motto(&aws), Some("one"));
    assert!(aws.log.contains("Draft checkout-motto"), "{}", aws.log);
}

#[test]
fn proposals_survive_faults_and_crashes() {
    for fault in Fault::ALL {
        for nth in 0..8 {
            let mut aws = FakeAws::new();
            assert_eq!(aws.deliver_as(release(1, "one")), Step::Succeeded);
            planned(&mut aws, &release(2, "rejected"));
            aws.faults = vec![Fault::None; nth];
            aws.faults.push(fault);
            let wanted = release(3, "three");
            let approved = planned(&mut aws, &wanted);
            let step = deliver(&mut aws, &wanted, 1, &approved);
            assert_eq!(step, Step::Succeeded, "{fault:?} {nth}\n{}", aws.log);
            assert_eq!(motto(&aws), Some("three"));
            while !on_record(&aws).is_empty() {
                collect(&mut aws, &[]);
            }
            assert!(drafts(&aws).is_empty(), "{fault:?} {nth}\n{}", aws.log);
        }
    }
}

#[test]
fn failed_run_restores_and_leaves_no_proposal() {
    let mut aws = FakeAws::new();
    let with_function = |revision, code: &str, text: &str| {
        let mut wanted = release(revision, text);
        wanted
            .components
            .extend(desired(revision, vec![want("api", code, 128)]).components);
        wanted
    };
    assert_eq!(
        aws.deliver_as(with_function(1, "v1", "one")),
        Step::Succeeded
    );
    aws.bad.push(code("v2"));
    aws.bad_once_served = true;
    let step = aws.deliver_as(with_function(2, "v2", "two"));
    assert_eq!(step, Step::RolledBack, "{}", aws.log);
    assert_eq!(motto(&aws), Some("one"));
    collect(&mut aws, &[]);
    assert!(drafts(&aws).is_empty());
}

#[test]
fn removed_target_leaves_no_proposal_whatever_the_deletion_policy() {
    for policy in [DeletionPolicy::Retain, DeletionPolicy::Delete] {
        let mut aws = FakeAws::new();
        assert_eq!(aws.deliver_as(release(1, "one")), Step::Succeeded);
        planned(&mut aws, &release(2, "two"));
        assert_eq!(drafts(&aws), ["checkout-motto-draft-2"]);
        let outcome = aws
            .pass(&|status, observed, now| decide_removal(policy, status, &owner(), observed, now));
        let reason = outcome.map(|outcome| outcome.reason());
        assert_eq!(reason, Some(Reason::Removed), "{}", aws.log);
        assert!(drafts(&aws).is_empty(), "{}", aws.log);
        let is_kept = motto(&aws).is_some();
        assert_eq!(is_kept, policy == DeletionPolicy::Retain);
    }
}

#[test]
fn release_is_open_until_its_run_has_ended() {
    let spec = |planned: Option<i64>, run: Option<Run>| -> TargetSpec {
        serde_json::from_value(serde_json::json!({
            "deployment": "checkout", "stage": "dev", "account": "dev", "accountId": "222222222222",
            "region": "eu-west-1", "deletionPolicy": "Retain",
            "plan": planned.map(reference), "run": run,
        }))
        .expect("a spec")
    };
    let open = |spec: &TargetSpec, status: &TargetStatus| -> Vec<String> {
        open_releases(spec, status).into_iter().collect()
    };
    let mut status = TargetStatus::default();
    let first = run(1, 1, Goal::Deliver);
    assert_eq!(open(&spec(Some(1), None), &status), ["uid-1"]);
    assert_eq!(
        open(&spec(Some(1), Some(first.clone())), &status),
        ["uid-1"]
    );
    let mut aws = FakeAws::new();
    aws.deliver_as(release(1, "one"));
    status.clone_from(&aws.status);
    assert!(open(&spec(Some(1), Some(first.clone())), &status).is_empty());
    assert_eq!(
        open(&spec(Some(2), Some(first.clone())), &status),
        ["uid-2"]
    );
    let again = run(1, 2, Goal::Deliver);
    assert_eq!(open(&spec(Some(1), Some(again)), &status), ["uid-1"]);
    if let Some(run) = &mut status.run {
        Step::Held.as_str().clone_into(&mut run.step);
    }
    assert_eq!(open(&spec(None, Some(first)), &status), ["uid-1"]);
}
