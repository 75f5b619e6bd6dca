//! The types of the component protocol: the input and output of a kind.

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
        ownership::{Adoption, Owner},
    },
};

/// Whether AWS is still working on a resource: that time does not count towards deadlines.
pub type IsAwsWorking = bool;

/// What a reply reports besides the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplyOutcome {
    /// The calls of the action that failed.
    pub failed: Vec<CallError>,
    /// Whether it made no progress.
    pub is_no_progress: bool,
    /// Whether AWS is still working on the resource.
    pub is_aws_working: IsAwsWorking,
}

/// The result of an action: of the kind, or of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionResult<R> {
    /// A result for the kind to record.
    Kind(R),
    /// The verdict of a check.
    Checked(CheckKey, Verdict),
    /// The invocation of a check is in progress.
    Running(CheckKey),
}

impl<R> ActionResult<R> {
    /// Converts the reply.
    pub fn map<S>(self, kind: impl FnOnce(R) -> S) -> ActionResult<S> {
        match self {
            Self::Kind(reply) => ActionResult::Kind(kind(reply)),
            Self::Checked(key, verdict) => ActionResult::Checked(key, verdict),
            Self::Running(key) => ActionResult::Running(key),
        }
    }
}

/// A change, or an invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect<A> {
    /// The component.
    pub component: String,
    /// Its resource, such as the name of a function.
    pub resource: String,
    /// The action.
    pub action: A,
}

/// The next read or action for one component, or why none is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<R, A> {
    /// This must be read first.
    Read(R),
    /// This must be done.
    Act(A),
    /// AWS is working, or another pass decides: wait until the deadline.
    Wait(Wait),
    /// An invocation is in progress: it ends by the check's own timeout.
    Running(String),
    /// Restore can't continue with it unless something else changes, and waits for that until the deadline.
    /// Other components continue.
    Stuck(String),
    /// A check has no verdict yet, for this reason.
    Inconclusive(String),
    /// The step is complete for this component.
    Ready,
    /// The step can't be completed, for this reason.
    Fail(String),
}

/// A wait, and the interval between reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What it waits for, to be read after "Waiting for".
    pub what: String,
    /// The shortest interval. An interval is a quarter of the time waited so far.
    pub least: Duration,
    /// The longest interval.
    pub most: Duration,
}

impl Wait {
    /// A wait for an operation that takes AWS seconds.
    pub fn brief(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            least: Duration::from_millis(100),
            most: Duration::from_secs(1),
        }
    }

    /// The interval until the next read, after waiting for `waited`.
    pub fn after(&self, waited: Duration) -> Duration {
        (waited / 4).clamp(self.least, self.most)
    }
}

impl<R, A> Next<R, A> {
    /// Waits for an operation that takes AWS seconds.
    pub fn wait(what: impl Into<String>) -> Self {
        Self::Wait(Wait::brief(what))
    }

    /// Converts the read or action.
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

/// A shift of traffic, in percent of the requests that the new version gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The weight after the shift.
    pub weight: i32,
    /// The weight before the shift; `None` for the first shift of the run.
    pub previous_weight: Option<i32>,
    /// Whether the complete shift was observed already.
    pub is_confirmed: bool,
}

/// The state of the present pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// When it began.
    pub began: Option<Timestamp>,
    /// Whether the run has progressed in it.
    pub has_moved: bool,
    /// Whether this process wrote the journal's current step, so that its content is fresh.
    pub is_journal_fresh: bool,
}

/// The input to a decision about a component, besides its desired state: `O` holds observations, `S` is its
/// snapshot.
#[derive(Debug)]
pub struct View<'a, O, S> {
    /// The Deployment that must own it.
    pub owner: &'a Owner,
    /// The run.
    pub run: &'a Run,
    /// The Target's status.
    pub status: &'a TargetStatus,
    /// The observations.
    pub observed: &'a O,
    /// The state before the run, if known.
    pub before: Option<&'a S>,
    /// The verdicts of checks.
    pub checks: &'a Checks,
    /// The state of this pass.
    pub pass: Pass,
    /// The current level.
    pub level: i64,
}

impl<O, S> Clone for View<'_, O, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O, S> Copy for View<'_, O, S> {}

/// What a preflight knows about a target besides the Release.
#[derive(Clone, Copy, Debug)]
pub struct PreflightContext<'a> {
    /// The account and region.
    pub target: &'a StageTarget,
    /// The artifact buckets, each with the name of its Account.
    pub artifact_buckets: &'a BTreeMap<String, String>,
    /// The resources that the Deployment owns already: Account, region, name on AWS.
    pub owned: &'a BTreeSet<(String, String, String)>,
}

impl PreflightContext<'_> {
    /// Why the resource, which is of this kind in messages, may not be adopted; `None` if it may, if adoption is not
    /// asked for, or if the Deployment owns it already.
    pub fn adoption_refusal(&self, adoption: &Adoption, kind: &str, name: &str) -> Option<String> {
        let Adoption::NotGranted { account } = adoption else {
            return None;
        };
        let StageTarget {
            account: at,
            region,
        } = self.target;
        let known = (at.clone(), region.clone(), name.to_owned());
        (!self.owned.contains(&known)).then(|| {
            format!(
                "adopt is set, and Account {account} has no grant with mayAdopt for {kind} {name}; ask the platform team \
                 to set it"
            )
        })
    }
}
