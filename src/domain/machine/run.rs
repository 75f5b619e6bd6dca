//! The steps of a run over all components.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Decision, JOURNAL_VERSION,
    lambda::{self, Next},
    observation::{Action, Effect, Observation, Read},
    snapshot::{ComponentSnapshot, Snapshot},
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Goal, Intent, InventoryItem, LiveRelease, Run, RunStatus, SnapshotRef,
        TargetStatus, condition::STALLED,
    },
    domain::{
        desired::{Desired, DesiredFunction},
        failure::{CallError, CallErrorKind},
        outcome::{Outcome, find, shorten},
        ownership::Owner,
    },
};

/// What the inventory calls a function.
const FUNCTION: &str = "LambdaFunction";

/// The steps as the status names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What users can't see is being made.
    Prepare,
    /// What users see is being moved, and checked.
    Promote,
    /// What stood before is being put back.
    Restore,
    /// The Release serves.
    Succeeded,
    /// Nothing was changed.
    Failed,
    /// What stood before serves again.
    RolledBack,
    /// Neither serves as it should.
    RollbackFailed,
}

impl Step {
    /// The step a run is at; `None` for one this version does not know.
    pub fn of(run: &RunStatus) -> Option<Self> {
        use Step::{Failed, Prepare, Promote, Restore, RollbackFailed, RolledBack, Succeeded};
        [
            Prepare,
            Promote,
            Restore,
            Succeeded,
            Failed,
            RolledBack,
            RollbackFailed,
        ]
        .into_iter()
        .find(|step| step.as_str() == run.step)
    }

    /// As the status writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "Prepare",
            Self::Promote => "Promote",
            Self::Restore => "Restore",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::RolledBack => "RolledBack",
            Self::RollbackFailed => "RollbackFailed",
        }
    }

    /// Whether the run is over.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Prepare | Self::Promote | Self::Restore)
    }
}

/// Whether the run is over.
pub fn ended(run: &RunStatus) -> bool {
    Step::of(run).is_some_and(Step::is_end)
}

/// One line for people.
pub fn summary(status: &TargetStatus) -> String {
    let Some(run) = &status.run else {
        return "Nothing was delivered yet".to_owned();
    };
    let revision = run.release.revision;
    let because = run.message.as_deref().unwrap_or("no reason is on record");
    let serving = match &status.live {
        Some(live) => format!("r{} serves", live.release.revision),
        None => "nothing serves".to_owned(),
    };
    let text = match Step::of(run) {
        Some(Step::Prepare) => format!("Preparing r{revision}"),
        Some(Step::Promote) => format!("Moving traffic to r{revision}"),
        Some(Step::Restore) => format!("Putting back what stood before r{revision}: {because}"),
        Some(Step::Succeeded) => format!("r{revision} serves"),
        Some(Step::Failed) => format!("r{revision} was not delivered, {serving}: {because}"),
        Some(Step::RolledBack) => format!("r{revision} was taken back, {serving}: {because}"),
        Some(Step::RollbackFailed) => format!("r{revision} could not be taken back: {because}"),
        None => format!("r{revision} is at step {}", run.step),
    };
    shorten(&text, 1024)
}

/// How the Target's reconcile ends when nothing else is to be said than what the status says.
pub fn outcome(status: &TargetStatus) -> Outcome {
    let message = summary(status);
    let moving = |reason| Outcome::Waiting {
        reason,
        message: summary(status),
        after: Duration::from_secs(1),
    };
    match status.run.as_ref().and_then(Step::of) {
        Some(Step::Prepare) => moving("Preparing"),
        Some(Step::Promote) => moving("Promoting"),
        Some(Step::Restore) => moving("RollingBack"),
        Some(Step::Succeeded) => Outcome::Done {
            reason: "Delivered",
            message,
        },
        Some(Step::Failed) => Outcome::Stalled {
            reason: "DeliveryFailed",
            message,
        },
        Some(Step::RolledBack) => Outcome::Stalled {
            reason: "RolledBack",
            message,
        },
        Some(Step::RollbackFailed) => Outcome::Stalled {
            reason: "RollbackFailed",
            message,
        },
        None => Outcome::Done {
            reason: "Idle",
            message,
        },
    }
}

