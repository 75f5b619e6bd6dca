//! Whether a stage may start: approvals, windows and freeze periods.
//!
//! Expected flow: [`entry::needs`] combines the Deployment's own gate with the requirements of the
//! Accounts, for one Release that is about to enter one stage; [`manual_job::observe`] follows each manual
//! job from poll to poll; [`evaluate`] decides whether the gate is open, what it waits for, and whether
//! each Approval counts.
//!
//! Guarantees
//! - Every requirement has to be met: more requirements never open a gate that fewer keep closed.
//! - Unknown state keeps a gate closed: unread or unreadable freeze periods, an unread manual job, an
//!   admission policy that is not in force.
//! - A rejection wins over everything else.
//! - An Approval counts for one Release uid, stage and plan digest, and for nothing after it was used.
//!
//! Relies on the caller to record what opened a gate ([`Verdict::Open`]) before or together with the
//! start of the stage, and to pass it back as `used` from then on.

pub mod approvals;
mod calendar;
pub mod deletion;
pub mod dialect;
pub mod entry;
pub mod freeze;
pub mod manual_job;
pub mod requirements;
pub mod schedule;
mod summary;
pub mod time_zone;
mod verdict;
pub mod window;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt as _;

pub use self::{
    approvals::{Ignored, Judgement, PolicyForce, Subject},
    manual_job::Job,
    requirements::{Asker, InvalidGate, Requirements},
    summary::approve_command,
    verdict::{Verdict, Waiting},
};
use self::{
    approvals::{check_approver, created, has_counted_condition, is_used, speaks_of},
    freeze::Freeze,
    requirements::{ApprovalRequirement, Approvers, KubernetesApprovers},
    window::{Standing, earlier},
};
use crate::{
    api::v1alpha1::{Approval, Decision, GatePassage, PassedJob, UsedApproval},
    domain::pipeline::FreezePeriod,
};

#[cfg(test)]
mod tests;

/// The inputs of a gate.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The plan in front of the gate.
    pub subject: Subject<'a>,
    /// What the gate requires.
    pub requirements: &'a Requirements,
    /// The Approvals that name this Release; [`approvals::unasked`] judges the others.
    pub approvals: &'a [&'a Approval],
    /// The uids of Approvals that a stage has started with before.
    pub used: &'a BTreeSet<String>,
    /// Whether the admission policy is in force, without which no Approval counts.
    pub policy: &'a PolicyForce,
    /// The state of each manual job by name.
    pub manual_jobs: &'a BTreeMap<String, Job>,
    /// The freeze periods of the project, or why they are unknown.
    pub freeze_periods: Result<&'a [FreezePeriod], &'a str>,
    /// The current time.
    pub now: Timestamp,
}

/// The result of a gate: its verdict, and the judgement of each Approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Whether the stage may start.
    pub verdict: Verdict,
    /// The judgements of the Approvals, in the order of the inputs.
    pub judgements: Vec<Judgement>,
}

/// Evaluates a gate.
pub fn evaluate(inputs: &Inputs<'_>) -> Evaluation {
    let mut judged = Judged::new(inputs);
    let mut reasons = Vec::new();
    let mut jobs = Vec::new();
    let approvals_asked = (inputs.requirements.approvals.iter())
        .any(|one| matches!(one.from, Approvers::Kubernetes(_)));
    if let (true, PolicyForce::NotInForce(why)) = (approvals_asked, inputs.policy) {
        reasons.push(Waiting::PolicyNotInForce { why: why.clone() });
    }
    for requirement in &inputs.requirements.approvals {
        match &requirement.from {
            Approvers::Kubernetes(approvers) => {
                reasons.extend(judged.ask(requirement, approvers));
            }
            Approvers::ManualJob(job) => match inputs.manual_jobs.get(&job.manual_job) {
                Some(Job::Approved { id, by, at }) => jobs.push(PassedJob {
                    name: job.manual_job.clone(),
                    job_id: *id,
                    username: by.clone(),
                    at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(*at),
                }),
                state => reasons.push(Waiting::ManualJob {
                    job: job.manual_job.clone(),
                    stands: state.cloned(),
                }),
            },
        }
    }
    let mut until = None;
    for requirement in &inputs.requirements.windows {
        if let Standing::Closed { opens } = window::any(&requirement.windows, inputs.now) {
            until = earlier(until, opens);
            reasons.push(Waiting::Window {
                asker: requirement.asker.clone(),
                opens,
            });
        }
    }
    if inputs.requirements.no_freeze {
        match inputs.freeze_periods {
            Ok(periods) => {
                for freeze in freeze::in_force(periods, inputs.now) {
                    if let Freeze::InForce { until: ends, .. } = &freeze {
                        until = earlier(until, Some(*ends));
                    }
                    reasons.push(Waiting::Freeze(freeze));
                }
            }
            Err(why) => reasons.push(Waiting::FreezeUnknown {
                why: why.to_owned(),
            }),
        }
    }
    let verdict = match judged.rejection() {
        Some(rejection) => Verdict::Rejected {
            approval: rejection.name_any(),
            approval_uid: rejection.uid().unwrap_or_default(),
            by: rejection.spec.approver.username.clone(),
            comment: rejection.spec.comment.clone(),
        },
        None if reasons.is_empty() => Verdict::Open(GatePassage {
            approvals: judged.counted(),
            jobs,
        }),
        None => Verdict::Waiting {
            reasons,
            notes: judged.notes(),
            until,
        },
    };
    Evaluation {
        verdict,
        judgements: (0..inputs.approvals.len())
            .map(|at| judged.judgement(at))
            .collect(),
    }
}

