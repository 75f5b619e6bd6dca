//! The manifest: the objects that a Deployment owns at an S3 location.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{location::S3Location, served::Served};
use crate::domain::digest::Sha256;

/// The format that this program writes and reads.
const VERSION: i64 = 1;

/// The objects that Sluice uploaded to an S3 location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteManifest {
    version: i64,
    /// The S3 location.
    pub location: S3Location,
    /// The live files, by path below the prefix.
    pub files: BTreeMap<String, SiteFile>,
    /// Objects that are still owned and to be pruned: the ETag of each, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retired: BTreeMap<String, String>,
}

/// An object that Sluice uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteFile {
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// The ETag that S3 returned for the upload, quotes included.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// How it is served.
    #[serde(flatten)]
    pub served: Served,
}

impl SiteManifest {
    /// An empty manifest.
    pub fn new(location: S3Location) -> Self {
        Self {
            version: VERSION,
            location,
            files: BTreeMap::new(),
            retired: BTreeMap::new(),
        }
    }

    /// The stored form, which is deterministic.
    pub fn text(&self) -> Vec<u8> {
        // Serialization can't fail: all keys of maps are strings.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Parses the stored form, or says why it can't.
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

    /// Whether the manifest has the object at this path.
    pub fn names(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.retired.contains_key(path)
    }
}
