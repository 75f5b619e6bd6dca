//! The deletion of a Target in an Account that requires an approval or a window for deletions.
//!
//! # Guarantees
//! - The requirements hold whatever deletes the Target: its Deployment, a changed spec, `kubectl delete`, or
//!   the deletion of its namespace. Nothing is deleted in AWS before they are met.
//! - What opened the gate is on record before anything is deleted. Deleting more needs another approval.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{Api, Resource as _, ResourceExt as _};

use super::{controller::TargetController, remove::with_abandon_hint};
use crate::{
    api::v1alpha1::{
        Approval, ApprovalStatus, Decision, DeletionStatus, InventoryItem, ReleaseRef, Target,
        TargetStatus, annotation,
    },
    controllers::{access::account, runtime::Ended, status::publish_status},
    domain::{
        engine,
        gates::{self, Inputs, Judgement, Requirements, Verdict, deletion},
        outcome::Outcome,
        reason::Reason,
    },
};

/// How old the last check of the admission policy may be while no Approval exists.
const POLICY_AGE: Duration = Duration::from_secs(10);

/// Why nothing may be deleted yet.
pub struct Blocked {
    /// The status, with what the deletion waits for.
    pub status: TargetStatus,
    /// The outcome, and when time alone may change it.
    pub ended: Ended,
}

impl TargetController {
    /// Returns the Target once everything that its deletion removes may be removed.
    pub(super) async fn may_delete(&self, target: &Target) -> Result<Target, Box<Blocked>> {
        let mut status = target.status.clone().unwrap_or_default();
        let spec = &target.spec;
        let doomed: Vec<InventoryItem> = engine::deleted_on_removal(spec.deletion_policy, &status)
            .cloned()
            .collect();
        if doomed.is_empty() {
            return Ok(target.clone());
        }
        let requirements = match self.required_for_deletion(target) {
            Ok(None) => return Ok(target.clone()),
            Ok(Some(requirements)) => requirements,
            Err(outcome) => return Err(not_yet(status, outcome, None)),
        };
        let uid = target.uid().unwrap_or_default();
        let digest = deletion::digest(spec, &uid, doomed.iter());
        let waits = deletion::status(status.deletion.as_ref(), serving(target, &status), digest);
        status.deletion = Some(waits.clone());
        let approvals = self.approvals_of(target, &waits);
        if waits.passed.is_some() {
            self.answer(&approvals, |_| Judgement::Used).await;
            return Ok(target.clone());
        }
        let age = if approvals.is_empty() {
            POLICY_AGE
        } else {
            Duration::ZERO
        };
        let force = self.context.approval_policy.force(age).await;
        let subject = deletion::subject(&spec.stage, &waits);
        let given: Vec<&Approval> = approvals.iter().map(|one| &**one).collect();
        let evaluation = gates::evaluate(&Inputs {
            subject,
            requirements: &requirements,
            approvals: &given,
            used: &std::collections::BTreeSet::new(),
            policy: &force,
            manual_jobs: &std::collections::BTreeMap::new(),
            freeze_periods: Ok(&[]),
            now: Timestamp::now(),
        });
        let message = deletion::message(&evaluation.verdict, spec, doomed.iter());
        // An open gate has no reason.
        let reason = evaluation.verdict.reason();
        let reason = reason.unwrap_or(Reason::WaitingForApproval);
        match evaluation.verdict {
            Verdict::Open(by) => {
                status.deletion = Some(DeletionStatus {
                    passed: Some(by),
                    ..waits
                });
                let recorded = self.write(target, &status).await;
                let recorded = recorded.map_err(|outcome| not_yet(status, outcome, None))?;
                self.answer(&approvals, |_| Judgement::Used).await;
                Ok(recorded)
            }
            Verdict::Waiting { until, .. } => {
                let judgements = &evaluation.judgements;
                self.answer(&approvals, |at| judgements[at].clone()).await;
                let namespace = target.namespace().unwrap_or_default();
                let approve = gates::approve_command(&namespace, &subject, Decision::Approve);
                let message = if reason == Reason::WaitingForApproval {
                    format!("{message}. To approve: {approve}")
                } else {
                    message
                };
                Err(not_yet(status, Outcome::stalled(reason, message), until))
            }
            Verdict::Rejected { .. } => {
                self.answer(&approvals, |_| Judgement::Used).await;
                let outcome = Outcome::stalled(Reason::DeletionRejected, message);
                Err(not_yet(status, with_abandon_hint(outcome), None))
            }
        }
    }

    /// What the Account requires before anything is deleted there.
    fn required_for_deletion(&self, target: &Target) -> Result<Option<Requirements>, Outcome> {
        let name = &target.spec.account;
        let account = account(&self.context, name).map_err(with_abandon_hint)?;
        let Some(requires) = &account.spec.requires else {
            return Ok(None);
        };
        let requirements = Requirements::of_deletion(name, requires).map_err(|invalid| {
            let message = format!("spec.requires.deletion of {invalid}");
            with_abandon_hint(Outcome::stalled(Reason::InvalidGate, message))
        })?;
        Ok((!requirements.is_empty()).then_some(requirements))
    }

    /// The Approvals of this deletion.
    fn approvals_of(&self, target: &Target, deletion: &DeletionStatus) -> Vec<Arc<Approval>> {
        let namespace = target.namespace();
        let approvals = &self.context.stores.approvals;
        approvals.store().state_filter(|one: &Approval| {
            one.namespace() == namespace && one.spec.stage_digest == deletion.digest
        })
    }

    /// Writes into each Approval whether it counts, if that changed. The next pass repeats a failed write:
    /// nothing depends on it.
    async fn answer(&self, approvals: &[Arc<Approval>], judged: impl Fn(usize) -> Judgement) {
        for (at, approval) in approvals.iter().enumerate() {
            let before = approval.status.clone().unwrap_or_default();
            let mut status = ApprovalStatus {
                observed_generation: approval.metadata.generation,
                ..before.clone()
            };
            judged(at).write_condition(approval, &mut status.conditions, Timestamp::now());
            if status == before {
                continue;
            }
            let namespace = approval.namespace().unwrap_or_default();
            let api: Api<Approval> = Api::namespaced(self.context.client.clone(), &namespace);
            let written = publish_status(&api, approval.as_ref(), None, &before, &status).await;
            if let Err(error) = written {
                tracing::warn!(%error, approval = approval.name_any(), "the status of an Approval was not written");
            }
        }
    }
}

/// The live Release, or else that of the last run.
fn serving(target: &Target, status: &TargetStatus) -> ReleaseRef {
    let live = status.live.as_ref().map(|live| &live.release);
    let run = status.run.as_ref().map(|run| &run.release);
    live.or(run).cloned().unwrap_or_else(|| ReleaseRef {
        name: target.name_any(),
        uid: target.uid().unwrap_or_default(),
        revision: 1,
    })
}

fn not_yet(status: TargetStatus, outcome: Outcome, until: Option<Timestamp>) -> Box<Blocked> {
    let ended = Ended::from(outcome).by(until, Timestamp::now());
    Box::new(Blocked { status, ended })
}

/// What a Target that is being deleted waits for, for the status of its Deployment.
pub fn waits_for(target: &Target) -> Option<String> {
    target.meta().deletion_timestamp.as_ref()?;
    let status = target.status.as_ref()?;
    let waits = status.deletion.as_ref().filter(|it| it.passed.is_none());
    waits.filter(|_| !target.annotations().contains_key(annotation::ABANDON))?;
    status.summary.clone()
}
