//! The component protocol for files in a bucket, implemented with [`super::site`].
//!
//! A site has no traffic to split: it changes at once, when the functions of its level get all traffic.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    desired::DesiredSite,
    observed::{
        INVENTORY, Next, Observed, Read, S3LocationSnapshot, SiteTask, View, manifest_of,
        observed_at, ours,
    },
    site::{self, Diff, ObservedSite, Phase, S3Location, SiteContent, SiteIntent, SiteWant},
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Difference, Intent, InventoryItem, OwnedObjects, PlannedChange, Restored,
        StoredRef,
    },
    domain::{
        digest::Sha256,
        ownership::Owner,
        workload::{
            change::{Part, change, difference},
            protocol::Shift,
        },
    },
};

/// A desired site, with the observations at its location.
struct Wanted<'a> {
    want: SiteWant,
    task: SiteTask,
    ours: Option<&'a StoredRef>,
    observed: &'a ObservedSite,
    before: Option<&'a S3LocationSnapshot>,
}

impl<'a> Wanted<'a> {
    fn of(site: &DesiredSite, view: View<'a>) -> Self {
        // The sequence number of a run is unique within its stage.
        let copies = format!("copies/{}-{}", view.run.release.uid, view.run.sequence);
        Self {
            want: SiteWant {
                component: site.component.clone(),
                location: site.location.clone(),
                owner: view.owner.clone(),
                copies: copies.clone(),
            },
            task: SiteTask {
                location: site.location.clone(),
                archive: Some(site.archive.clone()),
                copies,
            },
            ours: ours(&site.location, view.status),
            observed: observed_at(&site.location, view.observed),
            before: view.before,
        }
    }

    fn next(self, next: site::Next) -> Next {
        self.task.next(next)
    }

    fn diff(&self) -> Option<Diff<'a>> {
        let content = self.observed.content.as_deref()?;
        let manifest = self.ours.and_then(|ours| manifest_of(ours, self.observed));
        Diff::between(content, manifest, &self.want.owner, self.observed)
    }

    fn promoted(&self, before: &S3LocationSnapshot) -> site::Next {
        site::promote(&self.want, &before.snapshot, self.observed)
    }
}

/// The next read that is needed before a run begins.
pub fn first_read(site: &DesiredSite, view: View<'_>) -> Option<Read> {
    let wanted = Wanted::of(site, view);
    let next = site::observe(&wanted.want, wanted.ours, wanted.observed);
    if let Next::Read(read) = wanted.next(next) {
        return Some(read);
    }
    // During a run, the list of its changes determines the next action.
    let wanted = Wanted::of(site, view);
    let reference = &wanted.before?.snapshot;
    let known = wanted.observed.snapshot.as_ref();
    let unknown = known.is_none_or(|(known, _)| known != reference);
    let read = site::Read::Snapshot(reference.clone());
    unknown.then(|| Read {
        task: Box::new(wanted.task),
        read,
    })
}

/// Why the files can't be delivered to this location, judged by the observations.
pub fn obstacle(site: &DesiredSite, view: View<'_>) -> Option<String> {
    let wanted = Wanted::of(site, view);
    match site::observe(&wanted.want, wanted.ours, wanted.observed) {
        site::Next::Fail(why) => Some(why),
        _ => None,
    }
}

/// Whether no object has to be written or deleted.
pub fn unchanged(site: &DesiredSite, view: View<'_>) -> bool {
    let wanted = Wanted::of(site, view);
    let unchanged = site::unchanged(&wanted.want, wanted.ours, wanted.observed);
    // Without a manifest in the inventory, a run still has to record the objects.
    wanted.ours.is_some() && unchanged == Some(true)
}

