//! What was read of buckets, and what this process remembers of them during a run.

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::site::{self, Act, ObservedSite, Place, SiteArchive, SiteManifest};
use crate::{
    api::v1alpha1::{StoredRef, TargetStatus},
    domain::{
        failure::CallError,
        workload::{
            kind,
            protocol::{self, IsAtWork, Noted},
        },
    },
};

/// What the inventory calls files in a bucket.
pub const INVENTORY: &str = "S3Objects";

/// What comes next for files in a bucket.
pub type Next = protocol::Next<Read, Action>;

/// What a decision about them is made from.
pub type View<'a> = protocol::View<'a, Observed, PlaceSnapshot>;

/// Something to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Where.
    pub task: Box<SiteTask>,
    /// What.
    pub read: site::Read,
}

/// What is known of the place after a read.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The place by its name.
    pub place: String,
    /// What is known of it.
    pub observed: Box<ObservedSite>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Where.
    pub task: Box<SiteTask>,
    /// What.
    pub act: Act,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// What is known of the place now.
    pub observed: Box<ObservedSite>,
    /// What failed of what was done there.
    pub failed: Vec<CallError>,
}

/// What was read of places, by their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed(pub BTreeMap<String, ObservedSite>);

/// A bucket and prefix as they were; the objects themselves are listed elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceSnapshot {
    /// Where.
    pub place: Place,
    /// The list of what the run changes there, and of what was kept.
    pub snapshot: StoredRef,
    /// The list of what was Sluice's, if anything was.
    pub manifest: Option<StoredRef>,
}

impl kind::Observed for Observed {
    type Found = Found;
    type Action = Action;
    type Reply = Reply;

    /// What is there is read anew in each pass.
    fn begin_pass(&mut self, _: Timestamp) {
        self.begin_restore();
    }

    fn end_pass(&mut self) {}

    fn forget_reads(&mut self) {}

    fn begin_restore(&mut self) {
        self.0.values_mut().for_each(ObservedSite::forget_objects);
    }

    fn found(&mut self, found: Found, _: Timestamp) -> IsAtWork {
        self.0.insert(found.place, *found.observed);
        false
    }

    fn replied(
        &mut self,
        (_, resource): (&str, &str),
        reply: Reply,
        _verify: bool,
        _: Timestamp,
    ) -> Noted {
        self.0.insert(resource.to_owned(), *reply.observed);
        Noted {
            is_no_progress: !reply.failed.is_empty(),
            failed: reply.failed,
            is_at_work: false,
        }
    }

    /// After a failed wave the place itself says what it knows.
    fn forget(&mut self, _: &str) {}
}

/// What the shell has to know of a place to work there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTask {
    /// Where.
    pub place: Place,
    /// Where new files come from; not needed to take away or put back.
    pub archive: Option<SiteArchive>,
    /// What the keys of this run's copies begin with, below the place's records.
    pub copies: String,
}

impl SiteTask {
    /// Only what has been put there is worked with.
    pub fn of(place: &Place) -> Self {
        Self {
            place: place.clone(),
            archive: None,
            copies: String::new(),
        }
    }

    /// What comes next, in the words of the engine.
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

/// What the inventory says is ours there.
pub fn ours<'a>(place: &Place, status: &'a TargetStatus) -> Option<&'a StoredRef> {
    let name = place.to_string();
    let item = status.inventory.iter().find(|item| item.name == name)?;
    item.objects.as_ref().map(|objects| &objects.manifest)
}

/// The list of what is ours, once it was read.
pub fn manifest_of<'a>(
    reference: &StoredRef,
    observed: &'a ObservedSite,
) -> Option<&'a SiteManifest> {
    observed.manifests.get(&reference.sha256).map(AsRef::as_ref)
}

/// What was observed of a place.
pub fn observed_at<'a>(place: &Place, observed: &'a Observed) -> &'a ObservedSite {
    static NOTHING: LazyLock<ObservedSite> = LazyLock::new(ObservedSite::default);
    observed.0.get(&place.to_string()).unwrap_or(&NOTHING)
}
