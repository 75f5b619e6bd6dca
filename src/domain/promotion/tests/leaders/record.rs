//! What the API server has, and the writes of the leaders.

use std::{collections::BTreeSet, fmt::Write as _};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use super::super::*;
use crate::{
    api::v1alpha1::{Approval, ApprovalStatus, condition::COUNTED},
    domain::gates,
};

/// The state in the API server.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) sim: Simulation,
    pub(super) approvals: Vec<Approval>,
    pub(super) versions: Versions,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) deployment: u64,
    pub(super) release: u64,
    pub(super) target: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Write {
    Outcome(StageOutcome),
    /// The stages. This write also ends a requested retry.
    Status(Vec<StageStatus>),
    Order(String, StageTarget, Run),
    PlanOf(String, StageTarget, ReleaseRef),
    /// The status of a used Approval.
    Answer(String),
}

impl Record {
    /// Writes everything that can differ between two records.
    pub(super) fn describe(&self, text: &mut String) {
        let overview = &self.sim.overview;
        let _ = write!(text, "{:?}{:?}", self.versions, overview.commands.retry);
        let _ = write!(text, "{:?}{:?}", overview.reported, overview.targets);
        let _ = write!(text, "{:?}", overview.releases[0].outcomes);
        for approval in &self.approvals {
            let digest = &approval.spec.stage_digest;
            let _ = write!(text, "{digest}{}", says_used(approval));
        }
    }
}

pub(super) fn apply(record: &mut Record, write: &Write, would_change: &str) {
    let overview = &mut record.sim.overview;
    match write {
        Write::Outcome(outcome) => {
            let outcomes = &mut overview.releases[0].outcomes;
            outcomes.retain(|one| one.stage != outcome.stage);
            outcomes.push(outcome.clone());
            record.versions.release += 1;
        }
        Write::Status(stages) => {
            overview.reported.clone_from(stages);
            overview.commands.retry = false;
            record.versions.deployment += 1;
        }
        Write::Order(stage, stage_target, run) => {
            record.sim.target(stage, stage_target).assigned_run = Some(run.clone());
            record.versions.target += 1;
        }
        Write::PlanOf(stage, stage_target, of) => {
            let plan = Some((of.clone(), would_change.to_owned()));
            record.sim.target(stage, stage_target).plan = plan;
            record.versions.target += 1;
        }
        Write::Answer(name) => {
            let named = |one: &&mut Approval| one.name_any() == *name;
            let approval = record.approvals.iter_mut().find(named);
            let used = Condition {
                type_: COUNTED.to_owned(),
                status: "True".to_owned(),
                reason: "Used".to_owned(),
                message: String::new(),
                observed_generation: None,
                last_transition_time: Time(NOW),
            };
            approval.expect("the Approval exists").status = Some(ApprovalStatus {
                conditions: vec![used],
                ..ApprovalStatus::default()
            });
        }
    }
}

pub(super) fn says_used(approval: &Approval) -> bool {
    gates::approvals::is_used(approval, &BTreeSet::new())
}
