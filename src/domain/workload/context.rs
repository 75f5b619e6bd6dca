//! What decisions about components are made from, whatever their kinds.

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

/// What decisions about components are made from, besides what is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Whose they must be.
    pub owner: &'a Owner,
    /// The order.
    pub run: &'a Run,
    /// What is on record.
    pub status: &'a TargetStatus,
    /// What was read.
    pub observed: &'a Observed,
    /// What was there before the run, where that is known.
    pub snapshot: Option<&'a Snapshot>,
    /// What checks came to.
    pub checks: &'a Checks,
    /// How this pass stands.
    pub pass: Pass,
    /// The level that is worked on.
    pub level: usize,
}

/// What comes next for one component.
pub type ComponentNext = Next<Read, Effect<Action>>;

impl<'a> Context<'a> {
    /// For a component of one kind.
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

/// In the words for all kinds.
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
