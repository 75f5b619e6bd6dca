//! The component protocol for files in a bucket, in the words of [`crate::domain::site`].
//!
//! A site has no traffic to split: it moves at once, when the functions of its level get all of theirs.

use std::sync::LazyLock;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    drift::difference,
    lambda::Shift,
    next::{Next, View},
    observation::{Action, Effect, Observation, Read},
    plan::{Part, change},
    snapshot::{ComponentSnapshot, PlaceSnapshot},
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Difference, Intent, InventoryItem, OwnedObjects, PlannedChange, Restored,
        StoredRef, TargetStatus,
    },
    domain::{
        desired::{DesiredComponent, DesiredSite},
        digest::Sha256,
        ownership::Owner,
        site::{
            self, Diff, Phase, Place, SiteArchive, SiteIntent, SiteManifest, SiteSeen, SiteWant,
        },
    },
};

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
    fn of(place: &Place) -> Self {
        Self {
            place: place.clone(),
            archive: None,
            copies: String::new(),
        }
    }

    fn next(self, component: &str, next: site::Next) -> Next {
        match next {
            site::Next::Read(read) => Next::Read(Read::Site(Box::new(self), read)),
            site::Next::Act(act) => Next::Act(Effect {
                component: component.to_owned(),
                resource: self.place.to_string(),
                action: Action::Site(Box::new(self), act),
            }),
            site::Next::Ready(_) => Next::Ready,
            site::Next::Fail(why) => Next::Fail(why),
        }
    }
}

/// A site that is wanted, and what is known of its place.
struct Wanted<'a> {
    want: SiteWant,
    task: SiteTask,
    ours: Option<&'a StoredRef>,
    seen: &'a SiteSeen,
    before: Option<&'a PlaceSnapshot>,
}

impl<'a> Wanted<'a> {
    fn of(want: &DesiredComponent, site: &DesiredSite, view: View<'a>) -> Self {
        // Orders of a stage are counted: no two runs share a number.
        let copies = format!("copies/{}-{}", view.run.release.uid, view.run.sequence);
        let known = view.seen.known.snapshot.as_ref();
        Self {
            want: SiteWant {
                component: want.name.clone(),
                place: site.place.clone(),
                owner: view.owner.clone(),
                copies: copies.clone(),
            },
            task: SiteTask {
                place: site.place.clone(),
                archive: Some(site.archive.clone()),
                copies,
            },
            ours: ours(&site.place, view.status),
            seen: seen_of(&site.place, view.seen),
            before: known
                .and_then(|(_, snapshot)| snapshot.component(&want.name))
                .and_then(ComponentSnapshot::place),
        }
    }

    fn next(self, next: site::Next) -> Next {
        self.task.next(&self.want.component, next)
    }

    fn diff(&self) -> Option<Diff<'a>> {
        let content = self.seen.content.as_deref()?;
        let manifest = self.ours.and_then(|ours| manifest_of(ours, self.seen));
        Diff::between(content, manifest, &self.want.owner, self.seen)
    }

    fn promoted(&self, before: &PlaceSnapshot) -> site::Next {
        site::promote(&self.want, &before.snapshot, self.seen)
    }
}

/// What has to be seen next before a run begins.
pub fn first_read(want: &DesiredComponent, site: &DesiredSite, view: View<'_>) -> Option<Read> {
    let wanted = Wanted::of(want, site, view);
    let next = site::look(&wanted.want, wanted.ours, wanted.seen);
    if let Next::Read(read) = wanted.next(next) {
        return Some(read);
    }
    // In the middle of a run, the list of what it changes tells what comes.
    let wanted = Wanted::of(want, site, view);
    let reference = &wanted.before?.snapshot;
    let known = wanted.seen.snapshot.as_ref();
    let unknown = known.is_none_or(|(known, _)| known != reference);
    let read = site::Read::Snapshot(reference.clone());
    unknown.then(|| Read::Site(Box::new(wanted.task), read))
}

