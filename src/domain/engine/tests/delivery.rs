//! Whole runs and their transcripts.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{super::*, fake_aws::*};
use crate::{
    api::v1alpha1::DeletionPolicy,
    domain::{reason::Reason, workload::lambda::Alias},
};

#[test]
fn first_delivery_transcript() {
    let mut aws = FakeAws::new();
    assert_eq!(aws.deliver(1, &[want("api", "v1", 128)]), Step::Succeeded);
    insta::assert_snapshot!(aws.log);
}

#[test]
fn code_and_settings_change_transcript() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.log.clear();
    assert_eq!(aws.deliver(2, &[want("api", "v2", 256)]), Step::Succeeded);
    insta::assert_snapshot!(aws.log);
}

#[test]
fn failed_check_transcript() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128), want("worker", "w1", 128)]);
    let before = visible(&aws);
    aws.log.clear();
    aws.bad.push(code("v2"));
    assert_eq!(
        aws.deliver(2, &[want("api", "v2", 128), want("worker", "w2", 128)]),
        Step::RolledBack
    );
    assert_eq!(visible(&aws), before);
    assert_eq!(
        aws.status.live.as_ref().map(|live| live.release.revision),
        Some(1)
    );
    insta::assert_snapshot!(aws.log);
}

#[test]
fn version_whose_check_fails_before_traffic_stays_recorded() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.bad.push(code("v2"));
    let step = aws.deliver(2, &[want("api", "v2", 128)]);
    assert_eq!(step, Step::RolledBack);
    let versions = aws.status.versions.iter();
    let kept: Vec<_> = versions
        .map(|one| (one.revision, one.version.as_str()))
        .collect();
    assert_eq!(kept, [(1, "1"), (2, "2")]);
}

#[test]
fn failed_first_delivery_leaves_nothing() {
    let mut aws = FakeAws::new();
    aws.bad.push(code("v1"));
    assert_eq!(aws.deliver(1, &[want("api", "v1", 128)]), Step::RolledBack);
    assert!(aws.functions.is_empty());
    assert!(aws.status.inventory.is_empty());
    assert_eq!(aws.status.live, None);
}

#[test]
fn refused_function_leaves_the_other_unchanged() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    aws.refused.push("checkout-worker".into());
    assert_eq!(
        aws.deliver(2, &[want("api", "v2", 128), want("worker", "w1", 128)]),
        Step::RolledBack
    );
    assert_eq!(visible(&aws), before);
}

#[test]
fn unchanged_release_writes_nothing() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.log.clear();
    assert_eq!(aws.deliver(2, &[want("api", "v1", 128)]), Step::Succeeded);
    assert_eq!(aws.log, "Invoke checkout-api\nstatus: Succeeded\n");
    assert_eq!(live(&aws), Some(2));
    let mut unchecked = want("api", "v1", 128);
    unchecked.checks.clear();
    aws.log.clear();
    assert_eq!(aws.deliver(3, &[unchecked]), Step::Succeeded);
    assert_eq!(aws.log, "status: Succeeded\n");
}

#[test]
fn unchanged_release_must_pass_its_checks() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    aws.bad.push(code("v1"));
    aws.log.clear();
    assert_eq!(aws.deliver(2, &[want("api", "v1", 128)]), Step::Failed);
    assert_eq!(
        aws.log,
        "Invoke checkout-api\nstatus: Failed (check smoke failed)\n"
    );
    assert_eq!(visible(&aws), before);
    assert_eq!(live(&aws), Some(1));
}

fn live(aws: &FakeAws) -> Option<i64> {
    let live = aws.status.live.as_ref()?;
    Some(live.release.revision)
}

#[test]
fn unmanaged_function_is_not_touched() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.latest.tags.clear();
    let before = visible(&aws);
    aws.status = TargetStatus::default();
    assert_eq!(aws.deliver(2, &[want("api", "v2", 128)]), Step::Failed);
    assert_eq!(visible(&aws), before);
    let message = aws
        .status
        .run
        .as_ref()
        .and_then(|run| run.message.clone())
        .unwrap_or_default();
    assert!(
        message.contains("checkout-api") && message.contains("not created by Sluice"),
        "{message}"
    );
}

