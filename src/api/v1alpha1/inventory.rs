//! The resources of a Target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A resource that Sluice created or owns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryItem {
    /// The component.
    #[schemars(length(max = 63))]
    pub component: String,
    /// `LambdaFunction` or `S3Objects`.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// The function's name, or the bucket with the prefix: `s3://shop-site/docs/`.
    #[schemars(length(max = 1024))]
    pub name: String,
    /// The alias that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub alias: Option<String>,
    /// The level of its component. The highest level is deleted first.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub level: i64,
    /// Whether Sluice created the resource. Sluice deletes only resources that it created.
    pub created: bool,
    /// The objects that Sluice owns in a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<OwnedObjects>,
    /// Keys of the tags that Sluice set. Sluice removes such a tag from the function when it is removed
    /// from the spec, and keeps other tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 128)))]
    pub tags: Vec<String>,
    /// The live Release no longer has the resource. Once the whole stage has succeeded, the deletion
    /// policy applies to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

impl InventoryItem {
    /// Whether a prune has work to do for this item.
    pub fn needs_prune(&self) -> bool {
        let retired = |objects: &OwnedObjects| objects.retired > 0;
        self.removed || self.objects.as_ref().is_some_and(retired)
    }
}

/// The objects that Sluice owns in a bucket, under a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnedObjects {
    /// The list of the objects.
    pub manifest: StoredRef,
    /// The number of objects that the Release no longer has. Sluice deletes them once the whole stage has
    /// succeeded.
    #[serde(default, skip_serializing_if = "super::zero::is_zero")]
    pub retired: i64,
}

/// A pinned object in the Account's artifact bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredRef {
    /// The key.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// The object's version.
    #[schemars(length(max = 1024))]
    pub version_id: String,
    /// SHA-256 of the object, lower-case hex.
    #[schemars(length(max = 64))]
    pub sha256: String,
}
