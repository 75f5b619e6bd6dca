//! The component protocol: the questions that the engine asks a kind of workload.
//!
//! | step | question | answered by |
//! |---|---|---|
//! | spec | What is the desired state? Is it valid? | [`Kind::desire`], [`Kind::clash`], [`Kind::refused`] |
//! | before a run | What must be read, what exists, what would change? | [`Kind::first_reads`], [`Kind::unchanged`], [`Kind::plan`], [`Kind::keep`], [`Kind::snapshot`] |
//! | plan | What must AWS compute for it? | [`Kind::proposal`], [`Kind::propose`], [`Kind::withdraw`] |
//! | Prepare | What is the next action that users do not see? | [`Kind::prepare`] |
//! | Promote | What is the next action that users see, at a weight? | [`Kind::promote`], [`Kind::checks`] |
//! | Restore | What is the next action to restore the snapshot? | [`Kind::restore`] |
//! | removal | What is the next action to delete it? | [`Kind::prune`], [`Kind::delete`], [`Kind::retire`] |
//! | drift | How does AWS differ from what the last run left? | [`Kind::drift`] |
//!
//! # Guarantees
//! - Every function is pure: it decides from observations, and returns the next read or action.
//! - A kind knows neither phases nor other kinds: the engine drives all of them alike.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    change::Part,
    protocol::{IsAwsWorking, Next, PreflightContext, ReplyOutcome, Shift, View},
    scope::Scope,
};
use crate::{
    api::v1alpha1::{
        ArchiveSummary, Component, ComponentStatus, Difference, Intent, InventoryItem,
        OwnedObjects, PinnedArtifact, Proposal, PublishedVersion, ReleaseRef, Restored, RunStatus,
        TargetSpec,
    },
    domain::{
        check::{Moment, ServedVersions},
        grants::Resource,
        invalid::Problems,
        ownership::Owner,
        substitution::{OutputRef, Outputs, Variables},
    },
};

