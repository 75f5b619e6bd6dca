//! An archive in an artifact bucket.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::unpack::{Tape, Unpacking};
use crate::{
    domain::{
        archive::{
            EntryKind, Packed, Run, ZipEntry, directory_length, index, method_name, normal, runs,
        },
        digest::{Hasher, Sha256},
        names,
    },
    ports::{
        CallError, CallErrorKind,
        store::{ByteStream, Store},
    },
};

/// How much of the archive's end is read first: enough for most directories, and for any end record with the
/// longest comment.
pub const FIRST: u64 = 80 << 10;

/// How many parts of an archive are read concurrently for hashing.
const AT_A_TIME: usize = 4;

/// All bytes of a body that is known to be small.
pub async fn whole_body(body: ByteStream) -> Result<Vec<u8>, CallError> {
    body.try_fold(Vec::new(), |mut bytes, piece| async move {
        bytes.extend_from_slice(&piece);
        Ok(bytes)
    })
    .await
}

/// A zip in an artifact bucket.
#[derive(Clone)]
pub struct Archive {
    /// Its bucket.
    pub store: Arc<dyn Store>,
    /// Its key.
    pub key: String,
    /// The object's version.
    pub version_id: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Its name in messages: the field, the artifact and its job.
    pub origin: String,
}

impl Archive {
    /// The entries, by the archive's directory.
    pub async fn entries(&self) -> Result<Vec<ZipEntry>, CallError> {
        let mut tail = self.tail(FIRST).await?;
        let length = directory_length(&tail, self.size).map_err(|why| self.unfit(why))?;
        if length > tail.len() as u64 {
            tail = self.tail(length).await?;
        }
        index(&tail, self.size).map_err(|why| self.unfit(why))
    }

    /// The file at this path, of these entries.
    pub fn find<'a>(&self, entries: &'a [ZipEntry], path: &str) -> Result<&'a ZipEntry, CallError> {
        let name = normal(path.as_bytes());
        let mut found = entries.iter().filter(|entry| *entry.name == *name);
        let Some(entry) = found.next() else {
            let names = entries
                .iter()
                .filter_map(|entry| std::str::from_utf8(&entry.name).ok());
            let near = names::but(path, names);
            return Err(self.unfit(format!("there is no file {path} in it{near}")));
        };
        if found.next().is_some() {
            return Err(self.unfit(format!("it has more than one file {path}")));
        }
        let why = match entry.kind {
            EntryKind::File => return Ok(entry),
            EntryKind::Directory => format!("{path} is a folder"),
            EntryKind::SymbolicLink => format!("{path} is a symbolic link: pack the file itself"),
            EntryKind::UnknownMethod(method) => {
                let method = method_name(i32::from(method));
                format!("{path} is compressed by {method}: store or deflate it")
            }
        };
        Err(self.unfit(why))
    }

    /// The bytes from `start` to `end`, to be read sequentially.
    pub async fn tape(&self, start: u64, end: u64) -> Result<Tape, CallError> {
        let body = self
            .store
            .open_range(&self.key, &self.version_id, start..end)
            .await?;
        Ok(Tape::new(&self.uri(), start, body))
    }

    /// Reads a file that is known to be small.
    pub async fn read(&self, path: &str, packed: &Packed) -> Result<Vec<u8>, CallError> {
        let mut tape = self.tape(packed.start, packed.end).await?;
        let mut unpacking = Unpacking::begin(path, packed, &mut tape).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = unpacking.next(&mut tape).await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Whether a file begins with these bytes.
    pub async fn begins_with(
        &self,
        path: &str,
        packed: &Packed,
        beginning: &[u8],
    ) -> Result<bool, CallError> {
        let mut tape = self.tape(packed.start, packed.end).await?;
        let mut unpacking = Unpacking::begin(path, packed, &mut tape).await?;
        let mut bytes = Vec::new();
        while bytes.len() < beginning.len()
            && let Some(piece) = unpacking.next(&mut tape).await?
        {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.starts_with(beginning))
    }

    /// The bytes of a file, which must have this digest. Nothing is read before the first poll.
    pub fn file(&self, path: &str, packed: Packed, sha256: Sha256) -> ByteStream {
        let (archive, path) = (self.clone(), path.to_owned());
        let open = async move {
            let mut tape = archive.tape(packed.start, packed.end).await?;
            let unpacking = Unpacking::begin(&path, &packed, &mut tape).await?;
            let changed = archive.changed();
            let state = Some((tape, unpacking, Hasher::default()));
            Ok(stream::unfold(state, move |state| {
                let changed = changed.clone();
                async move {
                    let (mut tape, mut unpacking, mut hasher) = state?;
                    match unpacking.next(&mut tape).await {
                        Ok(Some(piece)) => {
                            hasher.update(&piece);
                            Some((Ok(piece), Some((tape, unpacking, hasher))))
                        }
                        Ok(None) if hasher.finish() == sha256 => None,
                        Ok(None) => Some((Err(changed), None)),
                        Err(error) => Some((Err(error), None)),
                    }
                }
            }))
        };
        stream::once(open).try_flatten().boxed()
    }

    /// The digests of files, by path.
    pub async fn digests<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a String, &'a Packed)>,
    ) -> Result<BTreeMap<String, Sha256>, CallError> {
        // Created before they are streamed: a closure in the stream would have to hold for any lifetime.
        let mut hashing = Vec::new();
        for run in runs(files) {
            hashing.push(self.digests_of_run(run));
        }
        let hashed: Vec<Vec<_>> = stream::iter(hashing)
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        Ok(hashed.into_iter().flatten().collect())
    }

    async fn digests_of_run(&self, run: Run<'_>) -> Result<Vec<(String, Sha256)>, CallError> {
        let mut tape = self.tape(run.start, run.end).await?;
        let mut digests = Vec::with_capacity(run.files.len());
        for (path, packed) in run.files {
            digests.push((path.to_owned(), digest_on(&mut tape, path, packed).await?));
        }
        Ok(digests)
    }

    /// The digest of a file.
    pub async fn digest(&self, path: &str, packed: &Packed) -> Result<Sha256, CallError> {
        let mut tape = self.tape(packed.start, packed.end).await?;
        digest_on(&mut tape, path, packed).await
    }

    /// The error for files that have changed since they were hashed.
    pub fn changed(&self) -> CallError {
        let why = "the bytes differ from those that were hashed";
        CallError::new("s3:GetObject", self.uri(), CallErrorKind::Corrupt, why)
    }

    /// Reads the last `length` bytes.
    async fn tail(&self, length: u64) -> Result<Vec<u8>, CallError> {
        let start = self.size.saturating_sub(length);
        let body = self
            .store
            .open_range(&self.key, &self.version_id, start..self.size)
            .await?;
        whole_body(body).await
    }

    /// Its address.
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.store.bucket(), self.key)
    }

    /// The error of an archive whose content is unsuitable.
    pub fn unfit(&self, problem: impl fmt::Display) -> CallError {
        let what = format!("{} ({})", self.origin, self.uri());
        CallError::new("unpack", what, CallErrorKind::Invalid, problem.to_string())
    }
}

/// The digest of the file that comes next on the tape.
async fn digest_on(tape: &mut Tape, path: &str, packed: &Packed) -> Result<Sha256, CallError> {
    let mut unpacking = Unpacking::begin(path, packed, tape).await?;
    let mut hasher = Hasher::default();
    while let Some(piece) = unpacking.next(tape).await? {
        hasher.update(&piece);
    }
    Ok(hasher.finish())
}
