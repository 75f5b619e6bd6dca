//! Preconditions of a step: each of these functions ends the step early with the next read or action.

use std::sync::Arc;

use super::{
    StoredRef,
    content::SiteContent,
    manifest::SiteManifest,
    observed::{Listing, ObservedSite},
    snapshot::SiteSnapshot,
    steps::{Act, Next, Read, WAVE},
};
use crate::domain::digest::Sha256;

/// The most objects to read with `HeadObject` before a decision: if many conflict, the first ones suffice.
const HEADS: usize = 256;

/// A step's result, or the read or action that must come first.
pub(super) type Step = Result<Next, Next>;

/// Unwraps either of the two.
pub(super) fn answer(step: Step) -> Next {
    step.unwrap_or_else(|next| next)
}

impl ObservedSite {
    pub(super) fn need_content(&self) -> Result<&SiteContent, Next> {
        self.content.as_deref().ok_or(Next::Read(Read::Content))
    }

    pub(super) fn need_manifest(&self, reference: &StoredRef) -> Result<&SiteManifest, Next> {
        let manifest = self.manifests.get(&reference.sha256);
        manifest
            .map(AsRef::as_ref)
            .ok_or_else(|| Next::Read(Read::Manifest(reference.clone())))
    }

    pub(super) fn need_snapshot(&self, reference: &StoredRef) -> Result<&SiteSnapshot, Next> {
        let snapshot = self.snapshot.as_ref();
        snapshot
            .filter(|(known, _)| known == reference)
            .map(|(_, snapshot)| snapshot.as_ref())
            .ok_or_else(|| Next::Read(Read::Snapshot(reference.clone())))
    }

    pub(super) fn need_listing(&self) -> Result<&Listing, Next> {
        self.listing.as_ref().ok_or(Next::Read(Read::Listing))
    }

    /// A listing without updates from this process's own writes, to confirm them.
    pub(super) fn need_fresh_listing(&self) -> Result<&Listing, Next> {
        let listing = self.need_listing()?;
        if listing.is_fresh {
            Ok(listing)
        } else {
            Err(Next::Read(Read::Listing))
        }
    }

    /// Stores the manifest, unless it is the one that was stored last.
    pub(super) fn store(&self, manifest: SiteManifest) -> Next {
        let digest = Sha256::of(&manifest.text()).to_string();
        match &self.stored {
            Some(stored) if stored.sha256 == digest => Next::Ready(Some(stored.clone())),
            _ => Next::Act(Act::StoreManifest(Arc::new(manifest))),
        }
    }
}

/// Reads the first of these objects with `HeadObject`, if there are any.
pub(super) fn looked_at<'a>(paths: impl IntoIterator<Item = &'a str>) -> Result<(), Next> {
    let paths: Vec<String> = paths.into_iter().take(HEADS).map(str::to_owned).collect();
    if paths.is_empty() {
        return Ok(());
    }
    Err(Next::Read(Read::Heads(paths)))
}

/// Executes the first wave of these, if there are any.
pub(super) fn done<T>(act: fn(Vec<T>) -> Act, mut wave: Vec<T>) -> Result<(), Next> {
    if wave.is_empty() {
        return Ok(());
    }
    wave.truncate(WAVE);
    Err(Next::Act(act(wave)))
}
