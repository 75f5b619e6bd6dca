//! Everything on record that the order of stages follows from.

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

/// Everything on record.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The names of the stages as the Deployment has them now, in order.
    pub stages: Vec<String>,
    /// The Releases that exist.
    pub releases: Vec<ReleaseView>,
    /// The Targets that exist.
    pub targets: Vec<TargetView>,
    /// The stages as last reported, for the times in them.
    pub reported: Vec<StageStatus>,
    /// Start nothing new.
    pub suspended: bool,
    /// Take no further step forward.
    pub paused: bool,
    /// What happens to a Release that waits at a gate when a newer one has come as far.
    pub superseding: Superseding,
    /// The name of the only Release that may be given to a stage.
    pub pin: Option<String>,
    /// Whether what somebody changed in AWS is put right.
    pub correct: bool,
    /// What becomes of what a Release no longer has.
    pub deletion_policy: DeletionPolicy,
    /// What was asked for.
    pub commands: Commands,
    /// What is wrong with Releases that no stage has yet.
    pub preflights: Preflights,
    /// Whether the newest Release is what the spec asks for, or another one is pinned.
    pub is_spec_released: bool,
}

/// A Release.
#[derive(Clone, Debug)]
pub struct ReleaseView {
    /// Which.
    pub reference: ReleaseRef,
    /// Where its bytes came from.
    pub source: ReleaseSource,
    /// The stages of its template.
    pub stages: Vec<Stage>,
    /// What became of it.
    pub outcomes: Vec<StageOutcome>,
}

/// A Target.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// Its stage.
    pub stage: String,
    /// Its account and region.
    pub place: StageTarget,
    /// Its order.
    pub order: Option<Run>,
    /// How far the last order is carried out.
    pub run: Option<RunStatus>,
    /// What serves.
    pub live: Option<ReleaseRef>,
    /// Why it can't go on, where it says so.
    pub stalled: Option<(String, String)>,
    /// What it waits for, where that is more than the next step.
    pub waits_for: Option<String>,
    /// Whether it waits for something that only a change of the spec, or of AWS, can bring.
    pub needs_a_change: bool,
    /// The Release of which it said what it would change, and the digest of that.
    pub plan: Option<(ReleaseRef, String)>,
    /// That plan in a few words.
    pub plan_summary: Option<String>,
    /// Whether that deletes something which the Release no longer has.
    pub plan_deletes: bool,
    /// Whether it has something that its Release no longer has.
    pub is_to_prune: bool,
    /// Whether AWS still is as it left it, where somebody looked.
    pub drift: Option<DriftView>,
}

/// What a Target found when it looked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftView {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// CamelCase, for programs.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// Since when there is something that can be corrected.
    pub correctable_since: Option<Timestamp>,
}

/// What was found wrong, by the Release's uid.
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

/// The stage as the Release has it.
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
