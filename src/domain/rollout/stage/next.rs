//! What comes next for a stage: what somebody asked for, another try, or the next Release.

use jiff::Timestamp;

use super::view::{Current, StageView};
use crate::{
    api::v1alpha1::{
        GateStatus, PassageStatus, ReleaseRef, StageOutcome, StageStatus, Superseding, annotation,
    },
    domain::rollout::{
        command::{Back, Command},
        gate::{Asks, Gatekeeper},
        overview::{Overview, ReleaseView, template},
        state::State,
    },
};

impl StageView<'_> {
    /// Goes on to the next Release, or the next attempt, where there is one; what somebody asked for
    /// comes first.
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
            let anew = matches!(self.state, State::Failed | State::RolledBack);
            let had = self.given().and_then(|had| view(overview, had));
            self.obey(Command::Retry);
            match had.filter(|_| anew) {
                // Another try of it is another plan to approve.
                Some(had) if gates.asks(&self.entry(had)) != Asks::Nothing => {
                    self.offer(overview, gates, had, now);
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
                .places
                .iter()
                .any(|place| self.step(current, place).is_some())
        });
        // What could not be put back is no ground to build on: that waits for a retry.
        let blocked = matches!(
            self.state,
            State::RollingBack | State::RollbackFailed | State::Held
        );
        let void = self
            .current
            .as_ref()
            .is_some_and(|current| self.is_void(current));
        if void && begun {
            let why = "what it would change on another target is no longer what was approved";
            self.turn_back(why.to_owned());
            return;
        }
        if blocked || (self.state == State::Progressing && begun) {
            let newer = candidate.filter(|_| self.state == State::Progressing);
            if let Some(newer) = newer {
                match self.stuck() {
                    Some(why) => self.turn_back(format!(
                        "{} takes its place, because it could not go on: {why}",
                        newer.reference.name
                    )),
                    None => self.behind = Some(newer.reference.revision),
                }
            }
            return;
        }
        if let Some(release) = self.held_at_gate(overview).or(candidate) {
            self.offer(overview, gates, release, now);
        } else if let Some(release) = self.waits_again(overview, gates, void) {
            self.offer(overview, gates, release, now);
        }
        self.correct(overview, gates, now);
    }

    /// The Release that waits at the gate, where a newer one has to wait behind it.
    fn held_at_gate<'b>(&self, overview: &'b Overview) -> Option<&'b ReleaseView> {
        let waiting = self.reported_waiting(overview)?;
        let release = overview
            .releases
            .iter()
            .find(|release| release.reference.uid == waiting.release.uid)?;
        let tried = release
            .outcomes
            .iter()
            .any(|outcome| outcome.stage == self.name);
        let newer = self
            .given()
            .is_none_or(|given| given.revision < release.reference.revision);
        let refused = overview.preflights.refuse(release, self.name);
        let waits = newer && !tried && !refused;
        (overview.superseding == Superseding::Hold && waits).then_some(release)
    }

    /// The Release that has to pass the gate once more: another try of it waits there, what was approved
    /// changed, or it was ordered while nothing was asked for, has not begun, and now something is.
    fn waits_again<'b>(
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
        // What passed before the process died has passed.
        let passed = self.reported_passage(overview).is_some_and(|passage| {
            passage.release == current.release && passage.attempt > current.attempt
        });
        let unasked = self.state == State::Progressing
            && current.stage_digest.is_none()
            && current.plans.is_empty()
            && current.correction == 0;
        let again = void || ((waiting || passed) && self.state.has_failed());
        let again = again || (unasked && gates.asks(&self.entry(release)) != Asks::Nothing);
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

    /// Which try of the Release the next one is.
    pub(in crate::domain::rollout) fn attempt_of(&self, release: &ReleaseView) -> i64 {
        let tried = release
            .outcomes
            .iter()
            .filter(|outcome| outcome.stage == self.name)
            .map(|outcome| outcome.attempt);
        // One that has just ended is not on record yet.
        let ended = self
            .current
            .as_ref()
            .filter(|current| current.release == release.reference && self.state.has_failed())
            .map(|current| current.attempt);
        tried.chain(ended).max().unwrap_or_default() + 1
    }

    /// Notes which command is carried out here, and what it does.
    fn obey(&mut self, command: Command) {
        let Some(current) = &self.current else {
            return;
        };
        let name = &current.release.name;
        let what = match (command, self.state) {
            (Command::Abort, _) => format!("{name} is aborted"),
            (Command::Promote, State::Held) => format!("{name} goes on with all of the traffic"),
            (Command::Promote, _) => format!("{name} gets all of the traffic now"),
            (Command::Retry, State::Held) => format!("{name} goes on"),
            (Command::Retry, State::RollbackFailed) => {
                format!("the rollback of {name} is tried again")
            }
            (Command::Retry, _) => format!("{name} is tried again"),
        };
        self.obeyed = Some((command, what));
    }

    /// What somebody asked for, if it is for this stage.
    fn follow_commands(
        &mut self,
        overview: &Overview,
        gates: &dyn Gatekeeper,
        now: Timestamp,
    ) -> bool {
        let commands = &overview.commands;
        let moving = matches!(self.state, State::Progressing | State::Held);
        if commands.abort && moving {
            self.obey(Command::Abort);
            self.turn_back(format!("it was aborted by {}", annotation::ABORT));
            return true;
        }
        // One that still waits at a gate ends by that.
        if let Some(back) = commands.rollback.as_ref().filter(|_| !commands.abort) {
            return self.roll_back(overview, gates, back, now);
        }
        if commands.promote && self.state == State::Held {
            self.obey(Command::Promote);
            self.try_again(true);
            return true;
        }
        if commands.promote && self.state == State::Progressing {
            self.obey(Command::Promote);
            if let Some(current) = &mut self.current {
                current.immediate = true;
            }
        }
        false
    }

    /// Puts back what is moving.
    fn turn_back(&mut self, reason: String) {
        if let Some(current) = &mut self.current {
            current.reason = Some(reason.clone());
            current.restores = true;
            self.state = State::RollingBack;
            self.message = Some(reason);
        }
    }

    /// Takes back the Release that somebody found bad, if it is here.
    fn roll_back(
        &mut self,
        overview: &Overview,
        gates: &dyn Gatekeeper,
        back: &Back,
        now: Timestamp,
    ) -> bool {
        let Some(current) = &self.current else {
            return false;
        };
        if current.release != back.from {
            return false;
        }
        // What a correction would put back is the same Release, as somebody had changed it.
        let corrects = current.correction > 0 && self.state == State::Progressing;
        if matches!(self.state, State::Progressing | State::Held) && !corrects {
            self.turn_back(format!("it was rolled back by {}", annotation::ROLLBACK));
            return true;
        }
        let Some(to) = back.to(overview, self.name) else {
            return false;
        };
        if self.state != State::Succeeded && !corrects {
            return false;
        }
        self.offer(overview, gates, to, now);
        self.waits_to_go_back = self.at_gate.is_some();
        if let Some(current) = self.current.as_mut().filter(|it| it.release != back.from) {
            current.immediate = true;
        }
        true
    }

    /// Tries again what failed, or goes on with what is held.
    fn try_again(&mut self, immediate: bool) {
        if let Some(current) = &mut self.current {
            current.attempt += 1;
            current.sequence += 1;
            // A correction moves at once, however often it is tried.
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

    /// What begins anew without a gate is bound to no plan that was approved before.
    fn forget_approval(&mut self, overview: &Overview) {
        if let Some(current) = &mut self.current {
            current.plans.clear();
            current.stage_digest = None;
            current.deletion_policy = Some(overview.deletion_policy);
        }
    }

    /// Has the stage get this Release.
    pub(in crate::domain::rollout) fn give(&mut self, overview: &Overview, release: &ReleaseRef) {
        let Some(template) = template(overview, self.name, release) else {
            return;
        };
        let view = view(overview, release);
        let attempt = view.map_or(1, |view| self.attempt_of(view));
        let sequence = self.current.as_ref().map_or(0, |current| current.sequence) + 1;
        let mut current = Current::new(release.clone(), attempt, sequence, Some(template));
        current.rollback = view.is_some_and(|view| self.goes_back(view));
        current.immediate = current.rollback;
        current.deletion_policy = Some(overview.deletion_policy);
        self.current = Some(current);
        self.state = State::Progressing;
        self.message = None;
    }

    /// The newest Release that this stage may have and has not had.
    pub(in crate::domain::rollout) fn candidate<'b>(
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
                // What was good here once comes back; what failed needs a retry.
                Some(pin) => {
                    release.reference.name == *pin
                        && release.reference.revision != had
                        && here.is_none_or(|here| here.outcome == State::Succeeded.as_str())
                }
                // What was good here once comes back only as the newest of all: where it was left for a
                // pin that holds no more.
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

/// What is on record of a Release.
pub(super) fn view<'a>(overview: &'a Overview, release: &ReleaseRef) -> Option<&'a ReleaseView> {
    let mut releases = overview.releases.iter();
    releases.find(|one| one.reference.uid == release.uid)
}

/// Whether a stage has the Release for good, by what was said of it last.
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
