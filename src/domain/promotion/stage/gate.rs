//! A stage in front of its gate: which plan it evaluates, and what follows from the answer.
//!
//! # Expected flow
//! The Targets of a gated stage plan the next Release; the gate evaluates the digest over their plans. Once
//! the gate is open, each Target gets its run with the digest of its own plan, and refuses to begin if its
//! plan has another digest.
//!
//! # Guarantees
//! - A gate is always evaluated for one Release: its requirements depend on the targets that the Release
//!   changes.
//! - A stage starts only with the plan that passed. A changed plan has to pass again.
//! - What opened the gate is reported together with the start, and counts for nothing else.

use jiff::Timestamp;

use super::view::{Current, StageView};
use crate::{
    api::v1alpha1::{PassageStatus, ReleaseRef, StageOutcome, StageTarget},
    domain::{
        gates::entry::Way,
        promotion::{
            gate::{Answer, Ask, Asks, AtGate, Entry, Gatekeeper, REJECTED, stage_digest},
            overview::{Overview, ReleaseView, has_served, template},
            state::State,
        },
        reason::Reason,
    },
};

impl StageView<'_> {
    /// Assigns this Release to the stage, or leaves it in front of the gate.
    pub(super) fn offer(
        &mut self,
        overview: &Overview,
        gates: &dyn Gatekeeper,
        release: &ReleaseView,
        now: Timestamp,
    ) {
        let reference = &release.reference;
        let attempt = self.attempt_of(release);
        let entry = self.entry(release);
        match gates.asks(&entry) {
            Asks::Nothing => {
                self.assign(overview, reference);
                return;
            }
            Asks::Refused(refusal) => {
                self.at_gate = Some(AtGate::refused(reference, attempt, refusal));
                return;
            }
            Asks::Something => {}
        }
        let Some(stage) = template(overview, self.name, reference) else {
            return;
        };
        let plans = self.plans_of(reference, &stage.targets);
        if plans.len() < stage.targets.len() {
            let missing =
                |stage_target: &&StageTarget| !plans.iter().any(|(at, _)| at == *stage_target);
            self.wanted_plans = stage.targets.iter().filter(missing).cloned().collect();
            let stalled = self
                .wanted_plans
                .iter()
                .find_map(|stage_target| self.target(stage_target)?.stalled.clone());
            let (reason, message) = match stalled {
                Some((_, why)) => (
                    Reason::TargetStalled,
                    format!("{} can't be planned: {why}", reference.name),
                ),
                None => (
                    Reason::Planning,
                    format!("computing the plan of {}", reference.name),
                ),
            };
            self.at_gate = Some(AtGate::of(reference, attempt, reason, message));
            return;
        }
        let digest = stage_digest(&plans);
        // A plan that passed before a crash has passed; its Approvals are used.
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
        let deletes = |stage_target: &StageTarget| {
            self.target(stage_target).is_some_and(|it| it.plan_deletes)
        };
        let evaluated = match passed {
            Some(passage) => Answer::Open(passage.by.clone()).into(),
            None => gates.ask(&Ask {
                entry,
                attempt,
                digest: &digest,
                deletes: stage.targets.iter().any(deletes),
            }),
        };
        self.judged.extend(evaluated.judged);
        self.unread.extend(evaluated.unread);
        match evaluated.answer {
            Answer::Open(by) => {
                self.assign(overview, reference);
                if let Some(current) = &mut self.current {
                    current.plans = plans;
                    current.stage_digest = Some(digest.clone());
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
                until,
            } => {
                self.at_gate = Some(AtGate {
                    digest: Some(digest),
                    manual_jobs,
                    until,
                    ..AtGate::of(reference, attempt, reason, message)
                });
            }
            Answer::Refused(refusal) => {
                self.at_gate = Some(AtGate::refused(reference, attempt, refusal));
            }
            Answer::Rejected(why) => self.rejected = Some((reference.clone(), attempt, why)),
        }
    }

    /// The plan digests of this Release, of those Targets that have planned it.
    pub(super) fn plans_of(
        &self,
        release: &ReleaseRef,
        stage_targets: &[StageTarget],
    ) -> Vec<(StageTarget, String)> {
        let plan_of = |stage_target: &StageTarget| {
            let (of, digest) = self.target(stage_target)?.plan.as_ref()?;
            (of.uid == release.uid).then(|| (stage_target.clone(), digest.clone()))
        };
        stage_targets.iter().filter_map(plan_of).collect()
    }

    /// Fills in the approved digests of Targets without a run from their plans, if all plans together have
    /// the approved digest of the stage.
    pub(super) fn fill_in_approved_plans(&mut self) {
        let Some(current) = &self.current else {
            return;
        };
        let Some(approved) = &current.stage_digest else {
            return;
        };
        let mut plans = self.plans_of(&current.release, &current.stage_targets);
        for (stage_target, digest) in &mut plans {
            if let Some(ordered) = current.plan_digest(stage_target) {
                *digest = ordered;
            }
        }
        let whole = stage_digest(&plans) == *approved;
        if let Some(current) = self.current.as_mut().filter(|_| whole) {
            current.plans = plans;
        }
    }

    /// The outcome of a rejected Release.
    pub fn rejection(
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

    /// Whether the plan of a target that has not begun differs from the approved one, or is unknown.
    pub(super) fn is_approval_void(&self, current: &Current) -> bool {
        let unknown = |stage_target: &&StageTarget| current.plan_digest(stage_target).is_none();
        if self.state == State::Progressing
            && current.stage_digest.is_some()
            && current
                .stage_targets
                .iter()
                .any(|stage_target| unknown(&stage_target))
        {
            return true;
        }
        let changed = |(stage_target, approved): &(StageTarget, String)| {
            let plan = self
                .target(stage_target)
                .and_then(|target| target.plan.as_ref());
            self.step(current, stage_target).is_none()
                && plan
                    .is_some_and(|(of, digest)| of.uid == current.release.uid && digest != approved)
        };
        self.state == State::Progressing && current.plans.iter().any(changed)
    }
}

impl<'a> StageView<'a> {
    /// The entry of a Release into this stage.
    pub(super) fn entry<'b>(&self, release: &'b ReleaseView) -> Entry<'b>
    where
        'a: 'b,
    {
        let is_rollback = self.would_roll_back(release);
        Entry {
            stage: self.name,
            release,
            way: if is_rollback {
                Way::Rollback
            } else {
                Way::Forward
            },
        }
    }
}
