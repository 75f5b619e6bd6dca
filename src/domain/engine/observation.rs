//! What the engine asks for, and what it takes in.

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
            protocol::{self, IsAtWork, Noted, Pass, Replied},
            snapshot::Snapshot,
        },
    },
};

use super::{
    clocks::Clocks,
    step::{Step, step_of},
};

/// Something to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The snapshot that the run's status refers to.
    Snapshot,
    /// Something of a component.
    Component(kinds::Read),
}

/// What a read found.
pub enum Found {
    /// The snapshot, and where it is stored.
    Snapshot(SnapshotRef, Box<Snapshot>),
    /// Something of a component.
    Component(kinds::Found),
}

/// A change, or an invocation.
pub type Effect = protocol::Effect<Action>;

/// What is done.
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
    /// Ask a check of the stage.
    Watch {
        /// What must hold.
        check: Box<StageCheck>,
        /// Which one it is.
        key: CheckKey,
        /// What it is asked.
        ask: Ask,
    },
    /// Something to a component.
    Component(kinds::Action),
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The plan with this digest is stored here.
    PlanStored(String, StoredRef),
    /// The snapshot is stored here.
    SnapshotStored(SnapshotRef, Box<Snapshot>),
    /// The snapshot was removed.
    SnapshotDeleted(StoredSnapshot),
    /// A check came to this.
    Checked(CheckKey, Verdict),
    /// The invocation of a check is under way.
    Running(CheckKey),
    /// What a kind takes in.
    Component(kinds::Reply),
}

/// What was read in this pass, and what this process remembers of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// What was read of components.
    pub components: Observed,
    /// Calls of this pass that failed, with the component they were made for.
    pub errors: Vec<(String, CallError)>,
    /// What this process remembers of the run.
    pub known: Known,
    /// What is taken in now was read then.
    now: Timestamp,
}

/// What this process remembers of a run between passes. Losing it costs reads, nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// What earlier passes have read of components.
    pub components: Observed,
    /// The digest of a plan that is too long for the status, and where all of it is stored.
    pub plan: Option<(String, StoredRef)>,
    /// The snapshot, once taken or loaded, and where it is stored.
    pub snapshot: Option<(SnapshotRef, Snapshot)>,
    /// Checks that were made, or are under way.
    pub checks: Checks,
    /// Whether this process wrote the journal's current step: if not, nothing is taken as given.
    pub recorded_here: bool,
    /// Snapshots that were removed, by key and version.
    pub discarded: BTreeSet<(String, String)>,
    /// What deadlines and repetitions count from.
    pub clocks: Clocks,
}

impl Read {
    /// What a grant has to name for it; `None` for what lies in the Target's own folder of the artifact bucket.
    fn grant(&self) -> Option<Resource<'_>> {
        match self {
            Self::Snapshot => None,
            Self::Component(read) => Some(read.grant()),
        }
    }
}

impl From<Replied<kinds::Reply>> for Reply {
    fn from(replied: Replied<kinds::Reply>) -> Self {
        match replied {
            Replied::Kind(reply) => Self::Component(reply),
            Replied::Checked(key, verdict) => Self::Checked(key, verdict),
            Replied::Running(key) => Self::Running(key),
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
    /// AWS's name of the call, for journal, metrics and messages.
    pub fn operation(&self) -> &'static str {
        match &self.action {
            Action::StorePlan { .. } => "StorePlan",
            Action::StoreSnapshot(_) => "StoreSnapshot",
            Action::DeleteSnapshot(_) => "DeleteSnapshot",
            Action::Watch { .. } => "Watch",
            Action::Component(action) => action.operation(),
        }
    }

    /// What a grant has to name for it. What is stored lies in the artifact bucket, in the Target's own folder.
    /// What alarms, metrics and URLs say is read without a grant that names them.
    fn grant(&self) -> Option<Resource<'_>> {
        match &self.action {
            Action::StorePlan { .. }
            | Action::StoreSnapshot(_)
            | Action::DeleteSnapshot(_)
            | Action::Watch { .. } => None,
            Action::Component(action) => action.grant(&self.resource),
        }
    }

    /// Whether the other one serves for this component as well.
    pub(super) fn is_shared(&self, other: &Self) -> bool {
        match (&self.action, &other.action) {
            (Action::Component(one), Action::Component(other)) => one.is_shared(other),
            _ => false,
        }
    }
}

