//! The steps of a run over all components.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Decision, blocked,
    collect::{replace_plan, replace_run},
    next::{Next, View, may_pass, wait_for},
    observation::{Action, Effect, Observation, Read},
    patience::passed,
    snapshot::Snapshot,
    step::{Step, poll_delay},
    watch::under_way,
    workload,
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Goal, Intent, OnFailure, PlanStatus, Run, RunStatus, SnapshotRef,
        TargetStatus, TrafficStatus, annotation,
    },
    domain::{
        desired::{Desired, DesiredComponent},
        failure::CallError,
        outcome::{Outcome, shorten},
        ownership::Owner,
    },
};

/// Everything a decision is made from.
pub(super) struct Scene<'a> {
    pub run: &'a Run,
    pub status: &'a TargetStatus,
    pub owner: &'a Owner,
    pub seen: &'a Observation,
    pub now: Timestamp,
}

/// What came out of asking every component.
pub(super) enum Poll {
    Decided(Decision),
    Failed(String),
    Ready,
}

impl<'a> Scene<'a> {
    /// The journal of this very run. A repeated attempt to restore continues the one before, as does
    /// one that goes on with what is held.
    pub fn journal(&self) -> Option<&'a RunStatus> {
        let journal = self.status.run.as_ref()?;
        let same_release = journal.release.uid == self.run.release.uid;
        let same_attempt = journal.attempt == self.run.attempt;
        let resumable = self.run.goal == Goal::Restore || Step::of(journal) == Some(Step::Held);
        let resumed = resumable && self.run.attempt > journal.attempt;
        (same_release && (same_attempt || resumed)).then_some(journal)
    }

    /// Looks at everything that matters before a run; `None` once it was looked at. What fails is for
    /// the caller to answer.
    pub fn look(&self, desired: &Desired) -> Option<Decision> {
        let gradual = desired.traffic.is_gradual() && !self.run.immediate;
        let reads: Vec<Read> = desired
            .components
            .iter()
            .flat_map(|want| workload::first_reads(want, gradual, self.view(want.level)))
            .collect();
        if !reads.is_empty() {
            return Some(Decision::Observe(reads));
        }
        let mut components = desired.components.iter();
        let doubtful =
            components.find_map(|want| workload::doubtful(want, self.view(want.level)))?;
        Some(Decision::Wait(Outcome::Waiting {
            reason: "WaitingForLambda",
            message: format!("Waiting for another look at {doubtful}, which was not found"),
            after: ANOTHER_LOOK,
        }))
    }

    /// Why the Release can't be delivered here, from what was seen.
    pub fn obstacle(&self, desired: &Desired) -> Option<String> {
        let gradual = desired.traffic.is_gradual() && !self.run.immediate;
        let obstacle =
            |want: &DesiredComponent| workload::obstacle(want, gradual, self.view(want.level));
        desired.components.iter().find_map(obstacle)
    }

    /// Looks at everything, takes the snapshot and writes down what will be done.
    pub fn begin(&self, desired: &Desired) -> Decision {
        if let Some(decision) = self.not_begun_errors(desired.progress_deadline) {
            return decision;
        }
        if let Some(decision) = self.look(desired) {
            return decision;
        }
        if let Some(why) = self.obstacle(desired) {
            return self.fail_untouched(&why);
        }
        let plan = match self.plan(desired) {
            Ok(plan) => plan,
            Err(first) => return first,
        };
        if let Some(approved) = &self.run.plan_digest
            && *approved != plan.digest
        {
            return self.plan_changed(plan);
        }
        if let Some(components) = self.nothing_to_do(desired) {
            let mut run = self.new_run(desired, Vec::new());
            run.components = components;
            let decision = self.confirm(desired, &run);
            return decision.unwrap_or_else(|| self.record_success(desired, &run));
        }
        if let Some(decision) = self.untouched(desired, self.before(desired)) {
            return decision;
        }
        let Some((reference, _)) = &self.seen.known.snapshot else {
            if let Some(decision) = self.keep(desired) {
                return decision;
            }
            let Some(first) = desired.components.first() else {
                return self.fail_untouched("the Release has no components");
            };
            let components = desired.components.iter();
            let snapshot = Snapshot {
                components: components
                    .filter_map(|want| workload::snapshot(want, self.view(want.level)))
                    .collect(),
            };
            let action = Action::StoreSnapshot(Box::new(snapshot));
            return Decision::Execute(vec![workload::of_run(first, action)]);
        };
        let mut run = self.new_run(desired, self.preparations(desired, 0));
        Step::Prepare.as_str().clone_into(&mut run.step);
        let before = self.status.live.as_ref().map(|live| live.release.clone());
        run.snapshot = Some(SnapshotRef {
            release: before,
            ..reference.clone()
        });
        let mut status = self.status.clone();
        for want in &desired.components {
            self.note_in_inventory(&mut status.inventory, want, None);
        }
        replace_run(&mut status, run);
        replace_plan(&mut status, plan);
        Decision::Record(Box::new(status))
    }

    /// What would be lost is put aside; `None` once it is.
    fn keep(&self, desired: &Desired) -> Option<Decision> {
        let (mut reads, mut acts) = (Vec::new(), Vec::new());
        for want in &desired.components {
            match workload::keep(want, self.view(want.level)) {
                Next::Read(read) => reads.push(read),
                Next::Act(effect) => acts.push(effect),
                Next::Fail(why) => return Some(self.fail_untouched(&why)),
                Next::Wait(_)
                | Next::Running(_)
                | Next::Stuck(_)
                | Next::NotYet(_)
                | Next::Ready => {}
            }
        }
        if !reads.is_empty() {
            return Some(Decision::Observe(reads));
        }
        (!acts.is_empty()).then_some(Decision::Execute(acts))
    }

    /// What was approved is not what would be done now: says so, and waits for another approval.
    fn plan_changed(&self, plan: PlanStatus) -> Decision {
        if self.status.plan.as_ref() == Some(&plan) {
            return Decision::Wait(Outcome::Waiting {
                reason: "PlanChanged",
                message: "What would be done is no longer what was approved: it waits for another approval"
                    .to_owned(),
                after: Duration::from_mins(1),
            });
        }
        let mut status = self.status.clone();
        replace_plan(&mut status, plan);
        Decision::Record(Box::new(status))
    }

    /// Makes what users can't see.
    pub fn prepare(&self, desired: &Desired, journal: &RunStatus) -> Decision {
        let Some((_, before)) = &self.seen.known.snapshot else {
            return self.load_snapshot(desired.progress_deadline, journal);
        };
        let level = level(journal);
        let next = |want: &DesiredComponent| {
            let before = before.component(&want.name);
            workload::prepare(want, &desired.release, before, self.view(level))
        };
        match self.poll(
            desired.level(level).map(next),
            desired.progress_deadline,
            journal,
        ) {
            Poll::Decided(decision) => decision,
            Poll::Failed(why) => self.failed(desired, journal, &why),
            Poll::Ready if self.run.paused => paused(journal),
            Poll::Ready => self.begin_traffic(desired, journal, level),
        }
    }

    /// The changes that Prepare makes on a level.
    pub fn preparations(&self, desired: &Desired, level: usize) -> Vec<Intent> {
        let view = self.view(level);
        desired
            .level(level)
            .flat_map(|want| workload::intents(want, &desired.release, view))
            .collect()
    }

    pub fn view(&self, level: usize) -> View<'a> {
        View {
            owner: self.owner,
            run: self.run,
            status: self.status,
            seen: self.seen,
            level: i64::try_from(level).unwrap_or_default(),
        }
    }

    /// What a failure leads to: everything goes back, or stays where it is until somebody decides.
    pub fn failed(&self, desired: &Desired, journal: &RunStatus, why: &str) -> Decision {
        if desired.on_failure == OnFailure::Automatic {
            return self.turn_back(journal, why);
        }
        let mut status = self.status.clone();
        status.run = Some(RunStatus {
            step: Step::Held.as_str().to_owned(),
            held_at: Some(journal.step.clone()),
            message: Some(shorten(why, 4096)),
            progressed_at: Time(self.now),
            ..journal.clone()
        });
        status.versions = self.versions_so_far(journal);
        Decision::Record(Box::new(status))
    }

    /// Goes on at the step where it was held, with everything looked at anew: what was seen before
    /// the decision counts no more, neither the time that was watched nor what alarms said. Who promotes does
    /// not ask alarms again, which may be why it was held.
    pub fn go_on(&self, journal: &RunStatus) -> Decision {
        let Some(step) = journal.held_at.clone() else {
            return self.turn_back(journal, "the step at which it was held is not on record");
        };
        let mut status = self.status.clone();
        status.run = Some(RunStatus {
            step,
            held_at: None,
            message: None,
            attempt: self.run.attempt,
            unwatched: journal.unwatched || self.run.immediate,
            traffic: journal.traffic.as_ref().map(TrafficStatus::anew),
            started_at: Time(self.now),
            progressed_at: Time(self.now),
            ..journal.clone()
        });
        Decision::Record(Box::new(status))
    }

    /// The stage was given up before this Target began.
    pub fn never_began(&self, why: &str) -> Decision {
        self.fail_untouched(why)
    }

    /// What the status says of the components, if every one is as wanted already.
    pub fn nothing_to_do(&self, desired: &Desired) -> Option<Vec<ComponentStatus>> {
        let last = self
            .status
            .run
            .as_ref()
            .filter(|run| Step::of(run) == Some(Step::Succeeded))?;
        let unchanged = |want: &DesiredComponent| {
            let component = last
                .components
                .iter()
                .find(|component| component.name == want.name);
            workload::unchanged(want, component, self.view(want.level))
        };
        desired.components.iter().map(unchanged).collect()
    }

    /// Asks every component; acts of all components make one wave.
    pub fn poll(
        &self,
        next: impl Iterator<Item = Next>,
        deadline: Duration,
        journal: &RunStatus,
    ) -> Poll {
        if let Some((component, error)) =
            self.seen.errors.iter().find(|(_, error)| !may_pass(error))
        {
            return Poll::Failed(format!("component {component}: {error}"));
        }
        if let Some((component, error)) = self.seen.errors.first() {
            if self.stuck(journal) > deadline {
                return Poll::Failed(format!(
                    "no progress for {}s; component {component}: {error}",
                    deadline.as_secs()
                ));
            }
            return Poll::Decided(Decision::Wait(self.wait_on(error)));
        }
        let (mut reads, mut acts) = (Vec::new(), Vec::new());
        let (mut waits, mut running, mut untold) = (Vec::new(), Vec::new(), Vec::new());
        for next in next {
            match next {
                Next::Read(read) if reads.contains(&read) => {}
                Next::Read(read) => reads.push(read),
                Next::Act(effect) if acts.iter().any(|act| shared(act, &effect)) => {}
                Next::Act(effect) => acts.push(effect),
                Next::Wait(what) | Next::Stuck(what) => waits.push(what),
                Next::Running(what) => running.push(what),
                Next::NotYet(why) => untold.push(why),
                Next::Ready => {}
                Next::Fail(why) => return Poll::Failed(why),
            }
        }
        if !reads.is_empty() {
            return Poll::Decided(Decision::Observe(reads));
        }
        if !acts.is_empty() {
            return Poll::Decided(self.act(acts));
        }
        if !waits.is_empty() {
            return self.settles(&waits, deadline, journal);
        }
        if !running.is_empty() {
            return Poll::Decided(Decision::Wait(under_way(&running)));
        }
        match untold.as_slice() {
            [] => Poll::Ready,
            untold => self.not_told(&untold.join(" and "), deadline, journal),
        }
    }

    /// Carries these out, once what a predecessor left was seen twice.
    pub fn act(&self, acts: Vec<Effect>) -> Decision {
        match self.seen.known.hold_until.filter(|until| *until > self.now) {
            Some(until) => Decision::Wait(Outcome::Waiting {
                reason: "TakingOver",
                message: "Looking twice at what a predecessor left before going on".to_owned(),
                after: until
                    .duration_since(self.now)
                    .try_into()
                    .unwrap_or_default(),
            }),
            None => Decision::Execute(acts),
        }
    }

    /// Waits for what settles by itself, until the deadline.
    pub fn settles(&self, waits: &[String], deadline: Duration, journal: &RunStatus) -> Poll {
        let waits = waits.join(" and ");
        if self.stuck(journal) > deadline {
            let seconds = deadline.as_secs();
            return Poll::Failed(format!("no progress for {seconds}s: waiting for {waits}"));
        }
        let moved = self.seen.known.progressed_at;
        Poll::Decided(Decision::Wait(Outcome::Waiting {
            reason: "WaitingForLambda",
            message: format!("Waiting for {waits}"),
            after: poll_delay(moved.map_or(Duration::ZERO, |at| self.since(at))),
        }))
    }

    /// Waits until an error has passed: not for long where other calls of the same pass have had their
    /// effect, because then the one is as likely to have it next time.
    fn wait_on(&self, error: &CallError) -> Outcome {
        let known = &self.seen.known;
        match wait_for(error) {
            Outcome::Transient {
                reason,
                message,
                after,
            } if known.progressed_at > known.looked_at => Outcome::Waiting {
                reason,
                message,
                after: after.unwrap_or(ANOTHER_LOOK),
            },
            outcome => outcome,
        }
    }

    /// Before anything was changed, what can't be read is somebody's to mend, for as long as the
    /// deadline allows.
    fn not_begun_errors(&self, deadline: Duration) -> Option<Decision> {
        let (component, error) = self.seen.errors.first()?;
        if self.seen.known.blocked_for(self.now) > deadline {
            let why = blocked(deadline, &format!("component {component}: {error}"));
            return Some(self.fail_untouched(&why));
        }
        Some(Decision::Wait(wait_for(error)))
    }

    pub fn load_snapshot(&self, deadline: Duration, journal: &RunStatus) -> Decision {
        match self.poll(
            std::iter::once(Next::Read(Read::Snapshot)),
            deadline,
            journal,
        ) {
            Poll::Decided(decision) => decision,
            Poll::Failed(why) => self.end(journal, Step::RollbackFailed, Some(&why)),
            Poll::Ready => Decision::Observe(vec![Read::Snapshot]),
        }
    }

    /// For how long nothing has moved while this process looked and AWS was not at work.
    pub fn stuck(&self, journal: &RunStatus) -> Duration {
        let known = &self.seen.known;
        // What another process wrote by a clock that is ahead counts from when this one first looked.
        let recorded = Some(journal.progressed_at.0).filter(|at| *at <= self.now);
        let moved = [known.progressed_at, known.at_work_at, recorded];
        let last = moved.into_iter().flatten().max();
        last.map_or(Duration::ZERO, |last| self.since(last))
    }

    pub fn since(&self, then: Timestamp) -> Duration {
        passed(then, self.now)
    }
}

