//! Carries out the reads and actions of a site ([`crate::domain::workload::s3::site`]) in one S3 location of
//! a Target.
//!
//! # Expected flow
//! The Target's shell asks the domain for the next step and passes it to [`S3LocationShell::read`] or
//! [`S3LocationShell::carry_out`], which note the result in the [`ObservedSite`]. Then it asks again.
//!
//! # Guarantees
//! - The objects of a wave are processed concurrently, and no more in the whole process than
//!   [`Waves`] allows. This bounds the memory.
//! - The error of an object names its key. It stops no other object, unless many fail.
//!
//! # Assumptions
//! The archive and the records are pinned by version and digest.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};

use super::{
    content::{self, Source, Wanted},
    records,
    waves::{self, Waves},
};
use crate::{
    domain::{
        ownership::Owner,
        workload::s3::site::{
            Act, CopyBack, Deletion, Keep, KeptObject, ObservedSite, Outcome, Put, Read, Reply,
            S3Location, SiteContent, batches, copy_key, metadata,
        },
    },
    ports::{
        CallError, CallErrorKind,
        s3::{NewObject, Sites, StoredCopy},
        store::Store,
    },
};

/// Files up to this size are read in batches.
const SMALL: u64 = 256 << 10;

/// How many batches are read ahead of the uploads.
const AHEAD: usize = 2;

/// One S3 location of a Target, with the clients for it.
pub struct S3LocationShell<'a> {
    /// The limits that the whole process shares.
    pub waves: &'a Waves,
    /// The users' buckets.
    pub sites: &'a dyn Sites,
    /// The Target's artifact bucket.
    pub store: &'a dyn Store,
    /// The S3 location of the files.
    pub location: &'a S3Location,
    /// The owner of the files.
    pub owner: &'a Owner,
    /// The key prefix of this location's records: `sites/<namespace>/<target>/<id>`, where `<id>` is
    /// [`S3Location::id`].
    pub records: &'a str,
    /// The key prefix of this run's copies, below `records`.
    pub copies: &'a str,
    /// The source of the files; not needed to delete or restore.
    pub source: Option<&'a Source>,
}

