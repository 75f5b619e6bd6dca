//! What is wrong with a Release, told for all of its stages before the first of them moves.
//!
//! # Expected flow
//! For each Release that may still be given to a stage the shell asks [`Preflight::problems`]. A stage
//! gets the Release only where neither it nor a later one has any ([`super::rollout`]).
//!
//! # Guarantees
//! - Everything that the Release, the Deployment's gates and the Accounts tell is found, on every
//!   target of every stage, and no call to AWS is made for it.
//! - Nothing is found that a Target would not refuse by itself, two stages that are one function or
//!   overlap in a bucket excepted: no Target can see the others.
//!
//! # Assumptions
//! What AWS alone knows (an alarm's periods, a role's trust policy, who owns a function) is asked when
//! the Target plans.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::{
    check::{StageCheck, StageCheckKind},
    desired::{Examined, examine},
    gates::Requirements,
    grants::Permissions,
    names,
    ownership::Owner,
    workload::{component::DesiredComponent, protocol::Surroundings},
};
use crate::api::v1alpha1::{
    Account, DeletionPolicy, ReleaseRef, ReleaseSpec, Stage, StageTarget, TargetSpec,
};

/// So many problems are told; the number of the others is.
const TOLD: usize = 5;

/// What a preflight goes by.
#[derive(Clone, Copy, Debug)]
pub struct Preflight<'a> {
    /// The Release.
    pub reference: &'a ReleaseRef,
    /// What it says.
    pub release: &'a ReleaseSpec,
    /// The stages as the Deployment has them now: a gate is no part of a Release.
    pub stages: &'a [Stage],
    /// Whose the resources are.
    pub owner: &'a Owner,
    /// The Accounts that exist, of those that the Release names.
    pub accounts: &'a BTreeMap<String, Entered>,
    /// The names of the Accounts that grant the namespace anything: others are nothing it has to know of.
    pub granting: &'a BTreeSet<String>,
    /// The buckets that keep artifacts, each with the name of its Account.
    pub artifact_buckets: &'a BTreeMap<String, String>,
    /// The functions that are the Deployment's already: Account, region, name.
    pub owned: &'a BTreeSet<(String, String, String)>,
}

/// An Account, and what the Deployment's namespace may touch there.
#[derive(Clone, Debug)]
pub struct Entered {
    /// The Account.
    pub account: Arc<Account>,
    /// What the namespace may touch.
    pub permissions: Permissions,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The stage.
    pub stage: String,
    /// Path in the Deployment's spec.
    pub field: String,
    /// What is wrong and the way out.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stage,
            field,
            message,
        } = self;
        write!(f, "{stage}: {field}: {message}")
    }
}

/// The first problems in one line.
pub fn summary<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> String {
    let mut told: Vec<String> = problems.into_iter().map(Problem::to_string).collect();
    let more = told.len().saturating_sub(TOLD);
    told.truncate(TOLD);
    let told = told.join("; ");
    match more {
        0 => told,
        1 => format!("{told}; and 1 more problem"),
        more => format!("{told}; and {more} more problems"),
    }
}

/// A component that a stage has, with the account it lies in.
struct Held<'a> {
    stage: &'a str,
    target: &'a StageTarget,
    component: DesiredComponent,
}

