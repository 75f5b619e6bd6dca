//! One stage: its state, its next run, and its report.

mod correct;
mod decided;
mod gate;
mod next;
mod progress;
mod runs;
mod view;

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::view::Current;
pub use self::view::{FOLLOWED, StageView};
use super::{
    overview::{Overview, ReleaseView, TargetView, has_served, template},
    state::State,
};
use crate::{
    api::v1alpha1::{
        GateStatus, Goal, OnTargetFailure, ReleaseRef, RollbackStatus, RunStatus, StageOutcome,
        StageStatus, StageTarget,
    },
    domain::{engine::Step, outcome::shorten},
};

impl<'a> StageView<'a> {
    pub fn of(overview: &'a Overview, name: &'a str) -> Self {
        let targets: Vec<_> = overview
            .targets
            .iter()
            .filter(|target| target.stage == name)
            .collect();
        let current = decided::assigned(overview, name, &targets).map(|assigned| {
            let template = template(overview, name, &assigned.release);
            let mut current = Current::new(
                assigned.release.clone(),
                assigned.attempt,
                assigned.sequence,
                template,
            );
            current.immediate = assigned.immediate;
            current.rollback = assigned.rollback;
            current.restores = assigned.goal == Goal::Restore;
            current.correction = assigned.correction;
            current.reason.clone_from(&assigned.reason);
            current.stage_digest.clone_from(&assigned.stage_digest);
            current.deletion_policy = assigned.deletion_policy;
            let approved = |target: &&&TargetView| {
                let assigned = target.assigned_run.as_ref()?;
                Some((target.stage_target.clone(), assigned.plan_digest.clone()?))
            };
            let ordered = targets.iter().filter(|target| {
                let own = target.assigned_run.as_ref().map(|own| own.sequence);
                own == Some(assigned.sequence)
            });
            current.plans = ordered.filter_map(|target| approved(&target)).collect();
            if template.is_none() {
                let same = |target: &&&TargetView| {
                    target
                        .assigned_run
                        .as_ref()
                        .is_some_and(|one| one.release == assigned.release)
                };
                let stage_targets = targets.iter().filter(same);
                current.stage_targets = stage_targets
                    .map(|target| target.stage_target.clone())
                    .collect();
            }
            current
        });
        let mut stage = Self {
            name,
            targets,
            current,
            state: State::Pending,
            message: None,
            at_gate: None,
            passage: None,
            judged: Vec::new(),
            unread: BTreeSet::new(),
            rejected: None,
            correction_at: None,
            correction_refused: None,
            wanted_plans: Vec::new(),
            is_rollback_waiting: false,
            executed_command: None,
            newer_revision: None,
        };
        stage.fill_in_approved_plans();
        stage.update_state(overview);
        stage
    }

