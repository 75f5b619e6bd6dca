//! One stage: what it is at, what comes next for it, and what is to be told of it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Overview, ReleaseView, TargetView};
use crate::{
    api::v1alpha1::{Goal, ReleaseRef, Run, StageOutcome, StageStatus, StageTarget},
    domain::{machine::Step, outcome::shorten},
};

/// A stage's state as the status names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Progressing,
    Succeeded,
    RollingBack,
    RolledBack,
    Failed,
    RollbackFailed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Progressing => "Progressing",
            Self::Succeeded => "Succeeded",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::Failed => "Failed",
            Self::RollbackFailed => "RollbackFailed",
        }
    }

    fn is_moving(self) -> bool {
        matches!(self, Self::Progressing | Self::RollingBack)
    }
}

/// What a stage is at.
pub struct StageView<'a> {
    pub name: &'a str,
    targets: Vec<&'a TargetView>,
    /// The Release and attempt it has, with the places that get it.
    current: Option<Current>,
    pub state: State,
    pub message: Option<String>,
}

#[derive(Clone)]
pub struct Current {
    release: ReleaseRef,
    attempt: i64,
    places: Vec<StageTarget>,
}

impl<'a> StageView<'a> {
    pub fn of(overview: &'a Overview, name: &'a str) -> Self {
        let targets: Vec<_> = overview
            .targets
            .iter()
            .filter(|target| target.stage == name)
            .collect();
        let order = targets
            .iter()
            .filter_map(|target| target.order.as_ref())
            .max_by_key(|order| (order.release.revision, order.attempt));
        let current = order.map(|order| Current {
            release: order.release.clone(),
            attempt: order.attempt,
            places: places(overview, name, &order.release).unwrap_or_else(|| {
                let same = |target: &&&TargetView| {
                    target
                        .order
                        .as_ref()
                        .is_some_and(|one| one.release == order.release)
                };
                targets
                    .iter()
                    .filter(same)
                    .map(|target| target.place.clone())
                    .collect()
            }),
        });
        let mut stage = Self {
            name,
            targets,
            current,
            state: State::Pending,
            message: None,
        };
        stage.judge();
        stage
    }

