//! What comes next for a stage: what somebody asked for, another try, or the next Release.

use super::{Current, StageView, State, template};
use crate::{
    api::v1alpha1::{ReleaseRef, StageOutcome, annotation},
    domain::rollout::{Overview, ReleaseView, command::Back},
};

impl StageView<'_> {
    /// Goes on to the next Release, or the next attempt, where there is one; what somebody asked for
    /// comes first.
    pub fn next(&mut self, overview: &Overview, fresh: &[(ReleaseRef, StageOutcome)]) {
        if self.follow_commands(overview) || overview.suspended {
            return;
        }
        let candidate = self.candidate(overview, fresh);
        let retried =
            self.state.has_failed() && (candidate.is_none() || self.state == State::RollbackFailed);
        if overview.commands.retry && (retried || self.state == State::Held) {
            self.try_again(false);
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
        if blocked || (self.state == State::Progressing && begun) {
            return;
        }
        if let Some(release) = candidate {
            self.give(overview, &release.reference);
        }
    }

    /// What somebody asked for, if it is for this stage.
    fn follow_commands(&mut self, overview: &Overview) -> bool {
        let commands = &overview.commands;
        let moving = matches!(self.state, State::Progressing | State::Held);
        if commands.abort && moving {
            self.turn_back(format!("it was aborted by {}", annotation::ABORT));
            return true;
        }
        if let Some(back) = &commands.rollback {
            return self.roll_back(overview, back);
        }
        if commands.promote && self.state == State::Held {
            self.try_again(true);
            return true;
        }
        if commands.promote
            && self.state == State::Progressing
            && let Some(current) = &mut self.current
        {
            current.immediate = true;
        }
        false
    }

    /// Puts back what is moving.
    fn turn_back(&mut self, reason: String) {
        if let Some(current) = &mut self.current {
            current.reason = Some(reason.clone());
            self.state = State::RollingBack;
            self.message = Some(reason);
        }
    }

    /// Takes back the Release that somebody found bad, if it is here.
    fn roll_back(&mut self, overview: &Overview, back: &Back) -> bool {
        let Some(current) = &self.current else {
            return false;
        };
        if current.release != back.from {
            return false;
        }
        if matches!(self.state, State::Progressing | State::Held) {
            self.turn_back(format!("it was taken back by {}", annotation::ROLLBACK));
            return true;
        }
        let Some(to) = back.to(overview, self.name) else {
            return false;
        };
        if self.state != State::Succeeded {
            return false;
        }
        let to = to.reference.clone();
        self.give(overview, &to);
        if let Some(current) = &mut self.current {
            current.immediate = true;
        }
        true
    }

    /// Tries again what failed, or goes on with what is held.
    fn try_again(&mut self, immediate: bool) {
        if let Some(current) = &mut self.current {
            current.attempt += 1;
            current.sequence += 1;
            current.immediate |= immediate;
            self.state = if self.state == State::RollbackFailed {
                State::RollingBack
            } else {
                current.reason = None;
                State::Progressing
            };
            self.message = None;
        }
    }

    /// Has the stage get this Release.
    fn give(&mut self, overview: &Overview, release: &ReleaseRef) {
        let Some(template) = template(overview, self.name, release) else {
            return;
        };
        let view = overview
            .releases
            .iter()
            .find(|one| one.reference.uid == release.uid);
        let tried = view
            .into_iter()
            .flat_map(|view| &view.outcomes)
            .filter(|outcome| outcome.stage == self.name)
            .map(|outcome| outcome.attempt)
            .max()
            .unwrap_or_default();
        let sequence = self.current.as_ref().map_or(0, |current| current.sequence) + 1;
        let older = self
            .current
            .as_ref()
            .is_some_and(|current| current.release.revision > release.revision);
        let mut current = Current::new(release.clone(), tried + 1, sequence, Some(template));
        current.immediate = older;
        self.current = Some(current);
        self.state = State::Progressing;
        self.message = None;
    }

    /// The newest Release that this stage may have and has not had.
    fn candidate<'b>(
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
            wanted && before.is_none_or(|before| succeeded(release, before, fresh))
        };
        overview
            .releases
            .iter()
            .filter(may)
            .max_by_key(|release| release.reference.revision)
    }
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
