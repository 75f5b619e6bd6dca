//! Towards what a Release wants: look, keep what would be lost, put, show, confirm.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    StoredRef,
    content::{ContentFile, SiteContent},
    diff::{Diff, is_put, is_wanted},
    manifest::{SiteFile, SiteManifest},
    needs::{Step, answer, done, looked_at},
    observed::ObservedSite,
    select::too_long,
    served::{Served, is_entry_document},
    snapshot::SiteSnapshot,
    steps::{Act, Condition, Keep, Next, Put, Read, SiteWant},
};

/// Whether the place can be taken, and everything that has to be known to tell what would change.
/// `manifest` is what is ours there, as the Target's status says.
pub fn look(want: &SiteWant, manifest: Option<&StoredRef>, observed: &ObservedSite) -> Next {
    answer(difference(want, manifest, observed).map(|_| Next::Ready(manifest.cloned())))
}

/// Whether nothing at all has to be written or removed; `None` until [`look`] is Ready.
pub fn unchanged(
    want: &SiteWant,
    manifest: Option<&StoredRef>,
    observed: &ObservedSite,
) -> Option<bool> {
    let diff = difference(want, manifest, observed).ok()?;
    Some(diff.is_empty())
}

/// What would be lost is copied away, then the list of it is stored. Ready once `observed` has it.
pub fn begin(want: &SiteWant, manifest: Option<&StoredRef>, observed: &ObservedSite) -> Next {
    answer(snapshot(want, manifest, observed))
}

fn snapshot(want: &SiteWant, manifest: Option<&StoredRef>, observed: &ObservedSite) -> Step {
    if observed.snapshot.is_some() {
        return Ok(Next::Ready(manifest.cloned()));
    }
    let diff = difference(want, manifest, observed)?;
    let content = observed.need_content()?;
    let mut list = SiteSnapshot::new(
        want.place.clone(),
        content.digest(),
        want.copies.clone(),
        manifest.cloned(),
    );
    let mut wave = Vec::new();
    for path in diff.changed.iter().chain(&diff.removed).copied() {
        // Listings say when; nothing else here does.
        let Some((object, modified)) = observed.object(path).and_then(|object| {
            let modified = object.modified?;
            Some((object, modified))
        }) else {
            return Err(Next::Read(Read::Listing));
        };
        match observed.kept.get(path) {
            Some(kept) if kept.is(&object) => {
                list.kept.insert(path.to_owned(), kept.clone());
            }
            _ => wave.push(Keep {
                path: path.to_owned(),
                etag: object.etag,
                modified,
                size: object.size,
            }),
        }
    }
    done(Act::Keep, wave)?;
    list.retired = diff.removed.iter().map(ToString::to_string).collect();
    list.created = diff.new.iter().map(ToString::to_string).collect();
    let recorded = match manifest {
        Some(reference) => Some(observed.need_manifest(reference)?),
        None => None,
    };
    let is_served_as_document = |path: &&String| {
        let wanted = content.files.get(*path).map(|file| &file.served);
        let was = recorded
            .and_then(|it| it.files.get(*path))
            .map(|file| &file.served);
        wanted.or(was).is_some_and(Served::is_document)
    };
    let touched = list.created.iter().chain(list.kept.keys());
    let documents: BTreeSet<String> = touched
        .filter(|path| !is_entry_document(path))
        .filter(is_served_as_document)
        .cloned()
        .collect();
    list.documents = documents;
    Ok(Next::Act(Act::StoreSnapshot(Arc::new(list))))
}

/// Files that are new and that no page names yet are put.
pub fn prepare(want: &SiteWant, snapshot: &StoredRef, observed: &ObservedSite) -> Next {
    answer((|| {
        let run = Run::of(want, snapshot, observed)?;
        let new = run.snapshot.created.iter();
        run.put(new.filter(|path| !run.snapshot.is_document(path)))?;
        Ok(Next::Ready(run.snapshot.manifest.clone()))
    })())
}