/// The Approvals and their judgements so far. An Approval counts if it counts for any requirement.
struct Judged<'a> {
    inputs: &'a Inputs<'a>,
    /// Oldest first, so that the first of two by the same person counts.
    approvals: Vec<(usize, &'a Approval)>,
    /// Approvals ignored for every requirement: untrusted, used, or not for the waiting plan.
    disqualified: BTreeMap<usize, Ignored>,
    counts: BTreeSet<usize>,
    ignored: BTreeMap<usize, Ignored>,
}

impl<'a> Judged<'a> {
    fn new(inputs: &'a Inputs<'a>) -> Self {
        let mut approvals: Vec<(usize, &Approval)> =
            inputs.approvals.iter().copied().enumerate().collect();
        // Times are whole seconds: of two in one second, the one already reported as counting comes first.
        approvals
            .sort_by_cached_key(|(_, one)| (created(one), !has_counted_condition(one), one.uid()));
        let disqualified = (approvals.iter())
            .filter_map(|(at, one)| {
                let why = speaks_of(one, &inputs.subject, inputs.used, inputs.policy).err()?;
                Some((*at, why))
            })
            .collect();
        Self {
            inputs,
            approvals,
            disqualified,
            counts: BTreeSet::new(),
            ignored: BTreeMap::new(),
        }
    }

    /// Counts the Approvals for one requirement; returns what is missing.
    fn ask(
        &mut self,
        requirement: &ApprovalRequirement,
        approvers: &KubernetesApprovers,
    ) -> Option<Waiting> {
        let mut people: BTreeMap<&str, String> = BTreeMap::new();
        let approvals = self.approvals.clone();
        for (at, approval) in approvals {
            if self.disqualified.contains_key(&at) {
                continue;
            }
            let username = approval.spec.approver.username.as_str();
            let judged = check_approver(approval, approvers, &self.inputs.subject, self.inputs.now)
                .and_then(|()| match (approval.spec.decision, people.get(username)) {
                    (Decision::Approve, Some(by)) => Err(Ignored::Repeated { by: by.clone() }),
                    _ => Ok(()),
                });
            match judged {
                Ok(()) => {
                    if approval.spec.decision == Decision::Approve {
                        people.insert(username, approval.name_any());
                    }
                    self.counts.insert(at);
                }
                Err(why) => {
                    self.ignored.entry(at).or_insert(why);
                }
            }
        }
        let have = people.len();
        (have < approvers.minimum).then(|| Waiting::Approvals {
            asker: requirement.asker.clone(),
            have,
            need: approvers.minimum,
            from: summary::whose(approvers),
        })
    }

    fn rejection(&self) -> Option<&'a Approval> {
        (self.approvals.iter())
            .find(|(at, one)| self.counts.contains(at) && one.spec.decision == Decision::Reject)
            .map(|(_, one)| *one)
    }

    fn counted(&self) -> Vec<UsedApproval> {
        (self.approvals.iter())
            .filter(|(at, _)| self.counts.contains(at))
            .map(|(_, one)| UsedApproval {
                name: one.name_any(),
                uid: one.uid().unwrap_or_default(),
                username: one.spec.approver.username.clone(),
            })
            .collect()
    }

    /// The judgement of the Approval at this index of the inputs.
    fn judgement(&self, at: usize) -> Judgement {
        if is_used(self.inputs.approvals[at], self.inputs.used) {
            return Judgement::Used;
        }
        if self.counts.contains(&at) {
            return Judgement::Counts;
        }
        let why = self.disqualified.get(&at).or_else(|| self.ignored.get(&at));
        Judgement::Ignored(why.cloned().unwrap_or(Ignored::NotAsked))
    }

    /// The Approvals of this Release that do not count, newest first.
    fn notes(&self) -> Vec<String> {
        let note = |(at, approval): &(usize, &Approval)| match self.judgement(*at) {
            Judgement::Ignored(Ignored::OtherRelease | Ignored::OtherStage)
            | Judgement::Counts
            | Judgement::Used => None,
            Judgement::Ignored(why) => Some(format!(
                "Approval {} does not count: {}",
                approval.name_any(),
                why.message(approval)
            )),
        };
        self.approvals.iter().rev().filter_map(note).collect()
    }
}