/// Why the files can't be put there, from what was seen.
pub fn obstacle(want: &DesiredComponent, site: &DesiredSite, view: View<'_>) -> Option<String> {
    let wanted = Wanted::of(want, site, view);
    match site::look(&wanted.want, wanted.ours, wanted.seen) {
        site::Next::Fail(why) => Some(why),
        _ => None,
    }
}

/// Whether nothing at all has to be written or removed.
pub fn unchanged(want: &DesiredComponent, site: &DesiredSite, view: View<'_>) -> bool {
    let wanted = Wanted::of(want, site, view);
    let unchanged = site::unchanged(&wanted.want, wanted.ours, wanted.seen);
    // What is the same, but not on record as ours, is yet to be written down.
    wanted.ours.is_some() && unchanged == Some(true)
}

/// What would change, from what was seen.
pub fn plan(want: &DesiredComponent, site: &DesiredSite, view: View<'_>) -> Part {
    let wanted = Wanted::of(want, site, view);
    let content = wanted.seen.content.as_deref();
    let diff = wanted.diff().unwrap_or_default();
    let known = |path: &str| Some(content?.files.get(path)?.sha256.to_string());
    let there = |path: &str| {
        Some(
            wanted
                .seen
                .listing
                .as_ref()?
                .objects
                .get(path)?
                .etag
                .clone(),
        )
    };
    let line = |action: &str, path: &str, from, to| {
        change(
            &want.name,
            action,
            &site.place.shown(path),
            None,
            (from, to),
        )
    };
    let mut changes: Vec<PlannedChange> = Vec::new();
    changes.extend((diff.new.iter()).map(|path| line("Create", path, None, known(path))));
    changes
        .extend((diff.changed.iter()).map(|path| line("Update", path, there(path), known(path))));
    changes.extend((diff.removed.iter()).map(|path| line("Delete", path, there(path), None)));
    let count =
        |paths: &[&str], what: &str| (!paths.is_empty()).then(|| format!("{} {what}", paths.len()));
    let words = [
        count(&diff.new, "new"),
        count(&diff.changed, "changed"),
        count(&diff.removed, "removed"),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    let standing: Vec<(&str, Option<String>)> =
        [&diff.new, &diff.changed, &diff.unchanged, &diff.removed]
            .into_iter()
            .flatten()
            .map(|path| (*path, there(path)))
            .collect();
    Part {
        summary: match words.as_slice() {
            [] => format!("{} unchanged", want.name),
            words => format!("{}: files {}", want.name, words.join(", ")),
        },
        changes,
        wanted: Sha256::of_json(&(&site.place, content.map(site::SiteContent::digest))),
        live: Sha256::of_json(&standing),
    }
}

/// What has to be seen next to tell whether it is as the last run left it: the list of what is ours, then
/// what is there.
pub fn drift_read(site: &DesiredSite, view: View<'_>) -> Option<Read> {
    let (ours, seen) = (
        ours(&site.place, view.status)?,
        seen_of(&site.place, view.seen),
    );
    let read = match manifest_of(ours, seen) {
        None => site::Read::Manifest(ours.clone()),
        Some(_) if seen.listing.is_none() => site::Read::Listing,
        Some(_) => return None,
    };
    Some(Read::Site(Box::new(SiteTask::of(&site.place)), read))
}

/// What differs from what the last run left. Of an object's ETag nobody can read anything but that it is
/// another one.
pub fn drift(want: &DesiredComponent, site: &DesiredSite, view: View<'_>) -> Vec<Difference> {
    let seen = seen_of(&site.place, view.seen);
    let manifest = ours(&site.place, view.status).and_then(|ours| manifest_of(ours, seen));
    let Some(manifest) = manifest else {
        return Vec::new();
    };
    let drifted = site::drift(manifest, seen).unwrap_or_default();
    let told = |drift| object(&want.name, &site.place, seen, drift, "what was put");
    drifted.into_iter().map(told).collect()
}

/// A difference of an object; `content` is what it should hold.
fn object(
    component: &str,
    place: &Place,
    seen: &SiteSeen,
    drift: site::Drift<'_>,
    content: &str,
) -> Difference {
    let (path, field, expected, found) = match drift {
        site::Drift::Missing(path) => (path, None, Some("there"), "gone"),
        site::Drift::Changed(path) => (path, Some("content"), Some(content), "other bytes"),
        site::Drift::Surplus(path) => (path, None, None, "there"),
    };
    let values = (expected.map(str::to_owned), Some(found.to_owned()));
    let listing = seen.listing.as_ref();
    let object = listing.and_then(|listing| listing.objects.get(path));
    let modified = object.and_then(|object| object.modified);
    let modified = modified.and_then(|seconds| Timestamp::from_second(seconds).ok());
    Difference {
        changed_at: modified.map(Time),
        ..difference(component, &place.shown(path), field, values)
    }
}

/// What would be lost is put aside.
pub fn keep(want: &DesiredComponent, site: &DesiredSite, view: View<'_>) -> Next {
    let wanted = Wanted::of(want, site, view);
    let next = site::begin(&wanted.want, wanted.ours, wanted.seen);
    wanted.next(next)
}

/// What stands there, once it was put aside.
pub fn snapshot(
    want: &DesiredComponent,
    site: &DesiredSite,
    view: View<'_>,
) -> Option<PlaceSnapshot> {
    let wanted = Wanted::of(want, site, view);
    let (reference, _) = wanted.seen.snapshot.as_ref()?;
    Some(PlaceSnapshot {
        place: site.place.clone(),
        snapshot: reference.clone(),
        manifest: wanted.ours.cloned(),
    })
}

/// What the status says of it before anything was done.
pub fn component_status(want: &DesiredComponent, site: &DesiredSite) -> ComponentStatus {
    ComponentStatus {
        name: want.name.clone(),
        resource: site.place.to_string(),
        version: None,
        previous_version: None,
        code_sha256: Some(site.archive.sha256.to_string()),
        configuration_digest: None,
        alias_revision_id: None,
        objects: None,
    }
}

/// What the inventory says of it.
pub fn inventory_item(want: &DesiredComponent, site: &DesiredSite) -> InventoryItem {
    InventoryItem {
        component: want.name.clone(),
        kind: super::workload::OBJECTS.to_owned(),
        name: site.place.to_string(),
        alias: None,
        created: true,
        objects: None,
        tags: Vec::new(),
        dropped: false,
    }
}

/// The changes of a phase, by what identifies their effect.
pub fn intents(component: &str, place: &Place, phase: Phase, seen: &Observation) -> Vec<Intent> {
    let Some((reference, snapshot)) = &seen_of(place, seen).snapshot else {
        return Vec::new();
    };
    let intent = |intent: SiteIntent| Intent {
        component: component.to_owned(),
        operation: intent.operation.to_owned(),
        resource: intent.resource,
        result: Some(intent.result),
    };
    let intents = site::intents(snapshot, &reference.sha256, phase);
    intents.into_iter().map(intent).collect()
}

/// Files that no page names yet are put.
pub fn prepare(want: &DesiredComponent, site: &DesiredSite, view: View<'_>) -> Next {
    let wanted = Wanted::of(want, site, view);
    match wanted.before {
        None => Next::Read(Read::Snapshot),
        Some(before) => {
            let next = site::prepare(&wanted.want, &before.snapshot, wanted.seen);
            wanted.next(next)
        }
    }
}

/// What people see is changed, and looked at.
pub fn promote(want: &DesiredComponent, site: &DesiredSite, shift: Shift, view: View<'_>) -> Next {
    if shift.weight < 100 {
        return Next::Ready;
    }
    let wanted = Wanted::of(want, site, view);
    let Some(before) = wanted.before else {
        return Next::Read(Read::Snapshot);
    };
    let next = match wanted.promoted(before) {
        site::Next::Ready(Some(manifest)) => {
            site::confirm(&wanted.want, &before.snapshot, &manifest, wanted.seen)
        }
        other => other,
    };
    wanted.next(next)
}

/// What is ours once it serves; `None` where that is not known now.
pub fn objects(
    want: &DesiredComponent,
    site: &DesiredSite,
    view: View<'_>,
) -> Option<OwnedObjects> {
    let wanted = Wanted::of(want, site, view);
    owned(wanted.promoted(wanted.before?), wanted.seen)
}

/// What stood before stands again.
pub fn restore(component: &str, then: &PlaceSnapshot, owner: &Owner, seen: &Observation) -> Next {
    let next = site::restore(owner, &then.snapshot, seen_of(&then.place, seen));
    SiteTask::of(&then.place).next(component, next)
}

/// What stands once it was put back.
pub fn put_back(component: &str, then: &PlaceSnapshot, seen: &Observation) -> Restored {
    let snapshot = seen_of(&then.place, seen).snapshot.as_ref();
    let (kept, created) = snapshot.map_or((0, 0), |(_, it)| (it.kept.len(), it.created.len()));
    Restored {
        component: component.to_owned(),
        resource: then.place.to_string(),
        state: format!("{kept} files as before, {created} new ones not there"),
    }
}

/// What does not stand as it did.
pub fn not_put_back(
    component: &str,
    then: &PlaceSnapshot,
    owner: &Owner,
    seen: &Observation,
) -> Vec<Difference> {
    let seen = seen_of(&then.place, seen);
    let left = site::not_restored(owner, &then.snapshot, seen);
    let told = |drift| object(component, &then.place, seen, drift, "what stood before");
    left.into_iter().map(told).collect()
}

/// What is ours once it was put back.
pub fn restored(then: &PlaceSnapshot, owner: &Owner, seen: &Observation) -> Option<OwnedObjects> {
    let seen = seen_of(&then.place, seen);
    owned(site::restore(owner, &then.snapshot, seen), seen)
}

/// What the Release no longer has is removed.
pub fn prune(item: &InventoryItem, seen: &Observation) -> Next {
    in_place(item, |place, ours| site::prune(ours, seen_of(place, seen)))
}

/// What is ours once that is done.
pub fn pruned(item: &InventoryItem, seen: &Observation) -> Option<OwnedObjects> {
    let seen = seen_of(&Place::parse(&item.name)?, seen);
    let ours = &item.objects.as_ref()?.manifest;
    owned(site::prune(ours, seen), seen)
}

/// Everything that is ours is removed.
pub fn delete(item: &InventoryItem, owner: &Owner, seen: &Observation) -> Next {
    in_place(item, |place, ours| {
        site::remove(owner, ours, seen_of(place, seen))
    })
}

fn in_place(item: &InventoryItem, next: impl Fn(&Place, &StoredRef) -> site::Next) -> Next {
    let Some(objects) = &item.objects else {
        return Next::Ready;
    };
    match Place::parse(&item.name) {
        Some(place) => {
            let next = next(&place, &objects.manifest);
            SiteTask::of(&place).next(&item.component, next)
        }
        None => Next::Fail(format!("{} is no bucket with a prefix", item.name)),
    }
}

fn owned(next: site::Next, seen: &SiteSeen) -> Option<OwnedObjects> {
    let site::Next::Ready(Some(manifest)) = next else {
        return None;
    };
    let retired = manifest_of(&manifest, seen).map_or(0, |manifest| manifest.retired.len());
    Some(OwnedObjects {
        manifest,
        retired: i64::try_from(retired).unwrap_or(i64::MAX),
    })
}

/// What the inventory says is ours there.
fn ours<'a>(place: &Place, status: &'a TargetStatus) -> Option<&'a StoredRef> {
    let name = place.to_string();
    let item = status.inventory.iter().find(|item| item.name == name)?;
    item.objects.as_ref().map(|objects| &objects.manifest)
}

fn manifest_of<'a>(reference: &StoredRef, seen: &'a SiteSeen) -> Option<&'a SiteManifest> {
    seen.manifests.get(&reference.sha256).map(AsRef::as_ref)
}

/// What was seen of a place.
fn seen_of<'a>(place: &Place, seen: &'a Observation) -> &'a SiteSeen {
    static NOTHING: LazyLock<SiteSeen> = LazyLock::new(SiteSeen::default);
    let sites = &seen.known.sites;
    sites.get(&place.to_string()).unwrap_or(&NOTHING)
}
