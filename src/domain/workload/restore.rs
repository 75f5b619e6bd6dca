//! A component as it was before a run, whatever its kind: what restores it.

use super::{
    context::{ComponentNext, Context, next_of},
    kind::Kind,
    kinds::{Observed, Registered, WorkloadSnapshot, on_kind},
    snapshot::ComponentSnapshot,
};
use crate::{
    api::v1alpha1::{Difference, InventoryItem, OwnedObjects, Restored, RunStatus},
    domain::ownership::Owner,
};

impl ComponentSnapshot {
    /// What it is of, as the inventory calls it.
    pub fn resource(&self) -> String {
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| K::restores(it))
    }

    /// Whether it is of this item of the inventory.
    pub fn is(&self, item: &InventoryItem) -> bool {
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            item.kind == K::INVENTORY && item.name == K::restores(it)
        })
    }

    /// Whether there was nothing of this Deployment before: nothing at all, or something unmanaged.
    pub fn was_unmanaged(&self, owner: &Owner) -> bool {
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            K::was_unmanaged(it, owner)
        })
    }

    /// What comes next of restoring it after the run that `journal` is of.
    pub fn restore(&self, journal: &RunStatus, context: Context<'_>) -> ComponentNext {
        let name = &self.component;
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            let next = K::restore(name, it, journal, context.view::<K>(name));
            next_of::<K>(name, K::restores(it), next)
        })
    }

    /// What is there once it was restored.
    pub fn restored(&self, observed: &Observed) -> Vec<Restored> {
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            K::restored(&self.component, it, K::observed(observed))
        })
    }

    /// What is not as it was before the run that `journal` is of, as far as it was read.
    pub fn not_restored(
        &self,
        journal: &RunStatus,
        owner: &Owner,
        observed: &Observed,
    ) -> Vec<Difference> {
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            K::not_restored(&self.component, it, journal, owner, K::observed(observed))
        })
    }

    /// The objects that are this Deployment's once it was restored.
    pub fn objects_restored(&self, owner: &Owner, observed: &Observed) -> Option<OwnedObjects> {
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            K::objects_restored(it, owner, K::observed(observed))
        })
    }
}
