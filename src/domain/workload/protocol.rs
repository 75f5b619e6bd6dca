//! The words of the component protocol: what a kind is told, and what it answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    api::v1alpha1::{Run, StageTarget, TargetStatus},
    domain::{
        check::{CheckKey, Checks, Verdict},
        failure::CallError,
        ownership::Owner,
    },
};

/// Whether AWS is at work: that time counts for no deadline.
pub type IsAtWork = bool;

/// What a reply says besides the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noted {
    /// What failed of the action.
    pub failed: Vec<CallError>,
    /// Whether it brought the run no further.
    pub is_no_progress: bool,
    /// Whether AWS is at work on it.
    pub is_at_work: IsAtWork,
}

/// What came of an action: of the kind, or of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Replied<R> {
    /// What the kind takes in.
    Kind(R),
    /// A check came to this.
    Checked(CheckKey, Verdict),
    /// The invocation of a check is under way.
    Running(CheckKey),
}

impl<R> Replied<R> {
    /// In other words for replies.
    pub fn map<S>(self, kind: impl FnOnce(R) -> S) -> Replied<S> {
        match self {
            Self::Kind(reply) => Replied::Kind(kind(reply)),
            Self::Checked(key, verdict) => Replied::Checked(key, verdict),
            Self::Running(key) => Replied::Running(key),
        }
    }
}

/// A change, or an invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect<A> {
    /// The component it is for.
    pub component: String,
    /// What it is made on, such as the name of a function.
    pub resource: String,
    /// What is done.
    pub action: A,
}

/// What comes next for one component.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<R, A> {
    /// This has to be read first.
    Read(R),
    /// This has to be done.
    Act(A),
    /// AWS is at work, or another pass decides: until the deadline.
    Wait(Wait),
    /// An invocation is under way: it ends by the check's own timeout.
    Running(String),
    /// Restore can't go on with it unless something else changes, which is waited for until the deadline.
    /// Nothing else is held up.
    Stuck(String),
    /// A check has no verdict yet; why.
    Inconclusive(String),
    /// The step is complete for this component.
    Ready,
    /// The step can't be completed.
    Fail(String),
}

/// A wait, and how soon to read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// For what, to be read after "Waiting for".
    pub what: String,
    /// Read again after a quarter of the time waited so far, but no sooner than this.
    pub least: Duration,
    /// And no later.
    pub most: Duration,
}

impl Wait {
    /// For what takes AWS seconds.
    pub fn brief(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            least: Duration::from_millis(100),
            most: Duration::from_secs(1),
        }
    }

    /// How long to leave AWS alone after waiting for `waited`.
    pub fn after(&self, waited: Duration) -> Duration {
        (waited / 4).clamp(self.least, self.most)
    }
}

impl<R, A> Next<R, A> {
    /// Waits for what takes AWS seconds.
    pub fn wait(what: impl Into<String>) -> Self {
        Self::Wait(Wait::brief(what))
    }

    /// In other words for reads and actions.
    pub fn map<S, B>(self, read: impl FnOnce(R) -> S, act: impl FnOnce(A) -> B) -> Next<S, B> {
        match self {
            Self::Read(it) => Next::Read(read(it)),
            Self::Act(it) => Next::Act(act(it)),
            Self::Wait(wait) => Next::Wait(wait),
            Self::Running(what) => Next::Running(what),
            Self::Stuck(why) => Next::Stuck(why),
            Self::Inconclusive(why) => Next::Inconclusive(why),
            Self::Ready => Next::Ready,
            Self::Fail(why) => Next::Fail(why),
        }
    }
}

/// A move of traffic, in percent of the requests that the new version gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// After it.
    pub weight: i32,
    /// Before it; `None` where all was as before the run.
    pub previous_weight: Option<i32>,
    /// Whether it was observed whole already.
    pub is_confirmed: bool,
}

/// How the present pass stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// When it began.
    pub began: Option<Timestamp>,
    /// Whether something has moved in it.
    pub has_moved: bool,
    /// Whether this process wrote the journal's current step, so that what it holds is fresh.
    pub is_journal_fresh: bool,
}

/// What a decision about a component is made from, besides what is wanted: `O` was read, `S` is its snapshot.
#[derive(Debug)]
pub struct View<'a, O, S> {
    /// Whose it must be.
    pub owner: &'a Owner,
    /// The order.
    pub run: &'a Run,
    /// What is on record.
    pub status: &'a TargetStatus,
    /// What was read.
    pub observed: &'a O,
    /// What was there before the run, where that is known.
    pub before: Option<&'a S>,
    /// What checks came to.
    pub checks: &'a Checks,
    /// How this pass stands.
    pub pass: Pass,
    /// The level that is worked on.
    pub level: i64,
}

impl<O, S> Clone for View<'_, O, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O, S> Copy for View<'_, O, S> {}

/// What a preflight knows of a target besides the Release.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The account and region.
    pub target: &'a StageTarget,
    /// The buckets that keep artifacts, each with the name of its Account.
    pub artifact_buckets: &'a BTreeMap<String, String>,
    /// What is the Deployment's already: Account, region, name on AWS.
    pub owned: &'a BTreeSet<(String, String, String)>,
}
