//! Gates, as the order of stages sees them: is there one, and may this plan pass?
//!
//! # Expected flow
//! A Release that is next for a gated stage has its Targets say what it would change; the digest over
//! their plans is what is asked about. Once the gate is open, each Target gets its order together with
//! its own plan's digest, and refuses to begin where it would do anything else.
//!
//! # Guarantees
//! - A stage starts only with the plan that passed. A plan that changed in between passes anew.
//! - What opened the gate is reported together with the start, and counts for nothing else.

use jiff::Timestamp;

use super::{
    Overview, ReleaseView,
    stage::{Current, StageView, State, has_served, template},
};
use crate::{
    api::v1alpha1::{
        GatePassage, ManualJobStatus, PassageStatus, ReleaseRef, StageOutcome, StageTarget,
    },
    domain::digest::Sha256,
};

/// Who keeps the gates.
pub trait Gatekeeper {
    /// Whether the stage has a gate. `back` is whether it goes back to what has served there: that waits
    /// for nothing but the approvals that an Account requires.
    fn is_gated(&self, stage: &str, back: bool) -> bool;

    /// Whether this plan may pass.
    fn ask(&self, ask: &Ask<'_>) -> Answer;
}

/// What is asked of a gatekeeper.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The stage.
    pub stage: &'a str,
    /// The Release.
    pub release: &'a ReleaseRef,
    /// Which try it would be.
    pub attempt: i64,
    /// Digest of the stage's plan.
    pub digest: &'a str,
    /// Whether the stage goes back with it.
    pub back: bool,
}

/// What a gatekeeper says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Open(GatePassage),
    /// Not yet.
    Waiting {
        /// CamelCase, for programs.
        reason: &'static str,
        /// For people.
        message: String,
        /// What was seen of the manual jobs.
        manual_jobs: Vec<ManualJobStatus>,
    },
    /// Never: the Release ends here, and why.
    Rejected(String),
}

/// No stage has a gate.
pub struct NoGates;

impl Gatekeeper for NoGates {
    fn is_gated(&self, _: &str, _: bool) -> bool {
        false
    }

    fn ask(&self, _: &Ask<'_>) -> Answer {
        Answer::Open(GatePassage::default())
    }
}

/// A Release in front of a gate.
#[derive(Clone, Debug)]
pub struct AtGate {
    pub release: ReleaseRef,
    pub attempt: i64,
    pub digest: Option<String>,
    pub reason: &'static str,
    pub message: String,
    pub manual_jobs: Vec<ManualJobStatus>,
}

/// The reason of what a Target says that it can't go on with.
pub const TARGET_STALLED: &str = "TargetStalled";

/// How a Release ends in a stage that was not let into it.
pub const REJECTED: &str = "Rejected";

/// The digest of a stage's plan: over the plans of its Targets, whatever their order.
pub fn stage_digest(plans: &[(StageTarget, String)]) -> String {
    let mut sorted: Vec<_> = plans
        .iter()
        .map(|(place, digest)| (&place.account, &place.region, digest))
        .collect();
    sorted.sort();
    Sha256::of_json(&sorted).to_string()
}

impl StageView<'_> {
    /// Gives the stage this Release, or leaves it in front of the gate.
    pub(super) fn offer(
        &mut self,
        overview: &Overview,
        gates: &dyn Gatekeeper,
        release: &ReleaseView,
        now: Timestamp,
    ) {
        let reference = &release.reference;
        let back = self.goes_back(release);
        if !gates.is_gated(self.name, back) {
            self.give(overview, reference);
            return;
        }
        let attempt = self.attempt_of(release);
        let Some(stage) = template(overview, self.name, reference) else {
            return;
        };
        let plan_of = |place: &StageTarget| {
            let (of, digest) = self.target(place)?.plan.as_ref()?;
            (of.uid == reference.uid).then(|| (place.clone(), digest.clone()))
        };
        let plans: Vec<(StageTarget, String)> = stage.targets.iter().filter_map(plan_of).collect();
        if plans.len() < stage.targets.len() {
            let missing = |place: &&StageTarget| !plans.iter().any(|(at, _)| at == *place);
            self.wanted_plans = stage.targets.iter().filter(missing).cloned().collect();
            let trouble = self
                .wanted_plans
                .iter()
                .find_map(|place| self.target(place)?.stalled.clone());
            self.at_gate = Some(AtGate {
                release: reference.clone(),
                attempt,
                digest: None,
                reason: if trouble.is_some() {
                    TARGET_STALLED
                } else {
                    "Planning"
                },
                message: match trouble {
                    Some((_, why)) => format!("{} can't be planned: {why}", reference.name),
                    None => format!("working out what {} would change", reference.name),
                },
                manual_jobs: Vec::new(),
            });
            return;
        }
        let digest = stage_digest(&plans);
        // What passed before the process died has passed: its Approvals are used up by that.
        let passed = overview
            .reported
            .iter()
            .find(|stage| stage.name == self.name)
            .and_then(|stage| stage.passage.as_ref())
            .filter(|passage| {
                passage.release == *reference
                    && passage.attempt == attempt
                    && passage.digest == digest
            });
        let answer = match passed {
            Some(passage) => Answer::Open(passage.by.clone()),
            None => gates.ask(&Ask {
                stage: self.name,
                release: reference,
                attempt,
                digest: &digest,
                back,
            }),
        };
        match answer {
            Answer::Open(by) => {
                self.give(overview, reference);
                if let Some(current) = &mut self.current {
                    current.plans = plans;
                }
                self.passage = Some(PassageStatus {
                    release: reference.clone(),
                    attempt,
                    digest,
                    at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now),
                    by,
                });
            }
            Answer::Waiting {
                reason,
                message,
                manual_jobs,
            } => {
                self.at_gate = Some(AtGate {
                    release: reference.clone(),
                    attempt,
                    digest: Some(digest),
                    reason,
                    message,
                    manual_jobs,
                });
            }
            Answer::Rejected(why) => self.rejected = Some((reference.clone(), attempt, why)),
        }
    }

    /// What becomes of a Release that was rejected.
    pub(super) fn rejection(
        &self,
        overview: &Overview,
        now: Timestamp,
    ) -> Option<(ReleaseRef, StageOutcome)> {
        let (release, attempt, why) = self.rejected.clone()?;
        let mut releases = overview.releases.iter();
        let view = releases.find(|one| one.reference.uid == release.uid);
        let outcome = StageOutcome {
            stage: self.name.to_owned(),
            outcome: REJECTED.to_owned(),
            served: view.is_some_and(|view| has_served(view, self.name)),
            attempt,
            message: Some(why),
            finished_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now),
        };
        Some((release, outcome))
    }

    /// Whether what was approved is no longer what would be done, on a place that has not begun.
    pub(super) fn is_void(&self, current: &Current) -> bool {
        let changed = |(place, approved): &(StageTarget, String)| {
            let plan = self.target(place).and_then(|target| target.plan.as_ref());
            self.step(current, place).is_none()
                && plan
                    .is_some_and(|(of, digest)| of.uid == current.release.uid && digest != approved)
        };
        self.state == State::Progressing && current.plans.iter().any(changed)
    }
}