/// Changed files are put, then entry documents; then what is ours is written down.
pub fn promote(want: &SiteWant, snapshot: &StoredRef, observed: &ObservedSite) -> Next {
    answer((|| {
        let run = Run::of(want, snapshot, observed)?;
        run.put(
            run.snapshot
                .changed()
                .filter(|path| !run.snapshot.is_document(path)),
        )?;
        run.put(
            run.snapshot
                .written()
                .filter(|path| run.snapshot.is_document(path)),
        )?;
        Ok(observed.store(run.manifest()?))
    })())
}

/// What the run put is still there, by one look at all of it. `manifest` is what [`promote`] left.
/// (What became of other files meanwhile is drift, and no reason to go back.)
pub fn confirm(
    want: &SiteWant,
    snapshot: &StoredRef,
    manifest: &StoredRef,
    observed: &ObservedSite,
) -> Next {
    answer((|| {
        let began = observed.need_snapshot(snapshot)?;
        let recorded = observed.need_manifest(manifest)?;
        let listing = observed.need_fresh_listing()?;
        for path in began.written() {
            let put = recorded.files.get(path).map(|file| &file.etag);
            let what = match listing.objects.get(path) {
                Some(object) if Some(&object.etag) == put => continue,
                Some(_) => "was changed",
                None => "was deleted",
            };
            return Ok(meddled(want, path, what));
        }
        Ok(Next::Ready(Some(manifest.clone())))
    })())
}

fn difference<'a>(
    want: &SiteWant,
    manifest: Option<&StoredRef>,
    observed: &'a ObservedSite,
) -> Result<Diff<'a>, Next> {
    let content = observed.need_content()?;
    let recorded = match manifest {
        Some(reference) => Some(observed.need_manifest(reference)?),
        None => None,
    };
    if let Some(why) = too_long(&want.place, content.files.keys()) {
        return Err(Next::Fail(why));
    }
    observed.need_listing()?;
    let diff = Diff::between(content, recorded, &want.owner, observed).unwrap_or_default();
    if let Some(why) = diff.refusal(&want.place) {
        return Err(Next::Fail(why));
    }
    looked_at(diff.unclear.iter().copied())?;
    Ok(diff)
}

/// How far the run is with one of its files.
enum Made {
    /// Not yet; what stands there instead.
    No(Condition),
    /// It is there, with this ETag.
    Yes(String),
    /// What is there has to be looked at.
    Unclear,
    /// Somebody else did something there.
    Taken(&'static str),
}

/// A run: what it wants, what it found when it began, what is there now.
struct Run<'a> {
    want: &'a SiteWant,
    content: &'a SiteContent,
    snapshot: &'a SiteSnapshot,
    observed: &'a ObservedSite,
}

impl<'a> Run<'a> {
    fn of(
        want: &'a SiteWant,
        snapshot: &StoredRef,
        observed: &'a ObservedSite,
    ) -> Result<Self, Next> {
        let content = observed.need_content()?;
        let snapshot = observed.need_snapshot(snapshot)?;
        if snapshot.content != content.digest() || snapshot.place != want.place {
            return Err(Next::Fail(format!(
                "the snapshot of {} was taken for other files than the Release's",
                snapshot.place
            )));
        }
        if let Some(manifest) = &snapshot.manifest {
            observed.need_manifest(manifest)?;
        }
        observed.need_listing()?;
        Ok(Self {
            want,
            content,
            snapshot,
            observed,
        })
    }

