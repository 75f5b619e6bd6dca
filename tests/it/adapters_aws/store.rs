//! The artifact bucket.

use std::{collections::BTreeMap, sync::Arc};

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sluice::{
    domain::digest::Sha256,
    ports::{
        CallError, CallErrorKind,
        cloud::Cloud as _,
        store::{ByteStream, Store},
    },
};
use sluice_lab::{
    aws::{Action, Call, Pattern, Rule},
    lab::{PATIENCE, wait_until},
};
use tokio::task::JoinHandle;

use super::{Fixture, REGION};

const MIB: usize = 1024 * 1024;

fn metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("sha256".to_owned(), "abc".to_owned())])
}

/// `size` bytes in pieces as a network would give them, no two parts alike.
fn body(size: usize) -> (Bytes, ByteStream) {
    let bytes: Bytes = (0..=250_u8)
        .flat_map(|byte| [byte; 1009])
        .cycle()
        .take(size)
        .collect();
    let pieces = bytes.chunks(700_001).map(Bytes::copy_from_slice).map(Ok);
    let pieces: Vec<_> = pieces.collect();
    (bytes, stream::iter(pieces).boxed())
}

async fn read(store: &dyn Store, key: &str, version: &str) -> Bytes {
    let (size, body) = store.open(key, version).await.expect("opened");
    let pieces: Vec<Bytes> = body.try_collect().await.expect("whole");
    let bytes = Bytes::from(pieces.concat());
    assert_eq!(bytes.len() as u64, size);
    bytes
}

async fn uploads_under_way(fixture: &Fixture, key: &str) -> usize {
    let dev = fixture.lab.dev();
    let s3 = aws_sdk_s3::Client::new(&fixture.lab.sdk_config(&dev.id, REGION));
    let uploads = s3.list_multipart_uploads().bucket(&dev.buckets[REGION]);
    let answer = uploads.send().await.expect("a list");
    answer
        .uploads()
        .iter()
        .filter(|upload| upload.key() == Some(key))
        .count()
}

async fn no_upload_is_left(fixture: &Fixture, key: &str) {
    let what = format!("the upload of {key} is aborted");
    let aborted = wait_until(&what, PATIENCE, async || {
        match uploads_under_way(fixture, key).await {
            0 => Ok(()),
            count => Err(format!("{count} under way")),
        }
    });
    aborted.await.unwrap_or_else(|error| panic!("{error}"));
}

/// Starts an endless upload in a task, and returns it once S3 has begun the upload.
async fn endless(fixture: &Fixture, store: &Arc<dyn Store>, key: &'static str) -> JoinHandle<()> {
    let (_, good) = body(20 * MIB);
    let endless = good.chain(stream::pending()).boxed();
    let store = store.clone();
    let task = tokio::spawn(async move {
        let ended = store.upload(key, endless, &metadata()).await;
        panic!("an endless upload ended: {ended:?}");
    });
    let begun = wait_until("the upload begins", PATIENCE, async || {
        (uploads_under_way(fixture, key).await > 0).then_some(())
    });
    begun.await.unwrap_or_else(|error| panic!("{error}"));
    task
}

/// Cancels the upload.
async fn cancel(task: JoinHandle<()>) {
    task.abort();
    let error = task.await.expect_err("it was under way");
    assert!(error.is_cancelled(), "{error}");
}

#[tokio::test]
async fn stored_objects_of_any_size_are_read_back_unchanged() {
    let fixture = Fixture::new().await;
    let store = fixture.store().await;
    for size in [0, 5, 5 * MIB - 1, 5 * MIB, 20 * MIB + 3] {
        let key = format!("sizes/{size}");
        let (bytes, body) = body(size);
        let version = store
            .upload(&key, body, &metadata())
            .await
            .expect("uploaded");
        let object = store
            .head(&key)
            .await
            .expect("an answer")
            .expect("an object");
        assert_eq!(object.version_id, version);
        assert_eq!(object.size, size as u64);
        assert_eq!(object.metadata, metadata());
        let back = read(&*store, &key, &version).await;
        assert_eq!(Sha256::of(&back), Sha256::of(&bytes), "{size}");
    }
}

