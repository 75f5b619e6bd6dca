//! What is ours in a bucket, under a prefix.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{place::Place, served::Served};
use crate::domain::digest::Sha256;

/// The format that this program writes and reads.
const VERSION: i64 = 1;

/// The objects that Sluice put into a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteManifest {
    version: i64,
    /// Where.
    pub place: Place,
    /// What serves, by path below the prefix.
    pub files: BTreeMap<String, SiteFile>,
    /// What is ours still, and is to be removed: the ETag of each, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retired: BTreeMap<String, String>,
}

/// An object that Sluice put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteFile {
    /// Of its bytes.
    pub sha256: Sha256,
    /// As S3 answered when it was put, quotes included.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// How it is served.
    #[serde(flatten)]
    pub served: Served,
}

impl SiteManifest {
    /// Of a place where nothing is ours.
    pub fn new(place: Place) -> Self {
        Self {
            version: VERSION,
            place,
            files: BTreeMap::new(),
            retired: BTreeMap::new(),
        }
    }

    /// As it is stored, the same for the same manifest.
    pub fn text(&self) -> Vec<u8> {
        // Maps with text as keys and numbers can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what was stored, in words where that can't be done.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|error| {
            format!("it is damaged, or another version of Sluice wrote it ({error})")
        })?;
        if manifest.version != VERSION {
            return Err(format!(
                "it was written by another version of Sluice (format {}, this one reads {VERSION})",
                manifest.version
            ));
        }
        Ok(manifest)
    }

    /// Whether the object at this path is ours.
    pub fn names(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.retired.contains_key(path)
    }
}
