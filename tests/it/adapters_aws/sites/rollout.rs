//! Whole rollouts of an archive in the hub into a bucket in dev: the steps, the shell and S3.

use std::{collections::BTreeMap, io::Write as _, sync::Arc};

use bytes::Bytes;
use sluice::{
    controllers::workload::{
        archive::Archive,
        s3::{S3LocationShell, Source, Waves, discard_snapshot},
    },
    domain::{
        digest::Sha256,
        workload::s3::site::{
            Next, ObservedSite, S3Location, SiteWant, StoredRef, begin, confirm, observe, prepare,
            promote, prune, remove, restore, unchanged,
        },
    },
    ports::{CallError, CallErrorKind, s3::Sites, store::Store},
};
use sluice_lab::aws::{Action, Pattern, Rule};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{super::Fixture, owner};

type Files<'a> = [(&'a str, &'a str)];

/// An archive as GitLab makes it: files below `public/`, packed in every way, sizes behind them.
fn archive(files: &Files<'_>) -> Bytes {
    let mut writer = ZipWriter::new_stream(Vec::new());
    let options = SimpleFileOptions::default();
    for (number, (path, text)) in files.iter().enumerate() {
        let method = [CompressionMethod::Stored, CompressionMethod::Deflated][number % 2];
        let name = format!("public/{path}");
        let options = options.compression_method(method);
        writer.start_file(name, options).expect("a file");
        writer.write_all(text.as_bytes()).expect("its bytes");
    }
    let last = writer.start_file("README", options);
    last.expect("a file that is not of the site");
    writer.finish().expect("an archive").into_inner().into()
}

/// One S3 location of a Target, as the Target's controller holds it.
struct Rollout {
    waves: Waves,
    sites: Arc<dyn Sites>,
    store: Arc<dyn Store>,
    hub: Arc<dyn Store>,
    want: SiteWant,
    records: String,
    source: Option<Source>,
    manifest: Option<StoredRef>,
    snapshot: Option<StoredRef>,
    observed: ObservedSite,
}

impl Rollout {
    async fn new(fixture: &Fixture, name: &str) -> Self {
        let hub = fixture.account("hub");
        let hub = sluice::ports::cloud::Cloud::store(&fixture.cloud, &hub, super::REGION).await;
        let location = S3Location::new(fixture.site(), name).expect("an S3 location");
        Self {
            waves: Waves::default(),
            sites: fixture.sites().await,
            store: fixture.store().await,
            hub: hub.expect("the hub's bucket"),
            records: format!("sites/shop/site/{name}/{}", location.id()),
            want: SiteWant {
                component: "site".into(),
                location,
                owner: owner(),
                copies: String::new(),
            },
            source: None,
            manifest: None,
            snapshot: None,
            observed: ObservedSite::default(),
        }
    }

    /// Sets another archive to deliver.
    async fn release(&mut self, files: &Files<'_>) {
        let bytes = archive(files);
        let (size, sha256) = (bytes.len() as u64, Sha256::of(&bytes));
        let key = format!("artifacts/{sha256}.zip");
        let put = self.hub.put(&key, bytes, &BTreeMap::new()).await;
        self.source = Some(Source {
            archive: Archive {
                store: self.hub.clone(),
                key,
                version_id: put.expect("stored"),
                size,
                origin: "artifact site".to_owned(),
            },
            sha256,
            tree: "public".into(),
            types: Vec::new(),
        });
        self.want.copies = sha256.short();
        self.snapshot = None;
        self.restart();
    }

    /// Forgets the observations, as a new process would.
    fn restart(&mut self) {
        self.observed = ObservedSite::default();
    }