#[tokio::test]
async fn object_version_pins_its_bytes() {
    let fixture = Fixture::new().await;
    let store = fixture.store().await;
    let key = "pins/object";
    assert_eq!(store.head(key).await, Ok(None));
    assert_eq!(store.get(key, None, 10).await, Ok(None));
    let none = BTreeMap::new();
    let one = store.put(key, "one".into(), &none).await.expect("stored");
    let two = store.put(key, "two!".into(), &none).await.expect("stored");
    assert_ne!(one, two);
    assert_eq!(
        store.get(key, Some(&one), 10).await,
        Ok(Some(Bytes::from_static(b"one")))
    );
    assert_eq!(
        store.get(key, None, 10).await,
        Ok(Some(Bytes::from_static(b"two!")))
    );
    let large = store.get(key, None, 3).await.map_err(|error| error.kind);
    assert_eq!(large, Err(CallErrorKind::TooLarge));
    store.delete(key, &one).await.expect("deleted");
    assert_eq!(store.get(key, Some(&one), 10).await, Ok(None));
    assert_eq!(store.delete(key, &one).await, Ok(()));
    assert_eq!(read(&*store, key, &two).await, Bytes::from_static(b"two!"));
}

#[tokio::test]
async fn upload_with_a_failing_source_leaves_nothing() {
    let fixture = Fixture::new().await;
    let store = fixture.store().await;
    let key = "broken/source";
    let cut = CallError::new("GET", "artifact", CallErrorKind::Corrupt, "cut off");
    let (_, good) = body(20 * MIB);
    let broken = good.chain(stream::iter([Err(cut.clone())])).boxed();
    let result = store.upload(key, broken, &metadata()).await;
    assert_eq!(result, Err(cut));
    assert_eq!(store.head(key).await, Ok(None));
    no_upload_is_left(&fixture, key).await;
}

#[tokio::test]
async fn dropped_upload_leaves_nothing() {
    let fixture = Fixture::new().await;
    let store = fixture.store().await;
    let key = "broken/dropped";
    let task = endless(&fixture, &store, key).await;
    cancel(task).await;
    no_upload_is_left(&fixture, key).await;
    assert_eq!(store.head(key).await, Ok(None));
}

#[tokio::test]
async fn upload_dropped_before_its_id_is_known_leaves_nothing() {
    let fixture = Fixture::new().await;
    let store = fixture.store().await;
    let key = "broken/begun";
    let on = Pattern::operation("s3", "CreateMultipartUpload").about(key);
    let held = fixture.lab.faults().add(Rule::once(on, Action::HoldReply));
    let task = endless(&fixture, &store, key).await;
    assert_eq!(held.hits(), 1, "the answer is on its way");
    cancel(task).await;
    held.remove();
    no_upload_is_left(&fixture, key).await;
}

#[tokio::test]
async fn dropped_upload_is_aborted_after_its_last_part_arrived() {
    let fixture = Fixture::new().await;
    let store = fixture.store().await;
    let key = "broken/parts";
    let on = Pattern::operation("s3", "UploadPart").about(key);
    let held = fixture
        .lab
        .faults()
        .add(Rule::always(on, Action::HoldReply));
    let task = endless(&fixture, &store, key).await;
    let sent = wait_until("two parts are on their way", PATIENCE, async || {
        (held.hits() == 2).then_some(())
    });
    sent.await.unwrap_or_else(|error| panic!("{error}"));
    cancel(task).await;
    held.remove();
    no_upload_is_left(&fixture, key).await;
    let calls = fixture
        .lab
        .calls()
        .only(|call| call.resource.ends_with(key));
    let landed = calls.named("s3", "UploadPart");
    let landed: Vec<_> = landed.map(|call: &Call| call.answered_at).collect();
    let mut aborted = calls.named("s3", "AbortMultipartUpload");
    let aborted = aborted.next().expect("it was aborted").at;
    assert_eq!(landed.len(), 2);
    assert!(
        landed.iter().all(|at| at.is_some_and(|at| at <= aborted)),
        "parts {landed:?}, aborted {aborted}"
    );
}

