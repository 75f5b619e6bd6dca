//! One stage as it is seen: what is on record of it, and what is found out and decided from that.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    api::v1alpha1::{
        DeletionPolicy, OnTargetFailure, PassageStatus, ReleaseRef, Stage, StageTarget,
    },
    domain::rollout::{
        command::Command,
        gate::{AtGate, Judged, Unread},
        overview::TargetView,
        state::State,
    },
};

/// How the messages begin of targets that only follow another's failure.
pub const FOLLOWED: &str = "another target of the stage failed";

/// What a stage is at.
pub struct StageView<'a> {
    pub name: &'a str,
    pub(super) targets: Vec<&'a TargetView>,
    /// The Release and attempt it has, with the places that get it.
    pub(super) current: Option<Current>,
    pub state: State,
    pub message: Option<String>,
    /// The Release in front of its gate.
    pub at_gate: Option<AtGate>,
    /// What let the current Release through, where it is just being let through.
    pub passage: Option<PassageStatus>,
    /// The Approvals that its gate considered.
    pub judged: Vec<Judged>,
    /// What its gate needs to know and was not read yet.
    pub unread: BTreeSet<Unread>,
    /// A Release that was rejected, which try, and why.
    pub rejected: Option<(ReleaseRef, i64, String)>,
    /// When what somebody changed is corrected next, where that waits.
    pub correction_at: Option<Timestamp>,
    /// Why what somebody changed is not corrected, where the Accounts refuse it.
    pub correction_refused: Option<String>,
    /// Places whose plan is wanted.
    pub wanted_plans: Vec<StageTarget>,
    /// What waits at the gate is what a rollback by command goes to.
    pub(super) waits_to_go_back: bool,
    /// The command that was carried out here, and what it does.
    pub obeyed: Option<(Command, String)>,
    /// A newer Release that waits until what is moving has ended.
    pub behind: Option<i64>,
}

#[derive(Clone)]
pub struct Current {
    pub(super) release: ReleaseRef,
    pub(super) attempt: i64,
    pub(super) sequence: i64,
    pub(super) immediate: bool,
    pub(super) rollback: bool,
    /// A command decided to restore what stood before.
    pub(super) restores: bool,
    /// How often in a row what serves was delivered once more because somebody had changed it.
    pub(super) correction: i64,
    /// Why it goes back, where somebody said so.
    pub(super) reason: Option<String>,
    /// The plans that were approved, by place; none where no gate asked for them.
    pub(super) plans: Vec<(StageTarget, String)>,
    /// What they add up to: digest of the stage's plan that was approved.
    pub(super) stage_digest: Option<String>,
    /// What becomes of what the Release no longer has, as it was when the stage was given it.
    pub(super) deletion_policy: Option<DeletionPolicy>,
    pub(super) places: Vec<StageTarget>,
    pub(super) on_target_failure: OnTargetFailure,
    pub(super) most_at_a_time: usize,
}

impl Current {
    /// `template` is the stage as the Release has it; none where the Release is gone.
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
            places: template.map_or_else(Vec::new, |stage| stage.targets.clone()),
            on_target_failure: template
                .map(|stage| stage.on_target_failure)
                .unwrap_or_default(),
            most_at_a_time: most
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(usize::MAX),
        }
    }

    /// The digest that was approved of the plan of a place.
    pub(super) fn plan_digest(&self, place: &StageTarget) -> Option<String> {
        let plan = self.plans.iter().find(|(at, _)| at == place);
        plan.map(|(_, digest)| digest.clone())
    }
}
