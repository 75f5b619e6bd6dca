//! The state of an S3 location before a run, and the changes of the run there.
//!
//! The objects themselves are copied to the Target's artifact bucket before the first write; the snapshot
//! lists them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{StoredRef, location::S3Location, object::Listed, served::is_entry_document};
use crate::domain::digest::Sha256;

/// The key prefix of all records of sites in the artifact bucket: backup copies, snapshots, manifests.
pub const SITES_PREFIX: &str = "sites";

/// The format that this program writes and reads.
const VERSION: i64 = 1;

/// The state of an S3 location before a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteSnapshot {
    version: i64,
    /// The S3 location.
    pub location: S3Location,
    /// Digest of the files that the run delivers ([`super::SiteContent::digest`]).
    pub content: Sha256,
    /// The key prefix of the backup copies, below the location's records in the Target's artifact bucket.
    /// It is unique to the run, so that a run's copies can be deleted with its snapshot.
    pub copies: String,
    /// The former manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<StoredRef>,
    /// The objects that the run overwrites or deletes, by path.
    pub kept: BTreeMap<String, KeptObject>,
    /// Those of them that the run deletes in the end.
    pub retired: BTreeSet<String>,
    /// The paths of the objects that the run creates.
    pub created: BTreeSet<String>,
    /// Those of all these that are HTML documents by their content type, not by their name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub documents: BTreeSet<String>,
}

/// The former state of an object, with its backup copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptObject {
    /// As S3 listed it.
    pub etag: String,
    /// Seconds since 1970.
    pub modified: i64,
    /// Bytes.
    pub size: u64,
    /// The copy's version; the copy's key follows from the object ([`copy_key`]).
    pub version_id: String,
}

impl SiteSnapshot {
    /// An empty snapshot.
    pub fn new(
        location: S3Location,
        content: Sha256,
        copies: String,
        manifest: Option<StoredRef>,
    ) -> Self {
        Self {
            version: VERSION,
            location,
            content,
            copies,
            manifest,
            kept: BTreeMap::new(),
            retired: BTreeSet::new(),
            created: BTreeSet::new(),
            documents: BTreeSet::new(),
        }
    }

    /// Whether a file is an HTML document: users open it directly and it links others, so that it changes
    /// last.
    pub fn is_document(&self, path: &str) -> bool {
        is_entry_document(path) || self.documents.contains(path)
    }

    /// The paths that the run overwrites.
    pub fn changed(&self) -> impl Iterator<Item = &String> {
        let kept = self.kept.keys();
        kept.filter(|path| !self.retired.contains(*path))
    }

    /// The paths that the run uploads.
    pub fn written(&self) -> impl Iterator<Item = &String> {
        self.changed().chain(&self.created)
    }

    /// The stored form, which is deterministic.
    pub fn text(&self) -> Vec<u8> {
        // Serialization can't fail: all keys of maps are strings.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Parses the stored form, or says why it can't.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let snapshot: Self = serde_json::from_slice(text).map_err(|error| {
            format!("it is damaged, or another version of Sluice wrote it ({error})")
        })?;
        if snapshot.version != VERSION {
            return Err(format!(
                "it was written by another version of Sluice (format {}, this one reads {VERSION})",
                snapshot.version
            ));
        }
        Ok(snapshot)
    }
}

impl KeptObject {
    /// Whether the object is in its former state. The time reveals what the ETag does not: another content
    /// type, or other metadata.
    pub fn is(&self, object: &Listed) -> bool {
        self.etag == object.etag && object.modified == Some(self.modified)
    }
}

/// The key of an object's copy below `copies`. It is a function of the object's state, so that an existing
/// copy is found again.
pub fn copy_key(
    copies: &str,
    location: &S3Location,
    path: &str,
    etag: &str,
    modified: i64,
) -> String {
    let name = Sha256::of_json(&(location, path, etag, modified));
    format!("{copies}/{name}")
}
