//! Delivering an archive's files to a user's bucket, under a prefix: ownership, changes and their order.
//!
//! # Expected flow
//! [`select`] finds the files in the archive's directory; the shell reads and hashes them into a
//! [`SiteContent`]. [`Diff`] compares that with the [`SiteManifest`] (the objects that the Deployment owns)
//! and the bucket's listing. Objects that the run overwrites or deletes are copied to the artifact bucket,
//! and the [`SiteSnapshot`] is stored: it lists the changes of the run and is what [`restore`] restores.
//! [`prepare`], [`promote`], [`confirm`] and [`prune`] then return the next read or action until all is done.
//!
//! # Guarantees
//! - Objects that the Deployment does not own are neither overwritten nor deleted. If one conflicts with a
//!   file of the Release, the delivery fails with a message that names the object.
//! - The order of changes never shows a page before the files it needs: new files first, changed ones next,
//!   entry documents last, deletions after everything is confirmed. Restore reverses that order.
//! - Each write and each deletion is conditional on the ETag it was decided from, or on absence.
//! - Every decision follows from observations: after a crash, the same functions find out what is done.
//!
//! # Assumptions
//! ETags come from S3's answers to writes and listings and are never computed: with SSE-KMS they are no
//! digests of the content. The metadata of each uploaded object names its owner and its SHA-256.

mod content;
mod deliver;
mod diff;
mod location;
mod manifest;
mod needs;
mod object;
mod observed;
mod select;
mod served;
mod snapshot;
mod steps;
mod undo;
mod unicode;

#[cfg(test)]
pub(crate) mod tests;

pub use crate::api::v1alpha1::StoredRef;

pub use self::{
    content::{ContentFile, SiteArchive, SiteContent},
    deliver::{begin, confirm, observe, prepare, promote, unchanged},
    diff::{Diff, Drift, drift},
    location::S3Location,
    manifest::{SiteFile, SiteManifest},
    object::{Listed, ObjectHead, metadata},
    observed::{Listing, ObservedSite, Outcome, Reply},
    select::{MAX_FILE_SIZE, MAX_FILES, MAX_TOTAL_SIZE, SiteProblem, batches, select},
    served::{Served, is_entry_document},
    snapshot::{KeptObject, SITES_PREFIX, SiteSnapshot, copy_key},
    steps::{
        Act, Condition, CopyBack, Deletion, Keep, Next, Phase, Put, Read, SiteIntent, SiteWant,
        WAVE, intents,
    },
    undo::{not_restored, prune, remove, restore},
};
