//! The files that a Release delivers to a bucket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::served::Served;
use crate::{
    api::v1alpha1::{ContentType, StoreLocation},
    domain::{archive::Packed, digest::Sha256},
};

/// The format that this program writes and reads. Content of another format is read from the archive again:
/// version 1 contained directories that only their mode identifies.
const VERSION: i64 = 2;

/// An archive in the hub, and the part of it to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteArchive {
    /// Its location in the hub.
    pub location: StoreLocation,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// Bytes.
    pub size: u64,
    /// The sub-tree to deliver; empty for all of it.
    pub tree: String,
    /// Content types that take precedence over those by file name.
    pub types: Vec<ContentType>,
    /// Its name in messages: the field, the artifact and its job.
    pub origin: String,
}

/// The files of an archive, or of a sub-tree of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteContent {
    version: i64,
    /// Digest of the archive.
    pub archive: Sha256,
    /// The sub-tree, as written in the spec; empty for all of it.
    pub tree: String,
    /// By path below the sub-tree.
    pub files: BTreeMap<String, ContentFile>,
}

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentFile {
    /// Digest of the unpacked bytes.
    pub sha256: Sha256,
    /// Where it is in the archive.
    pub packed: Packed,
    /// How it is served, by its name and the spec. It is not stored beside the archive, because other
    /// Deployments use the stored content too.
    #[serde(skip)]
    pub served: Served,
}

impl ContentFile {
    /// Its size when unpacked, in bytes.
    pub fn size(&self) -> u64 {
        self.packed.size
    }
}

impl SiteContent {
    /// The content of the archive with this digest, served by `types` and the files' names.
    pub fn new(
        archive: Sha256,
        tree: &str,
        files: BTreeMap<String, ContentFile>,
        types: &[ContentType],
    ) -> Self {
        let content = Self {
            version: VERSION,
            archive,
            tree: tree.to_owned(),
            files,
        };
        content.served(types)
    }

    fn served(mut self, types: &[ContentType]) -> Self {
        for (path, file) in &mut self.files {
            file.served = Served::of(path, types);
        }
        self
    }

    /// Parses content that was stored for this archive and sub-tree; `None` if it is for another one or has
    /// another format.
    pub fn read(text: &[u8], archive: Sha256, tree: &str, types: &[ContentType]) -> Option<Self> {
        let content: Self = serde_json::from_slice(text).ok()?;
        let fits = content.version == VERSION && content.archive == archive && content.tree == tree;
        fits.then(|| content.served(types))
    }

    /// Digest of the files' names and bytes, independent of the archive, and of how files are served where
    /// the spec overrides it.
    pub fn digest(&self) -> Sha256 {
        let files: BTreeMap<&str, Sha256> = self
            .files
            .iter()
            .map(|(path, file)| (path.as_str(), file.sha256))
            .collect();
        let overridden: BTreeMap<&str, &Served> = self
            .files
            .iter()
            .filter(|(path, file)| file.served != Served::of(path, &[]))
            .map(|(path, file)| (path.as_str(), &file.served))
            .collect();
        if overridden.is_empty() {
            Sha256::of_json(&files)
        } else {
            Sha256::of_json(&(files, overridden))
        }
    }
}
