//! An in-memory bucket and artifact bucket, with a shell that executes reads and actions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    api::v1alpha1::ContentType,
    domain::{archive::Packed, digest::Sha256, ownership::Owner},
};

use super::super::*;

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bytes: String,
    pub etag: String,
    pub modified: i64,
    pub served: Served,
    pub metadata: BTreeMap<String, String>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Ready,
    Failed(String),
    Crashed,
}

#[derive(Clone, Debug, Default)]
pub struct FakeBucket {
    pub objects: BTreeMap<String, Object>,
    pub copies: BTreeMap<String, Object>,
    pub texts: BTreeMap<String, Vec<u8>>,
    /// The manifest in the Target's status.
    pub recorded: Option<StoredRef>,
    /// The run's snapshot, as in the journal.
    pub journal: Option<StoredRef>,
    /// Whether ETags are independent of the content, as with SSE-KMS.
    pub random_etags: bool,
    /// The number of changes before each crash, processed from the end.
    pub crashes: Vec<usize>,
    pub log: Vec<String>,
    /// Whether all changes happen within one second.
    pub is_within_one_second: bool,
    pub clock: i64,
    pub writes: u64,
}

pub fn want() -> SiteWant {
    SiteWant {
        component: "site".into(),
        location: S3Location::new("shop-site", "docs").expect("valid location"),
        owner: Owner {
            cluster: "c1".into(),
            namespace: "shop".into(),
            name: "checkout".into(),
        },
        copies: "sites/shop/t/run".into(),
    }
}

/// Content whose digests and sizes are those of the given bytes.
pub fn content(files: &[(&str, &str)]) -> SiteContent {
    content_with(files, &[])
}

/// The same, with these content types.
pub fn content_with(files: &[(&str, &str)], types: &[ContentType]) -> SiteContent {
    let file = |(path, bytes): &(&str, &str)| {
        let size = bytes.len() as u64;
        let packed = Packed {
            start: 0,
            end: 100,
            length: size,
            size,
            crc32: 0,
            deflated: false,
        };
        let sha256 = Sha256::of(bytes.as_bytes());
        let served = Served::default();
        let file = ContentFile {
            sha256,
            packed,
            served,
        };
        ((*path).to_owned(), file)
    };
    let files = files.iter().map(file).collect();
    SiteContent::new(Sha256::of(b"archive"), "public", files, types)
}

impl FakeBucket {
    pub fn new(random_etags: bool) -> Self {
        Self {
            random_etags,
            ..Self::default()
        }
    }

    /// Writes an object externally.
    pub fn foreign(&mut self, key: &str, bytes: &str) {
        let served = Served {
            content_type: "binary/octet-stream".into(),
            content_encoding: None,
        };
        self.write(key, bytes, &served, BTreeMap::new());
    }

    /// The objects below the prefix.
    pub fn served(&self) -> Vec<(&str, &str)> {
        let prefix = "docs/";
        self.objects
            .iter()
            .filter_map(|(key, object)| Some((key.strip_prefix(prefix)?, object.bytes.as_str())))
            .collect()
    }

    /// The manifest in the Target's status.
    pub fn manifest(&self) -> Arc<SiteManifest> {
        let reference = self.recorded.as_ref().expect("a manifest");
        let text = &self.texts[&reference.sha256];
        Arc::new(SiteManifest::read(text).expect("readable"))
    }

    pub fn record(&mut self, manifest: &SiteManifest) {
        self.recorded = Some(self.store(manifest.text()));
    }

    /// Compares all but the ETags and times, which S3 changes with each write.
    pub fn assert_same(&self, before: &BTreeMap<String, Object>) {
        let stable = |objects: &BTreeMap<String, Object>| -> Vec<_> {
            let of = |(key, object): (&String, &Object)| {
                let object = object.clone();
                (key.clone(), object.bytes, object.served, object.metadata)
            };
            objects.iter().map(of).collect()
        };
        assert_eq!(stable(&self.objects), stable(before));
    }

    pub fn listing(&self, concerns: &dyn Fn(&str) -> bool) -> BTreeMap<String, Listed> {
        let location = want().location;
        let listed = |(key, object): (&String, &Object)| {
            let path = location.path(key).filter(|path| concerns(path))?;
            let listed = Listed {
                etag: object.etag.clone(),
                size: object.bytes.len() as u64,
                modified: Some(object.modified),
            };
            Some((path.to_owned(), listed))
        };
        self.objects.iter().filter_map(listed).collect()
    }

    /// A whole run, including Prune.
    pub fn deliver(&mut self, content: &SiteContent, observed: &mut ObservedSite) -> End {
        self.journal = None;
        for phase in [Self::begin, Self::go_on, Self::prune] {
            match phase(self, content, observed) {
                End::Ready => {}
                end => return end,
            }
            if self.journal.is_none() {
                break;
            }
        }
        End::Ready
    }

