//! What comes next for a stage: a command, another attempt, or the next Release.

use jiff::Timestamp;

use super::view::{Current, StageView};
use crate::{
    api::v1alpha1::{
        GateStatus, PassageStatus, ReleaseRef, RollbackStatus, StageOutcome, StageStatus,
        Superseding, annotation,
    },
    domain::promotion::{
        command::Command,
        gate::{Asks, Gatekeeper},
        overview::{Overview, ReleaseView, template},
        state::State,
    },
};

impl StageView<'_> {
    /// Moves the stage on to the next attempt or the next Release, if there is one. Commands come first.
    pub fn next(
        &mut self,
        overview: &Overview,
        gates: &dyn Gatekeeper,
        fresh: &[(ReleaseRef, StageOutcome)],
        now: Timestamp,
    ) {
        if self.follow_commands(overview, gates, now) || overview.suspended {
            return;
        }
        let candidate = self.candidate(overview, fresh);
        let retried =
            self.state.has_failed() && (candidate.is_none() || self.state == State::RollbackFailed);
        if overview.commands.retry && (retried || self.state == State::Held) {
            let is_new_run = matches!(self.state, State::Failed | State::RolledBack);
            let release = self
                .current_release()
                .and_then(|given| view(overview, given));
            self.record_command(Command::Retry);
            match release.filter(|_| is_new_run) {
                // Another attempt has another plan to approve.
                Some(release) if gates.asks(&self.entry(release)) != Asks::Nothing => {
                    self.offer(overview, gates, release, now);
                }
                Some(_) => {
                    self.try_again(false);
                    self.forget_approval(overview);
                }
                None => self.try_again(false),
            }
            return;
        }
        let begun = self.current.as_ref().is_some_and(|current| {
            current
                .stage_targets
                .iter()
                .any(|stage_target| self.step(current, stage_target).is_some())
        });
        // After a failed restore, nothing new starts before a retry.
        let blocked = matches!(
            self.state,
            State::RollingBack | State::RollbackFailed | State::Held
        );
        let void = self
            .current
            .as_ref()
            .is_some_and(|current| self.is_approval_void(current));
        if void && begun {
            let why = "the plan of another target is no longer the approved one";
            self.restore(why.to_owned());
            return;
        }
        if blocked || (self.state == State::Progressing && begun) {
            let newer = candidate.filter(|_| self.state == State::Progressing);
            if let Some(newer) = newer {
                match self.why_stuck() {
                    Some(why) => self.restore(format!(
                        "{} replaces it, because it could not continue: {why}",
                        newer.reference.name
                    )),
                    None => self.newer_revision = Some(newer.reference.revision),
                }
            }
            return;
        }
        if let Some(release) = self.held_at_gate(overview).or(candidate) {
            self.offer(overview, gates, release, now);
        } else if let Some(release) = self.release_to_approve_again(overview, gates, void) {
            self.offer(overview, gates, release, now);
        }
        self.correct(overview, gates, now);
    }

    /// The Release that waits at the gate, if newer ones have to wait behind it.
    fn held_at_gate<'b>(&self, overview: &'b Overview) -> Option<&'b ReleaseView> {
        let waiting = self.reported_waiting(overview)?;
        let release = overview
            .releases
            .iter()
            .find(|release| release.reference.uid == waiting.release.uid)?;
        let attempted = release
            .outcomes
            .iter()
            .any(|outcome| outcome.stage == self.name);
        let newer = self
            .current_release()
            .is_none_or(|given| given.revision < release.reference.revision);
        let refused = overview.preflights.refuse(release, self.name);
        let waits = newer && !attempted && !refused;
        (overview.superseding == Superseding::Hold && waits).then_some(release)
    }

    /// The Release that has to pass the gate again: another attempt of it waits there, the approved plan has
    /// changed, or it was assigned without a gate, has not begun, and the stage has a gate now.
    fn release_to_approve_again<'b>(
        &self,
        overview: &'b Overview,
        gates: &dyn Gatekeeper,
        void: bool,
    ) -> Option<&'b ReleaseView> {
        let current = self.current.as_ref()?;
        let release = view(overview, &current.release)?;
        let waiting = self
            .reported_waiting(overview)
            .is_some_and(|waiting| waiting.release == current.release);
        // A plan that passed before a crash has passed.
        let passed = self.reported_passage(overview).is_some_and(|passage| {
            passage.release == current.release && passage.attempt > current.attempt
        });
        let is_ungated = self.state == State::Progressing
            && current.stage_digest.is_none()
            && current.plans.is_empty()
            && current.correction == 0;
        let again = void || ((waiting || passed) && self.state.has_failed());
        let again = again || (is_ungated && gates.asks(&self.entry(release)) != Asks::Nothing);
        again.then_some(release)
    }

    fn reported_waiting<'b>(&self, overview: &'b Overview) -> Option<&'b GateStatus> {
        self.reported(overview)?.waiting.as_ref()
    }

    fn reported_passage<'b>(&self, overview: &'b Overview) -> Option<&'b PassageStatus> {
        self.reported(overview)?.passage.as_ref()
    }

    fn reported<'b>(&self, overview: &'b Overview) -> Option<&'b StageStatus> {
        let mut reported = overview.reported.iter();
        reported.find(|stage| stage.name == self.name)
    }

    /// The number of the Release's next attempt in this stage.
    pub(in crate::domain::promotion) fn attempt_of(&self, release: &ReleaseView) -> i64 {
        let attempted = release
            .outcomes
            .iter()
            .filter(|outcome| outcome.stage == self.name)
            .map(|outcome| outcome.attempt);
        // An attempt that has just ended has no recorded outcome yet.
        let ended = self
            .current
            .as_ref()
            .filter(|current| current.release == release.reference && self.state.has_failed())
            .map(|current| current.attempt);
        attempted.chain(ended).max().unwrap_or_default() + 1
    }

    /// Records which command is carried out here, and its effect.
    fn record_command(&mut self, command: Command) {
        let Some(current) = &self.current else {
            return;
        };
        let name = &current.release.name;
        let effect = match (command, self.state) {
            (Command::Abort, _) => format!("{name} is aborted"),
            (Command::Promote, State::Held) => format!("{name} continues with all traffic"),
            (Command::Promote, _) => format!("{name} gets all traffic now"),
            (Command::Retry, State::Held) => format!("{name} continues"),
            (Command::Retry, State::RollbackFailed) => {
                format!("the rollback of {name} is retried")
            }
            (Command::Retry, _) => format!("{name} is retried"),
        };
        self.executed_command = Some((command, effect));
    }

    /// Carries out the commands that apply to this stage. Returns whether they decide what comes next.
    fn follow_commands(
        &mut self,
        overview: &Overview,
        gates: &dyn Gatekeeper,
        now: Timestamp,
    ) -> bool {
        let commands = &overview.commands;
        let moving = matches!(self.state, State::Progressing | State::Held);
        if commands.abort && moving {
            self.record_command(Command::Abort);
            self.restore(format!("it was aborted by {}", annotation::ABORT));
            return true;
        }
        // An abort also ends a rollback that still waits at a gate.
        if let Some(rollback) = commands.rollback.as_ref().filter(|_| !commands.abort) {
            return self.roll_back(overview, gates, rollback, now);
        }
        if commands.promote && self.state == State::Held {
            self.record_command(Command::Promote);
            self.try_again(true);
            return true;
        }
        if commands.promote && self.state == State::Progressing {
            self.record_command(Command::Promote);
            if let Some(current) = &mut self.current {
                current.immediate = true;
            }
        }
        false
    }

    /// Restores the state before the current run.
    fn restore(&mut self, reason: String) {
        if let Some(current) = &mut self.current {
            current.reason = Some(reason.clone());
            current.restores = true;
            self.state = State::RollingBack;
            self.message = Some(reason);
        }
    }

    /// Rolls back from the bad Release, if the stage has it. Returns whether that decides what comes next.
    fn roll_back(
        &mut self,
        overview: &Overview,
        gates: &dyn Gatekeeper,
        rollback: &RollbackStatus,
        now: Timestamp,
    ) -> bool {
        let Some(current) = &self.current else {
            return false;
        };
        if current.release != rollback.from {
            return false;
        }
        // Restoring a correction would bring back the same Release, with its drift.
        let corrects = current.correction > 0 && self.state == State::Progressing;
        if matches!(self.state, State::Progressing | State::Held) && !corrects {
            self.restore(format!("it was rolled back by {}", annotation::ROLLBACK));
            return true;
        }
        let Some(to) = rollback.to(overview, self.name) else {
            return false;
        };
        if self.state != State::Succeeded && !corrects {
            return false;
        }
        self.offer(overview, gates, to, now);
        self.is_rollback_waiting = self.at_gate.is_some();
        if let Some(current) = self
            .current
            .as_mut()
            .filter(|it| it.release != rollback.from)
        {
            current.immediate = true;
        }
        true
    }

    /// Starts another attempt of a failed stage, or continues a held one.
    fn try_again(&mut self, immediate: bool) {
        if let Some(current) = &mut self.current {
            current.attempt += 1;
            current.sequence += 1;
            // Every attempt of a correction moves all traffic at once.
            current.immediate = immediate || current.rollback || current.correction > 0;
            self.state = if self.state == State::RollbackFailed {
                current.restores = true;
                State::RollingBack
            } else {
                current.reason = None;
                current.restores = false;
                State::Progressing
            };
            self.message = None;
        }
    }

    /// A new attempt without a gate is not bound to a plan that was approved before.
    fn forget_approval(&mut self, overview: &Overview) {
        if let Some(current) = &mut self.current {
            current.plans.clear();
            current.stage_digest = None;
            current.deletion_policy = Some(overview.deletion_policy);
        }
    }

    /// Assigns this Release to the stage.
    pub(in crate::domain::promotion) fn assign(
        &mut self,
        overview: &Overview,
        release: &ReleaseRef,
    ) {
        let Some(template) = template(overview, self.name, release) else {
            return;
        };
        let view = view(overview, release);
        let attempt = view.map_or(1, |view| self.attempt_of(view));
        let sequence = self.current.as_ref().map_or(0, |current| current.sequence) + 1;
        let mut current = Current::new(release.clone(), attempt, sequence, Some(template));
        current.rollback = view.is_some_and(|view| self.would_roll_back(view));
        current.immediate = current.rollback;
        current.deletion_policy = Some(overview.deletion_policy);
        self.current = Some(current);
        self.state = State::Progressing;
        self.message = None;
    }

    /// The newest Release that this stage may get and has not had yet.
    pub(in crate::domain::promotion) fn candidate<'b>(
        &self,
        overview: &'b Overview,
        fresh: &[(ReleaseRef, StageOutcome)],
    ) -> Option<&'b ReleaseView> {
        let had = self
            .current
            .as_ref()
            .map_or(0, |current| current.release.revision);
        let revisions = overview.releases.iter();
        let newest = revisions.map(|release| release.reference.revision).max();
        let may = |release: &&ReleaseView| {
            let Some(at) = release
                .stages
                .iter()
                .position(|stage| stage.name == self.name)
            else {
                return false;
            };
            let before = at
                .checked_sub(1)
                .map(|before| release.stages[before].name.as_str());
            let here = release
                .outcomes
                .iter()
                .find(|outcome| outcome.stage == self.name);
            let wanted = match &overview.pin {
                // A pinned Release that succeeded here comes back; a failed one needs a retry.
                Some(pin) => {
                    release.reference.name == *pin
                        && release.reference.revision != had
                        && here.is_none_or(|here| here.outcome == State::Succeeded.as_str())
                }
                // A Release that succeeded here comes back only if it is the newest: the stage left it for a
                // pin that has been removed since.
                None => {
                    release.reference.revision > had
                        && here.is_none_or(|here| {
                            here.outcome == State::Succeeded.as_str()
                                && Some(release.reference.revision) == newest
                        })
                }
            };
            wanted
                && !overview.preflights.refuse(release, self.name)
                && before.is_none_or(|before| succeeded(release, before, fresh))
        };
        overview
            .releases
            .iter()
            .filter(may)
            .max_by_key(|release| release.reference.revision)
    }
}

/// The view of a Release.
pub(super) fn view<'a>(overview: &'a Overview, release: &ReleaseRef) -> Option<&'a ReleaseView> {
    let mut releases = overview.releases.iter();
    releases.find(|one| one.reference.uid == release.uid)
}

/// Whether the last outcome of the Release in a stage is success.
fn succeeded(release: &ReleaseView, stage: &str, fresh: &[(ReleaseRef, StageOutcome)]) -> bool {
    let fresh = fresh
        .iter()
        .filter(|(reference, _)| reference.uid == release.reference.uid)
        .map(|(_, outcome)| outcome);
    let last = release
        .outcomes
        .iter()
        .chain(fresh)
        .rfind(|outcome| outcome.stage == stage);
    last.is_some_and(|outcome| outcome.outcome == State::Succeeded.as_str())
}
