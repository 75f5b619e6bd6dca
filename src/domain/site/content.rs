//! The files that a Release puts into a bucket.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    api::v1alpha1::StoreLocation,
    domain::{archive::Packed, digest::Sha256},
};

/// The format that this program writes and reads.
const VERSION: i64 = 1;

/// What a file is served as where its name doesn't tell.
const BYTES: &str = "application/octet-stream";

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
}

impl ContentFile {
    /// Bytes when unpacked.
    pub fn size(&self) -> u64 {
        self.packed.size
    }
}

impl SiteContent {
    /// Of the archive with this digest.
    pub fn new(archive: Sha256, tree: &str, files: BTreeMap<String, ContentFile>) -> Self {
        Self {
            version: VERSION,
            archive,
            tree: tree.to_owned(),
            files,
        }
    }

    /// Reads what was kept of an earlier reading of this very archive and sub-tree; `None` where it
    /// is not that, or of another version.
    pub fn read(text: &[u8], archive: Sha256, tree: &str) -> Option<Self> {
        let content: Self = serde_json::from_slice(text).ok()?;
        let fits = content.version == VERSION && content.archive == archive && content.tree == tree;
        fits.then_some(content)
    }

    /// Of the files' names and bytes, wherever they lie in which archive.
    pub fn digest(&self) -> Sha256 {
        let files: BTreeMap<&str, Sha256> = self
            .files
            .iter()
            .map(|(path, file)| (path.as_str(), file.sha256))
            .collect();
        Sha256::of_json(&files)
    }
}

/// What a file is served as, by its name.
pub fn content_type(path: &str) -> &'static str {
    mime_guess::from_path(path).first_raw().unwrap_or(BYTES)
}

/// Whether a file is one that people open themselves, and that names the others: it changes last.
pub fn is_entry_document(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_served_as_what_their_names_say() {
        for (path, expected) in [
            ("index.html", "text/html"),
            ("a/b/INDEX.HTML", "text/html"),
            ("app.js", "text/javascript"),
            ("app.mjs", "application/javascript"),
            ("style.css", "text/css"),
            ("data.json", "application/json"),
            ("app.js.map", "text/plain"),
            ("site.webmanifest", "application/manifest+json"),
            ("logo.svg", "image/svg+xml"),
            ("logo.png", "image/png"),
            ("photo.webp", "image/webp"),
            ("favicon.ico", "image/x-icon"),
            ("font.woff2", "font/woff2"),
            ("module.wasm", "application/wasm"),
            ("robots.txt", "text/plain"),
            ("sitemap.xml", "text/xml"),
            ("LICENSE", BYTES),
            ("html", BYTES),
            ("v1.2/LICENSE", BYTES),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
        }
    }

    #[test]
    fn entry_documents_are_html() {
        for path in ["index.html", "a/404.HTML"] {
            assert!(is_entry_document(path), "{path}");
        }
        for path in [
            "index.htm.js",
            "a.html/style.css",
            "app.js",
            "a.xhtml",
            "html",
        ] {
            assert!(!is_entry_document(path), "{path}");
        }
    }
}