    pub fn is_unchanged(&mut self, content: &SiteContent) -> bool {
        let (want, recorded) = (want(), self.recorded.clone());
        let mut observed = ObservedSite::default();
        let step = |observed: &ObservedSite| observe(&want, recorded.as_ref(), observed);
        assert_eq!(self.drive(content, &mut observed, step), End::Ready);
        unchanged(&want, recorded.as_ref(), &observed).expect("bucket was observed")
    }

    /// Until the snapshot is stored and recorded in the journal.
    pub fn begin(&mut self, content: &SiteContent, observed: &mut ObservedSite) -> End {
        let (want, recorded) = (want(), self.recorded.clone());
        let end = self.drive(content, observed, |observed| {
            observe(&want, recorded.as_ref(), observed)
        });
        if end != End::Ready || unchanged(&want, recorded.as_ref(), observed) == Some(true) {
            return end;
        }
        let end = self.drive(content, observed, |observed| {
            begin(&want, recorded.as_ref(), observed)
        });
        if end == End::Ready {
            self.journal = observed
                .snapshot
                .as_ref()
                .map(|(reference, _)| reference.clone());
        }
        end
    }

    /// Prepare, Promote and Confirm.
    pub fn go_on(&mut self, content: &SiteContent, observed: &mut ObservedSite) -> End {
        let want = want();
        let snapshot = self.journal.clone().expect("a journal");
        let end = self.drive(content, observed, |observed| {
            prepare(&want, &snapshot, observed)
        });
        if end != End::Ready {
            return end;
        }
        let end = self.drive(content, observed, |observed| {
            promote(&want, &snapshot, observed)
        });
        if end != End::Ready {
            return end;
        }
        let stored = observed.stored.clone().expect("a manifest");
        let step = |observed: &ObservedSite| confirm(&want, &snapshot, &stored, observed);
        let end = self.drive(content, observed, step);
        if end == End::Ready {
            self.recorded = Some(stored);
        }
        end
    }

    pub fn prune(&mut self, content: &SiteContent, observed: &mut ObservedSite) -> End {
        let manifest = self.recorded.clone().expect("a manifest");
        let end = self.drive(content, observed, |observed| prune(&manifest, observed));
        if end == End::Ready
            && let Next::Ready(recorded) = prune(&manifest, observed)
        {
            self.recorded = recorded;
        }
        end
    }

    pub fn restore(&mut self, observed: &mut ObservedSite) -> End {
        let owner = want().owner;
        let snapshot = self.journal.clone().expect("a journal");
        let step = |observed: &ObservedSite| restore(&owner, &snapshot, observed);
        let end = self.drive(&content(&[]), observed, step);
        if end == End::Ready
            && let Next::Ready(recorded) = step(observed)
        {
            self.recorded = recorded;
        }
        end
    }

    /// Executes a step's reads and actions until it ends.
    pub fn drive(
        &mut self,
        content: &SiteContent,
        observed: &mut ObservedSite,
        step: impl Fn(&ObservedSite) -> Next,
    ) -> End {
        for _ in 0..60 {
            match step(observed) {
                Next::Ready(_) => return End::Ready,
                Next::Fail(why) => return End::Failed(why),
                Next::Read(read) => self.read(content, read, observed),
                Next::Act(act) => match self.act(&act, observed) {
                    Some(reply) => observed.note(&act, reply),
                    None => return End::Crashed,
                },
            }
        }
        panic!("no end after 60 steps; next: {:?}", step(observed));
    }

    pub fn read(&mut self, content: &SiteContent, read: Read, observed: &mut ObservedSite) {
        match read {
            Read::Content => observed.note_content(Arc::new(content.clone())),
            Read::Manifest(reference) => {
                let manifest = SiteManifest::read(&self.texts[&reference.sha256]);
                observed.note_manifest(&reference, Arc::new(manifest.expect("readable")));
            }
            Read::Snapshot(reference) => {
                let snapshot = SiteSnapshot::read(&self.texts[&reference.sha256]);
                observed.note_snapshot(reference, Arc::new(snapshot.expect("readable")));
            }
            Read::Listing => {
                let listing = self.listing(&|path| observed.concerns(path));
                observed.note_listing(listing);
            }
            Read::Heads(paths) => {
                let location = want().location;
                let head = |path: String| {
                    let object = self.objects.get(&location.key(&path));
                    let head = object.map(|object| ObjectHead {
                        etag: object.etag.clone(),
                        size: object.bytes.len() as u64,
                        served: object.served.clone(),
                        metadata: object.metadata.clone(),
                    });
                    (path, head)
                };
                observed.note_heads(paths.into_iter().map(head).collect::<Vec<_>>());
            }
        }
    }

