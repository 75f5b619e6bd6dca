//! Observations of an S3 location, and what this process remembers of a run there.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    StoredRef,
    content::{ContentFile, SiteContent},
    manifest::SiteManifest,
    object::{Listed, ObjectHead},
    snapshot::{KeptObject, SiteSnapshot},
    steps::Act,
};

/// Observations of an S3 location, and what this process remembers of one run there. Losing it costs only
/// repeated reads and copies. Its `note` functions fill it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedSite {
    /// The files of the Release.
    pub content: Option<Arc<SiteContent>>,
    /// Manifests that were read or stored, by digest.
    pub manifests: BTreeMap<String, Arc<SiteManifest>>,
    /// The snapshot that was read or stored, with its reference.
    pub snapshot: Option<(StoredRef, Arc<SiteSnapshot>)>,
    /// The listing of the location.
    pub listing: Option<Listing>,
    /// Responses of `HeadObject`, by path; `None` if it found no object.
    pub heads: BTreeMap<String, Option<ObjectHead>>,
    /// Objects that were backed up before the first write, by path.
    pub kept: BTreeMap<String, KeptObject>,
    /// ETags of the objects that this process uploaded, by path.
    pub written: BTreeMap<String, String>,
    /// ETags of the objects that this process restored, by path.
    pub restored: BTreeMap<String, String>,
    /// The manifest that this process stored last.
    pub stored: Option<StoredRef>,
}

/// The relevant objects at an S3 location, by path ([`ObservedSite::concerns`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// As listed by S3, updated by this process's own writes since.
    pub objects: BTreeMap<String, Listed>,
    /// Whether no own write has updated it.
    pub is_fresh: bool,
}

/// The result for one object of a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was backed up.
    Kept(KeptObject),
    /// It was uploaded or restored, with this ETag.
    Written(String),
    /// It was deleted.
    Deleted,
}

/// The result of an [`Act`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The result for each object, by path. Failed objects are missing.
    Wave(BTreeMap<String, Outcome>),
    /// The reference of the stored list.
    Stored(StoredRef),
}

impl ObservedSite {
    /// Whether the object at this path is relevant, so that a listing must contain it. Content, manifests and
    /// the snapshot are read before the listing: reading one of them drops an earlier listing.
    pub fn concerns(&self, path: &str) -> bool {
        let wanted = |content: &Arc<SiteContent>| content.files.contains_key(path);
        let recorded = |manifest: &Arc<SiteManifest>| manifest.names(path);
        let touched = |(_, snapshot): &(StoredRef, Arc<SiteSnapshot>)| {
            snapshot.kept.contains_key(path) || snapshot.created.contains(path)
        };
        self.content.as_ref().is_some_and(wanted)
            || self.snapshot.as_ref().is_some_and(touched)
            || self.manifests.values().any(recorded)
    }

    /// The object at this path, by the newest observation. The listing must be read before.
    pub(super) fn object(&self, path: &str) -> Option<Listed> {
        let listed = self.listing.as_ref()?.objects.get(path)?;
        match self.heads.get(path) {
            None => Some(listed.clone()),
            Some(None) => None,
            Some(Some(head)) if head.etag == listed.etag => Some(listed.clone()),
            Some(Some(head)) => Some(Listed {
                etag: head.etag.clone(),
                size: head.size,
                modified: None,
            }),
        }
    }

    /// Drops the observations of objects, so that they are read again: for the next pass, and after a failed
    /// call.
    pub fn forget_objects(&mut self) {
        self.listing = None;
        self.heads.clear();
    }

    /// Records the desired files.
    pub fn note_content(&mut self, content: Arc<SiteContent>) {
        self.content = Some(content);
        self.listing = None;
    }

    /// Records a manifest that was read.
    pub fn note_manifest(&mut self, reference: &StoredRef, manifest: Arc<SiteManifest>) {
        self.manifests.insert(reference.sha256.clone(), manifest);
        self.listing = None;
    }

    /// Records the snapshot that was read.
    pub fn note_snapshot(&mut self, reference: StoredRef, snapshot: Arc<SiteSnapshot>) {
        self.snapshot = Some((reference, snapshot));
        self.listing = None;
    }

    /// Records responses of `HeadObject`.
    pub fn note_heads(&mut self, heads: impl IntoIterator<Item = (String, Option<ObjectHead>)>) {
        self.heads.extend(heads);
    }

    /// Records a new listing.
    pub fn note_listing(&mut self, objects: BTreeMap<String, Listed>) {
        self.heads.clear();
        self.listing = Some(Listing {
            objects,
            is_fresh: true,
        });
    }

    /// Records the result of an act.
    pub fn note(&mut self, act: &Act, reply: Reply) {
        match (act, reply) {
            (Act::StoreSnapshot(snapshot), Reply::Stored(reference)) => {
                self.snapshot = Some((reference, Arc::clone(snapshot)));
            }
            (Act::StoreManifest(manifest), Reply::Stored(reference)) => {
                let digest = reference.sha256.clone();
                self.manifests.insert(digest, Arc::clone(manifest));
                self.stored = Some(reference);
            }
            (act, Reply::Wave(outcomes)) => {
                for (path, outcome) in outcomes {
                    self.note_object(act, path, outcome);
                }
            }
            (_, Reply::Stored(_)) => {}
        }
    }

    /// The object's size after this act, in bytes.
    fn size_after(&self, act: &Act, path: &str) -> u64 {
        match act {
            Act::Put(_) => {
                let content = self.content.as_ref();
                let file = content.and_then(|content| content.files.get(path));
                file.map_or(0, ContentFile::size)
            }
            Act::CopyBack(objects) => {
                let mut objects = objects.iter();
                let object = objects.find(|object| object.path == path);
                object.map_or(0, |object| object.copy.size)
            }
            Act::Keep(_) | Act::StoreSnapshot(_) | Act::Delete(_) | Act::StoreManifest(_) => 0,
        }
    }

    fn note_object(&mut self, act: &Act, path: String, outcome: Outcome) {
        let etag = match outcome {
            Outcome::Kept(kept) => {
                self.kept.insert(path, kept);
                return;
            }
            Outcome::Written(etag) => Some(etag),
            Outcome::Deleted => None,
        };
        self.heads.remove(&path);
        let size = self.size_after(act, &path);
        if let Some(listing) = &mut self.listing {
            listing.is_fresh = false;
            match &etag {
                Some(etag) => {
                    let listed = Listed {
                        etag: etag.clone(),
                        size,
                        modified: None,
                    };
                    listing.objects.insert(path.clone(), listed);
                }
                None => {
                    listing.objects.remove(&path);
                }
            }
        }
        match (act, etag) {
            (Act::Put(_), Some(etag)) => {
                self.restored.remove(&path);
                self.written.insert(path, etag);
            }
            (Act::CopyBack(_), Some(etag)) => {
                self.written.remove(&path);
                self.restored.insert(path, etag);
            }
            _ => {
                self.written.remove(&path);
                self.restored.remove(&path);
            }
        }
    }
}