#[tokio::test]
async fn upload_refused_by_s3_leaves_nothing() {
    let fixture = Fixture::new().await;
    let store = fixture.store().await;
    let key = "broken/refused";
    let on = Pattern::operation("s3", "UploadPart").about(key);
    let action = Action::respond(403, "AccessDenied", "Access Denied");
    let _fault = fixture.lab.faults().add(Rule::always(on, action));
    let (_, body) = body(20 * MIB);
    let error = store
        .upload(key, body, &metadata())
        .await
        .expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
    no_upload_is_left(&fixture, key).await;
}

#[tokio::test]
async fn failed_upload_part_is_retried() {
    let fixture = Fixture::new().await;
    let store = fixture.store().await;
    let key = "again/part";
    let on = Pattern::operation("s3", "UploadPart").about(key);
    let fault = fixture.lab.faults().add(Rule::once(on, Action::LoseReply));
    let (bytes, body) = body(17 * MIB);
    let version = store
        .upload(key, body, &metadata())
        .await
        .expect("uploaded");
    assert_eq!(fault.hits(), 1);
    let back = read(&*store, key, &version).await;
    assert_eq!(Sha256::of(&back), Sha256::of(&bytes));
}

#[tokio::test]
async fn misconfigured_bucket_is_reported_with_its_fixes() {
    let fixture = Fixture::new().await;
    let store = fixture.store().await;
    let dev = fixture.lab.dev();
    assert_eq!(store.problems(&dev.id, REGION).await, Ok(Vec::new()));

    let found = store
        .problems(&dev.id, "us-east-1")
        .await
        .expect("an answer");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("is in eu-west-1, not in us-east-1"),
        "{found:?}"
    );

    let bucket = "sluice-unfit-222222222222";
    let mut account = (*fixture.account("dev")).clone();
    account.metadata.name = Some("unfit".into());
    for region in &mut account.spec.regions {
        region.artifact_bucket = bucket.to_owned();
    }
    // The deployer role may access the artifact buckets only: this one is read as the account's root.
    fixture.vault.put_key("root", &dev.id, "root");
    account.spec.credentials = super::by_key();
    if let Some(key) = &mut account.spec.credentials.access_key {
        key.secret_ref.name = "root".into();
    }
    let store = fixture
        .cloud
        .store(&account, REGION)
        .await
        .expect("a bucket by name");
    let found = store.problems(&dev.id, REGION).await.expect("an answer");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("does not exist"), "{found:?}");

    let s3 = aws_sdk_s3::Client::new(&fixture.lab.sdk_config(&dev.id, REGION));
    let configuration = aws_sdk_s3::types::CreateBucketConfiguration::builder()
        .location_constraint(REGION.into())
        .build();
    let create = s3
        .create_bucket()
        .bucket(bucket)
        .create_bucket_configuration(configuration);
    create.send().await.expect("created");
    let found = store.problems(&dev.id, REGION).await.expect("an answer");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("versioning") && found[1].contains("multipart"),
        "{found:?}"
    );

    let unpinned = store.put("key", "bytes".into(), &metadata()).await;
    let error = unpinned.expect_err("no version id");
    assert!(error.message.contains("versioning"), "{error}");
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
    let on = s3
        .put_bucket_versioning()
        .bucket(bucket)
        .versioning_configuration(on.build());
    on.send().await.expect("turned on");
    let found = store.problems(&dev.id, REGION).await.expect("an answer");
    assert_eq!(found.len(), 1, "{found:?}");
    store
        .put("key", "bytes".into(), &metadata())
        .await
        .expect("stored");
}