#[test]
fn alias_modified_externally_during_prepare_fails_the_run() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.deliver(2, &[want("api", "v2", 128)]);
    let task = Task::Deliver(desired(3, vec![want("api", "v3", 128)]));
    let run = run(3, 1, Goal::Deliver);
    aws.known = Known::default();
    while run_step(&aws.status) != Some(Step::Prepare) {
        aws.pass(&|status, observed, now| decide(&task, &run, status, &owner(), observed, now));
    }
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    let moved = Alias {
        version: "1".into(),
        weights: BTreeMap::new(),
        description: String::new(),
        revision_id: "by-hand".into(),
    };
    deployed.alias = Some(moved);
    assert_eq!(aws.finish(&task, &run), Step::RolledBack);
    let message = aws
        .status
        .run
        .as_ref()
        .and_then(|run| run.message.clone())
        .unwrap_or_default();
    assert!(
        message.contains("was moved externally to version 1"),
        "{message}"
    );
    let alias = aws.functions["checkout-api"]
        .alias
        .clone()
        .expect("an alias");
    assert_eq!(alias.version, "2", "the version before the run");
}

#[test]
fn succeeded_target_is_restored_with_its_stage() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let before = visible(&aws);
    aws.deliver(2, &[want("api", "v2", 256)]);
    assert_eq!(aws.restore(2), Step::RolledBack);
    assert_eq!(visible(&aws), before);
    assert_eq!(
        aws.status.live.as_ref().map(|live| live.release.revision),
        Some(1)
    );
}

#[test]
fn unknown_journal_version_stalls_the_run() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    let journal = aws.status.run.as_mut().expect("a run");
    journal.journal_version = JOURNAL_VERSION + 1;
    journal.step = "Prepare".into();
    let task = Task::Deliver(desired(1, vec![want("api", "v1", 128)]));
    let run = run(1, 1, Goal::Deliver);
    let decision = decide(
        &task,
        &run,
        &aws.status,
        &owner(),
        &Observation::default(),
        aws.now,
    );
    assert!(matches!(
        decision,
        Decision::Wait(Outcome::Stalled {
            reason: Reason::UnknownJournal,
            ..
        })
    ));
}

#[test]
fn removal_deletes_only_created_functions() {
    let mut aws = FakeAws::new();
    aws.deliver(1, &[want("api", "v1", 128)]);
    aws.status.inventory[0].created = false;
    for (created, left) in [(false, 1), (true, 0)] {
        aws.status.inventory[0].created = created;
        loop {
            let decide = |status: &TargetStatus, observed: &Observation, now| {
                decide_removal(DeletionPolicy::Delete, status, &owner(), observed, now)
            };
            if let Some(Outcome::Done { .. }) = aws.removal_pass(&decide) {
                break;
            }
        }
        assert_eq!(aws.functions.len(), left);
    }
}

impl FakeAws {
    /// Like [`FakeAws::pass`], without intents: a removal needs none.
    pub fn removal_pass(
        &mut self,
        decide: &dyn Fn(&TargetStatus, &Observation, Timestamp) -> Decision,
    ) -> Option<Outcome> {
        let mut observed = Observation::of(std::mem::take(&mut self.known), self.now);
        loop {
            match decide(&self.status, &observed, self.now) {
                Decision::Observe(reads) => {
                    for read in &reads {
                        self.read(read, &mut observed);
                    }
                }
                Decision::Execute(effects) => {
                    for effect in effects {
                        let reply = self.perform(&effect, &observed).expect("no faults here");
                        observed.note(&effect, reply, true, self.now);
                    }
                }
                Decision::Wait(outcome) | Decision::Rest(outcome) => {
                    self.known = observed.known;
                    return Some(outcome);
                }
                Decision::Record(_) => panic!("a finished run needs no record"),
            }
        }
    }
}
