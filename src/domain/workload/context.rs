//! The input to decisions about components, whatever their kinds.

use super::{
    kind::{NextOf, ViewOf},
    kinds::{Action, Observed, Read, Registered},
    protocol::{Effect, Next, Pass, View},
    snapshot::Snapshot,
};
use crate::{
    api::v1alpha1::{Run, TargetStatus},
    domain::{check::Checks, ownership::Owner},
};

/// The input to decisions about components, besides their desired state.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The Deployment that must own them.
    pub owner: &'a Owner,
    /// The run.
    pub run: &'a Run,
    /// The Target's status.
    pub status: &'a TargetStatus,
    /// The observations.
    pub observed: &'a Observed,
    /// The state before the run, if known.
    pub snapshot: Option<&'a Snapshot>,
    /// The verdicts of checks.
    pub checks: &'a Checks,
    /// The state of this pass.
    pub pass: Pass,
    /// The current level.
    pub level: usize,
}

/// The next read or action for one component.
pub type ComponentNext = Next<Read, Effect<Action>>;

impl<'a> Context<'a> {
    /// The view of one component, whose kind is `K`.
    pub(super) fn view<K: Registered>(self, component: &str) -> ViewOf<'a, K> {
        let then = self.snapshot.and_then(|then| then.component(component));
        View {
            owner: self.owner,
            run: self.run,
            status: self.status,
            observed: K::observed(self.observed),
            before: then.and_then(|then| K::as_snapshot(&then.workload)),
            checks: self.checks,
            pass: self.pass,
            level: i64::try_from(self.level).unwrap_or_default(),
        }
    }
}

/// Converts from the types of one kind to the combined ones.
pub(super) fn next_of<K: Registered>(
    component: &str,
    resource: String,
    next: NextOf<K>,
) -> ComponentNext {
    let effect = |action| Effect {
        component: component.to_owned(),
        resource,
        action: K::action(action),
    };
    next.map(K::read, effect)
}