    /// Runs a step to its end. Returns the manifest of owned objects, why the step is impossible, or the
    /// failed calls.
    async fn step(
        &mut self,
        next: impl Fn(&Self) -> Next,
    ) -> Result<Result<Option<StoredRef>, String>, Vec<CallError>> {
        loop {
            let next = next(self);
            let shell = S3LocationShell {
                waves: &self.waves,
                sites: &*self.sites,
                store: &*self.store,
                location: &self.want.location,
                owner: &self.want.owner,
                records: &self.records,
                copies: &self.want.copies,
                source: self.source.as_ref(),
            };
            match next {
                Next::Read(read) => {
                    let read = shell.read(read, &mut self.observed).await;
                    read.map_err(|error| vec![error])?;
                }
                Next::Act(act) => {
                    let failed = shell.carry_out(&act, &mut self.observed).await;
                    if !failed.is_empty() {
                        return Err(failed);
                    }
                }
                Next::Ready(manifest) => return Ok(Ok(manifest)),
                Next::Fail(why) => return Ok(Err(why)),
            }
        }
    }

    async fn begin(&mut self) -> Result<Result<(), String>, Vec<CallError>> {
        let manifest = self.manifest.clone();
        let observed = self.step(|it| observe(&it.want, manifest.as_ref(), &it.observed));
        if let Err(why) = observed.await? {
            return Ok(Err(why));
        }
        if unchanged(&self.want, manifest.as_ref(), &self.observed) == Some(true) {
            return Ok(Ok(()));
        }
        let begun = self.step(|it| begin(&it.want, manifest.as_ref(), &it.observed));
        let begun = begun.await?;
        self.snapshot = self
            .observed
            .snapshot
            .clone()
            .map(|(reference, _)| reference);
        Ok(begun.map(|_| ()))
    }

    async fn go_on(&mut self) -> Result<Result<(), String>, Vec<CallError>> {
        let Some(snapshot) = self.snapshot.clone() else {
            return Ok(Ok(()));
        };
        let prepared = self.step(|it| prepare(&it.want, &snapshot, &it.observed));
        if let Err(why) = prepared.await? {
            return Ok(Err(why));
        }
        let promoted = self
            .step(|it| promote(&it.want, &snapshot, &it.observed))
            .await?;
        let manifest = match promoted {
            Ok(manifest) => manifest.expect("a manifest"),
            Err(why) => return Ok(Err(why)),
        };
        let confirmed = self.step(|it| confirm(&it.want, &snapshot, &manifest, &it.observed));
        if let Err(why) = confirmed.await? {
            return Ok(Err(why));
        }
        self.manifest = Some(manifest);
        Ok(Ok(()))
    }

    async fn prune(&mut self) {
        let manifest = self.manifest.clone().expect("a manifest");
        let pruned = self.step(|it| prune(&manifest, &it.observed)).await;
        self.manifest = pruned.expect("no failures").expect("pruned");
    }

    async fn restore(&mut self) {
        let snapshot = self.snapshot.clone().expect("a snapshot");
        let step = self.step(|it| restore(&it.want.owner, &snapshot, &it.observed));
        self.manifest = step.await.expect("no failures").expect("restored");
    }

    async fn deliver(&mut self, files: &Files<'_>) {
        self.release(files).await;
        self.begin().await.expect("no failures").expect("begun");
        self.go_on().await.expect("no failures").expect("done");
        self.prune().await;
    }
}

impl Fixture {
    /// All objects below a prefix, with content types and metadata.
    async fn all(&self, name: &str) -> BTreeMap<String, (Bytes, String, BTreeMap<String, String>)> {
        let prefix = format!("{name}/");
        let list = self.s3().list_objects_v2().bucket(self.site());
        let list = list.prefix(&prefix).send().await.expect("a page");
        let mut all = BTreeMap::new();
        for object in list.contents() {
            let key = object.key().expect("a key");
            let path = key.strip_prefix(&prefix).expect("below the prefix");
            let found = self.read_object(key).await.expect("an object");
            all.insert(path.to_owned(), found);
        }
        all
    }

    async fn texts(&self, name: &str) -> Vec<(String, String)> {
        let text = |(path, (bytes, ..)): (String, (Bytes, String, _))| {
            (path, String::from_utf8_lossy(&bytes).into_owned())
        };
        self.all(name).await.into_iter().map(text).collect()
    }

