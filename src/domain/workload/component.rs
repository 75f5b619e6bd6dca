//! A component as it should be on one Target, whatever its kind.

use super::{
    change::Part,
    context::{ComponentNext, Context, next_of},
    kind::{Kind, NextOf},
    kinds::{Read, Registered, Workload, on_kind},
    protocol::{Shift, Surroundings},
    snapshot::ComponentSnapshot,
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Difference, Intent, InventoryItem, OwnedObjects, PublishedVersion,
        ReleaseRef, TargetSpec,
    },
    domain::{
        check::{Moment, ServedVersions},
        substitution::{OutputRef, Outputs},
    },
};

/// A component as it should be on one Target.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredComponent {
    /// Its name.
    pub name: String,
    /// How many other components have to serve before it, in a row.
    pub level: usize,
    /// What it is on AWS.
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

    /// What it is called on AWS.
    pub fn resource(&self) -> String {
        on_kind!(Workload, &self.workload, |it: K| K::resource(it))
    }

    /// What other components may refer to; `None` for what is known only once it serves.
    pub fn outputs(&self, target: &TargetSpec) -> Vec<(&'static str, Option<String>)> {
        on_kind!(Workload, &self.workload, |it: K| K::outputs(it, target))
    }

    /// The outputs that are known only now that it has this status in a run.
    pub fn deferred_outputs(&self, status: &ComponentStatus) -> Vec<(&'static str, String)> {
        on_kind!(Workload, &self.workload, |_it: K| K::deferred_outputs(
            status
        ))
    }

    /// The first output of another component that it still needs.
    pub fn needs_output(&self) -> Option<&OutputRef> {
        on_kind!(Workload, &self.workload, |it: K| K::needs_output(it))
    }

    /// With these outputs of other components filled in, as far as they are known.
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

    /// Why both can't be there, as the field and words that end in "that".
    pub fn clash(&self, other: &Self) -> Option<(&'static str, String)> {
        on_kind!(Workload, &self.workload, |it: K| K::clash(
            it,
            K::as_desired(&other.workload)?
        ))
    }

    /// Why a Target would refuse it for reasons outside of the spec, as the field and the reason.
    pub fn refused(&self, place: &Surroundings<'_>) -> Option<(&'static str, String)> {
        on_kind!(Workload, &self.workload, |it: K| K::refused(it, place))
    }

    /// What has to be read before a run begins. `gradual` is whether traffic moves in steps.
    pub fn first_reads(&self, gradual: bool, context: Context<'_>) -> Vec<Read> {
        on_kind!(Workload, &self.workload, |it: K| reads_of::<K>(
            K::first_reads(it, gradual, context.view::<K>(&self.name))
        ))
    }

    /// What should be there and was not found, while that may be a stale answer.
    pub fn unconfirmed_absence(&self, context: Context<'_>) -> Option<String> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::unconfirmed_absence(it, context.view::<K>(&self.name))
        })
    }

    /// Why it can't be delivered here, from what was read.
    pub fn obstacle(&self, gradual: bool, context: Context<'_>) -> Option<String> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::obstacle(it, gradual, context.view::<K>(&self.name))
        })
    }

    /// Its status where it is as wanted already. `last` is what the last successful run left.
    pub fn unchanged(
        &self,
        last: Option<&ComponentStatus>,
        context: Context<'_>,
    ) -> Option<ComponentStatus> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::unchanged(it, last, context.view::<K>(&self.name))
        })
    }

    /// What would change for the Release. `is_idle` is whether the run would change nothing at all.
    pub fn plan(&self, release: &ReleaseRef, is_idle: bool, context: Context<'_>) -> Part {
        on_kind!(Workload, &self.workload, |it: K| {
            K::plan(it, release, is_idle, context.view::<K>(&self.name))
        })
    }

    /// What comes next of keeping aside what the run would lose.
    pub fn keep(&self, context: Context<'_>) -> ComponentNext {
        on_kind!(Workload, &self.workload, |it: K| {
            self.next::<K>(K::keep(it, context.view::<K>(&self.name)))
        })
    }

    /// What is there now; `None` where it was not read.
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

    /// Its status before anything was done.
    pub fn status(&self, context: Context<'_>) -> ComponentStatus {
        on_kind!(Workload, &self.workload, |it: K| {
            K::status(it, context.view::<K>(&self.name))
        })
    }

    /// What the inventory says of it.
    pub fn inventory_item(&self, context: Context<'_>) -> InventoryItem {
        on_kind!(Workload, &self.workload, |it: K| {
            K::inventory_item(it, context.view::<K>(&self.name))
        })
    }

    /// Whether this item of the inventory is it.
    pub fn is(&self, item: &InventoryItem) -> bool {
        on_kind!(Workload, &self.workload, |it: K| {
            item.kind == K::INVENTORY && item.name == K::resource(it)
        })
    }

    /// The keys of the tags that are set on it once it serves.
    pub fn tag_keys(&self) -> Vec<String> {
        on_kind!(Workload, &self.workload, |it: K| K::tag_keys(it))
    }

    /// The changes that Prepare will make, by what identifies their effect.
    pub fn intents(&self, release: &ReleaseRef, context: Context<'_>) -> Vec<Intent> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::intents(it, release, context.view::<K>(&self.name))
        })
    }

    /// What comes next of what users do not see.
    pub fn prepare(&self, release: &ReleaseRef, context: Context<'_>) -> ComponentNext {
        on_kind!(Workload, &self.workload, |it: K| {
            self.next::<K>(K::prepare(it, release, context.view::<K>(&self.name)))
        })
    }

    /// The version that Prepare came to.
    pub fn version(&self, release: &ReleaseRef, context: Context<'_>) -> Option<String> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::version(it, release, context.view::<K>(&self.name))
        })
    }

    /// That version, as it is kept for a later return to the Release.
    pub fn published(&self, release: &ReleaseRef, version: &str) -> Option<PublishedVersion> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::published(it, release, version)
        })
    }

    /// Whether traffic can move in steps from what was there to `version`.
    pub fn splits_traffic(&self, version: Option<&str>, before: &ComponentSnapshot) -> bool {
        on_kind!(Workload, &self.workload, |it: K| {
            K::as_snapshot(&before.workload)
                .is_some_and(|before| K::splits_traffic(it, version, before))
        })
    }

    /// The changes that Promote will make for this weight, by what identifies their effect.
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

    /// What comes next of what users see.
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

    /// What has to be read once more before a run that moved it has succeeded.
    pub fn last_read(&self, context: Context<'_>) -> Option<Read> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::last_read(it, context.view::<K>(&self.name)).map(K::read)
        })
    }

    /// The objects that are this Deployment's once it serves.
    pub fn objects(&self, context: Context<'_>) -> Option<OwnedObjects> {
        on_kind!(Workload, &self.workload, |it: K| {
            K::objects(it, context.view::<K>(&self.name))
        })
    }

    /// Whether the component itself has checks.
    pub fn has_checks(&self) -> bool {
        on_kind!(Workload, &self.workload, |it: K| K::has_checks(it))
    }

    /// What comes next of its own checks at this moment.
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

    /// The versions that metrics tell apart.
    pub fn served(&self, status: &ComponentStatus) -> Option<ServedVersions> {
        on_kind!(Workload, &self.workload, |it: K| K::served(it, status))
    }

    /// What has to be read to find out whether it is as the last run left it.
    pub fn drift_reads(&self, context: Context<'_>) -> Vec<Read> {
        on_kind!(Workload, &self.workload, |it: K| reads_of::<K>(
            K::drift_reads(it, context.view::<K>(&self.name))
        ))
    }

    /// What differs from what the last run left. `left` is the version that it left, where that is known.
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
