//! Pruning, restoring and deleting.

use std::collections::BTreeMap;

use super::{
    StoredRef,
    diff::Drift,
    manifest::SiteManifest,
    needs::{Step, answer, done, looked_at},
    object::{Listed, refusal},
    observed::ObservedSite,
    served::is_entry_document,
    snapshot::{KeptObject, SiteSnapshot},
    steps::{Act, Condition, CopyBack, Deletion, Next},
};
use crate::domain::ownership::Owner;

/// The next action to delete owned objects that the Release no longer has, except those that were modified
/// externally. `manifest` is the one that [`super::promote`] stored.
pub fn prune(manifest: &StoredRef, observed: &ObservedSite) -> Next {
    answer((|| {
        let recorded = observed.need_manifest(manifest)?;
        if recorded.retired.is_empty() {
            return Ok(Next::Ready(Some(manifest.clone())));
        }
        let listing = observed.need_listing()?;
        let deletion = |(path, etag): (&String, &String)| {
            let object = listing.objects.get(path)?;
            (object.etag == *etag).then(|| Deletion {
                path: path.clone(),
                etag: etag.clone(),
            })
        };
        done(
            Act::Delete,
            recorded.retired.iter().filter_map(deletion).collect(),
        )?;
        observed.need_fresh_listing()?;
        let mut pruned = recorded.clone();
        pruned.retired.clear();
        Ok(observed.store(pruned))
    })())
}

/// The next action to restore the state before the run: deleted files first, then entry documents, then other
/// changed files; then it deletes the objects that the run created. A fresh listing confirms the result, and
/// the manifest is stored.
pub fn restore(owner: &Owner, snapshot: &StoredRef, observed: &ObservedSite) -> Next {
    answer((|| {
        let then = observed.need_snapshot(snapshot)?;
        let former = match &then.manifest {
            Some(reference) => Some(observed.need_manifest(reference)?),
            None => None,
        };
        observed.need_listing()?;
        let changed: Vec<(&String, &KeptObject, Option<Listed>)> = then
            .kept
            .iter()
            .filter_map(|(path, kept)| {
                let now = observed.object(path);
                let is_restored = now
                    .as_ref()
                    .is_some_and(|now| is_restored(path, kept, now, observed));
                (!is_restored).then_some((path, kept, now))
            })
            .collect();
        let copy_back = |which: &dyn Fn(&str, bool) -> bool| {
            let wave = changed
                .iter()
                .filter(|(path, _, now)| which(path, now.is_some()))
                .map(|(path, kept, now)| CopyBack {
                    path: (*path).clone(),
                    copy: (*kept).clone(),
                    condition: now
                        .as_ref()
                        .map_or(Condition::Absent, |now| Condition::Is(now.etag.clone())),
                });
            done(Act::CopyBack, wave.collect())
        };
        copy_back(&|_, exists| !exists)?;
        copy_back(&|path, _| then.is_document(path))?;
        copy_back(&|_, _| true)?;
        delete_ours(owner, then.created.iter(), observed)?;
        observed.need_fresh_listing()?;
        Ok(match former {
            None => Next::Ready(None),
            Some(former) => match record(former, then, observed) {
                None => Next::Ready(then.manifest.clone()),
                Some(manifest) => observed.store(manifest),
            },
        })
    })())
}

/// The differences from the state before the run, by the newest observations; empty without any.
pub fn not_restored<'a>(
    owner: &Owner,
    snapshot: &StoredRef,
    observed: &'a ObservedSite,
) -> Vec<Drift<'a>> {
    let known = observed.snapshot.as_ref();
    let Some((_, then)) =
        known.filter(|(known, _)| known == snapshot && observed.listing.is_some())
    else {
        return Vec::new();
    };
    let kept = then.kept.iter().filter_map(|(path, kept)| {
        let Some(now) = observed.object(path) else {
            return Some(Drift::Missing(path.as_str()));
        };
        (!is_restored(path, kept, &now, observed)).then_some(Drift::Changed(path.as_str()))
    });
    let is_ours = |path: &&String| {
        let Some(now) = observed.object(path) else {
            return false;
        };
        let head = observed.heads.get(*path).and_then(Option::as_ref);
        observed.written.get(*path) == Some(&now.etag)
            || head.is_none_or(|head| refusal(owner, &head.metadata).is_none())
    };
    let created = then.created.iter().filter(is_ours);
    kept.chain(created.map(|path| Drift::Surplus(path.as_str())))
        .collect()
}

