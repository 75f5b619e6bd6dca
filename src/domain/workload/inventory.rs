//! Pruning and deleting what a Target's status lists, whatever the kinds: the items of its inventory, and
//! proposals.

use super::{
    context::{ComponentNext, next_of},
    kind::Kind,
    kinds::{Observed, Registered, each_kind},
    protocol::Next,
    snapshot::Snapshot,
};
use crate::{
    api::v1alpha1::{InventoryItem, OwnedObjects, Proposal, PublishedVersion},
    domain::ownership::Owner,
};

/// Whether two items of inventories are the same resource, or overlap.
pub fn overlap(one: &InventoryItem, other: &InventoryItem) -> bool {
    if one.kind != other.kind {
        return false;
    }
    each_kind!(|K| if one.kind == K::INVENTORY {
        return K::overlap(&one.name, &other.name);
    });
    one.name == other.name
}

/// The next read or action to delete those parts of an item that the Release no longer has.
pub fn prune(item: &InventoryItem, observed: &Observed) -> ComponentNext {
    each_kind!(|K| if item.kind == K::INVENTORY {
        let next = K::prune(item, K::observed(observed));
        return next_of::<K>(&item.component, item.name.clone(), next);
    });
    created_by_another_version(&item.kind, &item.name)
}

/// The next read or action to delete a proposal: [`Next::Ready`] once it is gone, or if this Deployment does
/// not own it.
pub fn withdraw(proposal: &Proposal, owner: &Owner, observed: &Observed) -> ComponentNext {
    each_kind!(|K| if proposal.kind == K::INVENTORY {
        let next = K::withdraw(proposal, owner, K::observed(observed));
        return next_of::<K>(&proposal.component, proposal.resource.clone(), next);
    });
    created_by_another_version(&proposal.kind, &proposal.name)
}

/// The objects of the item that this Deployment owns once it is pruned.
pub fn objects_pruned(item: &InventoryItem, observed: &Observed) -> Option<OwnedObjects> {
    each_kind!(|K| if item.kind == K::INVENTORY {
        return K::objects_pruned(item, K::observed(observed));
    });
    None
}

/// The next read or action to delete an item: [`Next::Ready`] once it is gone, or if this Deployment does not
/// own it.
pub fn delete(item: &InventoryItem, owner: &Owner, observed: &Observed) -> ComponentNext {
    each_kind!(|K| if item.kind == K::INVENTORY {
        let next = K::delete(item, owner, K::observed(observed));
        return next_of::<K>(&item.component, item.name.clone(), next);
    });
    created_by_another_version(&item.kind, &item.name)
}

fn created_by_another_version(kind: &str, name: &str) -> ComponentNext {
    Next::Fail(format!(
        "{kind} {name} was created by another version of Sluice; run that version to delete it"
    ))
}

/// The next read or action to delete a version that no Release needs: [`Next::Ready`] once it is gone, or if
/// this Deployment no longer owns it; `None` while something uses it.
pub fn retire(
    version: &PublishedVersion,
    inventory: &[InventoryItem],
    snapshot: Option<&Snapshot>,
    owner: &Owner,
    observed: &Observed,
) -> Option<ComponentNext> {
    each_kind!(|K| {
        let mut items = inventory.iter().filter(|item| item.kind == K::INVENTORY);
        if let Some(item) = items.find(|item| item.name == version.function_name) {
            let components = snapshot.iter().flat_map(|snapshot| &snapshot.components);
            let snapshots: Vec<&<K as Kind>::Snapshot> = components
                .filter_map(|then| K::as_snapshot(&then.workload))
                .filter(|then| K::restores(then) == item.name)
                .collect();
            let next = K::retire(version, item, &snapshots, owner, K::observed(observed))?;
            return Some(next_of::<K>(&item.component, item.name.clone(), next));
        }
    });
    // The resource is no longer in the inventory: its versions stay.
    Some(Next::Ready)
}
