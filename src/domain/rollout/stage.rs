//! One stage: what it is at, what comes next for it, and what is to be told of it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Overview, ReleaseView, TargetView, command::Back};
use crate::{
    api::v1alpha1::{
        Goal, OnTargetFailure, ReleaseRef, Run, Stage, StageOutcome, StageStatus, StageTarget,
        annotation,
    },
    domain::{machine::Step, outcome::shorten},
};

/// A stage's state as the status names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Progressing,
    Held,
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
            Self::Held => "Held",
            Self::Succeeded => "Succeeded",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::Failed => "Failed",
            Self::RollbackFailed => "RollbackFailed",
        }
    }

    fn is_moving(self) -> bool {
        matches!(self, Self::Progressing | Self::Held | Self::RollingBack)
    }

    fn has_failed(self) -> bool {
        matches!(self, Self::Failed | Self::RolledBack | Self::RollbackFailed)
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
    sequence: i64,
    immediate: bool,
    /// Why it goes back, where somebody said so.
    reason: Option<String>,
    /// The plans that were approved, by place; none where no gate asked for them.
    plans: Vec<(StageTarget, String)>,
    places: Vec<StageTarget>,
    on_target_failure: OnTargetFailure,
    most_at_a_time: usize,
}

impl Current {
    /// `template` is the stage as the Release has it; none where the Release is gone.
    fn new(release: ReleaseRef, attempt: i64, sequence: i64, template: Option<&Stage>) -> Self {
        let most = template.and_then(|stage| stage.max_concurrent_targets);
        Self {
            release,
            attempt,
            sequence,
            immediate: false,
            reason: None,
            plans: Vec::new(),
            places: template.map_or_else(Vec::new, |stage| stage.targets.clone()),
            on_target_failure: template
                .map(|stage| stage.on_target_failure)
                .unwrap_or_default(),
            most_at_a_time: most
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(usize::MAX),
        }
    }
}

