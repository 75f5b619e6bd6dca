//! What the status records of a run: its beginning, its end, and what it created.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    decision::Decision,
    drift::mark_in_sync,
    garbage::replace_run,
    inputs::{Inputs, component},
    step::{JOURNAL_VERSION, Step},
};
use crate::{
    api::v1alpha1::{
        ComponentStatus, Intent, InventoryItem, LiveRelease, OwnedObjects, PublishedVersion,
        RunStatus,
    },
    domain::{desired::Desired, outcome::shorten, workload::component::DesiredComponent},
};

impl Inputs<'_> {
    pub(super) fn new_run(&self, desired: &Desired, intents: Vec<Intent>) -> RunStatus {
        let mut run = self.empty_run();
        run.intents = intents;
        run.components = desired
            .components
            .iter()
            .map(|want| ComponentStatus {
                deferred: want.needs_output().is_some(),
                ..want.status(self.context(want.level))
            })
            .collect();
        run
    }

    pub(super) fn empty_run(&self) -> RunStatus {
        RunStatus {
            release: self.run.release.clone(),
            attempt: self.run.attempt,
            journal_version: JOURNAL_VERSION,
            step: Step::Failed.as_str().to_owned(),
            held_at: None,
            metric_checks_skipped: self.skips_metric_checks(),
            level: 0,
            traffic: None,
            message: None,
            started_at: Time(self.now),
            progressed_at: Time(self.now),
            finished_at: None,
            snapshot: None,
            intents: Vec::new(),
            components: Vec::new(),
            restored: Vec::new(),
            differences: Vec::new(),
        }
    }

    /// The recorded versions, and those that this run has published: a restore leaves them in AWS, and only
    /// this record lists them.
    pub(super) fn versions_so_far(&self, journal: &RunStatus) -> Vec<PublishedVersion> {
        let mut versions = self.status.versions.clone();
        for component in &journal.components {
            let published = self.observed.components.published(&component.name);
            let (Some(version), Some(code), Some(configuration)) = (
                published,
                &component.code_sha256,
                &component.configuration_digest,
            ) else {
                continue;
            };
            let published = PublishedVersion {
                release_uid: journal.release.uid.clone(),
                revision: journal.release.revision,
                function_name: component.resource.clone(),
                version: version.clone(),
                code_sha256: code.clone(),
                configuration_digest: configuration.clone(),
            };
            record_version(&mut versions, published);
        }
        versions
    }

    pub(super) fn record_success(&self, desired: &Desired, run: &RunStatus) -> Decision {
        let mut status = self.status.clone();
        let mut run = run.clone();
        Step::Succeeded.as_str().clone_into(&mut run.step);
        run.message = None;
        run.progressed_at = Time(self.now);
        run.finished_at = Some(Time(self.now));
        run.intents.clear();
        run.traffic = None;
        for component in &mut run.components {
            component.alias_revision_id = None;
        }
        for want in &desired.components {
            let objects = component(&run, want).and_then(|status| status.objects.clone());
            self.update_inventory(&mut status.inventory, want, objects);
        }
        let wanted = |item: &InventoryItem| {
            let is = |want: &DesiredComponent| want.is(item);
            desired.components.iter().any(is)
        };
        for item in &mut status.inventory {
            item.removed = !wanted(item);
            let mut components = desired.components.iter();
            if let Some(want) = components.find(|want| want.is(item)) {
                item.tags = want.tag_keys();
            }
        }
        record_versions(&mut status.versions, desired, &run);
        replace_run(&mut status, run);
        mark_in_sync(&mut status, desired.release.revision, self.now);
        status.live = Some(LiveRelease {
            release: desired.release.clone(),
            since: Time(self.now),
        });
        Decision::Record(Box::new(status))
    }

    pub(super) fn fail_before_changes(&self, why: &str) -> Decision {
        let mut run = self.empty_run();
        run.message = Some(shorten(why, 4096));
        run.finished_at = Some(Time(self.now));
        let mut status = self.status.clone();
        replace_run(&mut status, run);
        Decision::Record(Box::new(status))
    }

    pub(super) fn end(&self, journal: &RunStatus, step: Step, why: Option<&str>) -> Decision {
        let mut status = self.status.clone();
        let mut run = journal.clone();
        step.as_str().clone_into(&mut run.step);
        run.progressed_at = Time(self.now);
        run.finished_at = Some(Time(self.now));
        run.intents.clear();
        if let Some(why) = why {
            let message = match &run.message {
                Some(first) if first != why => format!("{first}; restoring failed: {why}"),
                _ => why.to_owned(),
            };
            run.message = Some(shorten(&message, 4096));
        }
        if step == Step::RolledBack
            && let Some(snapshot) = &self.observed.known.snapshot
        {
            let gone = |item: &InventoryItem| {
                snapshot
                    .1
                    .component(&item.component)
                    .is_some_and(|then| then.was_unmanaged(self.owner) && then.is(item))
            };
            status.inventory.retain(|item| !gone(item));
            for item in &mut status.inventory {
                item.removed = false;
                let mut components = snapshot.1.components.iter();
                if let Some(then) = components.find(|then| then.is(item)) {
                    item.objects = then.objects_restored(self.owner, &self.observed.components);
                }
            }
            let before = journal
                .snapshot
                .as_ref()
                .and_then(|snapshot| snapshot.release.clone());
            let since = status
                .live
                .as_ref()
                .map_or(Time(self.now), |live| live.since.clone());
            let kept = status.live.as_ref().map(|live| &live.release) == before.as_ref();
            status.live = before.map(|release| LiveRelease {
                release,
                since: if kept { since } else { Time(self.now) },
            });
        }
        status.run = Some(run);
        Decision::Record(Box::new(status))
    }

    pub(super) fn update_inventory(
        &self,
        inventory: &mut Vec<InventoryItem>,
        want: &DesiredComponent,
        objects: Option<OwnedObjects>,
    ) {
        let item = want.inventory_item(self.context(want.level));
        let known = inventory.iter_mut().find(|known| want.is(known));
        match known {
            Some(known) => {
                *known = InventoryItem {
                    created: known.created,
                    tags: std::mem::take(&mut known.tags),
                    objects: objects.or_else(|| known.objects.take()),
                    ..item
                };
            }
            None => inventory.push(InventoryItem { objects, ..item }),
        }
    }
}

/// How many published versions a Target records.
const MOST_VERSIONS: usize = 200;

/// Records the versions that the run has made, for a later rollback to the Release.
pub(super) fn record_versions(
    versions: &mut Vec<PublishedVersion>,
    desired: &Desired,
    run: &RunStatus,
) {
    for want in &desired.components {
        let version = component(run, want).and_then(|status| status.version.as_ref());
        let published = version.and_then(|version| want.published(&desired.release, version));
        if let Some(published) = published {
            record_version(versions, published);
        }
    }
}

/// Adds the version as the newest, once; the oldest one makes room.
fn record_version(versions: &mut Vec<PublishedVersion>, published: PublishedVersion) {
    if versions.contains(&published) {
        return;
    }
    versions.push(published);
    versions.drain(..versions.len().saturating_sub(MOST_VERSIONS));
}