    /// The writes to the location since that mark in order, as `operation path`.
    fn writes(&self, mark: usize, name: &str) -> Vec<String> {
        let below = format!("{}/{name}/", self.site());
        let calls = self.lab.calls_since(mark);
        let calls = calls.only(|call| call.is_write() && call.resource.starts_with(&below));
        let line = |call: &sluice_lab::aws::Call| {
            let path = call.resource.strip_prefix(&below).unwrap_or_default();
            format!("{} {path}", call.operation)
        };
        calls.iter().map(line).collect()
    }
}

fn owned(files: &Files<'_>) -> Vec<(String, String)> {
    let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    files.iter().map(owned).collect()
}

#[tokio::test]
async fn site_is_delivered_changed_and_restored() {
    let fixture = Fixture::new().await;
    let name = "delivered";
    let mut rollout = Rollout::new(&fixture, name).await;
    let long = "x".repeat(400_000);
    let first = [
        ("a.css", "body{}"),
        ("big.js", long.as_str()),
        ("gone.svg", "<svg/>"),
        ("index.html", "one"),
    ];
    let mark = fixture.lab.mark();
    rollout.deliver(&first).await;
    assert_eq!(fixture.texts(name).await, owned(&first));
    let written = fixture.writes(mark, name);
    assert_eq!(written.len(), 4);
    assert_eq!(written[3], "PutObject index.html");
    let before = fixture.all(name).await;
    assert_eq!(before["gone.svg"].1, "image/svg+xml");

    let second = [
        ("a.css", "body{color:red}"),
        ("big.js", long.as_str()),
        ("index.html", "two"),
        ("new.js", "new"),
    ];
    let mark = fixture.lab.mark();
    rollout.deliver(&second).await;
    assert_eq!(fixture.texts(name).await, owned(&second));
    let written = fixture.writes(mark, name);
    assert_eq!(
        written,
        [
            "PutObject new.js",
            "PutObject a.css",
            "PutObject index.html"
        ]
    );

    // The same files again: Sluice writes nothing anywhere.
    let kept = format!("{}/{}", rollout.records, rollout.want.copies);
    let snapshot = rollout.snapshot.clone();
    let mark = fixture.lab.mark();
    rollout.deliver(&second).await;
    let writes = fixture.lab.calls_since(mark);
    let writes = writes.only(|call| call.is_write() && call.resource.contains(name));
    assert_eq!(writes.len(), 0);

    // A new process restores after the prune.
    rollout.snapshot.clone_from(&snapshot);
    rollout.restart();
    rollout.restore().await;
    assert_eq!(fixture.all(name).await, before);
    rollout.deliver(&first).await;
    assert_eq!(fixture.all(name).await, before);

    // Discarding the snapshot deletes its copies.
    let copies = || {
        let list = fixture.s3().list_objects_v2();
        let list = list.bucket(rollout.store.bucket());
        list.prefix(format!("{kept}/")).send()
    };
    assert_eq!(copies().await.expect("a page").key_count(), Some(3));
    let snapshot = snapshot.expect("a snapshot");
    discard_snapshot(&rollout.waves, &*rollout.store, &rollout.records, &snapshot)
        .await
        .expect("discarded");
    assert_eq!(copies().await.expect("a page").key_count(), Some(0));
    assert_eq!(rollout.store.head(&snapshot.key).await, Ok(None));
}

#[tokio::test]
async fn next_process_continues_an_interrupted_wave() {
    let fixture = Fixture::new().await;
    let name = "dying";
    let mut rollout = Rollout::new(&fixture, name).await;
    rollout
        .deliver(&[("a.css", "1"), ("index.html", "1")])
        .await;
    let before = fixture.all(name).await;
    let files = [
        ("a.css", "2"),
        ("b.css", "2"),
        ("c.css", "2"),
        ("index.html", "2"),
    ];
    rollout.release(&files).await;
    rollout.begin().await.expect("no failures").expect("begun");

    // The reply to one write of the wave is lost; the other write arrives.
    let on = Pattern::operation("s3", "PutObject").about("dying/b.css");
    let fault = fixture.lab.faults().add(Rule::once(on, Action::LoseReply));
    let failed = rollout.go_on().await.expect_err("a lost reply");
    assert_eq!(fault.hits(), 1);
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].kind, CallErrorKind::Unknown);
    assert!(failed[0].resource.ends_with("dying/b.css"), "{}", failed[0]);
    rollout.restart();
    let mark = fixture.lab.mark();
    rollout.go_on().await.expect("no failures").expect("done");
    assert_eq!(
        fixture.writes(mark, name),
        ["PutObject a.css", "PutObject index.html"]
    );
    assert_eq!(fixture.texts(name).await, owned(&files));

    // The restore dies in the middle, too.
    rollout.restart();
    let on = Pattern::operation("s3", "CopyObject").about("dying/index.html");
    let _fault = fixture.lab.faults().add(Rule::once(on, Action::LoseReply));
    let snapshot = rollout.snapshot.clone().expect("a snapshot");
    let step = rollout.step(|it| restore(&it.want.owner, &snapshot, &it.observed));
    step.await.expect_err("a lost reply");
    rollout.restart();
    rollout.restore().await;
    assert_eq!(fixture.all(name).await, before);
}