/// The next action to delete all owned objects: of a removed component or a deleted Target.
/// `manifest` is the one in the Target's status.
pub fn remove(owner: &Owner, manifest: &StoredRef, observed: &ObservedSite) -> Next {
    answer((|| -> Step {
        let recorded = observed.need_manifest(manifest)?;
        let listing = observed.need_listing()?;
        let files = recorded.files.iter().map(|(path, file)| (path, &file.etag));
        let ours: Vec<(&String, &String)> = files.chain(&recorded.retired).collect();
        let is_unmodified = |path: &str, etag: &str| {
            let object = listing.objects.get(path);
            object.is_some_and(|object| object.etag == etag)
        };
        let is_document = |path: &String| {
            let file = recorded.files.get(path);
            is_entry_document(path) || file.is_some_and(|file| file.served.is_document())
        };
        // Pages first, so that no page links a deleted file.
        for document in [true, false] {
            let of_kind = ours
                .iter()
                .filter(|(path, _)| is_document(path) == document);
            let known = of_kind
                .clone()
                .filter(|(path, etag)| is_unmodified(path, etag))
                .map(|(path, etag)| Deletion {
                    path: (*path).clone(),
                    etag: (*etag).clone(),
                });
            done(Act::Delete, known.collect())?;
            delete_ours(owner, of_kind.map(|(path, _)| *path), observed)?;
        }
        observed.need_fresh_listing()?;
        Ok(Next::Ready(None))
    })())
}

/// Whether an object of the run is in its state before the run, unchanged or restored.
fn is_restored(path: &str, kept: &KeptObject, now: &Listed, observed: &ObservedSite) -> bool {
    let is = |etags: &BTreeMap<String, String>| etags.get(path) == Some(&now.etag);
    is(&observed.restored) || (kept.is(now) && !is(&observed.written))
}

/// Deletes those of the objects that the Deployment owns.
fn delete_ours<'a>(
    owner: &Owner,
    paths: impl Iterator<Item = &'a String>,
    observed: &ObservedSite,
) -> Result<(), Next> {
    let (mut unclear, mut wave) = (Vec::new(), Vec::new());
    for path in paths {
        let Some(object) = observed.object(path) else {
            continue;
        };
        let ours = match observed.heads.get(path) {
            _ if observed.written.get(path) == Some(&object.etag) => true,
            Some(Some(head)) => refusal(owner, &head.metadata).is_none(),
            Some(None) => false,
            None => {
                unclear.push(path.as_str());
                false
            }
        };
        if ours {
            wave.push(Deletion {
                path: path.clone(),
                etag: object.etag,
            });
        }
    }
    looked_at(unclear)?;
    done(Act::Delete, wave)
}

/// The manifest after a restore: as before, with the ETags of the restored objects. `None` if nothing
/// changed.
fn record(
    former: &SiteManifest,
    then: &SiteSnapshot,
    observed: &ObservedSite,
) -> Option<SiteManifest> {
    let mut manifest = former.clone();
    for (path, etag) in &observed.restored {
        // An object that differed from the manifest before the run still does.
        let Some(kept) = then.kept.get(path) else {
            continue;
        };
        let recorded = match manifest.files.get_mut(path) {
            Some(file) => &mut file.etag,
            None => match manifest.retired.get_mut(path) {
                Some(recorded) => recorded,
                None => continue,
            },
        };
        if *recorded == kept.etag {
            recorded.clone_from(etag);
        }
    }
    (manifest != *former).then_some(manifest)
}
