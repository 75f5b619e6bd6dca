//! Drift checks: whether AWS differs from what the last run left.
//!
//! # Guarantees
//! - A drift check changes nothing in AWS, and changes the status only if its result differs from that of the
//!   former check.
//! - Values of environment variables appear nowhere.
//! - An inconclusive check is recorded as such (`Drifted=Unknown`), and is never in sync.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    decision::Decision,
    inputs::{Inputs, component},
    observation::{Observation, Read},
    step::{Step, outcome as ending},
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Difference, DriftStatus, Run, TargetStatus, condition::DRIFTED,
    },
    domain::{
        desired::Desired,
        outcome::{self, Outcome, Stamp, shorten},
        ownership::Owner,
        reason::Reason,
        workload::{change::told, component::DesiredComponent},
    },
};

/// How many differences the status lists.
const LISTED: usize = 50;
/// How many of them the condition's message names.
const NAMED: usize = 3;

/// A drift check.
#[derive(Clone, Copy, Debug)]
pub struct DriftCheck<'a> {
    /// The value of `sluice.dev/reconcile` that it answers.
    pub asked: Option<&'a str>,
    /// The Target's generation.
    pub generation: Option<i64>,
    /// The time of the check.
    pub now: Timestamp,
}

/// Decides the next step of a drift check of the live Release, which is `desired`. `run` is the last run.
pub fn decide_drift(
    desired: &Desired,
    run: &Run,
    status: &TargetStatus,
    owner: &Owner,
    observed: &Observation,
    check: DriftCheck<'_>,
) -> Decision {
    let inputs = Inputs {
        run,
        status,
        owner,
        observed,
        now: check.now,
    };
    let context = inputs.context(0);
    if let Some((component, error)) = observed.errors.first() {
        let outcome = Outcome::from(error.clone());
        let message = format!("component {component}: {}", outcome.message());
        return inconclusive_drift(status, outcome.reason(), &message, check);
    }
    let desired = &*desired.resolve(&outputs_of(status, desired));
    if let Some(output) = desired.needs_output() {
        let message = format!("the value of $({output}) is not recorded");
        return inconclusive_drift(status, Reason::OutcomeUnknown, &message, check);
    }
    let components = || desired.components.iter();
    let reads: Vec<_> = components()
        .flat_map(|want| want.drift_reads(context))
        .map(Read::Component)
        .collect();
    if !reads.is_empty() {
        return Decision::Observe(reads);
    }
    let differences: Vec<Difference> = components()
        .flat_map(|want| {
            let left = last_version(status, desired, want);
            want.drift(&desired.release, left, context)
        })
        .collect();
    let obstacle = components()
        .find_map(|want| want.obstacle(false, context))
        .filter(|_| !differences.is_empty());
    let (drifted, reason, mut message) = if differences.is_empty() {
        let revision = desired.release.revision;
        (
            "False",
            Reason::InSync,
            format!("AWS matches what r{revision} left"),
        )
    } else {
        ("True", Reason::Drifted, told(&differences, NAMED))
    };
    if let Some(obstacle) = &obstacle {
        message = format!("{message}. It can't be corrected: {obstacle}");
    }
    let before = status.drift.clone().unwrap_or_default();
    let omitted = differences.len().saturating_sub(LISTED);
    let listed: Vec<_> = differences.into_iter().take(LISTED).collect();
    let same = before.differences == listed;
    let since = before.since.filter(|_| same).unwrap_or(Time(check.now));
    let drift = DriftStatus {
        handled_check: check.asked.map(str::to_owned),
        since: (!listed.is_empty()).then_some(since),
        differences: listed,
        omitted: i64::try_from(omitted).unwrap_or(i64::MAX),
        obstacle: obstacle.map(|why| shorten(&why, 1024)),
    };
    record_result(status, drift, (drifted, reason, &message), check)
}

/// Records that the check is inconclusive: the differences of the former check stay in the status.
pub fn inconclusive_drift(
    status: &TargetStatus,
    reason: Reason,
    message: &str,
    check: DriftCheck<'_>,
) -> Decision {
    let drift = DriftStatus {
        handled_check: check.asked.map(str::to_owned),
        ..status.drift.clone().unwrap_or_default()
    };
    record_result(status, drift, ("Unknown", reason, message), check)
}

/// Removes the results of drift checks, for when no more are made; `None` if the status has none.
pub fn stop_drift_checks(status: &TargetStatus) -> Option<TargetStatus> {
    let mut next = status.clone();
    next.drift = None;
    next.conditions.retain(|one| one.type_ != DRIFTED);
    (next != *status).then_some(next)
}

/// Records that a run has just left everything in sync.
pub(super) fn mark_in_sync(status: &mut TargetStatus, revision: i64, now: Timestamp) {
    if let Some(drift) = &mut status.drift {
        *drift = DriftStatus {
            handled_check: drift.handled_check.take(),
            ..DriftStatus::default()
        };
    }
    if outcome::find(&status.conditions, DRIFTED).is_some() {
        let stamp = Stamp {
            reason: Reason::InSync,
            message: &format!("AWS matches what r{revision} left"),
            generation: status.observed_generation,
            now,
        };
        outcome::set(&mut status.conditions, DRIFTED, "False", &stamp);
    }
}

fn record_result(
    status: &TargetStatus,
    drift: DriftStatus,
    (drifted, reason, message): (&str, Reason, &str),
    check: DriftCheck<'_>,
) -> Decision {
    let mut next = status.clone();
    next.drift = (drift != DriftStatus::default()).then_some(drift);
    let stamp = Stamp {
        reason,
        message,
        generation: check.generation,
        now: check.now,
    };
    outcome::set(&mut next.conditions, DRIFTED, drifted, &stamp);
    if next == *status {
        return Decision::Rest(ending(status));
    }
    Decision::Record(Box::new(next))
}

/// The components' outputs when the Release was delivered: from the last run if that delivered it, otherwise
/// from the recorded versions.
fn outputs_of(status: &TargetStatus, desired: &Desired) -> Vec<ComponentStatus> {
    let of_component = |want: &DesiredComponent| {
        let mut versions = status.versions.iter().rev();
        let recorded = versions.find(|one| {
            one.release_uid == desired.release.uid && one.function_name == want.resource()
        });
        let left = last_status(status, desired, want);
        let version = left.and_then(|left| left.version.clone());
        ComponentStatus {
            name: want.name.clone(),
            version: version.or(recorded.map(|one| one.version.clone())),
            outputs: left.map_or_else(BTreeMap::new, |left| left.outputs.clone()),
            ..ComponentStatus::default()
        }
    };
    desired.components.iter().map(of_component).collect()
}

/// The version that the last run left, if that run delivered the checked Release.
fn last_version<'a>(
    status: &'a TargetStatus,
    desired: &Desired,
    want: &DesiredComponent,
) -> Option<&'a str> {
    last_status(status, desired, want)?.version.as_deref()
}

/// What the last run left of a component, if that run delivered the checked Release.
fn last_status<'a>(
    status: &'a TargetStatus,
    desired: &Desired,
    want: &DesiredComponent,
) -> Option<&'a ComponentStatus> {
    let run = status.run.as_ref()?;
    let delivered = run.release.uid == desired.release.uid;
    let run = Some(run).filter(|_| delivered && Step::of(run) == Some(Step::Succeeded))?;
    component(run, want)
}
