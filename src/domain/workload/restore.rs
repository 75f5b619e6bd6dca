//! Restoring the snapshot of a component, whatever its kind.

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
    /// Whether this item of the inventory is its resource.
    pub fn is(&self, item: &InventoryItem) -> bool {
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            item.kind == K::INVENTORY && item.name == K::restores(it)
        })
    }

    /// Whether this Deployment owned nothing before the run: the resource was absent or not the owner's.
    pub fn was_unmanaged(&self, owner: &Owner) -> bool {
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            K::was_unmanaged(it, owner)
        })
    }

    /// The next read or action to restore it after the run with this journal.
    pub fn restore(&self, journal: &RunStatus, context: Context<'_>) -> ComponentNext {
        let name = &self.component;
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            let next = K::restore(name, it, journal, context.view::<K>(name));
            next_of::<K>(name, K::restores(it), next)
        })
    }

    /// The restored state, for the status.
    pub fn restored(&self, observed: &Observed) -> Vec<Restored> {
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            K::restored(&self.component, it, K::observed(observed))
        })
    }

    /// The observed differences from the state before the run with this journal.
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

    /// The objects that this Deployment owns after the restore.
    pub fn objects_restored(&self, owner: &Owner, observed: &Observed) -> Option<OwnedObjects> {
        on_kind!(WorkloadSnapshot, &self.workload, |it: K| {
            K::objects_restored(it, owner, K::observed(observed))
        })
    }
}
