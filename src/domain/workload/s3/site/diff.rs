//! Differences between the desired files, the manifest and the bucket.

use super::{
    content::{ContentFile, SiteContent},
    location::S3Location,
    manifest::SiteManifest,
    object::{ObjectHead, refusal, sha256_of},
    observed::ObservedSite,
    served::{Served, essence},
};
use crate::domain::ownership::Owner;

/// The changes of a rollout, sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff<'a> {
    /// Desired, without an object in the bucket.
    pub new: Vec<&'a str>,
    /// Desired, with an owned object of other bytes or another content type.
    pub changed: Vec<&'a str>,
    /// Desired, with an equal object.
    pub unchanged: Vec<&'a str>,
    /// Owned, in the bucket, and no longer desired.
    pub removed: Vec<&'a str>,
    /// Desired, with an object that the Deployment does not own; the reason.
    pub foreign: Vec<(&'a str, String)>,
    /// Desired, with an object whose state only `HeadObject` can determine.
    pub unclear: Vec<&'a str>,
}

impl<'a> Diff<'a> {
    /// The difference between `content` and the observations. `manifest` lists the owned objects.
    ///
    /// `None` until the listing was read.
    pub fn between(
        content: &'a SiteContent,
        manifest: Option<&'a SiteManifest>,
        owner: &Owner,
        observed: &ObservedSite,
    ) -> Option<Self> {
        let listing = observed.listing.as_ref()?;
        let mut diff = Self::default();
        for (path, file) in &content.files {
            let state = file_state(path, file, manifest, owner, observed);
            match state {
                FileState::Absent => diff.new.push(path),
                FileState::Same => diff.unchanged.push(path),
                FileState::Differs => diff.changed.push(path),
                FileState::Foreign(why) => diff.foreign.push((path, why)),
                FileState::Unclear => diff.unclear.push(path),
            }
        }
        let ours = manifest.into_iter().flat_map(|manifest| {
            let files = manifest.files.keys();
            files.chain(manifest.retired.keys())
        });
        diff.removed = ours
            .map(String::as_str)
            .filter(|path| !content.files.contains_key(*path))
            .filter(|path| listing.objects.contains_key(*path))
            .collect();
        diff.removed.sort_unstable();
        diff.removed.dedup();
        Some(diff)
    }

    /// Whether everything is known, no object conflicts, and none has to be written or deleted.
    pub fn is_empty(&self) -> bool {
        let Self {
            new,
            changed,
            unchanged: _,
            removed,
            foreign,
            unclear,
        } = self;
        [new, changed, removed, unclear]
            .iter()
            .all(|paths| paths.is_empty())
            && foreign.is_empty()
    }

    /// Why the files can't be delivered there; `None` if no object conflicts.
    pub fn refusal(&self, location: &S3Location) -> Option<String> {
        let (path, why) = self.foreign.first()?;
        let others = match self.foreign.len() - 1 {
            0 => String::new(),
            1 => " (and 1 more)".to_owned(),
            others => format!(" (and {others} more)"),
        };
        Some(format!(
            "object {} can't be written{others}: {why}",
            location.shown(path)
        ))
    }
}

/// The state of a desired file in the bucket.
enum FileState {
    Absent,
    Same,
    Differs,
    Foreign(String),
    Unclear,
}

fn file_state(
    path: &str,
    wanted: &ContentFile,
    manifest: Option<&SiteManifest>,
    owner: &Owner,
    observed: &ObservedSite,
) -> FileState {
    let Some(object) = observed.object(path) else {
        return FileState::Absent;
    };
    let same = |same| {
        if same {
            FileState::Same
        } else {
            FileState::Differs
        }
    };
    let recorded = manifest.and_then(|manifest| manifest.files.get(path));
    if let Some(file) = recorded
        && file.etag == object.etag
        && file.size == object.size
    {
        return same(file.sha256 == wanted.sha256 && file.served == wanted.served);
    }
    // Not in the manifest, or modified since: the object's own metadata decides.
    let Some(Some(head)) = observed.heads.get(path) else {
        return FileState::Unclear;
    };
    if !manifest.is_some_and(|manifest| manifest.names(path))
        && let Some(why) = refusal(owner, &head.metadata)
    {
        return FileState::Foreign(why);
    }
    same(is_wanted(wanted, head))
}

/// Whether an object has the desired bytes, by its metadata, and is served as desired.
pub(super) fn is_wanted(wanted: &ContentFile, head: &ObjectHead) -> bool {
    has_bytes(wanted, head) && head.served == wanted.served
}

/// The same, except that it ignores content type parameters, which earlier versions of Sluice did not set.
pub(super) fn was_uploaded(wanted: &ContentFile, head: &ObjectHead) -> bool {
    let same =
        |one: &Served, other: &Served| essence(&one.content_type) == essence(&other.content_type);
    has_bytes(wanted, head) && same(&head.served, &wanted.served)
}

fn has_bytes(wanted: &ContentFile, head: &ObjectHead) -> bool {
    sha256_of(&head.metadata) == Some(wanted.sha256) && head.size == wanted.size()
}

/// An object that differs from its expected state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift<'a> {
    /// It was deleted.
    Missing(&'a str),
    /// It was overwritten.
    Changed(&'a str),
    /// It should not exist.
    Surplus(&'a str),
}

/// The drift of owned objects, from a listing alone. `None` until that was read.
pub fn drift<'a>(manifest: &'a SiteManifest, observed: &ObservedSite) -> Option<Vec<Drift<'a>>> {
    let listing = observed.listing.as_ref()?;
    let drifted =
        manifest
            .files
            .iter()
            .filter_map(|(path, file)| match listing.objects.get(path) {
                None => Some(Drift::Missing(path)),
                Some(object) => (object.etag != file.etag).then_some(Drift::Changed(path)),
            });
    Some(drifted.collect())
}
