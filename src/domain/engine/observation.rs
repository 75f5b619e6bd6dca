//! What the engine requests (reads and effects), and what it learns (the observation).

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    api::v1alpha1::{PlannedChange, SnapshotRef, StoredRef, StoredSnapshot, TargetStatus},
    domain::{
        check::{Ask, CheckKey, Checks, StageCheck, Verdict},
        failure::{CallError, CallErrorKind},
        grants::{Permissions, Resource},
        workload::{
            kinds::{self, Observed},
            protocol::{self, ActionResult, IsAwsWorking, Pass, ReplyOutcome},
            snapshot::Snapshot,
        },
    },
};

use super::{
    clocks::Clocks,
    step::{Step, step_of},
};

/// A read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The snapshot that the run's status refers to.
    Snapshot,
    /// A part of a component.
    Component(kinds::Read),
}

/// The result of a read.
pub enum Found {
    /// The snapshot, and where it is stored.
    Snapshot(SnapshotRef, Box<Snapshot>),
    /// A part of a component.
    Component(kinds::Found),
}

/// A change, or an invocation.
pub type Effect = protocol::Effect<Action>;

/// The action of an effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Store all changes of a plan that is too long for the status.
    StorePlan {
        /// The plan's digest.
        digest: String,
        /// The changes.
        changes: Vec<PlannedChange>,
    },
    /// Store this snapshot, with the packages it names, in the Target's bucket.
    StoreSnapshot(Box<Snapshot>),
    /// Remove a snapshot from the Target's bucket.
    DeleteSnapshot(StoredSnapshot),
    /// Evaluate a check of the stage.
    Watch {
        /// The check.
        check: Box<StageCheck>,
        /// The key of its verdict.
        key: CheckKey,
        /// What it evaluates.
        ask: Ask,
    },
    /// An action on a component.
    Component(kinds::Action),
}

/// The reply to an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The plan with this digest is stored here.
    PlanStored(String, StoredRef),
    /// The snapshot is stored here.
    SnapshotStored(SnapshotRef, Box<Snapshot>),
    /// The snapshot was removed.
    SnapshotDeleted(StoredSnapshot),
    /// The check has this verdict.
    Checked(CheckKey, Verdict),
    /// The invocation of a check is under way.
    Running(CheckKey),
    /// The reply of a kind of workload.
    Component(kinds::Reply),
}

/// The reads of this pass, and what this process remembers of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The observed components.
    pub components: Observed,
    /// The failed calls of this pass, each with its component.
    pub errors: Vec<(String, CallError)>,
    /// What this process remembers of the run.
    pub known: Known,
    /// The time at which the next results were read.
    now: Timestamp,
}

/// What this process remembers of a run between passes. Losing it costs only reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The components, as earlier passes observed them.
    pub components: Observed,
    /// The digest of a plan that is too long for the status, and where all of it is stored.
    pub plan: Option<(String, StoredRef)>,
    /// The snapshot, once taken or loaded, and where it is stored.
    pub snapshot: Option<(SnapshotRef, Snapshot)>,
    /// The checks that have a verdict or are under way.
    pub checks: Checks,
    /// Whether this process wrote the journal's current step. If not, the engine assumes nothing.
    pub recorded_here: bool,
    /// The deleted snapshots, by key and version.
    pub discarded: BTreeSet<(String, String)>,
    /// The times from which deadlines and retries count.
    pub clocks: Clocks,
}

impl Read {
    /// The resource that a grant has to name; `None` for the Target's own folder of the artifact bucket.
    fn grant(&self) -> Option<Resource<'_>> {
        match self {
            Self::Snapshot => None,
            Self::Component(read) => Some(read.grant()),
        }
    }
}

impl From<ActionResult<kinds::Reply>> for Reply {
    fn from(replied: ActionResult<kinds::Reply>) -> Self {
        match replied {
            ActionResult::Kind(reply) => Self::Component(reply),
            ActionResult::Checked(key, verdict) => Self::Checked(key, verdict),
            ActionResult::Running(key) => Self::Running(key),
        }
    }
}

impl From<protocol::Effect<kinds::Action>> for Effect {
    fn from(effect: protocol::Effect<kinds::Action>) -> Self {
        Self {
            component: effect.component,
            resource: effect.resource,
            action: Action::Component(effect.action),
        }
    }
}

impl Effect {
    /// The AWS name of the call, for journal, metrics and messages.
    pub fn operation(&self) -> &'static str {
        match &self.action {
            Action::StorePlan { .. } => "StorePlan",
            Action::StoreSnapshot(_) => "StoreSnapshot",
            Action::DeleteSnapshot(_) => "DeleteSnapshot",
            Action::Watch { .. } => "Watch",
            Action::Component(action) => action.operation(),
        }
    }

    /// The resources that grants have to name; none for the Target's own folder of the artifact bucket, and for
    /// alarms, metrics and URLs, which Sluice reads without a grant.
    fn grants(&self) -> Vec<Resource<'_>> {
        match &self.action {
            Action::StorePlan { .. }
            | Action::StoreSnapshot(_)
            | Action::DeleteSnapshot(_)
            | Action::Watch { .. } => Vec::new(),
            Action::Component(action) => action.grants(&self.resource),
        }
    }

    /// Whether the other effect serves this component as well.
    pub(super) fn is_shared(&self, other: &Self) -> bool {
        match (&self.action, &other.action) {
            (Action::Component(one), Action::Component(other)) => one.is_shared(other),
            _ => false,
        }
    }
}

/// Why the grants refuse these reads; `None` if they allow all of them.
pub fn refused_read(reads: &[Read], permissions: &Permissions) -> Option<String> {
    let mut resources = reads.iter().filter_map(Read::grant);
    resources.find_map(|resource| permissions.refusal(resource))
}