impl Preflight<'_> {
    /// Everything that is wrong, in the order of the stages; what is wrong on several targets of a stage
    /// in the same way is told once.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut held: BTreeMap<(String, String), Vec<Held<'_>>> = BTreeMap::new();
        for stage in &self.release.template.stages {
            let mut found: Vec<Problem> = Vec::new();
            let mut note = |field: String, message: String| {
                let stage = stage.name.clone();
                let problem = Problem {
                    stage,
                    field,
                    message,
                };
                if !found.contains(&problem) {
                    found.push(problem);
                }
            };
            for target in &stage.targets {
                let entered = match self.enter(target) {
                    Ok(entered) => entered,
                    Err((below, message)) => {
                        let field = format!("spec.stages[{}].targets[].{below}", stage.name);
                        note(field, message);
                        continue;
                    }
                };
                let examined = self.examine(stage, target, entered);
                for problem in &examined.problems {
                    note(problem.field.clone(), problem.message.clone());
                }
                for (check, message) in too_short(&examined) {
                    let field =
                        format!("spec.stages[{}].checks[{check}].metric.period", stage.name);
                    note(field, message);
                }
                let account_id = &entered.account.spec.account_id;
                let here = held.entry((account_id.clone(), target.region.clone()));
                let here = here.or_default();
                for component in examined.components {
                    let surroundings = Surroundings {
                        target,
                        artifact_buckets: self.artifact_buckets,
                        owned: self.owned,
                    };
                    if let Some((field, message)) = component.refused(&surroundings) {
                        note(component.path(field), message);
                    }
                    let one = Held {
                        stage: &stage.name,
                        target,
                        component,
                    };
                    let clash = here.iter().find_map(|other| one.clash(other));
                    if let Some((field, message)) = clash {
                        note(one.component.path(field), message);
                    }
                    here.push(one);
                }
            }
            if let Some((field, message)) = self.gate(stage) {
                note(field, message);
            }
            problems.append(&mut found);
        }
        problems
    }

    /// The Account of a target, where it is there, has the region and grants anything.
    fn enter(&self, target: &StageTarget) -> Result<&Entered, (&'static str, String)> {
        let StageTarget { account, region } = target;
        let entered = self.accounts.get(account).ok_or_else(|| {
            let near = names::but(account, self.granting.iter().map(String::as_str));
            let why = match near.as_str() {
                "" => format!("There is no Account {account}; ask the platform team to create it"),
                near => format!("There is no Account {account}{near}: correct the name"),
            };
            ("account", why)
        })?;
        let regions = &entered.account.spec.regions;
        if !regions.iter().any(|one| one.name == *region) {
            let granted = !entered.permissions.grants.is_empty();
            let there: Vec<&str> = regions.iter().map(|one| one.name.as_str()).collect();
            let there = if granted && !there.is_empty() {
                format!(", but {}", there.join(", "))
            } else {
                String::new()
            };
            let why = format!(
                "Account {account} has no region {region}{there}; ask the platform team to add it, with its \
                 artifact bucket"
            );
            return Err(("region", why));
        }
        if entered.permissions.grants.is_empty() {
            let why = format!(
                "Account {account} grants nothing to namespace {}; ask the platform team to add it to \
                 spec.grants",
                self.owner.namespace
            );
            return Err(("account", why));
        }
        Ok(entered)
    }

    fn examine(&self, stage: &Stage, target: &StageTarget, entered: &Entered) -> Examined {
        let spec = TargetSpec {
            deployment: self.owner.name.clone(),
            stage: stage.name.clone(),
            former_stage: None,
            account: target.account.clone(),
            account_id: entered.account.spec.account_id.clone(),
            region: target.region.clone(),
            deletion_policy: DeletionPolicy::default(),
            drift: None,
            plan: None,
            run: None,
        };
        let permissions = &entered.permissions;
        examine(self.reference, self.release, &spec, self.owner, permissions)
    }

    /// Why the gate of a stage could never open.
    fn gate(&self, stage: &Stage) -> Option<(String, String)> {
        let present = self.stages.iter().find(|one| one.name == stage.name);
        let gate = present.and_then(|stage| stage.gate.as_ref());
        let places = stage
            .targets
            .iter()
            .chain(present.into_iter().flat_map(|it| &it.targets));
        let names: BTreeSet<&str> = places.map(|target| target.account.as_str()).collect();
        let accounts = names.into_iter().filter_map(|name| {
            let requires = self.accounts.get(name)?.account.spec.requires.as_ref()?;
            Some((name, requires))
        });
        let invalid = Requirements::of(gate, accounts).err()?;
        Some((
            format!("spec.stages[{}].gate", stage.name),
            invalid.to_string(),
        ))
    }
}

/// The checks whose bake is too short by what they say themselves.
fn too_short(examined: &Examined) -> Vec<(String, String)> {
    let Some(traffic) = &examined.traffic else {
        return Vec::new();
    };
    let bake = traffic.shortest_bake();
    let short = |check: &StageCheck| match &check.kind {
        StageCheckKind::Metric(metric) => {
            let why = metric.refuse_bake(bake)?;
            Some((check.name.clone(), why))
        }
        StageCheckKind::Alarms(_) | StageCheckKind::Http(_) => None,
    };
    examined.checks.iter().filter_map(short).collect()
}

impl Held<'_> {
    /// Why both can't be, where they are in different stages: a Target tells what it sees itself.
    fn clash(&self, other: &Self) -> Option<(&'static str, String)> {
        if self.stage == other.stage && self.target == other.target {
            return None;
        }
        let (field, what) = self.component.clash(&other.component)?;
        let StageTarget { account, region } = other.target;
        let why = format!(
            "{what} of component {} in stage {} ({account}/{region}), in the same AWS account and region: one \
             stage would change what the other serves; make the name differ, such as by $(stage.name)",
            other.component.name, other.stage
        );
        Some((field, why))
    }
}

#[cfg(test)]
mod tests;
