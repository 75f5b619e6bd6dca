//! The desired state of a component on one Target, whatever its kind.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::Part,
    context::{ComponentNext, Context, next_of},
    kind::{Kind, NextOf},
    kinds::{Read, Registered, Workload, on_kind},
    protocol::{PreflightContext, Shift},
    snapshot::ComponentSnapshot,
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Difference, Intent, InventoryItem, OwnedObjects, Proposal,
        PublishedVersion, ReleaseRef, TargetSpec,
    },
    domain::{
        check::{Moment, ServedVersions},
        substitution::{OutputRef, Outputs},
    },
};

/// The desired state of a component on one Target.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredComponent {
    /// Its name.
    pub name: String,
    /// The length of the longest chain of components that must serve before it.
    pub level: usize,
    /// Its desired state on AWS.
    pub workload: Workload,
}

fn reads_of<K: Registered>(reads: impl IntoIterator<Item = K::Read>) -> Vec<Read> {
    reads.into_iter().map(K::read).collect()
}

impl DesiredComponent {
    /// The path of a field in the Deployment's spec.
    pub fn path(&self, field: &str) -> String {
        let kind = on_kind!(Workload, &self.workload, |_it: K| K::FIELD);
        format!("spec.components[{}].{kind}.{field}", self.name)
    }

    /// Its name on AWS.
    pub fn resource(&self) -> String {
        on_kind!(Workload, &self.workload, |it: K| K::resource(it))
    }

    /// The outputs that other components may refer to; `None` for values that are known only once it serves.
    pub fn outputs(&self, target: &TargetSpec) -> Vec<(&'static str, Option<String>)> {
        on_kind!(Workload, &self.workload, |it: K| K::outputs(it, target))
    }

    /// The outputs that only its status in a run determines.
    pub fn deferred_outputs(&self, status: &ComponentStatus) -> Vec<(String, String)> {
        on_kind!(Workload, &self.workload, |_it: K| K::deferred_outputs(
            status
        ))
    }

    /// The first output of another component that it still waits for.
    pub fn needs_output(&self) -> Option<&OutputRef> {
        self.needed_outputs().into_iter().next()
    }

    /// The outputs of other components that it still waits for.
    pub fn needed_outputs(&self) -> Vec<&OutputRef> {
        on_kind!(Workload, &self.workload, |it: K| K::needed_outputs(it))
    }

    /// Whether it has further outputs, whose names only AWS knows.
    pub fn has_open_outputs(&self) -> bool {
        on_kind!(Workload, &self.workload, |it: K| K::has_open_outputs(it))
    }

