//! What tests look at after a run: what serves, and how the run ended.

use std::collections::BTreeMap;

use super::{deployed::Deployed, state::FakeAws};
use crate::{
    api::v1alpha1::TargetStatus,
    domain::{
        digest::Sha256,
        engine::Step,
        workload::lambda::{AliasSnapshot, FunctionConfiguration},
    },
};

pub fn run_step(status: &TargetStatus) -> Option<Step> {
    status.run.as_ref().and_then(Step::of)
}

pub type Visible = (
    Sha256,
    FunctionConfiguration,
    BTreeMap<String, String>,
    Option<AliasSnapshot>,
);

/// What aliases and unqualified callers serve, without revisions and old versions.
pub fn visible(aws: &FakeAws) -> BTreeMap<String, Visible> {
    let view = |deployed: &Deployed| {
        let alias = deployed.alias.as_ref().map(|alias| AliasSnapshot {
            version: alias.version.clone(),
            weights: alias.weights.clone(),
            description: alias.description.clone(),
        });
        let latest = &deployed.latest;
        (
            latest.code_sha256,
            latest.configuration.clone(),
            latest.tags.clone(),
            alias,
        )
    };
    aws.functions
        .iter()
        .map(|(name, deployed)| (name.clone(), view(deployed)))
        .collect()
}
