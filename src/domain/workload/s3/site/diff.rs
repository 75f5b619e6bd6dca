//! What differs between the files that are wanted, what is ours, and what is there.

use super::{
    content::{ContentFile, SiteContent},
    manifest::SiteManifest,
    object::{ObjectHead, refusal, sha256_of},
    observed::ObservedSite,
    place::Place,
    served::{Served, essence},
};
use crate::domain::ownership::Owner;

/// What a rollout would change, by path in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff<'a> {
    /// Wanted, and nothing is there.
    pub new: Vec<&'a str>,
    /// Wanted, and ours is there with other bytes or another content type.
    pub changed: Vec<&'a str>,
    /// Wanted, and there already.
    pub unchanged: Vec<&'a str>,
    /// Ours, there, and not wanted any more.
    pub removed: Vec<&'a str>,
    /// Wanted, and somebody else's is there; why it is not ours.
    pub foreign: Vec<(&'a str, String)>,
    /// Wanted, and what is there has to be looked at (`HeadObject`) before it can be told.
    pub unclear: Vec<&'a str>,
}

impl<'a> Diff<'a> {
    /// Between `content` and what was observed of the place. `manifest` is what is ours there.
    ///
    /// `None` until the place's listing was read.
    pub fn between(
        content: &'a SiteContent,
        manifest: Option<&'a SiteManifest>,
        owner: &Owner,
        observed: &ObservedSite,
    ) -> Option<Self> {
        let listing = observed.listing.as_ref()?;
        let mut diff = Self::default();
        for (path, file) in &content.files {
            let standing = standing(path, file, manifest, owner, observed);
            match standing {
                Standing::Absent => diff.new.push(path),
                Standing::Same => diff.unchanged.push(path),
                Standing::Differs => diff.changed.push(path),
                Standing::Foreign(why) => diff.foreign.push((path, why)),
                Standing::Unclear => diff.unclear.push(path),
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

    /// Whether everything is known, nothing is in the way and nothing has to be written or removed.
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

    /// Why the place can't be taken; `None` where nobody else's object is in the way.
    pub fn refusal(&self, place: &Place) -> Option<String> {
        let (path, why) = self.foreign.first()?;
        let others = match self.foreign.len() - 1 {
            0 => String::new(),
            1 => " (and 1 more)".to_owned(),
            others => format!(" (and {others} more)"),
        };
        Some(format!(
            "object {} can't be written{others}: {why}",
            place.shown(path)
        ))
    }
}

/// How it stands with a wanted file.
enum Standing {
    Absent,
    Same,
    Differs,
    Foreign(String),
    Unclear,
}

fn standing(
    path: &str,
    wanted: &ContentFile,
    manifest: Option<&SiteManifest>,
    owner: &Owner,
    observed: &ObservedSite,
) -> Standing {
    let Some(object) = observed.object(path) else {
        return Standing::Absent;
    };
    let same = |same| {
        if same {
            Standing::Same
        } else {
            Standing::Differs
        }
    };
    let recorded = manifest.and_then(|manifest| manifest.files.get(path));
    if let Some(file) = recorded
        && file.etag == object.etag
        && file.size == object.size
    {
        return same(file.sha256 == wanted.sha256 && file.served == wanted.served);
    }
    // Not in the manifest, or not as the manifest has it: what is there speaks for itself.
    let Some(Some(head)) = observed.heads.get(path) else {
        return Standing::Unclear;
    };
    if !manifest.is_some_and(|manifest| manifest.names(path))
        && let Some(why) = refusal(owner, &head.metadata)
    {
        return Standing::Foreign(why);
    }
    same(is_wanted(wanted, head))
}

/// Whether an object has these bytes and is served so, by what its metadata says.
pub(super) fn is_wanted(wanted: &ContentFile, head: &ObjectHead) -> bool {
    has_bytes(wanted, head) && head.served == wanted.served
}

/// Whether an object has these bytes and is served so, or as an earlier version of Sluice would have
/// said it, which knew no parameters.
pub(super) fn is_put(wanted: &ContentFile, head: &ObjectHead) -> bool {
    let same =
        |one: &Served, other: &Served| essence(&one.content_type) == essence(&other.content_type);
    has_bytes(wanted, head) && same(&head.served, &wanted.served)
}

fn has_bytes(wanted: &ContentFile, head: &ObjectHead) -> bool {
    sha256_of(&head.metadata) == Some(wanted.sha256) && head.size == wanted.size()
}

/// An object that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift<'a> {
    /// It is gone.
    Missing(&'a str),
    /// It was overwritten.
    Changed(&'a str),
    /// It should not be there.
    Surplus(&'a str),
}

/// What became of the objects that are ours, at the cost of a listing. `None` until that was read.
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
