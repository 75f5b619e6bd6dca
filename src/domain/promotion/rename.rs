//! Renamed stages, whose Targets continue under another stage name.
//!
//! A stage without Targets gets the Targets of a removed stage if both name the same account and region. The
//! live Release keeps serving, with its inventory, versions and snapshots, and nothing moves from one object
//! to another.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::api::v1alpha1::{Stage, StageTarget};

/// A Target that continues in another stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The removed stage.
    pub from: String,
    /// The stage that replaces it.
    pub to: String,
    /// The account and region.
    pub stage_target: StageTarget,
}

/// The Targets that continue in another stage. `targets` are the stage, account and region of all Targets.
/// Each stage gets the Targets of at most one removed stage: the one that shares the most targets with it.
pub fn renamed(stages: &[Stage], targets: &[(String, StageTarget)]) -> Vec<Renamed> {
    let exists = |name: &str| stages.iter().any(|stage| stage.name == name);
    let mut removed: BTreeSet<&str> = targets
        .iter()
        .map(|(stage, _)| stage.as_str())
        .filter(|stage| !exists(stage))
        .collect();
    let mut renamed = Vec::new();
    let new = stages
        .iter()
        .filter(|stage| targets.iter().all(|(name, _)| *name != stage.name));
    for stage in new {
        let shared = |name: &str| -> Vec<&StageTarget> {
            let of = targets.iter().filter(|(of, _)| of == name);
            let stage_targets = of.map(|(_, stage_target)| stage_target);
            stage_targets
                .filter(|stage_target| stage.targets.contains(stage_target))
                .collect()
        };
        let best = removed
            .iter()
            .map(|name| (Reverse(shared(name).len()), *name))
            .filter(|(Reverse(count), _)| *count > 0)
            .min();
        let Some((_, from)) = best else {
            continue;
        };
        removed.remove(from);
        renamed.extend(shared(from).into_iter().map(|stage_target| Renamed {
            from: from.to_owned(),
            to: stage.name.clone(),
            stage_target: stage_target.clone(),
        }));
    }
    renamed
}