/// A kind of workload.
pub trait Kind: Sized + 'static {
    /// The field of a component that holds its spec, such as `lambda`.
    const FIELD: &'static str;
    /// Its name in the inventory of a Target, such as `LambdaFunction`.
    const INVENTORY: &'static str;

    /// The part of a component's spec that is of this kind.
    type Spec;
    /// The desired state on one Target.
    type Desired: Clone + Debug + PartialEq;
    /// The state before a run.
    type Snapshot: Clone + Debug + PartialEq + Serialize + DeserializeOwned;
    /// A read from AWS.
    type Read: Clone + Debug + PartialEq + Eq;
    /// The result of a read.
    type Found;
    /// A change, or an invocation.
    type Action: Clone + Debug + PartialEq;
    /// The result of an action.
    type Reply: Clone + Debug + PartialEq;
    /// Observations, and what this process remembers of a run. Losing it costs reads, nothing else.
    type Observed: Observed<Found = Self::Found, Action = Self::Action, Reply = Self::Reply>;

    // The spec.

    /// The component's spec of this kind; `None` if the component is of another kind.
    fn spec(component: &Component) -> Option<&Self::Spec>;

    /// The name of the artifact that the component is made from.
    fn artifact(spec: &Self::Spec) -> &str;

    /// The folder of the cloud assembly in its artifact that the component is made from.
    fn assembly(_: &Self::Spec) -> Option<&str> {
        None
    }

    /// The components that stand for this one on a Target with these variables, of which each has a name of its own; or
    /// why there are none: the field and the reason.
    fn expand(
        component: &Component,
        _: &Self::Spec,
        _: &[PinnedArtifact],
        _: &Variables,
    ) -> Result<Vec<Component>, (&'static str, String)> {
        Ok(vec![component.clone()])
    }

    /// Whether `one` needs that `other` serves first, although its spec does not say so. The variables are those of a
    /// Target.
    fn needs(_one: &Self::Spec, _other: &Self::Spec, _: &[PinnedArtifact], _: &Variables) -> bool {
        false
    }

    /// Why the artifact's content is unsuitable. `problem` says why it is not a valid archive.
    fn artifact_problem(
        spec: &Self::Spec,
        archive: Option<&ArchiveSummary>,
        problem: Option<&str>,
    ) -> Option<String>;

    /// The desired state; `None` if it is invalid, with the reasons in `problems`.
    fn desire(
        spec: &Self::Spec,
        scope: &Scope<'_>,
        problems: &mut Problems,
    ) -> Option<Self::Desired>;

    /// Its name on AWS: a function's name, or a bucket with a prefix.
    fn resource(want: &Self::Desired) -> String;

    /// The outputs that other components may refer to as `$(components.x.outputs.y)`; `None` for values that
    /// are known only once the component serves ([`Kind::deferred_outputs`]).
    fn outputs(want: &Self::Desired, target: &TargetSpec) -> Vec<(&'static str, Option<String>)>;

    /// Whether it has further outputs, whose names only AWS knows.
    fn has_open_outputs(_: &Self::Desired) -> bool {
        false
    }

    /// The outputs that only the component's status in a run determines.
    fn deferred_outputs(status: &ComponentStatus) -> Vec<(String, String)> {
        status.outputs.clone().into_iter().collect()
    }

    /// The outputs of other components that it still waits for.
    fn needed_outputs(_: &Self::Desired) -> Vec<&OutputRef> {
        Vec::new()
    }

    /// Fills in those outputs of other components that are known.
    #[must_use]
    fn resolve(want: &Self::Desired, _: &Outputs) -> Self::Desired {
        want.clone()
    }

    /// Why the two can't coexist: the field, and a text that ends in "that", to be followed by "of component
    /// x".
    fn clash(one: &Self::Desired, other: &Self::Desired) -> Option<(&'static str, String)>;

    /// Why a Target would refuse it for reasons outside of the spec: the field and the reason.
    fn refused(
        want: &Self::Desired,
        context: &PreflightContext<'_>,
    ) -> Option<(&'static str, String)>;

    /// Whether the resources with these two names overlap.
    fn overlap(one: &str, other: &str) -> bool {
        one == other
    }

    // Before a run.

    /// The reads that are needed before a run begins. `gradual` is whether traffic moves in steps.
    fn first_reads(want: &Self::Desired, gradual: bool, view: ViewOf<'_, Self>) -> Vec<Self::Read>;

    /// The name of an expected resource that was not found, until its absence is confirmed.
    fn unconfirmed_absence(_: &Self::Desired, _: ViewOf<'_, Self>) -> Option<String> {
        None
    }

    /// Why the component can't be delivered to this Target, judged by the observations.
    fn obstacle(want: &Self::Desired, gradual: bool, view: ViewOf<'_, Self>) -> Option<String>;

    /// The status of a component that is in its desired state already; `None` if something differs. `last` is
    /// what the last successful run left.
    fn unchanged(
        want: &Self::Desired,
        last: Option<&ComponentStatus>,
        view: ViewOf<'_, Self>,
    ) -> Option<ComponentStatus>;

    /// The proposal that the plan of the component needs, if AWS has to compute its changes: the one on record
    /// with what is known of it now, or a new one with this number; `None` if it needs none, or can't have one
    /// now.
    ///
    /// The engine records it before [`Kind::propose`] creates anything. Of several proposals for a Release the
    /// last one counts.
    fn proposal(
        _: &Self::Desired,
        _: &ReleaseRef,
        _serial: i64,
        _: ViewOf<'_, Self>,
    ) -> Option<Proposal> {
        None
    }

    /// The next read or action to have AWS compute the changes of this proposal. It must not change anything
    /// that serves.
    fn propose(_: &Self::Desired, _: &Proposal, _: ViewOf<'_, Self>) -> NextOf<Self> {
        Next::Ready
    }

    /// The next read or action to delete a proposal: [`Next::Ready`] once it is gone, or if it is not the
    /// owner's.
    fn withdraw(_: &Proposal, _: &Owner, _: &Self::Observed) -> NextOf<Self> {
        Next::Ready
    }

    /// The component's part of the Release's plan. `is_idle` is whether the run would change nothing at all.
    fn plan(
        want: &Self::Desired,
        release: &ReleaseRef,
        is_idle: bool,
        view: ViewOf<'_, Self>,
    ) -> Part;

    /// The next read or action to back up what the run overwrites or deletes.
    fn keep(_: &Self::Desired, _: ViewOf<'_, Self>) -> NextOf<Self> {
        Next::Ready
    }

    /// The current state; `None` if it was not read.
    fn snapshot(want: &Self::Desired, view: ViewOf<'_, Self>) -> Option<Self::Snapshot>;

    /// The status of a component before the run changes anything.
    fn status(want: &Self::Desired, view: ViewOf<'_, Self>) -> ComponentStatus;

    /// Its item in the inventory.
    fn inventory_item(want: &Self::Desired, view: ViewOf<'_, Self>) -> InventoryItem;

    /// The keys of the tags that Sluice sets on it once it serves.
    fn tag_keys(_: &Self::Desired) -> Vec<String> {
        Vec::new()
    }

    // A run.

    /// The intents of Prepare: each change, with a value that identifies its effect.
    fn intents(want: &Self::Desired, release: &ReleaseRef, view: ViewOf<'_, Self>) -> Vec<Intent>;

    /// The next read or action of Prepare, which users do not see.
    fn prepare(want: &Self::Desired, release: &ReleaseRef, view: ViewOf<'_, Self>) -> NextOf<Self>;

    /// The version that Prepare published or reused, for kinds that have versions.
    fn version(_: &Self::Desired, _: &ReleaseRef, _: ViewOf<'_, Self>) -> Option<String> {
        None
    }

    /// That version, as recorded for a later rollback to the Release.
    fn published(_: &Self::Desired, _: &ReleaseRef, _version: &str) -> Option<PublishedVersion> {
        None
    }

    /// Whether traffic can move in steps from the snapshot to `version`. Without this capability, all traffic
    /// of a component moves at once, when the others of its level reach 100 percent.
    fn can_split_traffic(
        _: &Self::Desired,
        _version: Option<&str>,
        _before: &Self::Snapshot,
    ) -> bool {
        false
    }

    /// The intents of Promote at this weight: each change, with a value that identifies its effect.
    fn move_intents(
        want: &Self::Desired,
        status: &ComponentStatus,
        weight: i32,
        view: ViewOf<'_, Self>,
    ) -> Vec<Intent>;

    /// The next read or action of Promote, which users see.
    fn promote(
        want: &Self::Desired,
        status: &ComponentStatus,
        shift: Shift,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self>;

    /// A read that must be repeated before a run that moved the component succeeds.
    fn last_read(_: &Self::Desired, _: ViewOf<'_, Self>) -> Option<Self::Read> {
        None
    }

    /// The read that [`Kind::open_outputs`] needs first.
    fn output_read(_: &Self::Desired, _: ViewOf<'_, Self>) -> Option<Self::Read> {
        None
    }

    /// Those of its open outputs with these names that AWS has, once it serves.
    fn open_outputs(
        _: &Self::Desired,
        _names: &BTreeSet<String>,
        _: ViewOf<'_, Self>,
    ) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// The objects that this Deployment owns once the component serves; `None` if it owns none, or they are
    /// unknown at present.
    fn objects(_: &Self::Desired, _: ViewOf<'_, Self>) -> Option<OwnedObjects> {
        None
    }

    /// Whether the component itself has checks.
    fn has_checks(_: &Self::Desired) -> bool {
        false
    }

    /// The next read or action of the component's own checks at this moment.
    fn checks(
        _: &Self::Desired,
        _: &ComponentStatus,
        _: Moment,
        _: ViewOf<'_, Self>,
    ) -> NextOf<Self> {
        Next::Ready
    }

    /// The versions by which metrics are selected.
    fn served(_: &Self::Desired, _: &ComponentStatus) -> Option<ServedVersions> {
        None
    }

    // Restore.

    /// The resource of the snapshot, named as by [`Kind::resource`].
    fn restores(then: &Self::Snapshot) -> String;

    /// Whether this Deployment owned nothing before the run: the resource was absent or not the owner's.
    fn was_unmanaged(then: &Self::Snapshot, owner: &Owner) -> bool;

    /// The next read or action to restore the snapshot after the run with this journal.
    fn restore(
        component: &str,
        then: &Self::Snapshot,
        journal: &RunStatus,
        view: ViewOf<'_, Self>,
    ) -> NextOf<Self>;

    /// The restored state, for the status.
    fn restored(component: &str, then: &Self::Snapshot, observed: &Self::Observed)
    -> Vec<Restored>;

    /// The observed differences from the state before the run with this journal.
    fn not_restored(
        component: &str,
        then: &Self::Snapshot,
        journal: &RunStatus,
        owner: &Owner,
        observed: &Self::Observed,
    ) -> Vec<Difference>;

    /// The objects that this Deployment owns after the restore.
    fn objects_restored(_: &Self::Snapshot, _: &Owner, _: &Self::Observed) -> Option<OwnedObjects> {
        None
    }

    // Drift.

    /// The reads of a drift check.
    fn drift_reads(want: &Self::Desired, view: ViewOf<'_, Self>) -> Vec<Self::Read>;

    /// The differences from what the last run left. `left` is the version that it left, if known.
    fn drift(
        want: &Self::Desired,
        release: &ReleaseRef,
        left: Option<&str>,
        view: ViewOf<'_, Self>,
    ) -> Vec<Difference>;

    // Removal.

    /// The next read or action to delete those parts of a resource that the Release no longer has.
    fn prune(_: &InventoryItem, _: &Self::Observed) -> NextOf<Self> {
        Next::Ready
    }

    /// The objects of the resource that this Deployment owns once it is pruned.
    fn objects_pruned(_: &InventoryItem, _: &Self::Observed) -> Option<OwnedObjects> {
        None
    }

    /// The next read or action to delete a resource: [`Next::Ready`] once it is gone, or if this Deployment
    /// does not own it.
    fn delete(item: &InventoryItem, owner: &Owner, observed: &Self::Observed) -> NextOf<Self>;

    /// The next read or action to delete a version that no Release needs: [`Next::Ready`] once it is gone, or
    /// if its number now names another version; `None` while something uses it. `item` is the version's
    /// resource, `snapshots` are those of the resource that a rollback may need.
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

    /// The resource that a read concerns, named as by [`Kind::resource`].
    fn read_resource(read: &Self::Read) -> String;

    /// The resource that a grant must allow for this read.
    fn read_grant(read: &Self::Read) -> Resource<'_>;

    /// The resources that grants must allow for this action on `resource`; none for actions within the artifact
    /// bucket.
    fn action_grants<'a>(action: &'a Self::Action, resource: &'a str) -> Vec<Resource<'a>>;

    /// The AWS operation, for journal, metrics and messages.
    fn operation(action: &Self::Action) -> &'static str;

    /// Whether one of the two actions is enough for both components.
    fn is_shared(_: &Self::Action, _: &Self::Action) -> bool {
        false
    }
}

/// The observations of a kind, and what this process remembers of a run.
pub trait Observed: Clone + Debug + Default + PartialEq {
    /// The result of a read.
    type Found;
    /// A change, or an invocation.
    type Action;
    /// The result of an action.
    type Reply;

    /// Begins a pass: drops observations that are too old.
    fn begin_pass(&mut self, now: Timestamp);

    /// Ends a pass: drops observations that the next pass must read again.
    fn end_pass(&mut self);

    /// Drops all observations: a call of the previous leader may still be in flight.
    fn forget_reads(&mut self);

    /// Begins Restore: drops observations that were made on the way forward.
    fn begin_restore(&mut self);

    /// Records the result of a read. Returns whether AWS is still working on the resource.
    fn found(&mut self, found: Self::Found, now: Timestamp) -> IsAwsWorking;

    /// Records that a call may have been sent.
    fn sent(&mut self, _resource: &str, _: &Self::Action) {}

    /// Records the result of an action on a component and its resource. With `verify`, the reply does not
    /// count as an observation: the state is read again.
    fn replied(
        &mut self,
        of: (&str, &str),
        reply: Self::Reply,
        verify: bool,
        now: Timestamp,
    ) -> ReplyOutcome;

    /// Drops the observations of a resource: a call on it failed, so they may be stale.
    fn forget(&mut self, resource: &str);

    /// The version of this component that the run published.
    fn published(&self, _component: &str) -> Option<&String> {
        None
    }
}

/// [`Next`] with the types of a kind.
pub type NextOf<K> = Next<<K as Kind>::Read, <K as Kind>::Action>;

/// [`View`] with the types of a kind.
pub type ViewOf<'a, K> = View<'a, <K as Kind>::Observed, <K as Kind>::Snapshot>;
