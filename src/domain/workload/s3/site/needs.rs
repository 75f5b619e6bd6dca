//! What a step has to know or do first: each of these ends the step early with that.

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

/// The most objects that are looked at one by one before anything is decided: where many are in the
/// way, the first of them will do.
const HEADS: usize = 256;

/// A step's answer, or what has to be known for it.
pub(super) type Step = Result<Next, Next>;

/// The one or the other.
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

    /// A listing with nothing of our own word in it: to see what came of what was done.
    pub(super) fn need_fresh_listing(&self) -> Result<&Listing, Next> {
        let listing = self.need_listing()?;
        if listing.is_fresh {
            Ok(listing)
        } else {
            Err(Next::Read(Read::Listing))
        }
    }

    /// Stores the manifest, unless that was the last one that was stored.
    pub(super) fn store(&self, manifest: SiteManifest) -> Next {
        let digest = Sha256::of(&manifest.text()).to_string();
        match &self.stored {
            Some(stored) if stored.sha256 == digest => Next::Ready(Some(stored.clone())),
            _ => Next::Act(Act::StoreManifest(Arc::new(manifest))),
        }
    }
}

/// Looks at the first of these, if there are any.
pub(super) fn looked_at<'a>(paths: impl IntoIterator<Item = &'a str>) -> Result<(), Next> {
    let paths: Vec<String> = paths.into_iter().take(HEADS).map(str::to_owned).collect();
    if paths.is_empty() {
        return Ok(());
    }
    Err(Next::Read(Read::Heads(paths)))
}

/// Does the first of these, if there are any.
pub(super) fn done<T>(act: fn(Vec<T>) -> Act, mut wave: Vec<T>) -> Result<(), Next> {
    if wave.is_empty() {
        return Ok(());
    }
    wave.truncate(WAVE);
    Err(Next::Act(act(wave)))
}
