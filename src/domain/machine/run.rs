//! The steps of a run over all components.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Decision,
    lambda::{self, Next},
    observation::{Action, Effect, Observation, Read},
    snapshot::ComponentSnapshot,
    step::{Step, poll_delay},
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Goal, Intent, Run, RunStatus, SnapshotRef, TargetStatus,
        condition::STALLED,
    },
    domain::{
        desired::{Desired, DesiredFunction},
        failure::{CallError, CallErrorKind},
        outcome::{Outcome, find, shorten},
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
enum Poll {
    Decided(Decision),
    Failed(String),
    Ready,
}

impl Scene<'_> {
    /// The journal of this very run. A repeated attempt to restore continues the one before.
    pub fn journal(&self) -> Option<&RunStatus> {
        let journal = self.status.run.as_ref()?;
        let same_release = journal.release.uid == self.run.release.uid;
        let same_attempt = journal.attempt == self.run.attempt;
        let resumed = self.run.goal == Goal::Restore && self.run.attempt > journal.attempt;
        (same_release && (same_attempt || resumed)).then_some(journal)
    }

    /// Looks at everything, takes the snapshot and writes down what will be done.
    pub fn begin(&self, desired: &Desired) -> Decision {
        if let Some(decision) = self.not_begun_errors(desired.progress_deadline) {
            return decision;
        }
        let reads: Vec<Read> = desired
            .functions
            .iter()
            .flat_map(|want| self.first_reads(want))
            .collect();
        if !reads.is_empty() {
            return Decision::Observe(reads);
        }
        for want in &desired.functions {
            let function = self
                .seen
                .functions
                .get(&want.function_name)
                .and_then(Option::as_ref);
            if let Some(why) = function.and_then(|function| self.owner.refusal(&function.tags)) {
                return self.fail_untouched(&format!(
                    "function {} can't be taken: {why}",
                    want.function_name
                ));
            }
        }
        if let Some(versions) = self.nothing_to_do(desired) {
            return self.record_success(desired, &self.new_run(desired, Vec::new()), versions);
        }
        let Some((reference, _)) = &self.seen.known.snapshot else {
            let snapshot = self.seen.snapshot(&desired.functions);
            let Some(first) = desired.functions.first() else {
                return self.fail_untouched("the Release has no components");
            };
            return Decision::Execute(vec![Effect {
                component: first.component.clone(),
                function: first.function_name.clone(),
                action: Action::StoreSnapshot(Box::new(snapshot)),
            }]);
        };
        let intents = desired
            .functions
            .iter()
            .flat_map(|want| lambda::intents(want, self.seen))
            .collect();
        let mut run = self.new_run(desired, intents);
        Step::Prepare.as_str().clone_into(&mut run.step);
        let before = self.status.live.as_ref().map(|live| live.release.clone());
        run.snapshot = Some(SnapshotRef {
            release: before,
            ..reference.clone()
        });
        let mut status = self.status.clone();
        for want in &desired.functions {
            self.note_in_inventory(&mut status.inventory, want);
        }
        status.run = Some(run);
        Decision::Record(Box::new(status))
    }

    /// Makes what users can't see.
    pub fn prepare(&self, desired: &Desired, journal: &RunStatus) -> Decision {
        let release = &desired.release.name;
        let next = |want: &DesiredFunction| lambda::prepare(want, self.owner, release, self.seen);
        match self.poll(
            desired.functions.iter().map(next),
            desired.progress_deadline,
            journal,
        ) {
            Poll::Decided(decision) => decision,
            Poll::Failed(why) => self.turn_back(journal, &why),
            Poll::Ready => {
                let mut status = self.status.clone();
                let mut run = journal.clone();
                Step::Promote.as_str().clone_into(&mut run.step);
                run.progressed_at = Time(self.now);
                run.intents.clear();
                for (component, want) in run.components.iter_mut().zip(&desired.functions) {
                    component.version = self.seen.known.published.get(&want.component).cloned();
                    run.intents.push(Intent {
                        component: want.component.clone(),
                        operation: if component.alias_revision_id.is_some() {
                            "UpdateAlias"
                        } else {
                            "CreateAlias"
                        }
                        .to_owned(),
                        resource: format!("{}:{}", want.function_name, want.alias),
                        result: component.version.clone(),
                    });
                }
                status.run = Some(run);
                Decision::Record(Box::new(status))
            }
        }
    }

    /// Moves what users see, then checks it.
    pub fn promote(&self, desired: &Desired, journal: &RunStatus) -> Decision {
        if !self.seen.known.recorded_here && self.seen.known.snapshot.is_none() {
            return self.load_snapshot(desired.progress_deadline, journal);
        }
        let before = self
            .seen
            .known
            .snapshot
            .as_ref()
            .map(|(_, snapshot)| snapshot);
        let status_of = |want: &DesiredFunction| {
            journal
                .components
                .iter()
                .find(|one| one.name == want.component)
        };
        let moves = desired.functions.iter().map(|want| match status_of(want) {
            Some(status) => lambda::promote(
                want,
                status,
                before.and_then(|before| before.component(&want.component)),
                self.seen,
            ),
            None => Next::Fail(format!("component {} is not on record", want.component)),
        });
        match self.poll(moves, desired.progress_deadline, journal) {
            Poll::Decided(decision) => return decision,
            Poll::Failed(why) => return self.turn_back(journal, &why),
            Poll::Ready => {}
        }
        let versions: Vec<Option<String>> = desired
            .functions
            .iter()
            .map(|want| status_of(want).and_then(|status| status.version.clone()))
            .collect();
        let checks = desired
            .functions
            .iter()
            .zip(&versions)
            .map(|(want, version)| {
                version.as_ref().map_or(Next::Ready, |version| {
                    lambda::confirm(want, version, self.seen)
                })
            });
        match self.poll(checks, desired.progress_deadline, journal) {
            Poll::Decided(decision) => decision,
            Poll::Failed(why) => self.turn_back(journal, &why),
            Poll::Ready => self.record_success(desired, journal, versions),
        }
    }

    /// Puts back what stood before, and looks whether it does.
    pub fn restore(&self, journal: &RunStatus) -> Decision {
        let deadline = DEFAULT_DEADLINE;
        let Some((_, snapshot)) = &self.seen.known.snapshot else {
            return self.load_snapshot(deadline, journal);
        };
        let next = |then: &ComponentSnapshot| lambda::restore(then, self.owner, self.seen);
        match self.poll(
            snapshot.components.iter().rev().map(next),
            deadline,
            journal,
        ) {
            Poll::Decided(decision) => decision,
            Poll::Failed(why) => self.end(journal, Step::RollbackFailed, Some(&why)),
            Poll::Ready => self.end(journal, Step::RolledBack, None),
        }
    }

    /// Starts to put things back.
    pub fn turn_back(&self, journal: &RunStatus, why: &str) -> Decision {
        let mut status = self.status.clone();
        let mut run = journal.clone();
        if run.snapshot.is_none() {
            // A run that changed nothing has nothing to put back.
            return self.end(journal, Step::RolledBack, Some(why));
        }
        Step::Restore.as_str().clone_into(&mut run.step);
        run.attempt = self.run.attempt.max(run.attempt);
        run.progressed_at = Time(self.now);
        run.finished_at = None;
        if run.message.is_none() {
            run.message = Some(shorten(why, 4096));
        }
        let restoring = |component: &ComponentStatus| Intent {
            component: component.name.clone(),
            operation: "Restore".to_owned(),
            resource: component.function_name.clone(),
            result: run
                .snapshot
                .as_ref()
                .map(|snapshot| snapshot.sha256.clone()),
        };
        run.intents = run.components.iter().rev().map(restoring).collect();
        status.run = Some(run);
        Decision::Record(Box::new(status))
    }

    /// Another attempt to put things back finds them put back.
    pub fn follow_attempt(&self, journal: &RunStatus) -> Decision {
        let mut status = self.status.clone();
        status.run = Some(RunStatus {
            attempt: self.run.attempt,
            ..journal.clone()
        });
        Decision::Record(Box::new(status))
    }

    /// The stage was given up before this Target began.
    pub fn never_began(&self, why: &str) -> Decision {
        self.fail_untouched(why)
    }

    fn first_reads(&self, want: &DesiredFunction) -> Vec<Read> {
        let name = want.function_name.clone();
        let mut reads = Vec::new();
        if !self.seen.functions.contains_key(&name) {
            reads.push(Read::Function { name: name.clone() });
        }
        // Where the function is new to this Target, its alias is read only once it is known to exist.
        let expected = self.status.inventory.iter().any(|item| item.name == name);
        let exists = self
            .seen
            .functions
            .get(&name)
            .map_or(expected, Option::is_some);
        if exists && !self.seen.aliases.contains_key(&name) {
            reads.push(Read::Alias {
                name,
                alias: want.alias.clone(),
            });
        }
        reads
    }

    /// The serving versions, if every component is as wanted already.
    fn nothing_to_do(&self, desired: &Desired) -> Option<Vec<Option<String>>> {
        let last = self
            .status
            .run
            .as_ref()
            .filter(|run| Step::of(run) == Some(Step::Succeeded))?;
        let version = |want: &DesiredFunction| {
            let component = last
                .components
                .iter()
                .find(|component| component.name == want.component);
            lambda::unchanged(want, component, self.seen).map(Some)
        };
        desired.functions.iter().map(version).collect()
    }

    /// Asks every component; acts of all components make one wave.
    fn poll(
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
            let since = self
                .seen
                .known
                .progressed_at
                .map_or(journal.progressed_at.0, |at| {
                    at.max(journal.progressed_at.0)
                });
            if self.since(since) > deadline {
                return Poll::Failed(format!(
                    "no progress for {}s; component {component}: {error}",
                    deadline.as_secs()
                ));
            }
            return Poll::Decided(Decision::Wait(Outcome::from(error.clone())));
        }
        let (mut reads, mut acts, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        for next in next {
            match next {
                Next::Read(read) => reads.push(read),
                Next::Act(effect) => acts.push(effect),
                Next::Wait(what) => waits.push(what),
                Next::Ready => {}
                Next::Fail(why) => return Poll::Failed(why),
            }
        }
        if !reads.is_empty() {
            return Poll::Decided(Decision::Observe(reads));
        }
        if !acts.is_empty() {
            return Poll::Decided(
                match self.seen.known.hold_until.filter(|until| *until > self.now) {
                    Some(until) => Decision::Wait(Outcome::Waiting {
                        reason: "TakingOver",
                        message: "Looking twice at what a predecessor left before going on"
                            .to_owned(),
                        after: until
                            .duration_since(self.now)
                            .try_into()
                            .unwrap_or_default(),
                    }),
                    None => Decision::Execute(acts),
                },
            );
        }
        if waits.is_empty() {
            return Poll::Ready;
        }
        let waited = self
            .seen
            .known
            .progressed_at
            .map_or(Duration::ZERO, |at| self.since(at));
        Poll::Decided(Decision::Wait(Outcome::Waiting {
            reason: "WaitingForLambda",
            message: format!("Waiting for {}", waits.join(" and ")),
            after: poll_delay(waited),
        }))
    }

    /// Before anything was changed, what can't be read is somebody's to mend, for as long as the
    /// deadline allows.
    fn not_begun_errors(&self, deadline: Duration) -> Option<Decision> {
        let (component, error) = self.seen.errors.first()?;
        if self.stalled_longer_than(deadline) {
            return Some(self.fail_untouched(&format!("component {component}: {error}")));
        }
        Some(Decision::Wait(Outcome::from(error.clone())))
    }

    /// Whether the Target has said for this long that only a person can help.
    pub fn stalled_longer_than(&self, deadline: Duration) -> bool {
        let stalled = find(&self.status.conditions, STALLED);
        stalled.is_some_and(|stalled| self.since(stalled.last_transition_time.0) > deadline)
    }

    fn load_snapshot(&self, deadline: Duration, journal: &RunStatus) -> Decision {
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

    fn since(&self, then: Timestamp) -> Duration {
        let passed: SignedDuration = self.now.duration_since(then);
        passed.try_into().unwrap_or_default()
    }
}

/// How long a Restore may go without progress: it must not depend on the Release being there.
pub const DEFAULT_DEADLINE: Duration = Duration::from_mins(10);

/// Whether waiting may help. Credentials that ran out in the middle do come back.
fn may_pass(error: &CallError) -> bool {
    error.is_transient()
        || matches!(
            error.kind,
            CallErrorKind::Unauthenticated | CallErrorKind::AlreadyExists
        )
}
