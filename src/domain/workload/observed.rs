//! What was read of components and what came of actions, whatever their kinds.

use jiff::Timestamp;

use super::{
    kind::{Kind, Observed as _},
    kinds::{Action, Found, Observed, Read, Registered, Reply, each_kind, on_kind},
    protocol::{IsAtWork, Noted},
};
use crate::domain::grants::Resource;

impl Read {
    /// The resource that it is of.
    pub fn resource(&self) -> String {
        on_kind!(Read, self, |it: K| K::read_resource(it))
    }

    /// What a grant has to name for it.
    pub fn grant(&self) -> Resource<'_> {
        on_kind!(Read, self, |it: K| K::read_grant(it))
    }
}

impl Action {
    /// AWS's name of the call, for journal, metrics and messages.
    pub fn operation(&self) -> &'static str {
        on_kind!(Action, self, |it: K| K::operation(it))
    }

    /// What a grant has to name for it; `None` for what stays in the artifact bucket.
    pub fn grant<'a>(&'a self, resource: &'a str) -> Option<Resource<'a>> {
        on_kind!(Action, self, |it: K| K::action_grant(it, resource))
    }

    /// Whether the other one serves for this component as well.
    pub fn is_shared(&self, other: &Self) -> bool {
        on_kind!(Action, self, |it: K| {
            K::as_action(other).is_some_and(|other| K::is_shared(it, other))
        })
    }
}

impl Observed {
    /// A pass begins: what is too old counts no longer.
    pub fn begin_pass(&mut self, now: Timestamp) {
        each_kind!(|K| K::observed_mut(self).begin_pass(now));
    }

    /// A pass ends: what the next one has to read again is forgotten.
    pub fn end_pass(&mut self) {
        each_kind!(|K| K::observed_mut(self).end_pass());
    }

    /// Everything that was read is forgotten.
    pub fn forget_reads(&mut self) {
        each_kind!(|K| K::observed_mut(self).forget_reads());
    }

    /// Restore begins: what was read on the way forward is no base for it.
    pub fn begin_restore(&mut self) {
        each_kind!(|K| K::observed_mut(self).begin_restore());
    }

    /// A call on the resource has failed: whatever is known of it may be stale.
    pub fn forget(&mut self, resource: &str) {
        each_kind!(|K| K::observed_mut(self).forget(resource));
    }

    /// The version that was published for the run, of this component.
    pub fn published(&self, component: &str) -> Option<&String> {
        let mut published = None;
        each_kind!(|K| published = published.or(K::observed(self).published(component)));
        published
    }

    /// Takes in what a read found; whether AWS is at work on it.
    pub fn found(&mut self, found: Found, now: Timestamp) -> IsAtWork {
        on_kind!(Found, found, |it: K| K::observed_mut(self).found(it, now))
    }

    /// A call may have been sent.
    pub fn sent(&mut self, resource: &str, action: &Action) {
        on_kind!(Action, action, |it: K| K::observed_mut(self)
            .sent(resource, it));
    }

    /// Takes in what came of an action. With `verify` no reply is taken for the state: it is read again.
    pub fn replied(
        &mut self,
        (component, resource): (&str, &str),
        reply: Reply,
        verify: bool,
        now: Timestamp,
    ) -> Noted {
        on_kind!(Reply, reply, |it: K| {
            K::observed_mut(self).replied((component, resource), it, verify, now)
        })
    }
}
