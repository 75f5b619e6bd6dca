//! Results of reads and actions, whatever the kind of component.

use jiff::Timestamp;

use super::{
    kind::{Kind, Observed as _},
    kinds::{Action, Found, Observed, Read, Registered, Reply, each_kind, on_kind},
    protocol::{IsAwsWorking, ReplyOutcome},
};
use crate::domain::grants::Resource;

impl Read {
    /// The resource that it concerns.
    pub fn resource(&self) -> String {
        on_kind!(Read, self, |it: K| K::read_resource(it))
    }

    /// The resource that a grant must allow for it.
    pub fn grant(&self) -> Resource<'_> {
        on_kind!(Read, self, |it: K| K::read_grant(it))
    }
}

impl Action {
    /// The AWS operation, for journal, metrics and messages.
    pub fn operation(&self) -> &'static str {
        on_kind!(Action, self, |it: K| K::operation(it))
    }

    /// The resources that grants must allow for it; none for actions within the artifact bucket.
    pub fn grants<'a>(&'a self, resource: &'a str) -> Vec<Resource<'a>> {
        on_kind!(Action, self, |it: K| K::action_grants(it, resource))
    }

    /// Whether one of the two actions is enough for both components.
    pub fn is_shared(&self, other: &Self) -> bool {
        on_kind!(Action, self, |it: K| {
            K::as_action(other).is_some_and(|other| K::is_shared(it, other))
        })
    }
}

impl Observed {
    /// Begins a pass: drops observations that are too old.
    pub fn begin_pass(&mut self, now: Timestamp) {
        each_kind!(|K| K::observed_mut(self).begin_pass(now));
    }

    /// Ends a pass: drops observations that the next pass must read again.
    pub fn end_pass(&mut self) {
        each_kind!(|K| K::observed_mut(self).end_pass());
    }

    /// Drops all observations.
    pub fn forget_reads(&mut self) {
        each_kind!(|K| K::observed_mut(self).forget_reads());
    }

    /// Begins Restore: drops observations that were made on the way forward.
    pub fn begin_restore(&mut self) {
        each_kind!(|K| K::observed_mut(self).begin_restore());
    }

    /// Drops the observations of a resource: a call on it failed, so they may be stale.
    pub fn forget(&mut self, resource: &str) {
        each_kind!(|K| K::observed_mut(self).forget(resource));
    }

    /// The version of this component that the run published.
    pub fn published(&self, component: &str) -> Option<&String> {
        let mut published = None;
        each_kind!(|K| published = published.or(K::observed(self).published(component)));
        published
    }

    /// Records the result of a read. Returns whether AWS is still working on the resource.
    pub fn found(&mut self, found: Found, now: Timestamp) -> IsAwsWorking {
        on_kind!(Found, found, |it: K| K::observed_mut(self).found(it, now))
    }

    /// Records that a call may have been sent.
    pub fn sent(&mut self, resource: &str, action: &Action) {
        on_kind!(Action, action, |it: K| K::observed_mut(self)
            .sent(resource, it));
    }

    /// Records the result of an action. With `verify`, the reply does not count as an observation: the state
    /// is read again.
    pub fn replied(
        &mut self,
        (component, resource): (&str, &str),
        reply: Reply,
        verify: bool,
        now: Timestamp,
    ) -> ReplyOutcome {
        on_kind!(Reply, reply, |it: K| {
            K::observed_mut(self).replied((component, resource), it, verify, now)
        })
    }
}
