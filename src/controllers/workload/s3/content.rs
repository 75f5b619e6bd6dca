//! The files of a pinned archive: found in its directory, hashed once, read one by one.
//!
//! Hashing reads the whole sub-tree. The result is kept beside the archive, so that every further
//! Target and restart reads a list instead.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::{records::MOST, waves::Waves};
use crate::{
    api::v1alpha1::ContentType,
    controllers::workload::archive::{Archive, Tape, Unpacking},
    domain::{
        archive::Packed,
        digest::Sha256,
        workload::s3::site::{ContentFile, Put, Served, SiteContent, select},
    },
    ports::{CallError, store::ByteStream},
};

/// An archive in an artifact bucket, and the part of it to use.
#[derive(Clone)]
pub struct Source {
    /// The archive.
    pub archive: Archive,
    /// The digest of the archive.
    pub sha256: Sha256,
    /// The sub-tree to use; empty for all of it.
    pub tree: String,
    /// Content types that take precedence over those by file name.
    pub types: Vec<ContentType>,
}

impl Source {
    /// The verified bytes of a file. Nothing is read before the first poll.
    pub(super) fn file(&self, path: &str, file: &ContentFile) -> ByteStream {
        self.archive.file(path, file.packed, file.sha256)
    }

    /// Reads the verified bytes of a file.
    async fn unpacked(
        &self,
        path: &str,
        file: &ContentFile,
        tape: &mut Tape,
    ) -> Result<Bytes, CallError> {
        let mut unpacking = Unpacking::begin(path, &file.packed, tape).await?;
        let mut bytes = Vec::with_capacity(usize::try_from(file.size()).unwrap_or_default());
        while let Some(piece) = unpacking.next(tape).await? {
            bytes.extend_from_slice(&piece);
        }
        if Sha256::of(&bytes) == file.sha256 {
            Ok(bytes.into())
        } else {
            Err(self.archive.changed())
        }
    }

    /// The key of the kept list of hashed files.
    fn kept_at(&self) -> String {
        let tree = Sha256::of(self.tree.as_bytes()).short();
        format!("{}.files/{tree}.json", self.archive.key)
    }
}

/// A verified small file in memory.
pub(super) struct Small {
    bytes: Result<Bytes, CallError>,
    /// Holds the permit of the batch for as long as any of its files exists.
    _batch: Option<Arc<OwnedSemaphorePermit>>,
}

impl Small {
    /// The bytes of the file.
    pub(super) fn body(&self) -> Result<ByteStream, CallError> {
        let bytes = self.bytes.clone()?;
        Ok(stream::iter([Ok(bytes)]).boxed())
    }
}

/// A file to put, with its bytes if it is small.
pub(super) type Wanted = (Put, Option<Small>);

/// Reads adjacent files with one request. A failure affects all files after it.
pub(super) async fn load(
    source: &Source,
    waves: &Waves,
    files: Vec<(Put, ContentFile)>,
) -> Vec<Wanted> {
    let batch = waves.batch().await;
    let mut loaded = Vec::with_capacity(files.len());
    let (start, end) = match (files.first(), files.last()) {
        (Some((_, first)), Some((_, last))) => (first.packed.start, last.packed.end),
        _ => return loaded,
    };
    let mut tape = source.archive.tape(start, end).await;
    for (put, file) in files {
        let bytes = match &mut tape {
            Ok(tape) => source.unpacked(&put.path, &file, tape).await,
            Err(error) => Err(error.clone()),
        };
        if let (Ok(_), Err(error)) = (&tape, &bytes) {
            tape = Err(error.clone());
        }
        let small = Small {
            bytes,
            _batch: batch.clone(),
        };
        loaded.push((put, Some(small)));
    }
    loaded
}

/// The files of the archive, hashed.
pub(super) async fn content(source: &Source) -> Result<SiteContent, CallError> {
    if let Some(text) = source
        .archive
        .store
        .get(&source.kept_at(), None, MOST)
        .await?
        && let Some(content) = SiteContent::read(&text, source.sha256, &source.tree, &source.types)
    {
        return Ok(content);
    }
    let files = find(source).await?;
    let digests = source.archive.digests(&files).await?;
    let hashed = files.into_iter().filter_map(|(path, packed)| {
        let file = ContentFile {
            sha256: *digests.get(&path)?,
            packed,
            served: Served::default(),
        };
        Some((path, file))
    });
    let files = hashed.collect();
    let content = SiteContent::new(source.sha256, &source.tree, files, &source.types);
    keep(source, &content).await;
    Ok(content)
}

/// Reads the archive's directory and selects the files to use.
async fn find(source: &Source) -> Result<BTreeMap<String, Packed>, CallError> {
    let entries = source.archive.entries().await?;
    select(&entries, &source.tree).map_err(|why| source.archive.unfit(why))
}

/// Saves work only: after a failure, the next caller hashes again.
async fn keep(source: &Source, content: &SiteContent) {
    let text = match serde_json::to_vec(content) {
        Ok(text) => Bytes::from(text),
        Err(error) => {
            tracing::warn!(%error, "the file list of an archive can't be serialized");
            return;
        }
    };
    let kept = source
        .archive
        .store
        .put(&source.kept_at(), text, &BTreeMap::new())
        .await;
    if let Err(error) = kept {
        tracing::warn!(%error, "the file list of an archive could not be stored");
    }
}

#[cfg(test)]
mod tests;
