//! The recorded state of a Deployment, as the input of a plan.

use std::sync::Arc;

use super::{commands, drift_status, family::Family, release};
use crate::{
    api::v1alpha1::{
        Deployment, DriftPolicy, InventoryItem, Release, StageTarget, Target, condition,
    },
    domain::{
        engine, outcome,
        promotion::{Overview, Preflights, ReleaseView, TargetView},
        reason::Reason,
    },
};

/// Collects the recorded state of a Deployment.
pub fn overview(deployment: &Deployment, family: &Family, retry: bool) -> Overview {
    let status = deployment.status.clone().unwrap_or_default();
    let target = |target: &Arc<Target>| {
        let status = target.status.clone().unwrap_or_default();
        let stalled = outcome::find(&status.conditions, condition::STALLED)
            .filter(|stalled| {
                stalled.status == "True" && status.observed_generation == target.metadata.generation
            })
            .map(|stalled| (stalled.reason.clone(), stalled.message.clone()));
        let summary = engine::summary(&status);
        let waiting = outcome::find(&status.conditions, condition::RECONCILING).filter(|waiting| {
            waiting.status == "True"
                && waiting.observed_generation == target.metadata.generation
                && waiting.message != summary
        });
        let settled = target
            .spec
            .run
            .as_ref()
            .is_some_and(|run| engine::settled(run, &status));
        let mut asked = target.spec.plan.iter();
        let planned =
            asked.all(|release| engine::planned(release, target.spec.deletion_policy, &status));
        TargetView {
            stage: target.spec.stage.clone(),
            stage_target: StageTarget {
                account: target.spec.account.clone(),
                region: target.spec.region.clone(),
            },
            assigned_run: target.spec.run.clone(),
            // A settled run reports its own end. Only the condition reports a problem with a plan.
            stalled: stalled.filter(|_| !settled || !planned),
            live: status.live.as_ref().map(|live| live.release.clone()),
            plan: status
                .plan
                .as_ref()
                .map(|plan| (plan.release.clone(), plan.digest.clone())),
            plan_deletes: status.plan.as_ref().is_some_and(|plan| plan.deletions > 0),
            plan_summary: status.plan.as_ref().map(|plan| plan.summary.clone()),
            needs_prune: status.inventory.iter().any(InventoryItem::needs_prune),
            drift: drift_status::view(&status),
            waits_for: waiting.map(|waiting| waiting.message.clone()),
            needs_a_change: waiting.is_some_and(|waiting| {
                Reason::parse(&waiting.reason).is_some_and(Reason::needs_a_change)
            }),
            run: status.run,
        }
    };
    Overview {
        stages: deployment
            .spec
            .stages
            .iter()
            .map(|stage| stage.name.clone())
            .collect(),
        releases: family
            .releases
            .iter()
            .map(|release| release_view(release))
            .collect(),
        targets: family
            .targets
            .iter()
            .filter(|target| target.metadata.deletion_timestamp.is_none())
            .map(target)
            .collect(),
        suspended: deployment.spec.suspend,
        paused: commands::paused(deployment),
        superseding: deployment.spec.superseding,
        pin: deployment.spec.pin.clone(),
        correct: deployment.spec.drift.policy == DriftPolicy::Correct,
        deletion_policy: deployment.spec.deletion_policy,
        commands: commands::pending(deployment, retry),
        preflights: Preflights::default(),
        spec_release: release::spec_release(deployment, &family.releases),
        reported: status.stages,
    }
}

/// A Release as the plan sees it.
pub fn release_view(release: &Release) -> ReleaseView {
    ReleaseView {
        reference: release::reference(release),
        source: release.spec.source.clone(),
        stages: release.spec.template.stages.clone(),
        outcomes: release
            .status
            .iter()
            .flat_map(|status| status.stages.clone())
            .collect(),
    }
}
