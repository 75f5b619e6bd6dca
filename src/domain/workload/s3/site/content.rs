//! The files that a Release puts into a bucket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::served::Served;
use crate::{
    api::v1alpha1::{ContentType, StoreLocation},
    domain::{archive::Packed, digest::Sha256},
};

/// The format that this program writes and reads. Another one is read from the archive again: version 1
/// had directories in it that are known by their mode alone.
const VERSION: i64 = 2;

/// An archive in the hub, and what is taken of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteArchive {
    /// Where it is kept.
    pub location: StoreLocation,
    /// Of its bytes.
    pub sha256: Sha256,
    /// How many.
    pub size: u64,
    /// The sub-tree that is taken; empty for all of it.
    pub tree: String,
    /// What files are served as, before what their names say.
    pub types: Vec<ContentType>,
    /// How messages call it: the field, the artifact and its job.
    pub origin: String,
}

/// The files of an archive, or of a sub-tree of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteContent {
    version: i64,
    /// Digest of the archive.
    pub archive: Sha256,
    /// The sub-tree that was taken, as the spec writes it; empty for all of it.
    pub tree: String,
    /// By path below the sub-tree.
    pub files: BTreeMap<String, ContentFile>,
}

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentFile {
    /// Of the bytes when unpacked.
    pub sha256: Sha256,
    /// Where it is in the archive.
    pub packed: Packed,
    /// How it is served: by its name and by the spec, so that it is no part of what is kept beside the
    /// archive, which others use too.
    #[serde(skip)]
    pub served: Served,
}

impl ContentFile {
    /// Bytes when unpacked.
    pub fn size(&self) -> u64 {
        self.packed.size
    }
}

impl SiteContent {
    /// Of the archive with this digest, served as `types` and the names of the files say.
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

    /// Reads what was kept of an earlier reading of this very archive and sub-tree; `None` where it
    /// is not that, or of another version.
    pub fn read(text: &[u8], archive: Sha256, tree: &str, types: &[ContentType]) -> Option<Self> {
        let content: Self = serde_json::from_slice(text).ok()?;
        let fits = content.version == VERSION && content.archive == archive && content.tree == tree;
        fits.then(|| content.served(types))
    }

    /// Of the files' names and bytes, wherever they lie in which archive, and of how they are served
    /// where the spec says so.
    pub fn digest(&self) -> Sha256 {
        let files: BTreeMap<&str, Sha256> = self
            .files
            .iter()
            .map(|(path, file)| (path.as_str(), file.sha256))
            .collect();
        let said: BTreeMap<&str, &Served> = self
            .files
            .iter()
            .filter(|(path, file)| file.served != Served::of(path, &[]))
            .map(|(path, file)| (path.as_str(), &file.served))
            .collect();
        if said.is_empty() {
            Sha256::of_json(&files)
        } else {
            Sha256::of_json(&(files, said))
        }
    }
}