impl S3LocationShell<'_> {
    /// Carries out a read and notes the result.
    pub async fn read(&self, read: Read, observed: &mut ObservedSite) -> Result<(), CallError> {
        match read {
            Read::Content => {
                let source = self.source()?;
                observed.note_content(Arc::new(content::content(source).await?));
            }
            Read::Manifest(reference) => {
                let manifest = records::manifest(self.store, &reference).await?;
                observed.note_manifest(&reference, Arc::new(manifest));
            }
            Read::Snapshot(reference) => {
                let snapshot = records::snapshot(self.store, &reference).await?;
                observed.note_snapshot(reference, Arc::new(snapshot));
            }
            Read::Listing => self.list(observed).await?,
            Read::Heads(paths) => {
                let read = |path: String| async move {
                    let key = self.location.key(&path);
                    let head = self.sites.head(&self.location.bucket, &key).await?;
                    Ok((path, head))
                };
                let (heads, failed) = self.waves.all(paths, read).await;
                observed.note_heads(heads);
                if let Some(error) = failed.into_iter().next() {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Carries out an action and notes the result. Returns the errors; after any, the objects are read
    /// again.
    pub async fn carry_out(&self, act: &Act, observed: &mut ObservedSite) -> Vec<CallError> {
        tracing::debug!(operation = act.operation(), location = %self.location, "carrying out");
        let (reply, failed) = match act {
            Act::StoreSnapshot(snapshot) => self.stored("snapshots", snapshot.text()).await,
            Act::StoreManifest(manifest) => self.stored("manifests", manifest.text()).await,
            Act::Keep(objects) => self.keep(objects).await,
            Act::Put(files) => match (self.source(), observed.content.clone()) {
                (Ok(source), Some(content)) => self.put(files, source, &content).await,
                (Err(error), _) => (None, vec![error]),
                (_, None) => (None, vec![self.error("s3:PutObject", "no files are known")]),
            },
            Act::CopyBack(objects) => match observed.snapshot.clone() {
                Some((_, snapshot)) => self.copy_back(objects, &snapshot.copies).await,
                None => (
                    None,
                    vec![self.error("s3:CopyObject", "no snapshot is known")],
                ),
            },
            Act::Delete(objects) => self.delete(objects).await,
        };
        if let Some(reply) = reply {
            observed.note(act, reply);
        }
        if !failed.is_empty() {
            observed.forget_objects();
        }
        failed
    }

    async fn list(&self, observed: &mut ObservedSite) -> Result<(), CallError> {
        let S3Location { bucket, prefix } = self.location;
        let mut objects = BTreeMap::new();
        let mut next = None;
        loop {
            let page = self.sites.list(bucket, prefix, next.as_deref()).await?;
            for (key, listed) in page.objects {
                // A bucket may hold far more than this site.
                if let Some(path) = self.location.path(&key)
                    && observed.concerns(path)
                {
                    objects.insert(path.to_owned(), listed);
                }
            }
            match page.next {
                Some(token) => next = Some(token),
                None => break,
            }
        }
        observed.note_listing(objects);
        Ok(())
    }

    async fn stored(&self, what: &str, text: Vec<u8>) -> (Option<Reply>, Vec<CallError>) {
        match records::store(self.store, &self.below(what), Bytes::from(text)).await {
            Ok(reference) => (Some(Reply::Stored(reference)), Vec::new()),
            Err(error) => (None, vec![error]),
        }
    }

    async fn keep(&self, objects: &[Keep]) -> (Option<Reply>, Vec<CallError>) {
        let keep = |object: Keep| async move {
            let Keep {
                path,
                etag,
                modified,
                size,
            } = object;
            let to = copy_key(
                &self.below(self.copies),
                self.location,
                &path,
                &etag,
                modified,
            );
            let key = self.location.key(&path);
            let bucket = &self.location.bucket;
            let copy = self.sites.keep(bucket, &key, &etag, size, &to).await?;
            let kept = KeptObject {
                etag,
                modified,
                size,
                version_id: copy.version_id,
            };
            Ok((path, Outcome::Kept(kept)))
        };
        wave(self.waves.all(objects.to_vec(), keep).await)
    }

    async fn put(
        &self,
        files: &[Put],
        source: &Source,
        content: &SiteContent,
    ) -> (Option<Reply>, Vec<CallError>) {
        let put = |(file, body): Wanted| async move {
            let Put { path, condition } = file;
            let Some(wanted) = content.files.get(&path) else {
                return Err(self.error("s3:PutObject", &format!("{path} is not in the archive")));
            };
            let object = NewObject {
                size: wanted.size(),
                body: match &body {
                    Some(small) => small.body()?,
                    None => source.file(&path, wanted),
                },
                served: wanted.served.clone(),
                metadata: metadata(self.owner, wanted.sha256),
            };
            let key = self.location.key(&path);
            let bucket = &self.location.bucket;
            let etag = self.sites.put(bucket, &key, object, &condition).await?;
            Ok((path, Outcome::Written(etag)))
        };
        let (large, loading) = self.loading(files, source, content);
        let loaded = stream::iter(loading).buffered(AHEAD).flat_map(stream::iter);
        let all = stream::iter(large).chain(loaded);
        wave(self.waves.each(all, put).await)
    }

    /// Large files, which are read while they are uploaded, and batches of small files, which are read ahead.
    fn loading<'a>(
        &'a self,
        files: &[Put],
        source: &'a Source,
        content: &SiteContent,
    ) -> (Vec<Wanted>, Vec<BoxFuture<'a, Vec<Wanted>>>) {
        let (mut large, mut small) = (Vec::new(), BTreeMap::new());
        for put in files {
            match content.files.get(&put.path) {
                Some(file) if file.size() <= SMALL => {
                    small.insert(put.path.clone(), (put, file));
                }
                _ => large.push((put.clone(), None)),
            }
        }
        let wanted = small.iter().map(|(path, (_, file))| (path, *file));
        let batches = batches(wanted).into_iter().map(|batch| {
            let files = batch.into_iter().filter_map(|(path, file)| {
                let (put, _) = small.get(path)?;
                Some(((*put).clone(), file.clone()))
            });
            content::load(source, self.waves, files.collect()).boxed()
        });
        (large, batches.collect())
    }

    async fn copy_back(
        &self,
        objects: &[CopyBack],
        copies: &str,
    ) -> (Option<Reply>, Vec<CallError>) {
        let copy = |object: CopyBack| async move {
            let CopyBack {
                path,
                copy,
                condition,
            } = object;
            let from = copy_key(
                &self.below(copies),
                self.location,
                &path,
                &copy.etag,
                copy.modified,
            );
            let stored = StoredCopy {
                key: &from,
                version_id: &copy.version_id,
                size: copy.size,
            };
            let key = self.location.key(&path);
            let bucket = &self.location.bucket;
            let etag = self
                .sites
                .restore(&stored, bucket, &key, &condition)
                .await?;
            Ok((path, Outcome::Written(etag)))
        };
        wave(self.waves.all(objects.to_vec(), copy).await)
    }

    /// Deletes the objects of a wave with one call.
    async fn delete(&self, objects: &[Deletion]) -> (Option<Reply>, Vec<CallError>) {
        let S3Location { bucket, prefix } = self.location;
        match self.sites.delete(bucket, prefix, objects).await {
            Ok(ends) => {
                let ends = objects.iter().zip(ends);
                wave(waves::sorted(ends.map(|(object, end)| {
                    end.map(|()| (object.path.clone(), Outcome::Deleted))
                })))
            }
            Err(error) => (None, vec![error]),
        }
    }

    /// A folder of the records.
    fn below(&self, folder: &str) -> String {
        format!("{}/{folder}", self.records)
    }

    fn source(&self) -> Result<&Source, CallError> {
        self.source
            .ok_or_else(|| self.error("s3:GetObject", "there is no archive to read files from"))
    }

    fn error(&self, operation: &str, why: &str) -> CallError {
        CallError::new(
            operation,
            self.location.to_string(),
            CallErrorKind::Invalid,
            why,
        )
    }
}

/// The reply for a processed wave, and its errors.
fn wave(
    (done, failed): (Vec<(String, Outcome)>, Vec<CallError>),
) -> (Option<Reply>, Vec<CallError>) {
    (Some(Reply::Wave(done.into_iter().collect())), failed)
}
