//! Resources that another Target of the same Deployment also owns, because a stage moved to the account and
//! region of another one. They are never deleted with a Target.

use kube::ResourceExt as _;

use crate::{
    api::v1alpha1::{InventoryItem, Target, TargetStatus},
    controllers::context::Context,
    domain::workload::inventory,
};

/// The inventory of other Targets of the Deployment in the same account and region, without those that are
/// being deleted too.
pub fn owned_by_others(context: &Context, target: &Target) -> Vec<InventoryItem> {
    let (namespace, uid, spec) = (target.namespace(), target.uid(), &target.spec);
    let others = context
        .stores
        .targets
        .store()
        .state_filter(|other: &Target| {
            other.namespace() == namespace
                && other.uid() != uid
                && other.metadata.deletion_timestamp.is_none()
                && other.spec.deployment == spec.deployment
                && other.spec.account_id == spec.account_id
                && other.spec.region == spec.region
        });
    let statuses = others.iter().filter_map(|other| other.status.as_ref());
    statuses
        .flat_map(|status| status.inventory.clone())
        .collect()
}

/// The status without resources that other Targets own.
pub fn without(status: &TargetStatus, others: &[InventoryItem]) -> TargetStatus {
    let mut status = status.clone();
    status
        .inventory
        .retain(|item| !others.iter().any(|other| inventory::overlap(item, other)));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: &str, name: &str) -> InventoryItem {
        InventoryItem {
            component: "c".into(),
            kind: kind.into(),
            name: name.into(),
            created: true,
            ..InventoryItem::default()
        }
    }

    #[test]
    fn resource_of_another_target_is_not_deleted_with_this_one() {
        let (function, objects) = ("LambdaFunction", "S3Objects");
        let status = TargetStatus {
            inventory: vec![
                item(function, "checkout-api"),
                item(function, "checkout-worker"),
                item(objects, "s3://shop/docs/"),
                item(objects, "s3://shop/blog/"),
            ],
            ..TargetStatus::default()
        };
        let others = [
            item(function, "checkout-api"),
            item(objects, "s3://shop/docs/v2/"),
            item(objects, "checkout-worker"),
        ];
        let left = without(&status, &others).inventory;
        let left: Vec<&str> = left.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(left, ["checkout-worker", "s3://shop/blog/"]);
    }
}
