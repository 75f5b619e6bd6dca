//! What was observed of a place, and what this process remembers of a run there.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    StoredRef,
    content::{ContentFile, SiteContent},
    manifest::SiteManifest,
    object::{Listed, ObjectHead},
    snapshot::{KeptObject, SiteSnapshot},
    steps::Act,
};

/// What was observed of a place, and what this process remembers of one run there. All of it can be read
/// again, so that losing it costs reads, and copying some objects twice. It is filled by its `note`
/// functions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedSite {
    /// The files that the Release wants.
    pub content: Option<Arc<SiteContent>>,
    /// Manifests that were read or written, by their digest.
    pub manifests: BTreeMap<String, Arc<SiteManifest>>,
    /// The snapshot that was read or written, and where it is.
    pub snapshot: Option<(StoredRef, Arc<SiteSnapshot>)>,
    /// What is there.
    pub listing: Option<Listing>,
    /// What `HeadObject` said, by path: that there is none, too.
    pub heads: BTreeMap<String, Option<ObjectHead>>,
    /// What was copied away before the first write, by path.
    pub kept: BTreeMap<String, KeptObject>,
    /// The ETags of what this process put, by path.
    pub written: BTreeMap<String, String>,
    /// The ETags of what this process put back, by path.
    pub restored: BTreeMap<String, String>,
    /// The manifest that this process wrote last.
    pub stored: Option<StoredRef>,
}

/// The objects of a place that matter here, by path. Others are not remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// As S3 listed them, and changed by our own writes since.
    pub objects: BTreeMap<String, Listed>,
    /// Whether nothing of it is our own word.
    pub is_fresh: bool,
}

/// What came of one object of a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was copied away.
    Kept(KeptObject),
    /// It was put, or put back; its ETag.
    Written(String),
    /// It is gone.
    Deleted,
}

/// What a carried-out [`Act`] answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What came of each object, by path. Those that failed are left out.
    Wave(BTreeMap<String, Outcome>),
    /// The list is stored here.
    Stored(StoredRef),
}

impl ObservedSite {
    /// Whether the object at this path matters, so that a listing has to hold it. What a listing is
    /// compared with is read before it; a listing that was read before is forgotten.
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

    /// The object at this path, by the newest word there is. The listing has to be read before.
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

    /// Forgets what is there, so that it is looked at again: for the next pass, and after a call
    /// that failed.
    pub fn forget_objects(&mut self) {
        self.listing = None;
        self.heads.clear();
    }

    /// Takes in the files that are wanted.
    pub fn note_content(&mut self, content: Arc<SiteContent>) {
        self.content = Some(content);
        self.listing = None;
    }

    /// Takes in a manifest that was read.
    pub fn note_manifest(&mut self, reference: &StoredRef, manifest: Arc<SiteManifest>) {
        self.manifests.insert(reference.sha256.clone(), manifest);
        self.listing = None;
    }

    /// Takes in the snapshot that was read.
    pub fn note_snapshot(&mut self, reference: StoredRef, snapshot: Arc<SiteSnapshot>) {
        self.snapshot = Some((reference, snapshot));
        self.listing = None;
    }

    /// Takes in what `HeadObject` said.
    pub fn note_heads(&mut self, heads: impl IntoIterator<Item = (String, Option<ObjectHead>)>) {
        self.heads.extend(heads);
    }

    /// Takes in a listing that was read just now.
    pub fn note_listing(&mut self, objects: BTreeMap<String, Listed>) {
        self.heads.clear();
        self.listing = Some(Listing {
            objects,
            is_fresh: true,
        });
    }

    /// Takes in what an act answered.
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

    /// How many bytes the object has once this was done.
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