/// How long to leave AWS alone before looking again: soon at first, every second after a while.
pub fn poll_delay(waited: Duration) -> Duration {
    (waited / 2).clamp(Duration::from_millis(250), Duration::from_secs(1))
}

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
                return self.fail_untouched(format!(
                    "function {} can't be taken: {why}",
                    want.function_name
                ));
            }
        }
        if let Some(versions) = self.nothing_to_do(desired) {
            return self.record_success(desired, &self.new_run(desired, Vec::new()), versions);
        }
        let Some((reference, _)) = &self.seen.known.snapshot else {
            let snapshot = Snapshot::take(&desired.functions, self.seen);
            let Some(first) = desired.functions.first() else {
                return self.fail_untouched("the Release has no components".to_owned());
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
        self.fail_untouched(why.to_owned())
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
            return Some(self.fail_untouched(format!("component {component}: {error}")));
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

    fn new_run(&self, desired: &Desired, intents: Vec<Intent>) -> RunStatus {
        let mut run = self.empty_run();
        run.intents = intents;
        run.components = desired
            .functions
            .iter()
            .map(|want| lambda::component_status(want, self.seen))
            .collect();
        run
    }

    fn empty_run(&self) -> RunStatus {
        RunStatus {
            release: self.run.release.clone(),
            attempt: self.run.attempt,
            journal_version: JOURNAL_VERSION,
            step: Step::Failed.as_str().to_owned(),
            message: None,
            started_at: Time(self.now),
            progressed_at: Time(self.now),
            finished_at: None,
            snapshot: None,
            intents: Vec::new(),
            components: Vec::new(),
        }
    }

    fn record_success(
        &self,
        desired: &Desired,
        run: &RunStatus,
        versions: Vec<Option<String>>,
    ) -> Decision {
        let mut status = self.status.clone();
        let mut run = run.clone();
        Step::Succeeded.as_str().clone_into(&mut run.step);
        run.message = None;
        run.progressed_at = Time(self.now);
        run.finished_at = Some(Time(self.now));
        run.intents.clear();
        for (component, version) in run.components.iter_mut().zip(versions) {
            component.version = version;
            component.alias_revision_id = None;
        }
        for want in &desired.functions {
            self.note_in_inventory(&mut status.inventory, want);
        }
        status.run = Some(run);
        status.live = Some(LiveRelease {
            release: desired.release.clone(),
            since: Time(self.now),
        });
        Decision::Record(Box::new(status))
    }

    fn fail_untouched(&self, why: String) -> Decision {
        let mut run = self.empty_run();
        run.message = Some(shorten(&why, 4096));
        run.finished_at = Some(Time(self.now));
        let mut status = self.status.clone();
        status.run = Some(run);
        Decision::Record(Box::new(status))
    }

    fn end(&self, journal: &RunStatus, step: Step, why: Option<&str>) -> Decision {
        let mut status = self.status.clone();
        let mut run = journal.clone();
        step.as_str().clone_into(&mut run.step);
        run.progressed_at = Time(self.now);
        run.finished_at = Some(Time(self.now));
        run.intents.clear();
        if let Some(why) = why {
            let message = match &run.message {
                Some(first) if first != why => format!("{first}; putting it back failed: {why}"),
                _ => why.to_owned(),
            };
            run.message = Some(shorten(&message, 4096));
        }
        if step == Step::RolledBack
            && let Some(snapshot) = &self.seen.known.snapshot
        {
            let gone = |item: &InventoryItem| {
                snapshot
                    .1
                    .component(&item.component)
                    .is_some_and(|then| then.function.is_none())
            };
            status.inventory.retain(|item| !gone(item));
            let before = journal
                .snapshot
                .as_ref()
                .and_then(|snapshot| snapshot.release.clone());
            let since = status
                .live
                .as_ref()
                .map_or(Time(self.now), |live| live.since.clone());
            let kept = status.live.as_ref().map(|live| &live.release) == before.as_ref();
            status.live = before.map(|release| LiveRelease {
                release,
                since: if kept { since } else { Time(self.now) },
            });
        }
        status.run = Some(run);
        Decision::Record(Box::new(status))
    }

    fn note_in_inventory(&self, inventory: &mut Vec<InventoryItem>, want: &DesiredFunction) {
        let known = inventory
            .iter_mut()
            .find(|item| item.kind == FUNCTION && item.name == want.function_name);
        if let Some(item) = known {
            item.component.clone_from(&want.component);
            item.alias = Some(want.alias.clone());
            return;
        }
        let existed = self
            .seen
            .functions
            .get(&want.function_name)
            .is_some_and(Option::is_some);
        inventory.push(InventoryItem {
            component: want.component.clone(),
            kind: FUNCTION.to_owned(),
            name: want.function_name.clone(),
            alias: Some(want.alias.clone()),
            created: !existed,
        });
    }

    fn since(&self, then: Timestamp) -> Duration {
        let passed: SignedDuration = self.now.duration_since(then);
        passed.try_into().unwrap_or_default()
    }
}

/// How long a Restore may go without progress: it must not depend on the Release being there.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(600);

/// Whether waiting may help. Credentials that ran out in the middle do come back.
fn may_pass(error: &CallError) -> bool {
    error.is_transient()
        || matches!(
            error.kind,
            CallErrorKind::Unauthenticated | CallErrorKind::AlreadyExists
        )
}
