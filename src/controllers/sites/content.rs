//! The files of a pinned archive: found in its directory, hashed once, read one by one.
//!
//! Hashing takes a read of the whole sub-tree; what came of it is kept beside the archive, so that
//! every Target and every restart after that reads a list instead.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    records::MOST,
    unpack::{Tape, Unpacking},
    waves::lazy,
};
use crate::{
    api::v1alpha1::ContentType,
    domain::{
        archive::{Packed, directory_length, index},
        digest::{Hasher, Sha256},
        site::{ContentFile, Run, Served, SiteContent, SiteProblem, runs, select},
    },
    ports::{
        CallError, CallErrorKind,
        store::{ByteStream, Store},
    },
};

/// As much of the archive's end is read first. Most directories are in it, and any record of where
/// they are, with the longest comment.
const FIRST: u64 = 80 << 10;

/// Parts of the archive that are read side by side while it is hashed.
const AT_A_TIME: usize = 4;

/// An archive in an artifact bucket, and what is taken of it.
#[derive(Clone)]
pub struct Source {
    /// The bucket it lies in.
    pub store: Arc<dyn Store>,
    /// Its key.
    pub key: String,
    /// The object's version.
    pub version_id: String,
    /// Of the archive's bytes.
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

impl Source {
    /// The bytes of a file, verified. Nothing is read before the first of them is asked for.
    pub(super) fn file(&self, path: &str, file: &ContentFile) -> ByteStream {
        let (source, path, file) = (self.clone(), path.to_owned(), file.clone());
        let open = move || async move {
            let mut tape = source.tape(file.packed.start, file.packed.end).await?;
            let unpacking = Unpacking::begin(&path, &file.packed, &mut tape).await?;
            let state = Some((tape, unpacking, Hasher::default()));
            let shown = source.shown();
            let pieces = stream::unfold(state, move |state| {
                let shown = shown.clone();
                async move {
                    let (mut tape, mut unpacking, mut hasher) = state?;
                    match unpacking.next(&mut tape).await {
                        Ok(Some(piece)) => {
                            hasher.update(&piece);
                            Some((Ok(piece), Some((tape, unpacking, hasher))))
                        }
                        Ok(None) if hasher.finish() == file.sha256 => None,
                        Ok(None) => {
                            let why = "the bytes are not those that were hashed before";
                            let kind = CallErrorKind::Corrupt;
                            let error = CallError::new("s3:GetObject", shown, kind, why);
                            Some((Err(error), None))
                        }
                        Err(error) => Some((Err(error), None)),
                    }
                }
            });
            Ok(pieces.boxed())
        };
        lazy(open).boxed()
    }

    async fn tape(&self, start: u64, end: u64) -> Result<Tape, CallError> {
        let body = self
            .store
            .open_range(&self.key, &self.version_id, start..end)
            .await?;
        Ok(Tape::new(&self.shown(), start, body))
    }

    /// So many of the archive's last bytes.
    async fn tail(&self, length: u64) -> Result<Vec<u8>, CallError> {
        let start = self.size.saturating_sub(length);
        let body = self
            .store
            .open_range(&self.key, &self.version_id, start..self.size)
            .await?;
        body.try_fold(Vec::new(), |mut tail, piece| async move {
            tail.extend_from_slice(&piece);
            Ok(tail)
        })
        .await
    }

    fn shown(&self) -> String {
        format!("s3://{}/{}", self.store.bucket(), self.key)
    }

    /// Where what came of hashing is kept.
    fn kept_at(&self) -> String {
        let tree = Sha256::of(self.tree.as_bytes()).short();
        format!("{}.files/{tree}.json", self.key)
    }

    fn unfit(&self, problem: impl Into<SiteProblem>) -> CallError {
        let why = problem.into().to_string();
        let what = format!("{} ({})", self.origin, self.shown());
        CallError::new("unpack", what, CallErrorKind::Invalid, why)
    }
}

/// The files of the archive, hashed.
pub(super) async fn content(source: &Source) -> Result<SiteContent, CallError> {
    if let Some(text) = source.store.get(&source.kept_at(), None, MOST).await?
        && let Some(content) = SiteContent::read(&text, source.sha256, &source.tree, &source.types)
    {
        return Ok(content);
    }
    let files = find(source).await?;
    let runs = runs(&files);
    // Made before they are streamed: a closure in the stream would be asked for any lifetime.
    let mut hashing = Vec::with_capacity(runs.len());
    for run in runs {
        hashing.push(hash(source, run));
    }
    let hashed: Vec<Vec<(String, ContentFile)>> = stream::iter(hashing)
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    let files = hashed.into_iter().flatten().collect();
    let content = SiteContent::new(source.sha256, &source.tree, files, &source.types);
    keep(source, &content).await;
    Ok(content)
}

/// The archive's directory, and of that what is taken.
async fn find(source: &Source) -> Result<BTreeMap<String, Packed>, CallError> {
    let mut tail = source.tail(FIRST).await?;
    let length = directory_length(&tail, source.size).map_err(|why| source.unfit(why))?;
    if length > tail.len() as u64 {
        tail = source.tail(length).await?;
    }
    let entries = index(&tail, source.size).map_err(|why| source.unfit(why))?;
    select(&entries, &source.tree).map_err(|why| source.unfit(why))
}

async fn hash(source: &Source, run: Run<'_>) -> Result<Vec<(String, ContentFile)>, CallError> {
    let mut tape = source.tape(run.start, run.end).await?;
    let mut files = Vec::with_capacity(run.files.len());
    for (path, packed) in run.files {
        let mut unpacking = Unpacking::begin(path, packed, &mut tape).await?;
        let mut hasher = Hasher::default();
        while let Some(piece) = unpacking.next(&mut tape).await? {
            hasher.update(&piece);
        }
        let file = ContentFile {
            sha256: hasher.finish(),
            packed: *packed,
            served: Served::default(),
        };
        files.push((path.to_owned(), file));
    }
    Ok(files)
}

/// Only spares work: where it fails, the next one hashes again.
async fn keep(source: &Source, content: &SiteContent) {
    let text = match serde_json::to_vec(content) {
        Ok(text) => Bytes::from(text),
        Err(error) => {
            tracing::warn!(%error, "the files of an archive can't be written down");
            return;
        }
    };
    let kept = source
        .store
        .put(&source.kept_at(), text, &BTreeMap::new())
        .await;
    if let Err(error) = kept {
        tracing::warn!(%error, "the files of an archive could not be kept");
    }
}

#[cfg(test)]
mod tests;