/// Why these reads may not be made; `None` where grants allow every one.
pub fn refused_read(reads: &[Read], permissions: &Permissions) -> Option<String> {
    let mut touched = reads.iter().filter_map(Read::grant);
    touched.find_map(|resource| permissions.refusal(resource))
}

/// Why these effects may not be carried out; `None` where grants allow every one. Nothing of a wave is
/// carried out of which a part is refused.
pub fn refused_effect(effects: &[Effect], permissions: &Permissions) -> Option<String> {
    let mut touched = effects.iter().filter_map(Effect::grant);
    touched.find_map(|resource| permissions.refusal(resource))
}

impl Observation {
    /// A pass begins `now`: with what earlier ones have read, as long as that is fresh. Checks without a
    /// verdict are asked again.
    pub fn of(mut known: Known, now: Timestamp) -> Self {
        known.clocks.look(now);
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

    /// How this pass stands.
    pub(super) fn pass(&self) -> Pass {
        let clocks = &self.known.clocks;
        Pass {
            began: clocks.looked_at,
            has_moved: clocks.progressed_at >= clocks.looked_at,
            is_journal_fresh: self.known.recorded_here,
        }
    }

    /// What is taken in from here on was read at `now`.
    pub fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Takes in what a read found.
    pub fn found(&mut self, found: Found) {
        match found {
            Found::Snapshot(reference, snapshot) => {
                self.known.snapshot = Some((reference, *snapshot));
            }
            Found::Component(found) => {
                let is_at_work = self.components.found(found, self.now);
                self.note_at_work(is_at_work);
            }
        }
    }

    fn note_at_work(&mut self, is_at_work: IsAtWork) {
        if is_at_work {
            self.known.clocks.at_work_at = self.known.clocks.looked_at;
        }
    }

    /// Takes in what an effect answered.
    ///
    /// In Restore (`verify`), no reply is taken for the state: it is read again.
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
                // Whoever asked for the check said how long it may take.
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
                let Noted {
                    failed,
                    is_no_progress,
                    is_at_work,
                } = self.components.replied(of, reply, verify, now);
                self.note_at_work(is_at_work);
                let failed = failed.into_iter();
                let failed = failed.map(|error| (effect.component.clone(), error));
                self.errors.extend(failed);
                // What the journal holds of the component is no longer fresh.
                self.known.recorded_here = false;
                if is_no_progress {
                    return;
                }
            }
        }
        self.known.clocks.progressed_at = Some(now);
    }

    /// A call may have been sent.
    fn sent(&mut self, effect: &Effect) {
        if let Action::Component(action) = &effect.action {
            self.components.sent(&effect.resource, action);
        }
    }

    /// Takes in that an effect failed: whatever was known of its resource may be stale now.
    pub fn failed(&mut self, effect: Effect, error: CallError) {
        if error.kind == CallErrorKind::Unknown {
            self.sent(&effect);
        }
        self.components.forget(&effect.resource);
        self.known.recorded_here = false;
        self.errors.push((effect.component, error));
    }

    /// The status was recorded: `before` is what it said.
    pub fn recorded(&mut self, before: &TargetStatus, after: &TargetStatus) {
        // What goes on after it was held begins with a read of its own.
        self.known.recorded_here = step_of(before) != Some(Step::Held);
        self.known.clocks.hold_until = None;
        if step_of(after) == Some(Step::Restore) {
            self.begin_restore();
        }
    }

    /// What was read on the way forward is no base for Restore.
    pub fn begin_restore(&mut self) {
        self.components.begin_restore();
        self.errors.clear();
    }

    /// The pass is over: what serves the next one as well.
    pub fn into_known(mut self) -> Known {
        self.known.clocks.note_errors(&self.errors);
        self.components.end_pass();
        self.cut_off()
    }

    /// The pass was broken off while calls waited: the next one goes on with all that it read.
    pub fn cut_off(self) -> Known {
        let mut known = self.known;
        known.components = self.components;
        // It was looked at until now, however long that took.
        known.clocks.looked_at = known.clocks.looked_at.max(Some(self.now));
        // What a predecessor left is to be read twice.
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
