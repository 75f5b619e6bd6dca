//! The reads and actions of a rollout at one S3 location.

use std::sync::Arc;

use super::{
    StoredRef,
    location::S3Location,
    manifest::SiteManifest,
    snapshot::{KeptObject, SiteSnapshot},
};
use crate::domain::ownership::Owner;

/// The most objects of one act, so that progress is recorded, and a request to stop noticed, between two
/// acts.
pub const WAVE: usize = 1_000;

/// The desired state of an S3 location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteWant {
    /// The component's name.
    pub component: String,
    /// The S3 location.
    pub location: S3Location,
    /// The Deployment that owns the objects.
    pub owner: Owner,
    /// The key prefix of this run's backup copies ([`SiteSnapshot::copies`]).
    pub copies: String,
}

/// The next read or action. (S3 has no asynchronous operations: there is no wait.)
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This must be read first.
    Read(Read),
    /// This must be done.
    Act(Act),
    /// The step is complete, with the current manifest, if any.
    Ready(Option<StoredRef>),
    /// The step can't be completed, for this reason.
    Fail(String),
}

/// A read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The files of the Release.
    Content,
    /// A manifest.
    Manifest(StoredRef),
    /// A snapshot.
    Snapshot(StoredRef),
    /// A listing of the relevant objects ([`super::ObservedSite::concerns`]).
    Listing,
    /// The objects at these paths, by `HeadObject`.
    Heads(Vec<String>),
}

/// An action. The objects of a wave are independent: if one fails, the others continue.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Copies these to the artifact bucket.
    Keep(Vec<Keep>),
    /// Stores the snapshot.
    StoreSnapshot(Arc<SiteSnapshot>),
    /// Uploads these from the archive.
    Put(Vec<Put>),
    /// Copies these back from the artifact bucket.
    CopyBack(Vec<CopyBack>),
    /// Deletes these.
    Delete(Vec<Deletion>),
    /// Stores the manifest.
    StoreManifest(Arc<SiteManifest>),
}

/// An object to back up, as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Below the prefix.
    pub path: String,
    /// The ETag that it must still have.
    pub etag: String,
    /// Seconds since 1970.
    pub modified: i64,
    /// Bytes.
    pub size: u64,
}

/// A file to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Below the prefix, and below the archive's sub-tree.
    pub path: String,
    /// The condition of the write.
    pub condition: Condition,
}

/// An object to restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyBack {
    /// Below the prefix.
    pub path: String,
    /// Its backup copy.
    pub copy: KeptObject,
    /// The condition of the write.
    pub condition: Condition,
}

/// An object to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Below the prefix.
    pub path: String,
    /// The ETag that it must still have.
    pub etag: String,
}

/// The condition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The object must not exist.
    Absent,
    /// The object must have this ETag.
    Is(String),
}

/// An intent for the journal: many objects in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteIntent {
    /// The S3 operation.
    pub operation: &'static str,
    /// The S3 location and the number of objects.
    pub resource: String,
    /// A value that identifies the effect.
    pub result: String,
}

/// The phase of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Changes that users do not see yet.
    Prepare,
    /// Changes that users see.
    Promote,
}

impl Act {
    /// The S3 operation, or Sluice's name for it, for journal, metrics and messages.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Keep(_) | Self::CopyBack(_) => "CopyObject",
            Self::StoreSnapshot(_) => "StoreSnapshot",
            Self::Put(_) => "PutObject",
            Self::Delete(_) => "DeleteObjects",
            Self::StoreManifest(_) => "StoreManifest",
        }
    }
}

/// The intents of a phase, from the run's snapshot: at most two lines, whatever the number of objects.
pub fn intents(snapshot: &SiteSnapshot, phase: Phase) -> Vec<SiteIntent> {
    let content = snapshot.content.to_string();
    let intent = |operation, count: usize, what: &str| {
        (count > 0).then(|| SiteIntent {
            operation,
            resource: format!("{} ({count} {what})", snapshot.location),
            result: content.clone(),
        })
    };
    let (created, kept) = (&snapshot.created, &snapshot.kept);
    let removed = snapshot.retired.len();
    let new = created
        .iter()
        .filter(|path| !snapshot.is_document(path))
        .count();
    let lines = match phase {
        Phase::Prepare => [intent("PutObject", new, "new files"), None],
        Phase::Promote => {
            let changed = kept.len() - removed;
            let documents = created.len() - new;
            [
                intent("PutObject", changed, "changed files"),
                intent("PutObject", documents, "new entry documents"),
            ]
        }
    };
    lines.into_iter().flatten().collect()
}