    pub(super) fn target(&self, stage_target: &StageTarget) -> Option<&'a TargetView> {
        self.targets
            .iter()
            .find(|target| &target.stage_target == stage_target)
            .copied()
    }

    /// The step of a target in the current run; `None` before the run began there.
    pub(super) fn step(&self, current: &Current, stage_target: &StageTarget) -> Option<Step> {
        let run = self.target(stage_target)?.run.as_ref()?;
        let same = run.release.uid == current.release.uid && run.attempt == current.attempt;
        if same { Step::of(run) } else { None }
    }

    fn update_state(&mut self, overview: &Overview) {
        let Some(current) = self.current.clone() else {
            return;
        };
        let steps: Vec<Option<Step>> = current
            .stage_targets
            .iter()
            .map(|stage_target| self.step(&current, stage_target))
            .collect();
        let has = |step: Step| steps.contains(&Some(step));
        let restoring = current.restores
            || current.stage_targets.iter().any(|stage_target| {
                let assigned = self
                    .target(stage_target)
                    .and_then(|target| target.assigned_run.as_ref());
                assigned.is_some_and(|assigned| {
                    assigned.goal == Goal::Restore
                        && assigned.attempt == current.attempt
                        && assigned.sequence == current.sequence
                })
            });
        let failed = has(Step::Failed) || has(Step::RolledBack) || has(Step::RollbackFailed);
        let only_failed_targets =
            !restoring && current.on_target_failure == OnTargetFailure::RollbackTarget;
        let over = steps.iter().all(|step| match step {
            Some(Step::Failed | Step::RolledBack | Step::RollbackFailed) => true,
            Some(Step::Succeeded) => only_failed_targets,
            _ => false,
        });
        let failing = if only_failed_targets {
            failed && over
        } else {
            restoring || failed || has(Step::Restore)
        };
        self.state = match (failing, over) {
            (false, _) if has(Step::Held) => State::Held,
            (true, true) if has(Step::RollbackFailed) => State::RollbackFailed,
            (true, true) if has(Step::RolledBack) => State::RolledBack,
            (true, true) => State::Failed,
            (true, false) => State::RollingBack,
            (false, _) if steps.iter().all(|step| *step == Some(Step::Succeeded)) => {
                State::Succeeded
            }
            (false, _) => State::Progressing,
        };
        // A failed restore matters more than the reason for the restore.
        let shows_reason = restoring && self.state != State::RollbackFailed;
        let reason = current.reason.clone().filter(|_| shows_reason);
        self.message = if reason.is_some() {
            reason
        } else if failing || self.state == State::Held {
            let failure = self.first_failure(&current);
            failure.map(|why| current.as_correction(why))
        } else {
            self.progress(overview, &current)
        };
    }

    /// The message of the target that failed first; the others only follow it. After a failed restore, the
    /// message of a target whose restore failed.
    fn first_failure(&self, current: &Current) -> Option<String> {
        let matters = |run: &RunStatus| {
            self.state != State::RollbackFailed || Step::of(run) == Some(Step::RollbackFailed)
        };
        let failed = current.stage_targets.iter().filter_map(|stage_target| {
            // Messages of earlier attempts do not count.
            self.step(current, stage_target)?;
            let run = self
                .target(stage_target)?
                .run
                .as_ref()
                .filter(|run| matters(run))?;
            let followed = run
                .message
                .as_deref()
                .is_none_or(|why| why.starts_with(FOLLOWED));
            Some((
                followed,
                run.finished_at.as_ref().map(|time| time.0),
                stage_target,
                run.message.clone()?,
            ))
        });
        let first = failed.min_by_key(|(followed, at, ..)| (*followed, at.is_none(), *at))?;
        let (_, _, stage_target, message) = first;
        Some(if current.stage_targets.len() > 1 {
            format!(
                "{}/{}: {message}",
                stage_target.account, stage_target.region
            )
        } else {
            message
        })
    }

    /// The outcome to add to the Release that ended here.
    pub fn new_outcome(
        &self,
        overview: &Overview,
        now: Timestamp,
    ) -> Option<(ReleaseRef, StageOutcome)> {
        let current = self.current.as_ref()?;
        if self.state.is_moving() || self.state == State::Pending {
            return None;
        }
        let release = overview
            .releases
            .iter()
            .find(|release| release.reference.uid == current.release.uid)?;
        let known = |outcome: &StageOutcome| {
            outcome.stage == self.name && outcome.attempt >= current.attempt
        };
        // A Release from before the stage was renamed gets no outcome in it.
        let named = release.stages.iter().any(|stage| stage.name == self.name);
        if !named || release.outcomes.iter().any(known) {
            return None;
        }
        let outcome = StageOutcome {
            stage: self.name.to_owned(),
            outcome: self.state.as_str().to_owned(),
            served: self.state == State::Succeeded || has_served(release, self.name),
            attempt: current.attempt,
            message: self.message.clone(),
            finished_at: Time(now),
        };
        Some((release.reference.clone(), outcome))
    }

    /// The Release that serves on every target of the stage.
    pub fn serving(&self) -> Option<&ReleaseRef> {
        let current = self.current.as_ref()?;
        (self.state == State::Succeeded).then_some(&current.release)
    }

    /// Whether any Target of the stage serves a Release.
    pub fn has_live_release(&self) -> bool {
        self.targets.iter().any(|target| target.live.is_some())
    }

    /// Whether this Release would be a rollback: it has served in the stage, and the stage has a newer one.
    pub(super) fn would_roll_back(&self, to: &ReleaseView) -> bool {
        let live = self.targets.iter().filter_map(|it| it.live.as_ref());
        let newest = live
            .chain(self.current_release())
            .map(|one| one.revision)
            .max();
        has_served(to, self.name) && newest > Some(to.reference.revision)
    }

    /// Whether the rollback by command is still in progress in this stage.
    pub(super) fn is_rollback_in_progress(&self, rollback: &RollbackStatus) -> bool {
        let here = self.current_release() == Some(&rollback.from);
        here && (self.state == State::RollingBack || self.is_rollback_waiting)
    }

    /// The Release that the stage has, or is getting.
    pub fn current_release(&self) -> Option<&ReleaseRef> {
        self.current.as_ref().map(|current| &current.release)
    }

    pub fn report(&self, overview: &Overview, now: Timestamp) -> StageStatus {
        let stage_targets: Vec<&StageTarget> = self
            .current
            .iter()
            .flat_map(|current| &current.stage_targets)
            .collect();
        let live =
            |stage_target: &&StageTarget| Some(self.target(stage_target)?.live.as_ref()?.revision);
        let revisions: Option<Vec<i64>> = stage_targets.iter().map(live).collect();
        let live_revision = revisions.and_then(|revisions| {
            let first = *revisions.first()?;
            revisions
                .iter()
                .all(|revision| *revision == first)
                .then_some(first)
        });
        let revision = self
            .current
            .as_ref()
            .map(|current| current.release.revision);
        let state = self.state.as_str().to_owned();
        let before = overview
            .reported
            .iter()
            .find(|before| before.name == self.name);
        let since = before
            .filter(|before| before.state == state && before.revision == revision)
            .and_then(|before| before.since.clone())
            .unwrap_or(Time(now));
        let message = self.message.as_ref().map(|message| shorten(message, 4096));
        StageStatus {
            name: self.name.to_owned(),
            live_revision,
            revision,
            state,
            message,
            since: Some(since),
            waiting: self.at_gate.as_ref().map(|at| {
                let same = |before: &&GateStatus| {
                    before.release == at.release && before.attempt == at.attempt
                };
                let before = before.and_then(|before| before.waiting.as_ref());
                let since = before.filter(same).map(|before| before.since.clone());
                GateStatus {
                    release: at.release.clone(),
                    attempt: at.attempt,
                    digest: at.digest.clone(),
                    reason: at.reason.to_string(),
                    message: shorten(&at.message, 4096),
                    since: since.unwrap_or(Time(now)),
                    plan: self.plans(overview, at),
                    manual_jobs: at.manual_jobs.clone(),
                }
            }),
            passage: self
                .passage
                .clone()
                .or_else(|| before.and_then(|before| before.passage.clone())),
            decided: self.decided(before),
            weight: self.weight(),
        }
    }

    pub fn stalled(&self) -> Option<&(String, String)> {
        let current = self.current.as_ref()?;
        current.stage_targets.iter().find_map(|stage_target| {
            let begun = self.step(current, stage_target).is_some();
            self.target(stage_target)?
                .stalled
                .as_ref()
                .filter(|_| !begun || self.state.is_moving())
        })
    }

    /// Why a target can't go on with its restore; ended runs do not count.
    pub fn stalled_restore(&self) -> Option<&(String, String)> {
        let current = self.current.as_ref()?;
        let mut restoring = current.stage_targets.iter().filter(|stage_target| {
            let step = self.step(current, stage_target);
            step.is_some_and(|step| !step.is_end() && step != Step::Held)
        });
        restoring.find_map(|stage_target| self.target(stage_target)?.stalled.as_ref())
    }
}
