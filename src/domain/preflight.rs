//! The preflight: the problems of a Release in all of its stages, before the first stage starts.
//!
//! # Expected flow
//! For each Release that may still be assigned to a stage, the controller calls [`Preflight::problems`]. A
//! stage gets the Release only if neither it nor a later stage has a problem ([`super::promotion`]).
//!
//! # Guarantees
//! - The preflight finds every problem that follows from the Release, the Deployment's gates and the
//!   Accounts, on every target of every stage, without a call to AWS.
//! - It finds nothing that a Target would not refuse by itself, except two stages that share a function or
//!   overlap in a bucket: a Target does not know the other Targets.
//!
//! # Assumptions
//! Facts that only AWS has (an alarm's periods, a role's trust policy, a function's owner) are read when the
//! Target plans.

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
    workload::{component::DesiredComponent, protocol::PreflightContext},
};
use crate::api::v1alpha1::{
    Account, DeletionPolicy, ReleaseRef, ReleaseSpec, Stage, StageTarget, TargetSpec,
};

/// The most problems in a summary. It gives the number of the others.
const SHOWN: usize = 5;

/// The input of a preflight.
#[derive(Clone, Copy, Debug)]
pub struct Preflight<'a> {
    /// The Release.
    pub reference: &'a ReleaseRef,
    /// The Release's spec.
    pub release: &'a ReleaseSpec,
    /// The Deployment's current stages: a gate is not part of a Release.
    pub stages: &'a [Stage],
    /// The owner of the resources.
    pub owner: &'a Owner,
    /// The existing ones of the Accounts that the Release names.
    pub accounts: &'a BTreeMap<String, AccountAccess>,
    /// The names of the Accounts that grant the namespace anything. Messages to it name no other Accounts.
    pub granting: &'a BTreeSet<String>,
    /// The artifact buckets, each with the name of its Account.
    pub artifact_buckets: &'a BTreeMap<String, String>,
    /// The functions that the Deployment owns already: Account, region, name.
    pub owned: &'a BTreeSet<(String, String, String)>,
}

/// An Account, with the permissions of the Deployment's namespace there.
#[derive(Clone, Debug)]
pub struct AccountAccess {
    /// The Account.
    pub account: Arc<Account>,
    /// The permissions of the namespace.
    pub permissions: Permissions,
}

/// A problem of a Release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The stage.
    pub stage: String,
    /// Path in the Deployment's spec.
    pub field: String,
    /// The problem and its remedy.
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
    let mut shown: Vec<String> = problems.into_iter().map(Problem::to_string).collect();
    let more = shown.len().saturating_sub(SHOWN);
    shown.truncate(SHOWN);
    let shown = shown.join("; ");
    match more {
        0 => shown,
        1 => format!("{shown}; and 1 more problem"),
        more => format!("{shown}; and {more} more problems"),
    }
}

/// A component on a target of a stage.
struct Deployed<'a> {
    stage: &'a str,
    target: &'a StageTarget,
    component: DesiredComponent,
}

impl Preflight<'_> {
    /// All problems, in the order of the stages. A problem that several targets of a stage share is
    /// reported once.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut deployed: BTreeMap<(String, String), Vec<Deployed<'_>>> = BTreeMap::new();
        for stage in &self.release.template.stages {
            let mut found: Vec<Problem> = Vec::new();
            let mut report = |field: String, message: String| {
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
                        report(field, message);
                        continue;
                    }
                };
                let examined = self.examine(stage, target, entered);
                for problem in &examined.problems {
                    report(problem.field.clone(), problem.message.clone());
                }
                for (check, message) in too_short(&examined) {
                    let field =
                        format!("spec.stages[{}].checks[{check}].metric.period", stage.name);
                    report(field, message);
                }
                let account_id = &entered.account.spec.account_id;
                let others = deployed.entry((account_id.clone(), target.region.clone()));
                let others = others.or_default();
                for component in examined.components {
                    let surroundings = PreflightContext {
                        target,
                        artifact_buckets: self.artifact_buckets,
                        owned: self.owned,
                    };
                    if let Some((field, message)) = component.refused(&surroundings) {
                        report(component.path(field), message);
                    }
                    let one = Deployed {
                        stage: &stage.name,
                        target,
                        component,
                    };
                    let clash = others.iter().find_map(|other| one.clash(other));
                    if let Some((field, message)) = clash {
                        report(one.component.path(field), message);
                    }
                    others.push(one);
                }
            }
            if let Some((field, message)) = self.gate(stage) {
                report(field, message);
            }
            problems.append(&mut found);
        }
        problems
    }

    /// The Account of a target, if it exists, has the region and grants anything to the namespace.
    fn enter(&self, target: &StageTarget) -> Result<&AccountAccess, (&'static str, String)> {
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
            let listed: Vec<&str> = regions.iter().map(|one| one.name.as_str()).collect();
            let listed = if granted && !listed.is_empty() {
                format!(", but {}", listed.join(", "))
            } else {
                String::new()
            };
            let why = format!(
                "Account {account} has no region {region}{listed}; ask the platform team to add it, with its \
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

    fn examine(&self, stage: &Stage, target: &StageTarget, entered: &AccountAccess) -> Examined {
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

    /// Why the gate of a stage can never open.
    fn gate(&self, stage: &Stage) -> Option<(String, String)> {
        let present = self.stages.iter().find(|one| one.name == stage.name);
        let gate = present.and_then(|stage| stage.gate.as_ref());
        let targets = stage
            .targets
            .iter()
            .chain(present.into_iter().flat_map(|it| &it.targets));
        let names: BTreeSet<&str> = targets.map(|target| target.account.as_str()).collect();
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

/// The checks for which the bake is too short, as far as their spec shows.
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
        StageCheckKind::Alarms(_) | StageCheckKind::Http(_) | StageCheckKind::Deferred(_) => None,
    };
    examined.checks.iter().filter_map(short).collect()
}

impl Deployed<'_> {
    /// Why the two conflict, unless they are on the same Target, which finds such conflicts itself.
    fn clash(&self, other: &Self) -> Option<(&'static str, String)> {
        if self.stage == other.stage && self.target == other.target {
            return None;
        }
        let (field, what) = self.component.clash(&other.component)?;
        let StageTarget { account, region } = other.target;
        let why = format!(
            "{what} of component {} in stage {} ({account}/{region}), in the same AWS account and region: one \
             stage would overwrite the resource of the other; make the names differ, such as by $(stage.name)",
            other.component.name, other.stage
        );
        Some((field, why))
    }
}

#[cfg(test)]
mod tests;
