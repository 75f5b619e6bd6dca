//! An archive's files in a user's bucket, under a prefix: what is ours there, what changes, and in
//! which order.
//!
//! # Expected flow
//! [`select`] finds the files in the archive's directory; the shell reads and hashes them into a
//! [`SiteContent`]. [`Diff`] compares that with the [`SiteManifest`] (what is ours) and the bucket's
//! listing. What would be lost is copied away and the [`SiteSnapshot`] is stored: it is the plan of
//! the run as well as what [`restore`] puts back. [`prepare`], [`promote`], [`confirm`] and [`prune`]
//! then ask for what comes next until nothing does.
//!
//! # Guarantees
//! - An object that is not ours is neither overwritten nor deleted: one in our way is refused by name.
//! - What people see changes in an order that never shows a page before the files it needs: new files
//!   first, changed ones next, entry documents last, removals after everything is confirmed; and the
//!   other way round when it is put back.
//! - Each write and each deletion carries the ETag it was decided from, or that there was none.
//! - Decided from what is there: after a crash the same functions find out how far things got.
//!
//! # Assumptions
//! An ETag is taken for what S3 said of a write or a listing, never computed: with SSE-KMS it is no
//! digest of the content. What we put says by its metadata what it is and whose.

mod back;
mod content;
mod diff;
mod forward;
mod manifest;
mod needs;
mod object;
mod observed;
mod place;
mod select;
mod served;
mod snapshot;
mod steps;
mod unicode;

#[cfg(test)]
pub(crate) mod tests;

pub use crate::api::v1alpha1::StoredRef;

pub use self::{
    back::{not_restored, prune, remove, restore},
    content::{ContentFile, SiteArchive, SiteContent},
    diff::{Diff, Drift, drift},
    forward::{begin, confirm, look, prepare, promote, unchanged},
    manifest::{SiteFile, SiteManifest},
    object::{Listed, ObjectHead, metadata},
    observed::{Listing, ObservedSite, Outcome, Reply},
    place::Place,
    select::{FILE_SIZE, FILES, Run, SiteProblem, TOTAL_SIZE, batches, runs, select},
    served::{Served, is_entry_document},
    snapshot::{KEPT, KeptObject, SiteSnapshot, copy_key},
    steps::{
        Act, Condition, CopyBack, Deletion, Keep, Next, Phase, Put, Read, SiteIntent, SiteWant,
        WAVE, intents,
    },
};
