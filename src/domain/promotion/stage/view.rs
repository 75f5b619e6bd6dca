//! The view of one stage: its recorded state, and what is derived and decided from that.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    api::v1alpha1::{
        DeletionPolicy, OnTargetFailure, PassageStatus, ReleaseRef, Stage, StageTarget,
    },
    domain::promotion::{
        command::Command,
        gate::{AtGate, Judged, Unread},
        overview::TargetView,
        state::State,
    },
};

/// The start of the message of a target that is restored because another target failed.
pub const FOLLOWED: &str = "another target of the stage failed";

/// The state of one stage.
pub struct StageView<'a> {
    pub name: &'a str,
    pub(super) targets: Vec<&'a TargetView>,
    /// The Release and attempt that it has, with the targets that get it.
    pub(super) current: Option<Current>,
    pub state: State,
    pub message: Option<String>,
    /// The Release in front of its gate.
    pub at_gate: Option<AtGate>,
    /// What opened the gate, if the current Release passes it in this plan.
    pub passage: Option<PassageStatus>,
    /// The Approvals that its gate considered.
    pub judged: Vec<Judged>,
    /// State that its gate needs and that has not been read yet.
    pub unread: BTreeSet<Unread>,
    /// A Release that was rejected, its attempt, and why.
    pub rejected: Option<(ReleaseRef, i64, String)>,
    /// When the next correction is due, if it has to wait.
    pub correction_at: Option<Timestamp>,
    /// Why drift is not corrected, if an Account refuses it.
    pub correction_refused: Option<String>,
    /// Targets to request a plan from.
    pub wanted_plans: Vec<StageTarget>,
    /// Whether the Release at the gate is the one that a rollback by command returns to.
    pub(super) is_rollback_waiting: bool,
    /// The command that was carried out here, and its effect.
    pub executed_command: Option<(Command, String)>,
    /// The revision of a newer Release that waits until the current run has ended.
    pub newer_revision: Option<i64>,
}

/// The current run of a stage.
#[derive(Clone)]
pub struct Current {
    pub(super) release: ReleaseRef,
    pub(super) attempt: i64,
    pub(super) sequence: i64,
    pub(super) immediate: bool,
    pub(super) rollback: bool,
    /// Whether a command decided to restore the state before the run.
    pub(super) restores: bool,
    /// The number of corrections in a row, this run included; 0 if it is not a correction.
    pub(super) correction: i64,
    /// Why it is restored, if that was decided for the stage.
    pub(super) reason: Option<String>,
    /// The approved plan digests by target; empty if no gate required a plan.
    pub(super) plans: Vec<(StageTarget, String)>,
    /// The approved digest of the stage's plan, which is over all of them.
    pub(super) stage_digest: Option<String>,
    /// What happens to resources that the Release no longer has, as set when the stage got the Release.
    pub(super) deletion_policy: Option<DeletionPolicy>,
    pub(super) stage_targets: Vec<StageTarget>,
    pub(super) on_target_failure: OnTargetFailure,
    pub(super) max_concurrent: usize,
}

impl Current {
    /// `template` is the stage in the Release's template; `None` if the Release no longer exists.
    pub(super) fn new(
        release: ReleaseRef,
        attempt: i64,
        sequence: i64,
        template: Option<&Stage>,
    ) -> Self {
        let most = template.and_then(|stage| stage.max_concurrent_targets);
        Self {
            release,
            attempt,
            sequence,
            immediate: false,
            rollback: false,
            restores: false,
            correction: 0,
            reason: None,
            plans: Vec::new(),
            stage_digest: None,
            deletion_policy: None,
            stage_targets: template.map_or_else(Vec::new, |stage| stage.targets.clone()),
            on_target_failure: template
                .map(|stage| stage.on_target_failure)
                .unwrap_or_default(),
            max_concurrent: most
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(usize::MAX),
        }
    }

    /// The approved plan digest of a target.
    pub(super) fn plan_digest(&self, stage_target: &StageTarget) -> Option<String> {
        let plan = self.plans.iter().find(|(at, _)| at == stage_target);
        plan.map(|(_, digest)| digest.clone())
    }
}