impl Current {
    fn plan_digest(&self, place: &StageTarget) -> Option<String> {
        let plan = self.plans.iter().find(|(at, _)| at == place);
        plan.map(|(_, digest)| digest.clone())
    }
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
            .max_by_key(|order| order.sequence);
        let current = order.map(|order| {
            let template = template(overview, name, &order.release);
            let mut current = Current::new(
                order.release.clone(),
                order.attempt,
                order.sequence,
                template,
            );
            current.immediate = order.immediate;
            current.reason.clone_from(&order.reason);
            let approved = |target: &&&TargetView| {
                let order = target.order.as_ref()?;
                Some((target.place.clone(), order.plan_digest.clone()?))
            };
            let ordered = targets.iter().filter(|target| {
                let own = target.order.as_ref().map(|own| own.sequence);
                own == Some(order.sequence)
            });
            current.plans = ordered.filter_map(|target| approved(&target)).collect();
            if template.is_none() {
                let same = |target: &&&TargetView| {
                    target
                        .order
                        .as_ref()
                        .is_some_and(|one| one.release == order.release)
                };
                let places = targets.iter().filter(same);
                current.places = places.map(|target| target.place.clone()).collect();
            }
            current
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
                order.goal == Goal::Restore
                    && order.attempt == current.attempt
                    && order.sequence == current.sequence
            })
        });
        let failed = has(Step::Failed) || has(Step::RolledBack) || has(Step::RollbackFailed);
        let each_for_itself =
            !restoring && current.on_target_failure == OnTargetFailure::RollbackTarget;
        let over = steps.iter().all(|step| match step {
            Some(Step::Failed | Step::RolledBack | Step::RollbackFailed) => true,
            Some(Step::Succeeded) => each_for_itself,
            _ => false,
        });
        let failing = if each_for_itself {
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
        let asked = current.reason.clone().filter(|_| restoring);
        self.message = if asked.is_some() {
            asked
        } else if failing || self.state == State::Held {
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

    /// The Release that serves on every place of the stage.
    pub fn serving(&self) -> Option<&ReleaseRef> {
        let current = self.current.as_ref()?;
        (self.state == State::Succeeded).then_some(&current.release)
    }

    /// The Release that the stage has or gets.
    pub fn given(&self) -> Option<&ReleaseRef> {
        self.current.as_ref().map(|current| &current.release)
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
                None => release.reference.revision > had && here.is_none(),
            };
            wanted && before.is_none_or(|before| succeeded(release, before, fresh))
        };
        overview
            .releases
            .iter()
            .filter(may)
            .max_by_key(|release| release.reference.revision)
    }

    /// The orders that the Targets don't have yet.
    pub fn orders(&self, paused: bool) -> Vec<(StageTarget, Run)> {
        let Some(current) = &self.current else {
            return Vec::new();
        };
        if self.state == State::Succeeded {
            return self.prunings(current);
        }
        if !self.state.is_moving() {
            return Vec::new();
        }
        let goal = if self.state == State::RollingBack {
            Goal::Restore
        } else {
            Goal::Deliver
        };
        let ordered = |place: &StageTarget| {
            let order = self.target(place).and_then(|target| target.order.as_ref());
            order.is_some_and(|order| order.sequence == current.sequence)
        };
        let ended = |place: &StageTarget| self.step(current, place).is_some_and(Step::is_end);
        let busy = current
            .places
            .iter()
            .filter(|place| ordered(place) && !ended(place))
            .count();
        let mut room = if goal == Goal::Deliver {
            current.most_at_a_time.saturating_sub(busy)
        } else {
            usize::MAX
        };
        let mut orders = Vec::new();
        for place in &current.places {
            let step = self.step(current, place);
            let run = Run {
                release: current.release.clone(),
                attempt: current.attempt,
                goal,
                sequence: current.sequence,
                plan_digest: current.plan_digest(place).filter(|_| goal == Goal::Deliver),
                reason: current.reason.clone().filter(|_| goal == Goal::Restore),
                // While one is held, the others wait where they are.
                paused: goal == Goal::Deliver
                    && (paused || (self.state == State::Held && step != Some(Step::Held))),
                immediate: current.immediate,
            };
            let has = self.target(place).and_then(|target| target.order.as_ref());
            if has == Some(&run) {
                continue;
            }
            // One that has ended by itself needs no order to go back, and none to go on.
            let done = match goal {
                Goal::Restore => matches!(
                    step,
                    Some(Step::Failed | Step::RolledBack | Step::RollbackFailed | Step::Restore)
                ),
                _ => ended(place),
            };
            if done {
                continue;
            }
            if goal == Goal::Deliver && !ordered(place) {
                if room == 0 || self.state == State::Held {
                    continue;
                }
                room -= 1;
            }
            orders.push((place.clone(), run));
        }
        orders
    }

    /// What the Release no longer has may go, now that it serves everywhere in the stage.
    fn prunings(&self, current: &Current) -> Vec<(StageTarget, Run)> {
        let pruning = |place: &StageTarget| {
            let target = self.target(place).filter(|target| target.dropped)?;
            let run = Run {
                release: current.release.clone(),
                attempt: current.attempt,
                goal: Goal::Prune,
                sequence: current.sequence,
                plan_digest: None,
                reason: None,
                paused: false,
                immediate: current.immediate,
            };
            (target.order.as_ref() != Some(&run)).then(|| (place.clone(), run))
        };
        current
            .places
            .iter()
            .filter_map(|place| pruning(place))
            .collect()
    }

    /// The Targets that the Release, which serves everywhere in the stage, no longer names.
    pub fn leavers(&self) -> Vec<StageTarget> {
        let Some(current) = self
            .current
            .as_ref()
            .filter(|_| self.state == State::Succeeded)
        else {
            return Vec::new();
        };
        self.targets
            .iter()
            .map(|target| target.place.clone())
            .filter(|place| !current.places.contains(place))
            .collect()
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

/// The stage as the Release has it.
fn template<'a>(overview: &'a Overview, stage: &str, release: &ReleaseRef) -> Option<&'a Stage> {
    let release = overview
        .releases
        .iter()
        .find(|one| one.reference.uid == release.uid)?;
    release.stages.iter().find(|one| one.name == stage)
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
        .filter(|outcome| outcome.stage == stage)
        .next_back();
    last.is_some_and(|outcome| outcome.outcome == State::Succeeded.as_str())
}
