//! A leader: what it has read, and what it still has to write.

use std::collections::{BTreeSet, VecDeque};

use kube::ResourceExt as _;

use super::{
    super::*,
    record::{Record, Write, says_used},
};
use crate::{
    api::v1alpha1::Approval,
    domain::gates::{self, Inputs, PolicyForce, Requirements, Subject, Verdict},
};

/// A process that reconciles the Deployment.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    pub(super) read: Record,
    pub(super) todo: VecDeque<Write>,
}

/// The gate as the controller evaluates it, with the Approvals that the leader has read.
struct Judge<'a> {
    record: &'a Record,
    requirements: &'a Requirements,
}

impl Gatekeeper for Judge<'_> {
    fn asks(&self, _: &Entry<'_>) -> Asks {
        Asks::Something
    }
    fn ask(&self, ask: &Ask<'_>) -> Evaluated {
        let approvals: Vec<&Approval> = self.record.approvals.iter().collect();
        let evaluation = gates::evaluate(&Inputs {
            subject: Subject {
                release: &ask.entry.release.reference.name,
                release_uid: &ask.entry.release.reference.uid,
                stage: ask.entry.stage,
                stage_digest: ask.digest,
                author: None,
            },
            requirements: self.requirements,
            approvals: &approvals,
            used: &used(&self.record.sim.overview.reported),
            policy: &PolicyForce::Since(Timestamp::MIN),
            manual_jobs: &BTreeMap::new(),
            freeze_periods: Ok(&[]),
            now: NOW,
        });
        let answer = match evaluation.verdict {
            Verdict::Open(by) => Answer::Open(by),
            Verdict::Waiting { .. } => Answer::Waiting {
                reason: Reason::WaitingForApproval,
                message: String::new(),
                manual_jobs: Vec::new(),
                until: None,
            },
            Verdict::Rejected { by, .. } => Answer::Rejected(by),
        };
        answer.into()
    }
}

fn used(stages: &[StageStatus]) -> BTreeSet<String> {
    let passages = stages.iter().filter_map(|stage| stage.passage.as_ref());
    let approvals = passages.flat_map(|passage| &passage.by.approvals);
    approvals.map(|one| one.uid.clone()).collect()
}

impl Leader {
    pub(super) fn new(record: &Record) -> Self {
        Self {
            read: record.clone(),
            todo: VecDeque::new(),
        }
    }

    /// The writes of the controller, in order.
    pub(super) fn decide(&mut self, record: &Record, requirements: &Requirements) {
        self.read = record.clone();
        let overview = &self.read.sim.overview;
        let judge = Judge {
            record: &self.read,
            requirements,
        };
        let plan = plan(overview, &judge, NOW);
        let has_decided = plan.has_decided();
        let outcomes = plan.outcomes.into_iter();
        self.todo
            .extend(outcomes.map(|(_, outcome)| Write::Outcome(outcome)));
        if has_decided {
            self.todo.push_back(Write::Status(plan.stages.clone()));
        }
        let orders = plan.runs.into_iter();
        self.todo.extend(
            orders.map(|(stage, stage_target, run)| Write::Order(stage, stage_target, run)),
        );
        let plans = plan.plan_requests.into_iter();
        self.todo
            .extend(plans.map(|(stage, stage_target, of)| Write::PlanOf(stage, stage_target, of)));
        let used = used(&plan.stages);
        let newly_used = (self.read.approvals.iter())
            .filter(|one| used.contains(&one.uid().unwrap_or_default()) && !says_used(one));
        self.todo
            .extend(newly_used.map(|one| Write::Answer(one.name_any())));
        if plan.stages != overview.reported || overview.commands.retry {
            self.todo.push_back(Write::Status(plan.stages));
        }
    }
}