    /// Whether a file of this run is there yet.
    fn made(&self, path: &str) -> Made {
        let kept = self.snapshot.kept.get(path);
        let Some(object) = self.observed.object(path) else {
            return match kept {
                None => Made::No(Condition::Absent),
                Some(_) => Made::Taken("was deleted"),
            };
        };
        if self.observed.written.get(path) == Some(&object.etag) {
            return Made::Yes(object.etag);
        }
        if kept.is_some_and(|kept| kept.is(&object)) {
            return Made::No(Condition::Is(object.etag));
        }
        // After a crash: only the object itself knows whether it is ours.
        let Some(Some(head)) = self.observed.heads.get(path) else {
            return Made::Unclear;
        };
        let ours = super::object::refusal(&self.want.owner, &head.metadata).is_none();
        match self.content.files.get(path) {
            Some(file) if ours && is_put(file, head) => Made::Yes(object.etag),
            _ if kept.is_some() => Made::Taken("was changed"),
            _ => Made::Taken("was created"),
        }
    }

    fn put<'p>(&self, paths: impl Iterator<Item = &'p String>) -> Result<(), Next> {
        let (mut unclear, mut wave) = (Vec::new(), Vec::new());
        for path in paths {
            match self.made(path) {
                Made::No(condition) => wave.push(Put {
                    path: path.clone(),
                    condition,
                }),
                Made::Yes(_) => {}
                Made::Unclear => unclear.push(path.as_str()),
                Made::Taken(what) => {
                    return Err(meddled(self.want, path, what));
                }
            }
        }
        looked_at(unclear)?;
        done(Act::Put, wave)
    }

    /// What is ours once everything is put.
    fn manifest(&self) -> Result<SiteManifest, Next> {
        let former = match &self.snapshot.manifest {
            Some(reference) => Some(self.observed.need_manifest(reference)?),
            None => None,
        };
        let mut manifest = SiteManifest::new(self.want.place.clone());
        let mut unclear = Vec::new();
        for (path, file) in &self.content.files {
            let was = former.and_then(|former| former.files.get(path));
            let etag = match self.found(path, file, was) {
                Made::Yes(etag) => etag,
                Made::Unclear => {
                    unclear.push(path.as_str());
                    continue;
                }
                Made::No(_) => return Err(meddled(self.want, path, "was deleted")),
                Made::Taken(what) => return Err(meddled(self.want, path, what)),
            };
            // What this run did not touch is served as it was.
            let untouched =
                !self.snapshot.created.contains(path) && !self.snapshot.kept.contains_key(path);
            let served = match was {
                Some(was) if untouched => was.served.clone(),
                _ => file.served.clone(),
            };
            let recorded = SiteFile {
                sha256: file.sha256,
                etag,
                size: file.size(),
                served,
            };
            manifest.files.insert(path.clone(), recorded);
        }
        looked_at(unclear)?;
        for path in &self.snapshot.retired {
            if let Some(kept) = self.snapshot.kept.get(path) {
                manifest.retired.insert(path.clone(), kept.etag.clone());
            }
        }
        Ok(manifest)
    }

    /// How it stands with a file at the end, those included that were there when the run began.
    fn found(&self, path: &str, file: &ContentFile, was: Option<&SiteFile>) -> Made {
        let Self {
            snapshot, observed, ..
        } = self;
        if snapshot.created.contains(path) || snapshot.kept.contains_key(path) {
            return self.made(path);
        }
        let Some(object) = observed.object(path) else {
            // Deleted meanwhile: it is told as drift.
            return was.map_or(Made::No(Condition::Absent), |was| {
                Made::Yes(was.etag.clone())
            });
        };
        match (was, observed.heads.get(path)) {
            (Some(was), _) if was.etag == object.etag => Made::Yes(was.etag.clone()),
            (_, None) => Made::Unclear,
            (_, Some(Some(head))) if is_wanted(file, head) => Made::Yes(object.etag),
            // Overwritten meanwhile, the same.
            (Some(was), _) => Made::Yes(was.etag.clone()),
            (None, _) => Made::Taken("was changed"),
        }
    }
}

/// Somebody else did something to an object of the run.
fn meddled(want: &SiteWant, path: &str, what: &str) -> Next {
    Next::Fail(format!(
        "object {} {what} externally during the rollout",
        want.place.shown(path)
    ))
}