/// The plan, from the observations.
pub fn plan(site: &DesiredSite, view: View<'_>) -> Part {
    let wanted = Wanted::of(site, view);
    let content = wanted.observed.content.as_deref();
    let diff = wanted.diff().unwrap_or_default();
    let known = |path: &str| Some(content?.files.get(path)?.sha256.to_string());
    let etag_of = |path: &str| {
        Some(
            wanted
                .observed
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
            &site.component,
            action,
            &site.location.shown(path),
            None,
            (from, to),
        )
    };
    let mut changes: Vec<PlannedChange> = Vec::new();
    changes.extend((diff.new.iter()).map(|path| line("Create", path, None, known(path))));
    changes
        .extend((diff.changed.iter()).map(|path| line("Update", path, etag_of(path), known(path))));
    changes.extend((diff.removed.iter()).map(|path| line("Delete", path, etag_of(path), None)));
    let count =
        |paths: &[&str], what: &str| (!paths.is_empty()).then(|| format!("{} {what}", paths.len()));
    let words = [
        count(&diff.new, "new"),
        count(&diff.changed, "changed"),
        count(&diff.removed, "removed"),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    let existing: Vec<(&str, Option<String>)> =
        [&diff.new, &diff.changed, &diff.unchanged, &diff.removed]
            .into_iter()
            .flatten()
            .map(|path| (*path, etag_of(path)))
            .collect();
    Part {
        summary: match words.as_slice() {
            [] => format!("{} unchanged", site.component),
            words => format!("{}: files {}", site.component, words.join(", ")),
        },
        changes,
        wanted: Sha256::of_json(&(&site.location, content.map(SiteContent::digest))),
        live: Sha256::of_json(&existing),
    }
}

/// The next read of a drift check: the manifest, then the listing.
pub fn drift_read(site: &DesiredSite, view: View<'_>) -> Option<Read> {
    let (ours, observed) = (
        ours(&site.location, view.status)?,
        observed_at(&site.location, view.observed),
    );
    let read = match manifest_of(ours, observed) {
        None => site::Read::Manifest(ours.clone()),
        Some(_) if observed.listing.is_none() => site::Read::Listing,
        Some(_) => return None,
    };
    Some(Read {
        task: Box::new(SiteTask::of(&site.location)),
        read,
    })
}

/// The differences from what the last run left. They omit ETags, which tell users nothing.
pub fn drift(site: &DesiredSite, view: View<'_>) -> Vec<Difference> {
    let observed = observed_at(&site.location, view.observed);
    let manifest = ours(&site.location, view.status).and_then(|ours| manifest_of(ours, observed));
    let Some(manifest) = manifest else {
        return Vec::new();
    };
    let drifted = site::drift(manifest, observed).unwrap_or_default();
    let to_difference = |drift| {
        object(
            &site.component,
            &site.location,
            observed,
            drift,
            "the delivered content",
        )
    };
    drifted.into_iter().map(to_difference).collect()
}

/// The difference of an object; `content` describes its expected content.
fn object(
    component: &str,
    location: &S3Location,
    observed: &ObservedSite,
    drift: site::Drift<'_>,
    content: &str,
) -> Difference {
    let (path, field, expected, found) = match drift {
        site::Drift::Missing(path) => (path, None, Some("there"), "gone"),
        site::Drift::Changed(path) => (path, Some("content"), Some(content), "other content"),
        site::Drift::Surplus(path) => (path, None, None, "there"),
    };
    let values = (expected.map(str::to_owned), Some(found.to_owned()));
    let listing = observed.listing.as_ref();
    let object = listing.and_then(|listing| listing.objects.get(path));
    let modified = object.and_then(|object| object.modified);
    let modified = modified.and_then(|seconds| Timestamp::from_second(seconds).ok());
    Difference {
        changed_at: modified.map(Time),
        ..difference(component, &location.shown(path), field, values)
    }
}

/// The next action until the run's snapshot is stored, with copies of all objects that the run overwrites or
/// deletes.
pub fn keep(site: &DesiredSite, view: View<'_>) -> Next {
    let wanted = Wanted::of(site, view);
    let next = site::begin(&wanted.want, wanted.ours, wanted.observed);
    wanted.next(next)
}

/// The snapshot, once it is stored.
pub fn snapshot(site: &DesiredSite, view: View<'_>) -> Option<S3LocationSnapshot> {
    let wanted = Wanted::of(site, view);
    let (reference, _) = wanted.observed.snapshot.as_ref()?;
    Some(S3LocationSnapshot {
        location: site.location.clone(),
        snapshot: reference.clone(),
        manifest: wanted.ours.cloned(),
    })
}

/// The status before the run changes anything.
pub fn status(site: &DesiredSite) -> ComponentStatus {
    ComponentStatus {
        name: site.component.clone(),
        resource: site.location.to_string(),
        code_sha256: Some(site.archive.sha256.to_string()),
        ..ComponentStatus::default()
    }
}

/// Its item in the inventory.
pub fn inventory_item(site: &DesiredSite) -> InventoryItem {
    InventoryItem {
        component: site.component.clone(),
        kind: INVENTORY.to_owned(),
        name: site.location.to_string(),
        created: true,
        ..InventoryItem::default()
    }
}

/// The intents of a phase: each change, with a value that identifies its effect.
pub fn intents(
    component: &str,
    location: &S3Location,
    phase: Phase,
    observed: &Observed,
) -> Vec<Intent> {
    let Some((_, snapshot)) = &observed_at(location, observed).snapshot else {
        return Vec::new();
    };
    let intent = |intent: SiteIntent| Intent {
        component: component.to_owned(),
        operation: intent.operation.to_owned(),
        resource: intent.resource,
        result: Some(intent.result),
    };
    let intents = site::intents(snapshot, phase);
    intents.into_iter().map(intent).collect()
}

/// The next action to upload new files that no page links yet.
pub fn prepare(site: &DesiredSite, view: View<'_>) -> Next {
    let wanted = Wanted::of(site, view);
    match wanted.before {
        None => no_snapshot(site),
        Some(before) => {
            let next = site::prepare(&wanted.want, &before.snapshot, wanted.observed);
            wanted.next(next)
        }
    }
}

/// The next action to upload the files that users see, and to confirm them.
pub fn promote(site: &DesiredSite, shift: Shift, view: View<'_>) -> Next {
    if shift.weight < 100 {
        return Next::Ready;
    }
    let wanted = Wanted::of(site, view);
    let Some(before) = wanted.before else {
        return no_snapshot(site);
    };
    let next = match wanted.promoted(before) {
        site::Next::Ready(Some(manifest)) => {
            site::confirm(&wanted.want, &before.snapshot, &manifest, wanted.observed)
        }
        other => other,
    };
    wanted.next(next)
}

/// The objects that the Deployment owns once the site serves; `None` if unknown at present.
pub fn objects(site: &DesiredSite, view: View<'_>) -> Option<OwnedObjects> {
    let wanted = Wanted::of(site, view);
    owned(wanted.promoted(wanted.before?), wanted.observed)
}

/// The next action to restore the snapshot.
pub fn restore(then: &S3LocationSnapshot, owner: &Owner, observed: &Observed) -> Next {
    let next = site::restore(owner, &then.snapshot, observed_at(&then.location, observed));
    SiteTask::of(&then.location).next(next)
}

/// The restored state, for the status.
pub fn restored(component: &str, then: &S3LocationSnapshot, observed: &Observed) -> Restored {
    let snapshot = observed_at(&then.location, observed).snapshot.as_ref();
    let (kept, created) = snapshot.map_or((0, 0), |(_, it)| (it.kept.len(), it.created.len()));
    Restored {
        component: component.to_owned(),
        resource: then.location.to_string(),
        state: format!("{kept} files as before, {created} new ones absent"),
    }
}

/// The differences from the state before the run.
pub fn not_restored(
    component: &str,
    then: &S3LocationSnapshot,
    owner: &Owner,
    observed: &Observed,
) -> Vec<Difference> {
    let observed = observed_at(&then.location, observed);
    let remaining = site::not_restored(owner, &then.snapshot, observed);
    let to_difference = |drift| {
        object(
            component,
            &then.location,
            observed,
            drift,
            "its former content",
        )
    };
    remaining.into_iter().map(to_difference).collect()
}

/// The objects that the Deployment owns after the restore.
pub fn objects_restored(
    then: &S3LocationSnapshot,
    owner: &Owner,
    observed: &Observed,
) -> Option<OwnedObjects> {
    let observed = observed_at(&then.location, observed);
    owned(site::restore(owner, &then.snapshot, observed), observed)
}

/// The next action to delete the objects that the Release no longer has.
pub fn prune(item: &InventoryItem, observed: &Observed) -> Next {
    at_location(item, |location, ours| {
        site::prune(ours, observed_at(location, observed))
    })
}

/// The objects that the Deployment owns once they are pruned.
pub fn objects_pruned(item: &InventoryItem, observed: &Observed) -> Option<OwnedObjects> {
    let observed = observed_at(&S3Location::parse(&item.name)?, observed);
    let ours = &item.objects.as_ref()?.manifest;
    owned(site::prune(ours, observed), observed)
}

/// The next action to delete all objects that the Deployment owns.
pub fn delete(item: &InventoryItem, owner: &Owner, observed: &Observed) -> Next {
    at_location(item, |location, ours| {
        site::remove(owner, ours, observed_at(location, observed))
    })
}

fn at_location(item: &InventoryItem, next: impl Fn(&S3Location, &StoredRef) -> site::Next) -> Next {
    let Some(objects) = &item.objects else {
        return Next::Ready;
    };
    match S3Location::parse(&item.name) {
        Some(location) => {
            let next = next(&location, &objects.manifest);
            SiteTask::of(&location).next(next)
        }
        None => Next::Fail(format!("{} is not an S3 location", item.name)),
    }
}

fn owned(next: site::Next, observed: &ObservedSite) -> Option<OwnedObjects> {
    let site::Next::Ready(Some(manifest)) = next else {
        return None;
    };
    let retired = manifest_of(&manifest, observed).map_or(0, |manifest| manifest.retired.len());
    Some(OwnedObjects {
        manifest,
        retired: i64::try_from(retired).unwrap_or(i64::MAX),
    })
}

fn no_snapshot(site: &DesiredSite) -> Next {
    Next::Fail(format!(
        "the snapshot of the run does not contain component {}",
        site.component
    ))
}