/// Why the grants refuse these effects; `None` if they allow all of them. Sluice executes no part of a wave
/// of which one effect is refused.
pub fn refused_effect(effects: &[Effect], permissions: &Permissions) -> Option<String> {
    let mut resources = effects.iter().flat_map(Effect::grants);
    resources.find_map(|resource| permissions.refusal(resource))
}

impl Observation {
    /// Begins a pass at `now`, with the reads of earlier passes that are still fresh. The pass evaluates
    /// inconclusive checks again.
    pub fn of(mut known: Known, now: Timestamp) -> Self {
        known.clocks.begin_pass(now);
        let again = known.clocks.is_watch_due(now, &known.checks);
        known.checks.running.clear();
        known.checks.verdicts.retain(|key, verdict| {
            let asked_again = again && key.is_of_stage();
            !asked_again && !matches!(verdict, Verdict::Inconclusive(_))
        });
        let mut components = std::mem::take(&mut known.components);
        components.begin_pass(now);
        Self {
            components,
            errors: Vec::new(),
            known,
            now,
        }
    }

    /// The state of this pass.
    pub(super) fn pass(&self) -> Pass {
        let clocks = &self.known.clocks;
        Pass {
            began: clocks.last_observed_at,
            has_moved: clocks.progressed_at >= clocks.last_observed_at,
            is_journal_fresh: self.known.recorded_here,
        }
    }

    /// Sets the time at which all further results were read.
    pub fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Takes in the result of a read.
    pub fn found(&mut self, found: Found) {
        match found {
            Found::Snapshot(reference, snapshot) => {
                self.known.snapshot = Some((reference, *snapshot));
            }
            Found::Component(found) => {
                let is_aws_working = self.components.found(found, self.now);
                self.note_at_work(is_aws_working);
            }
        }
    }

    fn note_at_work(&mut self, is_aws_working: IsAwsWorking) {
        if is_aws_working {
            self.known.clocks.at_work_at = self.known.clocks.last_observed_at;
        }
    }

    /// Takes in the reply to an effect.
    ///
    /// In Restore (`verify`), no reply counts as the state: the engine reads it again.
    pub fn note(&mut self, effect: &Effect, reply: Reply, verify: bool, now: Timestamp) {
        self.at(now);
        self.sent(effect);
        match reply {
            Reply::PlanStored(digest, stored) => self.known.plan = Some((digest, stored)),
            Reply::SnapshotStored(reference, snapshot) => {
                self.known.snapshot = Some((reference, *snapshot));
            }
            Reply::SnapshotDeleted(it) => {
                self.known.discarded.insert((it.key, it.version_id));
            }
            Reply::Running(key) => {
                // The check's own timeout bounds it.
                self.note_at_work(true);
                self.known.checks.running.insert(key);
                return;
            }
            Reply::Checked(key, verdict) => {
                let is_inconclusive = matches!(verdict, Verdict::Inconclusive(_));
                if key.is_of_stage() {
                    self.known.clocks.watched_at = Some(now);
                }
                self.known.checks.verdicts.insert(key, verdict);
                if is_inconclusive {
                    // Waiting is no progress.
                    self.known.clocks.waiting_since.get_or_insert(now);
                    return;
                }
            }
            Reply::Component(reply) => {
                let of = (effect.component.as_str(), effect.resource.as_str());
                let ReplyOutcome {
                    failed,
                    is_no_progress,
                    is_aws_working,
                } = self.components.replied(of, reply, verify, now);
                self.note_at_work(is_aws_working);
                let failed = failed.into_iter();
                let failed = failed.map(|error| (effect.component.clone(), error));
                self.errors.extend(failed);
                // The journal's data of the component is no longer fresh.
                self.known.recorded_here = false;
                if is_no_progress {
                    return;
                }
            }
        }
        self.known.clocks.progressed_at = Some(now);
    }

    /// Notes that a call may have been sent.
    fn sent(&mut self, effect: &Effect) {
        if let Action::Component(action) = &effect.action {
            self.components.sent(&effect.resource, action);
        }
    }

    /// Takes in the failure of an effect: what was known of its resource may be stale now.
    pub fn failed(&mut self, effect: Effect, error: CallError) {
        if error.kind == CallErrorKind::Unknown {
            self.sent(&effect);
        }
        self.components.forget(&effect.resource);
        self.known.recorded_here = false;
        self.errors.push((effect.component, error));
    }

    /// Takes in that the status was recorded; `before` is the former one.
    pub fn recorded(&mut self, before: &TargetStatus, after: &TargetStatus) {
        // A run that was held resumes with fresh reads.
        self.known.recorded_here = step_of(before) != Some(Step::Held);
        self.known.clocks.hold_until = None;
        if step_of(after) == Some(Step::Restore) {
            self.begin_restore();
        }
    }

    /// Forgets earlier reads and errors: Restore starts from fresh reads.
    pub fn begin_restore(&mut self) {
        self.components.begin_restore();
        self.errors.clear();
    }

    /// Ends the pass, and keeps what serves the next one as well.
    pub fn into_known(mut self) -> Known {
        self.known.clocks.record_errors(&self.errors);
        self.components.end_pass();
        self.into_known_interrupted()
    }

    /// Ends a pass that was interrupted while calls waited: the next one continues with all its reads.
    pub fn into_known_interrupted(self) -> Known {
        let mut known = self.known;
        known.components = self.components;
        // The pass observed the Target until now, however long that took.
        known.clocks.last_observed_at = known.clocks.last_observed_at.max(Some(self.now));
        // After a change of leader, everything is read twice.
        if known
            .clocks
            .hold_until
            .is_some_and(|until| until > self.now)
        {
            known.components.forget_reads();
        }
        known
    }
}
