//! Taking away: what is not wanted any more, what a run made, all that is ours.

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

/// What is ours and not wanted any more is deleted. Whoever overwrote such an object since keeps it.
/// `manifest` is what [`super::promote`] left.
pub fn prune(manifest: &StoredRef, observed: &ObservedSite) -> Next {
    answer((|| {
        let recorded = observed.need_manifest(manifest)?;
        if recorded.retired.is_empty() {
            return Ok(Next::Ready(Some(manifest.clone())));
        }
        let listing = observed.need_listing()?;
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
        observed.need_fresh_listing()?;
        let mut pruned = recorded.clone();
        pruned.retired.clear();
        Ok(observed.store(pruned))
    })())
}

/// What stood before the run stands again: removed files first, then entry documents, then other
/// changed files; then what the run made is deleted. Then it is looked at, and what is ours is
/// written down.
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
                let stands = now
                    .as_ref()
                    .is_some_and(|now| stands(path, kept, now, observed));
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

/// What does not stand as it did before the run, by the newest word there is; nothing where there is none.
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
        (!stands(path, kept, &now, observed)).then_some(Drift::Changed(path.as_str()))
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

/// Everything that is ours is deleted: where a component was dropped, or a Target is deleted.
/// `manifest` is what is ours, as the Target's status says.
pub fn remove(owner: &Owner, manifest: &StoredRef, observed: &ObservedSite) -> Next {
    answer((|| -> Step {
        let recorded = observed.need_manifest(manifest)?;
        let listing = observed.need_listing()?;
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
            delete_ours(owner, of_kind.map(|(path, _)| *path), observed)?;
        }
        observed.need_fresh_listing()?;
        Ok(Next::Ready(None))
    })())
}

/// Whether an object that the run was to change is as it was before, or was put back.
fn stands(path: &str, kept: &KeptObject, now: &Listed, observed: &ObservedSite) -> bool {
    let is = |etags: &BTreeMap<String, String>| etags.get(path) == Some(&now.etag);
    is(&observed.restored) || (kept.is(now) && !is(&observed.written))
}

/// Deletes those of these that we put; somebody else's stay.
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

/// What is ours after everything was put back: as before, with the ETags that the copies got. `None`
/// where none is another one.
fn record(
    former: &SiteManifest,
    then: &SiteSnapshot,
    observed: &ObservedSite,
) -> Option<SiteManifest> {
    let mut manifest = former.clone();
    for (path, etag) in &observed.restored {
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
