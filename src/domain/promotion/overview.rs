//! The recorded state that promotion is decided from.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{command::Commands, state::State};
use crate::{
    api::v1alpha1::{
        DeletionPolicy, ReleaseRef, ReleaseSource, Run, RunStatus, Stage, StageOutcome,
        StageStatus, StageTarget, Superseding,
    },
    domain::{preflight::Problem, reason::Reason},
};

/// The recorded state of a Deployment.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The names of the stages as the Deployment has them now, in order.
    pub stages: Vec<String>,
    /// The Releases that exist.
    pub releases: Vec<ReleaseView>,
    /// The Targets that exist.
    pub targets: Vec<TargetView>,
    /// The stages as last reported: their times, and decisions not yet carried out.
    pub reported: Vec<StageStatus>,
    /// Whether to start nothing new.
    pub suspended: bool,
    /// Whether to stop before the next step forward.
    pub paused: bool,
    /// What happens to a Release that waits at a gate when a newer one gets there.
    pub superseding: Superseding,
    /// The name of the only Release that stages may get.
    pub pin: Option<String>,
    /// Whether to correct drift.
    pub correct: bool,
    /// What happens to resources that a Release no longer has.
    pub deletion_policy: DeletionPolicy,
    /// The commands of users.
    pub commands: Commands,
    /// The preflight problems of Releases.
    pub preflights: Preflights,
    /// Whether the present spec has its Release.
    pub spec_release: SpecRelease,
}

/// Whether the present spec has its Release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpecRelease {
    /// The newest Release matches the spec, or a Release is pinned.
    #[default]
    Exists,
    /// The spec was edited since the newest Release.
    Missing,
}

/// A Release.
#[derive(Clone, Debug)]
pub struct ReleaseView {
    /// Its name, uid and revision.
    pub reference: ReleaseRef,
    /// The source of its artifacts.
    pub source: ReleaseSource,
    /// The stages of its template.
    pub stages: Vec<Stage>,
    /// Its outcomes in stages.
    pub outcomes: Vec<StageOutcome>,
}

/// A Target.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// Its stage.
    pub stage: String,
    /// Its account and region.
    pub stage_target: StageTarget,
    /// Its assigned run.
    pub assigned_run: Option<Run>,
    /// The journal of its last run.
    pub run: Option<RunStatus>,
    /// The live Release.
    pub live: Option<ReleaseRef>,
    /// Reason and message of its `Stalled` condition, if that is True.
    pub stalled: Option<(String, String)>,
    /// What it waits for, apart from its own next step.
    pub waits_for: Option<String>,
    /// Whether the wait ends only when the spec or AWS is changed.
    pub needs_a_change: bool,
    /// The Release that it has planned, and the digest of the plan.
    pub plan: Option<(ReleaseRef, String)>,
    /// The summary of that plan.
    pub plan_summary: Option<String>,
    /// Whether that plan deletes resources which the Release no longer has.
    pub plan_deletes: bool,
    /// Whether it owns resources that its Release no longer has.
    pub needs_prune: bool,
    /// The result of its last drift check, if there was one.
    pub drift: Option<DriftView>,
}

/// The result of a Target's last drift check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftView {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// CamelCase, for programs.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// Since when there is correctable drift.
    pub correctable_since: Option<Timestamp>,
}

/// Preflight problems by uid of the Release.
#[derive(Clone, Debug, Default)]
pub struct Preflights(pub BTreeMap<String, Vec<Problem>>);

impl Overview {
    /// The newest Release.
    pub(super) fn newest(&self) -> Option<&ReleaseView> {
        let releases = self.releases.iter();
        releases.max_by_key(|release| release.reference.revision)
    }
}

/// Whether the Release has ever served on all targets of the stage.
pub(super) fn has_served(release: &ReleaseView, stage: &str) -> bool {
    let here = release.outcomes.iter().find(|one| one.stage == stage);
    here.is_some_and(|one| one.served || one.outcome == State::Succeeded.as_str())
}

/// The stage in the Release's template.
pub(super) fn template<'a>(
    overview: &'a Overview,
    stage: &str,
    release: &ReleaseRef,
) -> Option<&'a Stage> {
    let release = overview
        .releases
        .iter()
        .find(|one| one.reference.uid == release.uid)?;
    release.stages.iter().find(|one| one.name == stage)
}
