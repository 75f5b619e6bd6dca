//! An S3 object, with its owner in its metadata.

use std::collections::BTreeMap;

use super::served::Served;
use crate::domain::{
    digest::Sha256,
    ownership::{CLUSTER, Claim, NAME, NAMESPACE, Owner},
};

/// Name of the metadata with the content's SHA-256, without the prefix `x-amz-meta-`.
const SHA256: &str = "sluice-sha256";

/// The metadata in place of each owner tag of other resources: a tag would cost another call per object.
const OWNER: [(&str, &str); 3] = [
    ("sluice-cluster", CLUSTER),
    ("sluice-namespace", NAMESPACE),
    ("sluice-name", NAME),
];

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As returned by S3, quotes included.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970; `None` if known only from this process's own write.
    pub modified: Option<i64>,
}

/// The response of `HeadObject`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// As returned by S3, quotes included.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// How it is served; the type is empty if it has none.
    pub served: Served,
    /// User metadata, names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// The metadata of an object that Sluice uploads.
pub fn metadata(owner: &Owner, sha256: Sha256) -> BTreeMap<String, String> {
    let mut tags = owner.tags();
    OWNER
        .into_iter()
        .filter_map(|(name, tag)| Some((name.to_owned(), tags.remove(tag)?)))
        .chain([(SHA256.to_owned(), sha256.to_string())])
        .collect()
}

/// Why an object with this metadata must not be changed; `None` if the owner's.
pub fn refusal(owner: &Owner, metadata: &BTreeMap<String, String>) -> Option<String> {
    let tags = OWNER
        .into_iter()
        .filter_map(|(name, tag)| Some((tag.to_owned(), metadata.get(name)?.clone())))
        .collect();
    match owner.claim(&tags) {
        Claim::Ours => None,
        Claim::Others(why) => Some(why),
        Claim::Unowned => Some(
            "it exists and was not created by Sluice, which adopts no S3 objects; choose another prefix, or \
             delete the object if it is no longer needed"
                .to_owned(),
        ),
    }
}

/// The content's SHA-256, if the metadata has it.
pub fn sha256_of(metadata: &BTreeMap<String, String>) -> Option<Sha256> {
    Sha256::from_hex(metadata.get(SHA256)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_metadata_names_owner_and_digest() {
        let owner = |name: &str| Owner {
            cluster: "c1".into(),
            namespace: "shop".into(),
            name: name.into(),
        };
        let digest = Sha256::of(b"x");
        let ours = metadata(&owner("checkout"), digest);
        assert_eq!(ours.len(), 4);
        assert_eq!(sha256_of(&ours), Some(digest));
        assert_eq!(refusal(&owner("checkout"), &ours), None);
        let other = refusal(&owner("payment"), &ours);
        assert_eq!(
            other.as_deref(),
            Some("it is owned by Deployment shop/checkout")
        );
        let unmanaged = refusal(&owner("checkout"), &BTreeMap::new());
        let why = unmanaged.expect("a refusal");
        assert!(why.contains("not created by Sluice"), "{why}");
        // The API rejects adopt on such a component, so the message must not suggest it.
        assert!(!why.contains("set adopt"), "{why}");
        assert!(why.contains("another prefix"), "{why}");
    }
}
