//! What a kind of workload answers the engine: the component protocol.
//!
//! | step | question | answered by |
//! |---|---|---|
//! | the spec | what is wanted, and is it possible | [`Kind::desire`], [`Kind::clash`], [`Kind::refused`] |
//! | before a run | what has to be read, what is there, is it as wanted already | [`Kind::first_reads`], [`Kind::unchanged`], [`Kind::plan`], [`Kind::keep`], [`Kind::snapshot`] |
//! | Prepare | what comes next of what users do not see | [`Kind::prepare`] |
//! | Promote | what comes next of what they see, for a share of the traffic | [`Kind::promote`], [`Kind::checks`] |
//! | Restore | what comes next on the way back to the snapshot | [`Kind::restore`] |
//! | Prune, deletion | what comes next for what is no longer wanted | [`Kind::prune`], [`Kind::delete`], [`Kind::retire`] |
//! | drift | what differs from what the last run left | [`Kind::drift`] |
//!
//! # Guarantees
//! - Every function is pure: it decides from what was read, and returns what to read or do next.
//! - A kind knows neither phases nor other kinds: the engine drives all of them alike.

use std::fmt::Debug;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    change::Part,
    protocol::{IsAtWork, Next, Noted, Shift, Surroundings, View},
    scope::Scope,
};
use crate::{
    api::v1alpha1::{
        ArchiveSummary, Component, ComponentStatus, Difference, Intent, InventoryItem,
        OwnedObjects, PublishedVersion, ReleaseRef, Restored, RunStatus, TargetSpec,
    },
    domain::{
        check::{Moment, ServedVersions},
        grants::Resource,
        invalid::Problems,
        ownership::Owner,
        substitution::{OutputRef, Outputs},
    },
};

