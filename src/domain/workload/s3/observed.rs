//! Observations of buckets, and what this process remembers of them during a run.

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::site::{self, Act, ObservedSite, S3Location, SiteArchive, SiteManifest};
use crate::{
    api::v1alpha1::{StoredRef, TargetStatus},
    domain::{
        failure::CallError,
        workload::{
            kind,
            protocol::{self, IsAwsWorking, ReplyOutcome},
        },
    },
};

/// The name of this kind in the inventory.
pub const INVENTORY: &str = "S3Objects";

/// The next read or action for files in a bucket.
pub type Next = protocol::Next<Read, Action>;

/// The input to a decision about them.
pub type View<'a> = protocol::View<'a, Observed, S3LocationSnapshot>;

/// A read at an S3 location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The location, with what the shell needs there.
    pub task: Box<SiteTask>,
    /// What to do there.
    pub read: site::Read,
}

/// The observations at a location after a read.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The location's name.
    pub location: String,
    /// The observations there.
    pub observed: Box<ObservedSite>,
}

/// An action at an S3 location.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The location, with what the shell needs there.
    pub task: Box<SiteTask>,
    /// What to do there.
    pub act: Act,
}

/// The result of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The observations at the location.
    pub observed: Box<ObservedSite>,
    /// The calls that failed.
    pub failed: Vec<CallError>,
}

/// Observations of S3 locations, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed(pub BTreeMap<String, ObservedSite>);

/// The state of an S3 location before a run; a stored [`site::SiteSnapshot`] lists the objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3LocationSnapshot {
    /// The S3 location.
    pub location: S3Location,
    /// The stored list of the run's changes and of the backup copies.
    pub snapshot: StoredRef,
    /// The former manifest, if the Deployment owned objects there.
    pub manifest: Option<StoredRef>,
}

impl kind::Observed for Observed {
    type Found = Found;
    type Action = Action;
    type Reply = Reply;

    /// Each pass reads the objects again.
    fn begin_pass(&mut self, _: Timestamp) {
        self.begin_restore();
    }

    fn end_pass(&mut self) {}

    fn forget_reads(&mut self) {}

    fn begin_restore(&mut self) {
        self.0.values_mut().for_each(ObservedSite::forget_objects);
    }

    fn found(&mut self, found: Found, _: Timestamp) -> IsAwsWorking {
        self.0.insert(found.location, *found.observed);
        false
    }

    fn replied(
        &mut self,
        (_, resource): (&str, &str),
        reply: Reply,
        _verify: bool,
        _: Timestamp,
    ) -> ReplyOutcome {
        self.0.insert(resource.to_owned(), *reply.observed);
        ReplyOutcome {
            is_no_progress: !reply.failed.is_empty(),
            failed: reply.failed,
            is_aws_working: false,
        }
    }

    /// Does nothing: the reply to a failed wave updates the observations.
    fn forget(&mut self, _: &str) {}
}

/// What the shell needs to work at an S3 location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTask {
    /// The S3 location.
    pub location: S3Location,
    /// The archive with new files; `None` to delete or restore.
    pub archive: Option<SiteArchive>,
    /// The key prefix of this run's backup copies, below the location's records.
    pub copies: String,
}

impl SiteTask {
    /// A task that needs no archive.
    pub fn of(location: &S3Location) -> Self {
        Self {
            location: location.clone(),
            archive: None,
            copies: String::new(),
        }
    }

    /// Converts to the engine's types.
    pub fn next(self, next: site::Next) -> Next {
        match next {
            site::Next::Read(read) => Next::Read(Read {
                task: Box::new(self),
                read,
            }),
            site::Next::Act(act) => Next::Act(Action {
                task: Box::new(self),
                act,
            }),
            site::Next::Ready(_) => Next::Ready,
            site::Next::Fail(why) => Next::Fail(why),
        }
    }
}

/// The manifest at a location, as referenced by the inventory.
pub fn ours<'a>(location: &S3Location, status: &'a TargetStatus) -> Option<&'a StoredRef> {
    let name = location.to_string();
    let item = status.inventory.iter().find(|item| item.name == name)?;
    item.objects.as_ref().map(|objects| &objects.manifest)
}

/// The manifest, if it was read.
pub fn manifest_of<'a>(
    reference: &StoredRef,
    observed: &'a ObservedSite,
) -> Option<&'a SiteManifest> {
    observed.manifests.get(&reference.sha256).map(AsRef::as_ref)
}

/// The observations at a location.
pub fn observed_at<'a>(location: &S3Location, observed: &'a Observed) -> &'a ObservedSite {
    static NOTHING: LazyLock<ObservedSite> = LazyLock::new(ObservedSite::default);
    observed.0.get(&location.to_string()).unwrap_or(&NOTHING)
}
