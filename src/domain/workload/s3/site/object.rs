//! An object as S3 shows it, and what its metadata says of whose it is.

use std::collections::BTreeMap;

use super::served::Served;
use crate::domain::{
    digest::Sha256,
    ownership::{CLUSTER, Claim, NAME, NAMESPACE, Owner},
};

/// Name of the metadata with the content's SHA-256, as S3 gives it back (`x-amz-meta-` before it).
const SHA256: &str = "sluice-sha256";

/// The metadata that stands for each of the tags of other resources: writing tags on objects would
/// cost a call each.
const OWNER: [(&str, &str); 3] = [
    ("sluice-cluster", CLUSTER),
    ("sluice-namespace", NAMESPACE),
    ("sluice-name", NAME),
];

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As S3 wrote it, quotes included.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970; `None` for what we know from our own write only.
    pub modified: Option<i64>,
}

/// What `HeadObject` says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// As S3 wrote it, quotes included.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// How it is served; an empty type where there is none.
    pub served: Served,
    /// User metadata, names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// The metadata of an object that we put.
pub fn metadata(owner: &Owner, sha256: Sha256) -> BTreeMap<String, String> {
    let mut tags = owner.tags();
    OWNER
        .into_iter()
        .filter_map(|(name, tag)| Some((name.to_owned(), tags.remove(tag)?)))
        .chain([(SHA256.to_owned(), sha256.to_string())])
        .collect()
}

/// Why an object with this metadata must not be touched; `None` where it is ours.
pub fn refusal(owner: &Owner, metadata: &BTreeMap<String, String>) -> Option<String> {
    let tags = OWNER
        .into_iter()
        .filter_map(|(name, tag)| Some((tag.to_owned(), metadata.get(name)?.clone())))
        .collect();
    match owner.claim(&tags) {
        Claim::Ours => None,
        Claim::Others(why) => Some(why),
        Claim::Nobodys => Some(
            "it exists and was not created by Sluice, which adopts no S3 objects; choose another prefix, or \
             delete the object if it is no longer needed"
                .to_owned(),
        ),
    }
}

/// The content's SHA-256, where the metadata names it.
pub fn sha256_of(metadata: &BTreeMap<String, String>) -> Option<Sha256> {
    Sha256::from_hex(metadata.get(SHA256)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_put_says_what_it_is_and_whose() {
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
            Some("it belongs to Deployment shop/checkout")
        );
        let nobodys = refusal(&owner("checkout"), &BTreeMap::new());
        let why = nobodys.expect("a refusal");
        assert!(why.contains("not created by Sluice"), "{why}");
        // What the API refuses for such a component is no way out.
        assert!(!why.contains("set adopt"), "{why}");
        assert!(why.contains("another prefix"), "{why}");
    }
}
