//! What a step of a rollout asks for next, for one place.

use std::sync::Arc;

use super::{
    StoredRef,
    manifest::SiteManifest,
    place::Place,
    snapshot::{KeptObject, SiteSnapshot},
};
use crate::domain::ownership::Owner;

/// The most objects of one act, so that between two of them progress is observed, and an order to stop.
pub const WAVE: usize = 1_000;

/// What is wanted of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteWant {
    /// The component's name.
    pub component: String,
    /// Where.
    pub place: Place,
    /// Who.
    pub owner: Owner,
    /// Tells this run's copies from those of all others ([`SiteSnapshot::copies`]).
    pub copies: String,
}

/// What comes next. (S3 is never at work by itself: there is nothing to wait for.)
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This has to be known first.
    Read(Read),
    /// This has to be done.
    Act(Act),
    /// The step is complete. What is ours in the place now, as far as it is on record.
    Ready(Option<StoredRef>),
    /// The step can't be completed.
    Fail(String),
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The files that the Release wants.
    Content,
    /// A manifest.
    Manifest(StoredRef),
    /// A snapshot.
    Snapshot(StoredRef),
    /// What is there: all that [`super::ObservedSite::concerns`].
    Listing,
    /// The objects at these paths, each by itself.
    Heads(Vec<String>),
}

/// Something to do. The objects of a wave don't depend on each other: one that fails stops none of
/// the others.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Copy these into the artifact bucket.
    Keep(Vec<Keep>),
    /// Store the list of what was kept.
    StoreSnapshot(Arc<SiteSnapshot>),
    /// Put these out of the archive.
    Put(Vec<Put>),
    /// Copy these back from the artifact bucket.
    CopyBack(Vec<CopyBack>),
    /// Delete these.
    Delete(Vec<Deletion>),
    /// Store what is ours.
    StoreManifest(Arc<SiteManifest>),
}

/// An object to copy away, as it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Below the prefix.
    pub path: String,
    /// It must still have this one.
    pub etag: String,
    /// Seconds since 1970.
    pub modified: i64,
    /// Bytes.
    pub size: u64,
}

/// A file to put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Below the prefix, and below the archive's sub-tree.
    pub path: String,
    /// What must stand there.
    pub condition: Condition,
}

/// An object to copy back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyBack {
    /// Below the prefix.
    pub path: String,
    /// The copy of it.
    pub copy: KeptObject,
    /// What must stand there.
    pub condition: Condition,
}

/// An object to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Below the prefix.
    pub path: String,
    /// It must still have this one.
    pub etag: String,
}

/// What must stand under a key for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Absent,
    /// The object with this ETag.
    Is(String),
}

/// A change that will be made, for the journal: many objects in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteIntent {
    /// S3's name of the call.
    pub operation: &'static str,
    /// The place and how many objects.
    pub resource: String,
    /// What identifies the effect.
    pub result: String,
}

/// Which changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What nobody sees yet.
    Prepare,
    /// What people see.
    Promote,
    /// What is removed in the end.
    Prune,
    /// What is put back.
    Restore,
}

impl Act {
    /// S3's name of the calls, or ours, for journal, metrics and messages.
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

/// What a run changes in a phase, out of its snapshot: at most two lines, whatever the number of
/// objects.
pub fn intents(snapshot: &SiteSnapshot, digest: &str, phase: Phase) -> Vec<SiteIntent> {
    let content = snapshot.content.to_string();
    let intent = |operation, count: usize, what: &str, result: &str| {
        (count > 0).then(|| SiteIntent {
            operation,
            resource: format!("{} ({count} {what})", snapshot.place),
            result: result.to_owned(),
        })
    };
    let (created, kept) = (&snapshot.created, &snapshot.kept);
    let removed = snapshot.retired.len();
    let new = created
        .iter()
        .filter(|path| !snapshot.is_document(path))
        .count();
    let lines = match phase {
        Phase::Prepare => [intent("PutObject", new, "new files", &content), None],
        Phase::Promote => {
            let changed = kept.len() - removed;
            let documents = created.len() - new;
            [
                intent("PutObject", changed, "changed files", &content),
                intent("PutObject", documents, "new entry documents", &content),
            ]
        }
        Phase::Prune => [
            intent("DeleteObjects", removed, "removed files", digest),
            None,
        ],
        Phase::Restore => [
            intent("CopyObject", kept.len(), "former files", digest),
            intent("DeleteObjects", created.len(), "new files", digest),
        ],
    };
    lines.into_iter().flatten().collect()
}