/// Whether one of these serves for both: components share a package.
fn shared(one: &Effect, other: &Effect) -> bool {
    match (&one.action, &other.action) {
        (Action::CopyPackage(one), Action::CopyPackage(other)) => {
            one.code_sha256 == other.code_sha256
        }
        (Action::FindPackage(one), Action::FindPackage(other)) => one == other,
        _ => false,
    }
}

/// The level that a run is at.
pub(super) fn level(journal: &RunStatus) -> usize {
    usize::try_from(journal.level).unwrap_or_default()
}

/// It was told to take no further step.
pub(super) fn paused(journal: &RunStatus) -> Decision {
    let share = match &journal.traffic {
        Some(traffic) => format!("with {} % of the traffic", traffic.weight),
        None => "before any traffic has moved".to_owned(),
    };
    Decision::Wait(Outcome::Waiting {
        reason: "Paused",
        message: format!(
            "r{} is paused {share}: set {} to go on, or {} to put it back",
            journal.release.revision,
            annotation::RESUME,
            annotation::ABORT
        ),
        after: PAUSED,
    })
}

/// How often what is paused is looked at: its checks go on.
const PAUSED: Duration = Duration::from_secs(10);

/// After what was not found is looked for once more.
const ANOTHER_LOOK: Duration = Duration::from_secs(1);

/// How long a Restore may go without progress: it must not depend on the Release being there.
pub const DEFAULT_DEADLINE: Duration = Duration::from_mins(10);
