//! What stood in a place before a run, and with that what the run will do there.
//!
//! The objects themselves are copied into the Target's artifact bucket before the first write; this
//! is the list of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{StoredRef, object::Listed, place::Place, served::is_entry_document};
use crate::domain::digest::Sha256;

/// What the keys of all that is kept of sites begin with, in the artifact bucket: copies, snapshots,
/// manifests.
pub const KEPT: &str = "sites";

/// The format that this program writes and reads.
const VERSION: i64 = 1;

/// What stood in a place before a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteSnapshot {
    version: i64,
    /// Where.
    pub place: Place,
    /// Digest of the files that the run puts there ([`super::SiteContent::digest`]).
    pub content: Sha256,
    /// What the keys of the copies begin with, below the place's records in the Target's artifact
    /// bucket. No other run's do: what was kept for a run can go when the run is forgotten.
    pub copies: String,
    /// What was ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<StoredRef>,
    /// The objects that the run overwrites or removes, by path.
    pub kept: BTreeMap<String, KeptObject>,
    /// Those of them that the run removes in the end.
    pub retired: BTreeSet<String>,
    /// The paths where there was nothing.
    pub created: BTreeSet<String>,
    /// Those of all these that people open themselves, though their names don't tell: what is served
    /// as HTML.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub documents: BTreeSet<String>,
}

/// An object as it stood, and where the copy of it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptObject {
    /// As S3 listed it.
    pub etag: String,
    /// Seconds since 1970.
    pub modified: i64,
    /// Bytes.
    pub size: u64,
    /// The copy's version; its key follows from what it is a copy of ([`copy_key`]).
    pub version_id: String,
}

impl SiteSnapshot {
    /// A list that is yet to be filled.
    pub fn new(place: Place, content: Sha256, copies: String, manifest: Option<StoredRef>) -> Self {
        Self {
            version: VERSION,
            place,
            content,
            copies,
            manifest,
            kept: BTreeMap::new(),
            retired: BTreeSet::new(),
            created: BTreeSet::new(),
            documents: BTreeSet::new(),
        }
    }

    /// Whether a file is one that people open themselves, and that names the others: it changes last.
    pub fn is_document(&self, path: &str) -> bool {
        is_entry_document(path) || self.documents.contains(path)
    }

    /// The paths of what the run overwrites.
    pub fn changed(&self) -> impl Iterator<Item = &String> {
        let kept = self.kept.keys();
        kept.filter(|path| !self.retired.contains(*path))
    }

    /// The paths of what the run puts.
    pub fn written(&self) -> impl Iterator<Item = &String> {
        self.changed().chain(&self.created)
    }

    /// As it is stored, the same for the same snapshot.
    pub fn text(&self) -> Vec<u8> {
        // Maps with text as keys and numbers can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what was stored, in words where that can't be done.
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
    /// Whether the object stands as it did. The time tells what the ETag doesn't: another
    /// content type, other metadata.
    pub fn is(&self, object: &Listed) -> bool {
        self.etag == object.etag && object.modified == Some(self.modified)
    }
}

/// The key of an object's copy below `copies`: the same for the same state of the same object, so that
/// a copy that was made is found again.
pub fn copy_key(copies: &str, place: &Place, path: &str, etag: &str, modified: i64) -> String {
    let name = Sha256::of_json(&(place, path, etag, modified));
    format!("{copies}/{name}")
}