    /// The read that [`Self::open_outputs`] needs first.
    pub fn output_read(&self, context: Context<'_>) -> Option<Read> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::output_read(it, context.view::<K>(&self.name)).map(K::read)
        })
    }

    /// Those of its open outputs with these names that AWS has, once it serves.
    pub fn open_outputs(
        &self,
        names: &BTreeSet<String>,
        context: Context<'_>,
    ) -> BTreeMap<String, String> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::open_outputs(it, names, context.view::<K>(&self.name))
        })
    }

    /// Fills in those outputs of other components that are known.
    #[must_use]
    pub fn resolve(&self, outputs: &Outputs) -> Self {
        let workload = on_kind!(Workload, &self.workload, |it: K| {
            K::workload(K::resolve(it, outputs))
        });
        Self {
            workload,
            ..self.clone()
        }
    }

    /// Why the two can't coexist: the field, and a text that ends in "that".
    pub fn clash(&self, other: &Self) -> Option<(&'static str, String)> {
        on_kind!(Workload, &self.workload, |it: K| K::clash(
            it,
            K::as_desired(&other.workload)?
        ))
    }

    /// Why a Target would refuse it for reasons outside of the spec: the field and the reason.
    pub fn refused(&self, context: &PreflightContext<'_>) -> Option<(&'static str, String)> {
        on_kind!(Workload, &self.workload, |it: K| K::refused(it, context))
    }

    /// The reads that are needed before a run begins. `gradual` is whether traffic moves in steps.
    pub fn first_reads(&self, gradual: bool, context: Context<'_>) -> Vec<Read> {
        on_kind!(Workload, &self.workload, |it: K| reads_of::<K>(
            K::first_reads(it, gradual, context.view::<K>(&self.name))
        ))
    }

    /// The name of an expected resource that was not found, until its absence is confirmed.
    pub fn unconfirmed_absence(&self, context: Context<'_>) -> Option<String> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::unconfirmed_absence(it, context.view::<K>(&self.name))
        })
    }

    /// Why it can't be delivered to this Target, judged by the observations.
    pub fn obstacle(&self, gradual: bool, context: Context<'_>) -> Option<String> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::obstacle(it, gradual, context.view::<K>(&self.name))
        })
    }

    /// Its status if it is in its desired state already. `last` is what the last successful run left.
    pub fn unchanged(
        &self,
        last: Option<&ComponentStatus>,
        context: Context<'_>,
    ) -> Option<ComponentStatus> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::unchanged(it, last, context.view::<K>(&self.name))
        })
    }

    /// The proposal that its plan needs, if AWS has to compute its changes: the one on record with what is
    /// known of it now, or a new one with this number.
    pub fn proposal(
        &self,
        release: &ReleaseRef,
        serial: i64,
        context: Context<'_>,
    ) -> Option<Proposal> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::proposal(it, release, serial, context.view::<K>(&self.name))
        })
    }

    /// The next read or action to have AWS compute the changes of this proposal.
    pub fn propose(&self, proposal: &Proposal, context: Context<'_>) -> ComponentNext {
        on_kind!(Workload, &self.workload, |it: K| {
            self.next::<K>(K::propose(it, proposal, context.view::<K>(&self.name)))
        })
    }

    /// Its part of the Release's plan. `is_idle` is whether the run would change nothing at all.
    pub fn plan(&self, release: &ReleaseRef, is_idle: bool, context: Context<'_>) -> Part {
        on_kind!(Workload, &self.workload, |it: K| {
            K::plan(it, release, is_idle, context.view::<K>(&self.name))
        })
    }

    /// The next read or action to back up what the run overwrites or deletes.
    pub fn keep(&self, context: Context<'_>) -> ComponentNext {
        on_kind!(Workload, &self.workload, |it: K| {
            self.next::<K>(K::keep(it, context.view::<K>(&self.name)))
        })
    }

    /// The current state; `None` if it was not read.
    pub fn snapshot(&self, context: Context<'_>) -> Option<ComponentSnapshot> {
        let workload = on_kind!(Workload, &self.workload, |it: K| {
            K::snapshot_of(K::snapshot(it, context.view::<K>(&self.name))?)
        });
        Some(ComponentSnapshot {
            component: self.name.clone(),
            level: self.level,
            workload,
        })
    }

    /// Its status before the run changes anything.
    pub fn status(&self, context: Context<'_>) -> ComponentStatus {
        on_kind!(Workload, &self.workload, |it: K| {
            K::status(it, context.view::<K>(&self.name))
        })
    }

    /// Its item in the inventory.
    pub fn inventory_item(&self, context: Context<'_>) -> InventoryItem {
        let item = on_kind!(Workload, &self.workload, |it: K| {
            K::inventory_item(it, context.view::<K>(&self.name))
        });
        InventoryItem {
            level: i64::try_from(self.level).unwrap_or(i64::MAX),
            ..item
        }
    }

    /// Whether this item of the inventory is the component's.
    pub fn is(&self, item: &InventoryItem) -> bool {
        on_kind!(Workload, &self.workload, |it: K| {
            item.kind == K::INVENTORY && item.name == K::resource(it)
        })
    }

    /// The keys of the tags that Sluice sets on it once it serves.
    pub fn tag_keys(&self) -> Vec<String> {
        on_kind!(Workload, &self.workload, |it: K| K::tag_keys(it))
    }

    /// The intents of Prepare: each change, with a value that identifies its effect.
    pub fn intents(&self, release: &ReleaseRef, context: Context<'_>) -> Vec<Intent> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::intents(it, release, context.view::<K>(&self.name))
        })
    }

    /// The next read or action of Prepare, which users do not see.
    pub fn prepare(&self, release: &ReleaseRef, context: Context<'_>) -> ComponentNext {
        on_kind!(Workload, &self.workload, |it: K| {
            self.next::<K>(K::prepare(it, release, context.view::<K>(&self.name)))
        })
    }

    /// The version that Prepare published or reused.
    pub fn version(&self, release: &ReleaseRef, context: Context<'_>) -> Option<String> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::version(it, release, context.view::<K>(&self.name))
        })
    }

    /// That version, as recorded for a later rollback to the Release.
    pub fn published(&self, release: &ReleaseRef, version: &str) -> Option<PublishedVersion> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::published(it, release, version)
        })
    }

    /// Whether traffic can move in steps from the snapshot to `version`.
    pub fn can_split_traffic(&self, version: Option<&str>, before: &ComponentSnapshot) -> bool {
        on_kind!(Workload, &self.workload, |it: K| {
            K::as_snapshot(&before.workload)
                .is_some_and(|before| K::can_split_traffic(it, version, before))
        })
    }

    /// The intents of Promote at this weight: each change, with a value that identifies its effect.
    pub fn move_intents(
        &self,
        status: &ComponentStatus,
        weight: i32,
        context: Context<'_>,
    ) -> Vec<Intent> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::move_intents(it, status, weight, context.view::<K>(&self.name))
        })
    }

    /// The next read or action of Promote, which users see.
    pub fn promote(
        &self,
        status: &ComponentStatus,
        shift: Shift,
        context: Context<'_>,
    ) -> ComponentNext {
        on_kind!(Workload, &self.workload, |it: K| {
            self.next::<K>(K::promote(it, status, shift, context.view::<K>(&self.name)))
        })
    }

    /// A read that must be repeated before a run that moved it succeeds.
    pub fn last_read(&self, context: Context<'_>) -> Option<Read> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::last_read(it, context.view::<K>(&self.name)).map(K::read)
        })
    }

    /// The objects that this Deployment owns once it serves.
    pub fn objects(&self, context: Context<'_>) -> Option<OwnedObjects> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::objects(it, context.view::<K>(&self.name))
        })
    }

    /// Whether the component itself has checks.
    pub fn has_checks(&self) -> bool {
        on_kind!(Workload, &self.workload, |it: K| K::has_checks(it))
    }

    /// The next read or action of its own checks at this moment.
    pub fn checks(
        &self,
        status: &ComponentStatus,
        moment: Moment,
        context: Context<'_>,
    ) -> ComponentNext {
        on_kind!(Workload, &self.workload, |it: K| {
            self.next::<K>(K::checks(it, status, moment, context.view::<K>(&self.name)))
        })
    }

    /// The versions by which metrics are selected.
    pub fn served(&self, status: &ComponentStatus) -> Option<ServedVersions> {
        on_kind!(Workload, &self.workload, |it: K| K::served(it, status))
    }

    /// The reads of a drift check.
    pub fn drift_reads(&self, context: Context<'_>) -> Vec<Read> {
        on_kind!(Workload, &self.workload, |it: K| reads_of::<K>(
            K::drift_reads(it, context.view::<K>(&self.name))
        ))
    }

    /// The differences from what the last run left. `left` is the version that it left, if known.
    pub fn drift(
        &self,
        release: &ReleaseRef,
        left: Option<&str>,
        context: Context<'_>,
    ) -> Vec<Difference> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::drift(it, release, left, context.view::<K>(&self.name))
        })
    }

    fn next<K: Registered>(&self, next: NextOf<K>) -> ComponentNext {
        next_of::<K>(&self.name, self.resource(), next)
    }
}