/// A kind of workload.
pub trait Kind: Sized + 'static {
    /// The field of a component that holds its spec, such as `lambda`.
    const FIELD: &'static str;
    /// The word for it in the inventory of a Target, such as `LambdaFunction`.
    const INVENTORY: &'static str;

    /// What a component says.
    type Spec;
    /// What should be there on one Target.
    type Desired: Clone + Debug + PartialEq;
    /// What was there before a run.
    type Snapshot: Clone + Debug + PartialEq + Serialize + DeserializeOwned;
    /// Something to read.
    type Read: Clone + Debug + PartialEq + Eq;
    /// What a read found.
    type Found;
    /// A change, or an invocation.
    type Action: Clone + Debug + PartialEq;
    /// What came of an action.
    type Reply: Clone + Debug + PartialEq;
    /// What was read, and what this process remembers of a run. Losing it costs reads, nothing else.
    type Observed: Observed<Found = Self::Found, Action = Self::Action, Reply = Self::Reply>;

    // The spec.

    /// What the component says of this kind.
    fn spec(component: &Component) -> Option<&Self::Spec>;

    /// The name of the artifact that it is made from.
    fn artifact(spec: &Self::Spec) -> &str;

    /// Why it can't be made from that artifact, as far as its bytes tell. `problem` is why they are no
    /// archive.
    fn artifact_problem(
        spec: &Self::Spec,
        archive: Option<&ArchiveSummary>,
        problem: Option<&str>,
    ) -> Option<String>;

    /// What should be there; `None` where something is wrong with it, which is in `problems` then.
    fn desire(
        spec: &Self::Spec,
        scope: &Scope<'_>,
        problems: &mut Problems,
    ) -> Option<Self::Desired>;

    /// What it is called on AWS: a function's name, or a bucket with a prefix.
    fn resource(want: &Self::Desired) -> String;

    /// What other components may refer to as `$(components.x.outputs.y)`; `None` for what is known only once it
    /// serves ([`Kind::deferred_outputs`]).
    fn outputs(want: &Self::Desired, target: &TargetSpec) -> Vec<(&'static str, Option<String>)>;

    /// The outputs that are known only now that the component has this status in a run.
    fn deferred_outputs(_: &ComponentStatus) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The first output of another component that it still needs.
    fn needs_output(_: &Self::Desired) -> Option<&OutputRef> {
        None
    }

    /// With these outputs of other components filled in, as far as they are known.
    #[must_use]
    fn resolve(want: &Self::Desired, _: &Outputs) -> Self::Desired {
        want.clone()
    }

    /// Why both can't be there, as the field and words that end in "that", to be followed by "of component
    /// x".
    fn clash(one: &Self::Desired, other: &Self::Desired) -> Option<(&'static str, String)>;

    /// Why a Target would refuse it for reasons outside of the spec, as the field and the reason.
    fn refused(want: &Self::Desired, place: &Surroundings<'_>) -> Option<(&'static str, String)>;

    /// Whether the resources that two names stand for overlap.
    fn overlap(one: &str, other: &str) -> bool {
        one == other
    }

    // Before a run.

    /// What has to be read before a run begins. `gradual` is whether traffic moves in steps.
    fn first_reads(want: &Self::Desired, gradual: bool, view: ViewOf<'_, Self>) -> Vec<Self::Read>;

    /// What should be there and was not found, while that may be a stale answer.
    fn unconfirmed_absence(_: &Self::Desired, _: ViewOf<'_, Self>) -> Option<String> {
        None
    }

    /// Why the component can't be delivered here, from what was read.
    fn obstacle(want: &Self::Desired, gradual: bool, view: ViewOf<'_, Self>) -> Option<String>;

    /// The status of a component that is as wanted already; `None` where something differs. `last` is what
    /// the last successful run left.
    fn unchanged(
        want: &Self::Desired,
        last: Option<&ComponentStatus>,
        view: ViewOf<'_, Self>,
    ) -> Option<ComponentStatus>;

    /// What would change for the Release. `is_idle` is whether the run would change nothing at all.
    fn plan(
        want: &Self::Desired,
        release: &ReleaseRef,
        is_idle: bool,
        view: ViewOf<'_, Self>,
    ) -> Part;

    /// What comes next of keeping aside what the run would lose.
    fn keep(_: &Self::Desired, _: ViewOf<'_, Self>) -> NextOf<Self> {
        Next::Ready
    }

    /// What is there now; `None` where it was not read.
    fn snapshot(want: &Self::Desired, view: ViewOf<'_, Self>) -> Option<Self::Snapshot>;

    /// The status of a component before anything was done.
    fn status(want: &Self::Desired, view: ViewOf<'_, Self>) -> ComponentStatus;

    /// What the inventory says of it.
    fn inventory_item(want: &Self::Desired, view: ViewOf<'_, Self>) -> InventoryItem;

    /// The keys of the tags that are set on it once it serves.
    fn tag_keys(_: &Self::Desired) -> Vec<String> {
        Vec::new()
    }

    // A run.

    /// The changes that Prepare will make, by what identifies their effect.
    fn intents(want: &Self::Desired, release: &ReleaseRef, view: ViewOf<'_, Self>) -> Vec<Intent>;

    /// What comes next of what users do not see.
    fn prepare(want: &Self::Desired, release: &ReleaseRef, view: ViewOf<'_, Self>) -> NextOf<Self>;

    /// The version that Prepare came to, for kinds that publish versions.
    fn version(_: &Self::Desired, _: &ReleaseRef, _: ViewOf<'_, Self>) -> Option<String> {
        None
    }

    /// That version, as it is kept for a later return to the Release.
    fn published(_: &Self::Desired, _: &ReleaseRef, _version: &str) -> Option<PublishedVersion> {
        None
    }

    /// Whether traffic can move in steps from what is there to `version`: a capability that not every kind
    /// has. The traffic of one that has not moves at once, when the others of its level get all of theirs.
    fn splits_traffic(_: &Self::Desired, _version: Option<&str>, _before: &Self::Snapshot) -> bool {
        false
    }

    /// The changes that Promote will make for this weight, by what identifies their effect.
    fn move_intents(
        want: &Self::Desired,
        status: &ComponentStatus,
        weight: i32,
        view: ViewOf<'_, Self>,
    ) -> Vec<Intent>;

    /// What comes next of what users see.
    fn promote(
        want: &Self::Desired,
        status: &ComponentStatus,
        shift: Shift,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self>;

    /// What has to be read once more before a run that moved it has succeeded.
    fn last_read(_: &Self::Desired, _: ViewOf<'_, Self>) -> Option<Self::Read> {
        None
    }

    /// The objects that are this Deployment's once it serves; `None` where there are none, or that is not
    /// known now.
    fn objects(_: &Self::Desired, _: ViewOf<'_, Self>) -> Option<OwnedObjects> {
        None
    }

    /// Whether the component itself has checks.
    fn has_checks(_: &Self::Desired) -> bool {
        false
    }

    /// What comes next of the component's own checks at this moment.
    fn checks(
        _: &Self::Desired,
        _: &ComponentStatus,
        _: Moment,
        _: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        Next::Ready
    }

    /// The versions that metrics tell apart.
    fn served(_: &Self::Desired, _: &ComponentStatus) -> Option<ServedVersions> {
        None
    }

    // The way back.

    /// What the snapshot is of, as [`Kind::resource`] has it.
    fn restores(then: &Self::Snapshot) -> String;

    /// Whether there was nothing of this Deployment before: nothing at all, or something unmanaged.
    fn was_unmanaged(then: &Self::Snapshot, owner: &Owner) -> bool;

    /// What comes next of restoring the snapshot after the run that `journal` is of.
    fn restore(
        component: &str,
        then: &Self::Snapshot,
        journal: &RunStatus,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self>;

    /// What is there once it was restored.
    fn restored(component: &str, then: &Self::Snapshot, observed: &Self::Observed)
    -> Vec<Restored>;

    /// What is not as it was before the run that `journal` is of, as far as it was read.
    fn not_restored(
        component: &str,
        then: &Self::Snapshot,
        journal: &RunStatus,
        owner: &Owner,
        observed: &Self::Observed,
    ) -> Vec<Difference>;

    /// The objects that are this Deployment's once it was restored.
    fn objects_restored(_: &Self::Snapshot, _: &Owner, _: &Self::Observed) -> Option<OwnedObjects> {
        None
    }

    // Drift.

    /// What has to be read to find out whether it is as the last run left it.
    fn drift_reads(want: &Self::Desired, view: ViewOf<'_, Self>) -> Vec<Self::Read>;

    /// What differs from what the last run left. `left` is the version that it left, where that is known.
    fn drift(
        want: &Self::Desired,
        release: &ReleaseRef,
        left: Option<&str>,
        view: ViewOf<'_, Self>,
    ) -> Vec<Difference>;

    // Removal.

    /// What comes next for something of which a part is no longer wanted.
    fn prune(_: &InventoryItem, _: &Self::Observed) -> NextOf<Self> {
        Next::Ready
    }

    /// The objects of it that are this Deployment's once that is done.
    fn objects_pruned(_: &InventoryItem, _: &Self::Observed) -> Option<OwnedObjects> {
        None
    }

    /// What comes next for something to delete: [`Next::Ready`] once it is gone, or was never this
    /// Deployment's.
    fn delete(item: &InventoryItem, owner: &Owner, observed: &Self::Observed) -> NextOf<Self>;

    /// What comes next for a version that no Release needs: [`Next::Ready`] once it is gone, or is another
    /// one; `None` where something still uses it. `item` is what the version is of, `snapshots` are those of
    /// it that a rollback may need.
    fn retire(
        _: &PublishedVersion,
        _item: &InventoryItem,
        _snapshots: &[&Self::Snapshot],
        _: &Owner,
        _: &Self::Observed,
    ) -> Option<NextOf<Self>> {
        None
    }

    // Calls.

    /// The resource that a read is of, as [`Kind::resource`] has it.
    fn read_resource(read: &Self::Read) -> String;

    /// What a grant has to name for this read.
    fn read_grant(read: &Self::Read) -> Resource<'_>;

    /// What a grant has to name for this action on `resource`; `None` for what stays in the artifact bucket.
    fn action_grant<'a>(action: &'a Self::Action, resource: &'a str) -> Option<Resource<'a>>;

    /// AWS's name of the call, for journal, metrics and messages.
    fn operation(action: &Self::Action) -> &'static str;

    /// Whether one of these serves for both components.
    fn is_shared(_: &Self::Action, _: &Self::Action) -> bool {
        false
    }
}

/// What was read of a kind, and what this process remembers of a run.
pub trait Observed: Clone + Debug + Default + PartialEq {
    /// What a read found.
    type Found;
    /// A change, or an invocation.
    type Action;
    /// What came of an action.
    type Reply;

    /// A pass begins: what is too old counts no longer.
    fn begin_pass(&mut self, now: Timestamp);

    /// A pass ends: what the next one has to read again is forgotten.
    fn end_pass(&mut self);

    /// Everything that was read is forgotten: a predecessor's last call may still be on its way.
    fn forget_reads(&mut self);

    /// Restore begins: what was read on the way forward is no base for it.
    fn begin_restore(&mut self);

    /// Takes in what a read found; whether AWS is at work on it.
    fn found(&mut self, found: Self::Found, now: Timestamp) -> IsAtWork;

    /// A call may have been sent.
    fn sent(&mut self, _resource: &str, _: &Self::Action) {}

    /// Takes in what came of an action on a component and its resource. With `verify` no reply is taken for the state: it is read again.
    fn replied(
        &mut self,
        of: (&str, &str),
        reply: Self::Reply,
        verify: bool,
        now: Timestamp,
    ) -> Noted;

    /// A call on it has failed: whatever is known of it may be stale.
    fn forget(&mut self, resource: &str);

    /// The version that was published for the run, of this component.
    fn published(&self, _component: &str) -> Option<&String> {
        None
    }
}

/// [`Next`] in the words of a kind.
pub type NextOf<K> = Next<<K as Kind>::Read, <K as Kind>::Action>;

/// [`View`] in the words of a kind.
pub type ViewOf<'a, K> = View<'a, <K as Kind>::Observed, <K as Kind>::Snapshot>;
