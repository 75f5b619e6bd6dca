//! Taking away: what is not wanted any more, what a run made, all that is ours.

use std::collections::BTreeMap;

use super::{
    StoredRef,
    diff::Drift,
    manifest::SiteManifest,
    object::{Listed, refusal},
    seen::SiteSeen,
    served::is_entry_document,
    snapshot::{KeptObject, SiteSnapshot},
    steps::{Act, Condition, CopyBack, Deletion, Next, Step, answer, done, looked_at},
};
use crate::domain::ownership::Owner;

/// What is ours and not wanted any more is deleted. Whoever overwrote such an object since keeps it.
/// `manifest` is what [`super::promote`] left.
pub fn prune(manifest: &StoredRef, seen: &SiteSeen) -> Next {
    answer((|| {
        let recorded = seen.need_manifest(manifest)?;
        if recorded.retired.is_empty() {
            return Ok(Next::Ready(Some(manifest.clone())));
        }
        let listing = seen.need_listing()?;
        let there = |(path, etag): (&String, &String)| {
            let object = listing.objects.get(path)?;
            (object.etag == *etag).then(|| Deletion {
                path: path.clone(),
                etag: etag.clone(),
            })
        };
        done(
            Act::Delete,
            recorded.retired.iter().filter_map(there).collect(),
        )?;
        seen.need_fresh_listing()?;
        let mut pruned = recorded.clone();
        pruned.retired.clear();
        Ok(seen.store(pruned))
    })())
}

/// What stood before the run stands again: removed files first, then entry documents, then other
/// changed files; then what the run made is deleted. Then it is looked at, and what is ours is
/// written down.
pub fn restore(owner: &Owner, snapshot: &StoredRef, seen: &SiteSeen) -> Next {
    answer((|| {
        let then = seen.need_snapshot(snapshot)?;
        let former = match &then.manifest {
            Some(reference) => Some(seen.need_manifest(reference)?),
            None => None,
        };
        seen.need_listing()?;
        let changed: Vec<(&String, &KeptObject, Option<Listed>)> = then
            .kept
            .iter()
            .filter_map(|(path, kept)| {
                let now = seen.object(path);
                let stands = now
                    .as_ref()
                    .is_some_and(|now| stands(path, kept, now, seen));
                (!stands).then_some((path, kept, now))
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
        copy_back(&|_, is_there| !is_there)?;
        copy_back(&|path, _| then.is_document(path))?;
        copy_back(&|_, _| true)?;
        delete_ours(owner, then.created.iter(), seen)?;
        seen.need_fresh_listing()?;
        Ok(match former {
            None => Next::Ready(None),
            Some(former) => match record(former, then, seen) {
                None => Next::Ready(then.manifest.clone()),
                Some(manifest) => seen.store(manifest),
            },
        })
    })())
}

/// What does not stand as it did before the run, by the newest word there is; nothing where there is none.
pub fn not_restored<'a>(owner: &Owner, snapshot: &StoredRef, seen: &'a SiteSeen) -> Vec<Drift<'a>> {
    let known = seen.snapshot.as_ref();
    let Some((_, then)) = known.filter(|(known, _)| known == snapshot && seen.listing.is_some())
    else {
        return Vec::new();
    };
    let kept = then.kept.iter().filter_map(|(path, kept)| {
        let Some(now) = seen.object(path) else {
            return Some(Drift::Missing(path.as_str()));
        };
        (!stands(path, kept, &now, seen)).then_some(Drift::Changed(path.as_str()))
    });
    let is_ours = |path: &&String| {
        let Some(now) = seen.object(path) else {
            return false;
        };
        let head = seen.heads.get(*path).and_then(Option::as_ref);
        seen.written.get(*path) == Some(&now.etag)
            || head.is_none_or(|head| refusal(owner, &head.metadata).is_none())
    };
    let created = then.created.iter().filter(is_ours);
    kept.chain(created.map(|path| Drift::Surplus(path.as_str())))
        .collect()
}

/// Everything that is ours is deleted: where a component was dropped, or a Target is deleted.
/// `manifest` is what is ours, as the Target's status says.
pub fn remove(owner: &Owner, manifest: &StoredRef, seen: &SiteSeen) -> Next {
    answer((|| -> Step {
        let recorded = seen.need_manifest(manifest)?;
        let listing = seen.need_listing()?;
        let files = recorded.files.iter().map(|(path, file)| (path, &file.etag));
        let ours: Vec<(&String, &String)> = files.chain(&recorded.retired).collect();
        let is_there = |path: &str, etag: &str| {
            let object = listing.objects.get(path);
            object.is_some_and(|object| object.etag == etag)
        };
        let is_document = |path: &String| {
            let file = recorded.files.get(path);
            is_entry_document(path) || file.is_some_and(|file| file.served.is_document())
        };
        // Pages first, so that none is left that names what is gone.
        for document in [true, false] {
            let of_kind = ours
                .iter()
                .filter(|(path, _)| is_document(path) == document);
            let known = of_kind
                .clone()
                .filter(|(path, etag)| is_there(path, etag))
                .map(|(path, etag)| Deletion {
                    path: (*path).clone(),
                    etag: (*etag).clone(),
                });
            done(Act::Delete, known.collect())?;
            delete_ours(owner, of_kind.map(|(path, _)| *path), seen)?;
        }
        seen.need_fresh_listing()?;
        Ok(Next::Ready(None))
    })())
}

/// Whether an object that the run was to change is as it was before, or was put back.
fn stands(path: &str, kept: &KeptObject, now: &Listed, seen: &SiteSeen) -> bool {
    let is = |etags: &BTreeMap<String, String>| etags.get(path) == Some(&now.etag);
    is(&seen.restored) || (kept.is(now) && !is(&seen.written))
}

/// Deletes those of these that we put; somebody else's stay.
fn delete_ours<'a>(
    owner: &Owner,
    paths: impl Iterator<Item = &'a String>,
    seen: &SiteSeen,
) -> Result<(), Next> {
    let (mut unclear, mut wave) = (Vec::new(), Vec::new());
    for path in paths {
        let Some(object) = seen.object(path) else {
            continue;
        };
        let ours = match seen.heads.get(path) {
            _ if seen.written.get(path) == Some(&object.etag) => true,
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

/// What is ours after everything was put back: as before, with the ETags that the copies got. `None`
/// where none is another one.
fn record(former: &SiteManifest, then: &SiteSnapshot, seen: &SiteSeen) -> Option<SiteManifest> {
    let mut manifest = former.clone();
    for (path, etag) in &seen.restored {
        // An object that was not as the manifest has it is not made so by putting it back.
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
