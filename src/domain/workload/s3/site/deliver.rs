//! Delivering a Release's files: observe, back up, upload, confirm.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    StoredRef,
    content::{ContentFile, SiteContent},
    diff::{Diff, is_wanted, was_uploaded},
    manifest::{SiteFile, SiteManifest},
    needs::{Step, answer, done, looked_at},
    observed::ObservedSite,
    select::too_long,
    served::{Served, is_entry_document},
    snapshot::SiteSnapshot,
    steps::{Act, Condition, Keep, Next, Put, Read, SiteWant},
};

/// The next read until the differences are known; fails if the files can't be delivered there.
/// `manifest` is the one in the Target's status.
pub fn observe(want: &SiteWant, manifest: Option<&StoredRef>, observed: &ObservedSite) -> Next {
    answer(difference(want, manifest, observed).map(|_| Next::Ready(manifest.cloned())))
}

/// Whether no object has to be written or deleted; `None` until [`observe`] is Ready.
pub fn unchanged(
    want: &SiteWant,
    manifest: Option<&StoredRef>,
    observed: &ObservedSite,
) -> Option<bool> {
    let diff = difference(want, manifest, observed).ok()?;
    Some(diff.is_empty())
}

/// The next action to copy the objects that the run overwrites or deletes, and to store the snapshot. Ready
/// once `observed` has the snapshot.
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
        want.location.clone(),
        content.digest(),
        want.copies.clone(),
        manifest.cloned(),
    );
    let mut wave = Vec::new();
    for path in diff.changed.iter().chain(&diff.removed).copied() {
        // Only listings have the time of modification.
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

/// The next action to upload new files, except for entry documents: no page links them yet.
pub fn prepare(want: &SiteWant, snapshot: &StoredRef, observed: &ObservedSite) -> Next {
    answer((|| {
        let run = Run::of(want, snapshot, observed)?;
        let new = run.snapshot.created.iter();
        run.put(new.filter(|path| !run.snapshot.is_document(path)))?;
        Ok(Next::Ready(run.snapshot.manifest.clone()))
    })())
}

/// The next action to upload changed files, then entry documents; then the manifest is stored.
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

/// Confirms by a fresh listing that the run's uploads still exist. `manifest` is the one that [`promote`]
/// stored. (External changes of other files are drift, and no reason to restore.)
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
            return Ok(fail_changed(want, path, what));
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
    if let Some(why) = too_long(&want.location, content.files.keys()) {
        return Err(Next::Fail(why));
    }
    observed.need_listing()?;
    let diff = Diff::between(content, recorded, &want.owner, observed).unwrap_or_default();
    if let Some(why) = diff.refusal(&want.location) {
        return Err(Next::Fail(why));
    }
    looked_at(diff.unclear.iter().copied())?;
    Ok(diff)
}

/// The progress of a run with one of its files.
enum Upload {
    /// Due, under this condition.
    Due(Condition),
    /// The object exists, with this ETag.
    Done(String),
    /// Only `HeadObject` can determine it.
    Unclear,
    /// The object was changed externally.
    Conflict(&'static str),
}

/// A run: the desired state, the snapshot and the observations.
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
        if snapshot.content != content.digest() || snapshot.location != want.location {
            return Err(Next::Fail(format!(
                "the snapshot of {} was made for other files than the Release's",
                snapshot.location
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

    /// The progress with a file of this run.
    fn upload(&self, path: &str) -> Upload {
        let kept = self.snapshot.kept.get(path);
        let Some(object) = self.observed.object(path) else {
            return match kept {
                None => Upload::Due(Condition::Absent),
                Some(_) => Upload::Conflict("was deleted"),
            };
        };
        if self.observed.written.get(path) == Some(&object.etag) {
            return Upload::Done(object.etag);
        }
        if kept.is_some_and(|kept| kept.is(&object)) {
            return Upload::Due(Condition::Is(object.etag));
        }
        // After a crash, only the object's metadata tells whether this run wrote it.
        let Some(Some(head)) = self.observed.heads.get(path) else {
            return Upload::Unclear;
        };
        let ours = super::object::refusal(&self.want.owner, &head.metadata).is_none();
        match self.content.files.get(path) {
            Some(file) if ours && was_uploaded(file, head) => Upload::Done(object.etag),
            _ if kept.is_some() => Upload::Conflict("was changed"),
            _ => Upload::Conflict("was created"),
        }
    }

    fn put<'p>(&self, paths: impl Iterator<Item = &'p String>) -> Result<(), Next> {
        let (mut unclear, mut wave) = (Vec::new(), Vec::new());
        for path in paths {
            match self.upload(path) {
                Upload::Due(condition) => wave.push(Put {
                    path: path.clone(),
                    condition,
                }),
                Upload::Done(_) => {}
                Upload::Unclear => unclear.push(path.as_str()),
                Upload::Conflict(what) => {
                    return Err(fail_changed(self.want, path, what));
                }
            }
        }
        looked_at(unclear)?;
        done(Act::Put, wave)
    }

    /// The manifest after all uploads.
    fn manifest(&self) -> Result<SiteManifest, Next> {
        let former = match &self.snapshot.manifest {
            Some(reference) => Some(self.observed.need_manifest(reference)?),
            None => None,
        };
        let mut manifest = SiteManifest::new(self.want.location.clone());
        let mut unclear = Vec::new();
        for (path, file) in &self.content.files {
            let was = former.and_then(|former| former.files.get(path));
            let etag = match self.result(path, file, was) {
                Upload::Done(etag) => etag,
                Upload::Unclear => {
                    unclear.push(path.as_str());
                    continue;
                }
                Upload::Due(_) => return Err(fail_changed(self.want, path, "was deleted")),
                Upload::Conflict(what) => return Err(fail_changed(self.want, path, what)),
            };
            // Files that this run did not change are served as before.
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

    /// The final state of a desired file, whether the run changed it or not.
    fn result(&self, path: &str, file: &ContentFile, was: Option<&SiteFile>) -> Upload {
        let Self {
            snapshot, observed, ..
        } = self;
        if snapshot.created.contains(path) || snapshot.kept.contains_key(path) {
            return self.upload(path);
        }
        let Some(object) = observed.object(path) else {
            // Deleted since the run began: the drift check reports it.
            return was.map_or(Upload::Due(Condition::Absent), |was| {
                Upload::Done(was.etag.clone())
            });
        };
        match (was, observed.heads.get(path)) {
            (Some(was), _) if was.etag == object.etag => Upload::Done(was.etag.clone()),
            (_, None) => Upload::Unclear,
            (_, Some(Some(head))) if is_wanted(file, head) => Upload::Done(object.etag),
            // Overwritten since the run began: the drift check reports it.
            (Some(was), _) => Upload::Done(was.etag.clone()),
            (None, _) => Upload::Conflict("was changed"),
        }
    }
}

/// Fails because an object of the run was changed externally.
fn fail_changed(want: &SiteWant, path: &str, what: &str) -> Next {
    Next::Fail(format!(
        "object {} {what} externally during the rollout",
        want.location.shown(path)
    ))
}