    fn target(&self, place: &StageTarget) -> Option<&'a TargetView> {
        self.targets
            .iter()
            .find(|target| &target.place == place)
            .copied()
    }

    /// How far a place is with the current order; `None` before it began.
    fn step(&self, current: &Current, place: &StageTarget) -> Option<Step> {
        let run = self.target(place)?.run.as_ref()?;
        let same = run.release.uid == current.release.uid && run.attempt == current.attempt;
        if same { Step::of(run) } else { None }
    }

    fn judge(&mut self) {
        let Some(current) = self.current.clone() else {
            return;
        };
        let steps: Vec<Option<Step>> = current
            .places
            .iter()
            .map(|place| self.step(&current, place))
            .collect();
        let has = |step: Step| steps.contains(&Some(step));
        let restoring = current.places.iter().any(|place| {
            let order = self.target(place).and_then(|target| target.order.as_ref());
            order.is_some_and(|order| {
                order.goal == Goal::Restore && order.attempt == current.attempt
            })
        });
        let failing = restoring
            || has(Step::Restore)
            || has(Step::Failed)
            || has(Step::RolledBack)
            || has(Step::RollbackFailed);
        let over = steps.iter().all(|step| {
            matches!(
                step,
                Some(Step::Failed | Step::RolledBack | Step::RollbackFailed)
            )
        });
        self.state = match (failing, over) {
            (true, true) if has(Step::RollbackFailed) => State::RollbackFailed,
            (true, true) if has(Step::RolledBack) => State::RolledBack,
            (true, true) => State::Failed,
            (true, false) => State::RollingBack,
            (false, _) if steps.iter().all(|step| *step == Some(Step::Succeeded)) => {
                State::Succeeded
            }
            (false, _) => State::Progressing,
        };
        self.message = if failing {
            self.first_failure(&current)
        } else {
            self.progress(&current)
        };
    }

    /// What the target that failed first says: the others say only that they followed.
    fn first_failure(&self, current: &Current) -> Option<String> {
        let failed = current.places.iter().filter_map(|place| {
            let target = self.target(place)?;
            let run = target
                .run
                .as_ref()
                .filter(|run| run.release.uid == current.release.uid)?;
            let followed = run
                .message
                .as_deref()
                .is_none_or(|why| why.starts_with(FOLLOWED));
            Some((
                followed,
                run.finished_at.as_ref().map(|time| time.0),
                place,
                run.message.clone()?,
            ))
        });
        let first = failed.min_by_key(|(followed, at, ..)| (*followed, at.is_none(), *at))?;
        let (_, _, place, message) = first;
        Some(if current.places.len() > 1 {
            format!("{}/{}: {message}", place.account, place.region)
        } else {
            message
        })
    }

    fn progress(&self, current: &Current) -> Option<String> {
        let busy = current
            .places
            .iter()
            .find(|place| self.step(current, place) != Some(Step::Succeeded))?;
        let target = self.target(busy)?;
        target
            .stalled
            .as_ref()
            .map(|(_, message)| message.clone())
            .or_else(|| target.summary.clone())
    }

    /// What is to be added to the Release that ended here.
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
        if release.outcomes.iter().any(known) {
            return None;
        }
        let outcome = StageOutcome {
            stage: self.name.to_owned(),
            outcome: self.state.as_str().to_owned(),
            attempt: current.attempt,
            message: self.message.clone(),
            finished_at: Time(now),
        };
        Some((release.reference.clone(), outcome))
    }

    /// Goes on to the next Release, or the next attempt, where there is one.
    pub fn next(&mut self, overview: &Overview, fresh: &[(ReleaseRef, StageOutcome)]) {
        if overview.suspended {
            return;
        }
        let failed = matches!(
            self.state,
            State::Failed | State::RolledBack | State::RollbackFailed
        );
        let candidate = self.candidate(overview, fresh);
        if overview.retry && failed && (candidate.is_none() || self.state == State::RollbackFailed)
        {
            if let Some(current) = &mut self.current {
                current.attempt += 1;
                self.state = if self.state == State::RollbackFailed {
                    State::RollingBack
                } else {
                    State::Progressing
                };
                self.message = None;
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
        let blocked = matches!(self.state, State::RollingBack | State::RollbackFailed);
        if blocked || (self.state == State::Progressing && begun) {
            return;
        }
        if let Some(release) = candidate
            && let Some(places) = places(overview, self.name, &release.reference)
        {
            self.current = Some(Current {
                release: release.reference.clone(),
                attempt: 1,
                places,
            });
            self.state = State::Progressing;
            self.message = None;
        }
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
            release.reference.revision > had
                && before.is_none_or(|before| succeeded(release, before, fresh))
                && !release
                    .outcomes
                    .iter()
                    .any(|outcome| outcome.stage == self.name)
        };
        overview
            .releases
            .iter()
            .filter(may)
            .max_by_key(|release| release.reference.revision)
    }

    /// The orders that the Targets don't have yet.
    pub fn orders(&self) -> Vec<(StageTarget, Run)> {
        let Some(current) = &self.current else {
            return Vec::new();
        };
        if !self.state.is_moving() {
            return Vec::new();
        }
        let goal = if self.state == State::RollingBack {
            Goal::Restore
        } else {
            Goal::Deliver
        };
        let wanted = current.places.iter().filter_map(|place| {
            let run = Run {
                release: current.release.clone(),
                attempt: current.attempt,
                goal,
            };
            let target = self.target(place);
            let has = target.and_then(|target| target.order.as_ref());
            // One that has ended by itself needs no order to go back.
            let ended = goal == Goal::Restore
                && matches!(
                    self.step(current, place),
                    Some(Step::Failed | Step::RolledBack | Step::RollbackFailed | Step::Restore)
                );
            (has != Some(&run) && !ended).then(|| (place.clone(), run))
        });
        wanted.collect()
    }

    pub fn report(&self, overview: &Overview, now: Timestamp) -> StageStatus {
        let places: Vec<&StageTarget> = self
            .current
            .iter()
            .flat_map(|current| &current.places)
            .collect();
        let live = |place: &&StageTarget| Some(self.target(place)?.live.as_ref()?.revision);
        let revisions: Option<Vec<i64>> = places.iter().map(live).collect();
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
        // What passes by is for the Target's own status.
        let message =
            message.filter(|_| self.state != State::Progressing || self.stalled().is_some());
        StageStatus {
            name: self.name.to_owned(),
            live_revision,
            revision,
            state,
            message,
            since: Some(since),
        }
    }

    pub fn stalled(&self) -> Option<&(String, String)> {
        let current = self.current.as_ref()?;
        current.places.iter().find_map(|place| {
            let begun = self.step(current, place).is_some();
            self.target(place)?
                .stalled
                .as_ref()
                .filter(|_| !begun || self.state.is_moving())
        })
    }
}

/// How the messages begin of targets that only follow another's failure.
pub const FOLLOWED: &str = "another target of the stage failed";

fn places(overview: &Overview, stage: &str, release: &ReleaseRef) -> Option<Vec<StageTarget>> {
    let release = overview
        .releases
        .iter()
        .find(|one| one.reference.uid == release.uid)?;
    release
        .stages
        .iter()
        .find(|one| one.name == stage)
        .map(|stage| stage.targets.clone())
}

fn succeeded(release: &ReleaseView, stage: &str, fresh: &[(ReleaseRef, StageOutcome)]) -> bool {
    let is = |outcome: &StageOutcome| {
        outcome.stage == stage && outcome.outcome == State::Succeeded.as_str()
    };
    release.outcomes.iter().any(is)
        || fresh
            .iter()
            .any(|(reference, outcome)| reference.uid == release.reference.uid && is(outcome))
}