    /// `None` if the process crashed on the way.
    pub fn act(&mut self, act: &Act, observed: &ObservedSite) -> Option<Reply> {
        let location = want().location;
        let mut outcomes = BTreeMap::new();
        match act {
            Act::StoreSnapshot(snapshot) => {
                self.change("store snapshot".into())?;
                return Some(Reply::Stored(self.store(snapshot.text())));
            }
            Act::StoreManifest(manifest) => {
                self.change("store manifest".into())?;
                return Some(Reply::Stored(self.store(manifest.text())));
            }
            Act::Keep(objects) => {
                for keep in objects {
                    self.change(format!("keep {}", keep.path))?;
                    let object = self.objects.get(&location.key(&keep.path));
                    let object = object.filter(|object| object.etag == keep.etag);
                    let Some(object) = object.cloned() else {
                        continue;
                    };
                    let name = copy_key(
                        &want().copies,
                        &location,
                        &keep.path,
                        &keep.etag,
                        keep.modified,
                    );
                    self.copies.insert(name.clone(), object);
                    let kept = KeptObject {
                        etag: keep.etag.clone(),
                        modified: keep.modified,
                        size: keep.size,
                        version_id: "v1".into(),
                    };
                    outcomes.insert(keep.path.clone(), Outcome::Kept(kept));
                }
            }
            Act::Put(files) => {
                let content = observed.content.clone().expect("content was read");
                for put in files {
                    self.change(format!("put {}", put.path))?;
                    let file = &content.files[&put.path];
                    let key = location.key(&put.path);
                    if !self.holds(&key, &put.condition) {
                        continue;
                    }
                    let metadata = metadata(&want().owner, file.sha256);
                    let bytes = bytes_of(&content, &put.path);
                    let etag = self.write(&key, &bytes, &file.served, metadata);
                    outcomes.insert(put.path.clone(), Outcome::Written(etag));
                }
            }
            Act::CopyBack(objects) => {
                for back in objects {
                    self.change(format!("copy back {}", back.path))?;
                    let key = location.key(&back.path);
                    if !self.holds(&key, &back.condition) {
                        continue;
                    }
                    let copy = &back.copy;
                    let name = copy_key(
                        &want().copies,
                        &location,
                        &back.path,
                        &copy.etag,
                        copy.modified,
                    );
                    let was = self.copies[&name].clone();
                    let etag = self.write(&key, &was.bytes, &was.served, was.metadata);
                    outcomes.insert(back.path.clone(), Outcome::Written(etag));
                }
            }
            Act::Delete(objects) => {
                for deletion in objects {
                    self.change(format!("delete {}", deletion.path))?;
                    let key = location.key(&deletion.path);
                    if self.holds(&key, &Condition::Is(deletion.etag.clone())) {
                        self.objects.remove(&key);
                        outcomes.insert(deletion.path.clone(), Outcome::Deleted);
                    }
                }
            }
        }
        Some(Reply::Wave(outcomes))
    }

    /// `None` if the process crashes before the change.
    fn change(&mut self, what: String) -> Option<()> {
        match self.crashes.last_mut() {
            Some(0) => {
                self.crashes.pop();
                return None;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.log.push(what);
        Some(())
    }

    fn holds(&self, key: &str, condition: &Condition) -> bool {
        let etag = self.objects.get(key).map(|object| &object.etag);
        match condition {
            Condition::Absent => etag.is_none(),
            Condition::Is(expected) => etag == Some(expected),
        }
    }

    fn write(
        &mut self,
        key: &str,
        bytes: &str,
        served: &Served,
        metadata: BTreeMap<String, String>,
    ) -> String {
        self.writes += 1;
        self.clock += i64::from(!self.is_within_one_second);
        let etag = if self.random_etags {
            format!("\"{}\"", self.writes)
        } else {
            format!("\"{}\"", Sha256::of(bytes.as_bytes()).short())
        };
        let object = Object {
            bytes: bytes.to_owned(),
            etag: etag.clone(),
            modified: self.clock,
            served: served.clone(),
            metadata,
        };
        self.objects.insert(key.to_owned(), object);
        etag
    }

    fn store(&mut self, text: Vec<u8>) -> StoredRef {
        let sha256 = Sha256::of(&text).to_string();
        self.texts.insert(sha256.clone(), text);
        StoredRef {
            key: format!("sites/{sha256}.json"),
            version_id: "v1".into(),
            sha256,
        }
    }
}

/// Finds the bytes by their digest: tests use few and short ones.
fn bytes_of(content: &SiteContent, path: &str) -> String {
    let wanted = content.files[path].sha256;
    let candidates: BTreeSet<String> = ('a'..='z')
        .chain('0'..='9')
        .map(String::from)
        .chain(["theirs".to_owned()])
        .collect();
    candidates
        .into_iter()
        .find(|bytes| Sha256::of(bytes.as_bytes()) == wanted)
        .expect("bytes that tests use")
}