#[tokio::test]
async fn denied_object_is_named_and_the_others_are_put() {
    let fixture = Fixture::new().await;
    let name = "denied";
    let mut rollout = Rollout::new(&fixture, name).await;
    rollout
        .release(&[("a.css", "a"), ("b.css", "b"), ("c.css", "c")])
        .await;
    rollout.begin().await.expect("no failures").expect("begun");
    let on = Pattern::operation("s3", "PutObject").about("denied/b.css");
    let action = Action::respond(403, "AccessDenied", "Access Denied");
    let _fault = fixture.lab.faults().add(Rule::always(on, action));
    let failed = rollout.go_on().await.expect_err("denied");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].kind, CallErrorKind::Denied);
    assert!(
        failed[0].resource.ends_with("denied/b.css"),
        "{}",
        failed[0]
    );
    let there: Vec<_> = fixture.all(name).await.into_keys().collect();
    assert_eq!(there, ["a.css", "c.css"]);
    rollout.restore().await;
    assert_eq!(fixture.texts(name).await, []);
}

#[tokio::test]
async fn unmanaged_object_blocks_the_rollout_before_the_first_write() {
    let fixture = Fixture::new().await;
    let name = "taken";
    let theirs = fixture.s3().put_object().bucket(fixture.site());
    let put = theirs.key("taken/index.html").send().await;
    put.expect("put");
    let mut rollout = Rollout::new(&fixture, name).await;
    rollout
        .release(&[("a.css", "a"), ("index.html", "i")])
        .await;
    let mark = fixture.lab.mark();
    let refused = rollout.begin().await.expect("no failures");
    let why = refused.expect_err("refused");
    assert!(why.contains("/taken/index.html can't be written"), "{why}");
    assert!(fixture.writes(mark, name).is_empty());
}

#[tokio::test]
async fn closed_fence_blocks_site_writes() {
    let fixture = Fixture::new().await;
    let name = "fenced";
    let mut rollout = Rollout::new(&fixture, name).await;
    rollout.release(&[("a.css", "a"), ("b.css", "b")]).await;
    rollout.begin().await.expect("no failures").expect("begun");
    fixture.fence.close();
    let mark = fixture.lab.mark();
    let failed = rollout.go_on().await.expect_err("fenced");
    assert_eq!(failed[0].kind, CallErrorKind::Unavailable);
    assert!(fixture.writes(mark, name).is_empty());
}

#[tokio::test]
async fn removal_deletes_owned_objects_only() {
    let fixture = Fixture::new().await;
    let name = "removed";
    let mut rollout = Rollout::new(&fixture, name).await;
    rollout
        .deliver(&[("a.css", "a"), ("index.html", "i")])
        .await;
    let theirs = fixture.s3().put_object().bucket(fixture.site());
    let put = theirs.key("removed/notes.txt").send().await;
    put.expect("put");
    let manifest = rollout.manifest.clone().expect("a manifest");
    rollout.restart();
    rollout.source = None;
    let step = rollout.step(|it| remove(&it.want.owner, &manifest, &it.observed));
    assert_eq!(step.await, Ok(Ok(None)));
    let left: Vec<_> = fixture.all(name).await.into_keys().collect();
    assert_eq!(left, ["notes.txt"]);
}
