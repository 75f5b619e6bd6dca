//! S3 locations: conditional writes, copies with all metadata, and refusals.

mod rollout;

use std::{collections::BTreeMap, sync::Arc};

use aws_sdk_s3::{Client, primitives::ByteStream as SdkStream};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use sluice::{
    domain::{
        digest::Sha256,
        grants::{Allowed, Holder, Permissions},
        ownership::Owner,
        workload::s3::site::{Condition, Deletion, Served, metadata},
    },
    ports::{
        CallError, CallErrorKind,
        cloud::Cloud as _,
        s3::{NewObject, Sites, StoredCopy},
        store::ByteStream,
    },
};
use sluice_lab::aws::{Action, Pattern, Rule};

use super::{Fixture, REGION, by_key};

const MIB: usize = 1024 * 1024;

fn buckets(pattern: &str) -> Permissions {
    Permissions {
        account: "dev".into(),
        holder: Holder {
            namespace: "shop".into(),
            deployment: "checkout".into(),
            target: "site".into(),
        },
        grants: vec![Allowed {
            buckets: vec![pattern.to_owned()],
            ..Allowed::default()
        }],
    }
}

impl Fixture {
    /// S3 in dev, with a grant for buckets that match `pattern`.
    async fn sites_of(&self, pattern: &str) -> Arc<dyn Sites> {
        let dev = self.account("dev");
        let sites = self.cloud.sites(&dev, REGION, &buckets(pattern)).await;
        sites.expect("dev's buckets")
    }

    async fn sites(&self) -> Arc<dyn Sites> {
        self.sites_of("sluice-site-*").await
    }

    fn site(&self) -> &str {
        &self.lab.dev().sites[REGION]
    }

    /// An S3 client with dev's root credentials, which bypasses the adapters.
    fn s3(&self) -> Client {
        Client::new(&self.lab.sdk_config(&self.lab.dev().id, REGION))
    }

    /// The bytes, content type and metadata of an object, as another client reads them.
    async fn read_object(&self, key: &str) -> Option<(Bytes, String, BTreeMap<String, String>)> {
        let get = self.s3().get_object().bucket(self.site()).key(key);
        let answer = get.send().await.ok()?;
        let content_type = answer.content_type.unwrap_or_default();
        let metadata = answer.metadata.unwrap_or_default().into_iter().collect();
        let bytes = answer.body.collect().await.expect("whole").into_bytes();
        Some((bytes, content_type, metadata))
    }
}

fn owner() -> Owner {
    Owner {
        cluster: "c1".into(),
        namespace: "shop".into(),
        name: "checkout".into(),
    }
}

fn object(bytes: impl Into<Bytes>) -> NewObject {
    let bytes = bytes.into();
    // Unlike an iterator's stream, this one must not be polled again after its end.
    let body = stream::unfold(bytes.clone(), |mut left| async move {
        let piece = left.split_to(left.len().min(60_000));
        (!piece.is_empty()).then_some((Ok(piece), left))
    });
    NewObject {
        size: bytes.len() as u64,
        served: Served {
            content_type: "text/css".into(),
            content_encoding: Some("gzip".into()),
        },
        metadata: metadata(&owner(), Sha256::of(&bytes)),
        body: body.boxed(),
    }
}

async fn put(sites: &dyn Sites, bucket: &str, key: &str, bytes: &str) -> String {
    let object = object(bytes.to_owned());
    let etag = sites.put(bucket, key, object, &Condition::Absent).await;
    etag.expect("put")
}

fn kind<T>(result: Result<T, CallError>) -> Option<CallErrorKind> {
    result.err().map(|error| error.kind)
}

#[tokio::test]
async fn objects_of_any_size_are_put_listed_and_read() {
    let fixture = Fixture::new().await;
    let (sites, bucket) = (fixture.sites().await, fixture.site());
    for size in [0, 5, 256 << 10, (256 << 10) + 1, 3 * MIB + 7] {
        let key = format!("sizes/{size} ü+.css");
        let bytes: Bytes = (0..=250_u8).cycle().take(size).collect();
        let etag = sites
            .put(bucket, &key, object(bytes.clone()), &Condition::Absent)
            .await
            .expect("put");
        let head = sites.head(bucket, &key).await.expect("an answer");
        let head = head.expect("an object");
        assert_eq!(head.etag, etag);
        assert_eq!(head.size, size as u64);
        assert_eq!(head.served, object("").served);
        assert_eq!(head.metadata, metadata(&owner(), Sha256::of(&bytes)));
        let (found, ..) = fixture.read_object(&key).await.expect("an object");
        assert!(found == bytes, "{size}");
        let page = sites.list(bucket, &key, None).await.expect("a page");
        assert_eq!(page.objects.len(), 1);
        let (listed, object) = &page.objects[0];
        assert_eq!((listed, &object.etag), (&key, &etag));
        assert_eq!(object.size, size as u64);
        assert!(object.modified.is_some());
    }
    assert_eq!(sites.head(bucket, "sizes/none").await, Ok(None));
}

#[tokio::test]
async fn listing_is_read_page_by_page() {
    let fixture = Fixture::new().await;
    let (sites, s3) = (fixture.sites().await, fixture.s3());
    let keys: Vec<String> = (0..1003).map(|n| format!("pages/{n:04}")).collect();
    let put = |key: String| {
        let request = s3.put_object().bucket(fixture.site()).key(key);
        request.body(SdkStream::from_static(b"x")).send()
    };
    let puts = stream::iter(keys.clone()).map(put).buffer_unordered(8);
    let put: Vec<_> = puts.collect().await;
    assert!(put.iter().all(Result::is_ok));

    let (mut found, mut next, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page = sites.list(fixture.site(), "pages/", next.as_deref()).await;
        let page = page.expect("a page");
        pages += 1;
        found.extend(page.objects.into_iter().map(|(key, _)| key));
        match page.next {
            Some(token) => next = Some(token),
            None => break,
        }
    }
    assert_eq!(pages, 2);
    assert_eq!(found, keys);
}

#[tokio::test]
async fn write_with_a_failed_condition_changes_nothing() {
    let fixture = Fixture::new().await;
    let (sites, bucket) = (fixture.sites().await, fixture.site());
    let key = "conditions/a.css";
    let etag = put(&*sites, bucket, key, "one").await;
    for size in [3, 300_000] {
        let other = || object(vec![b'x'; size]);
        let again = sites.put(bucket, key, other(), &Condition::Absent).await;
        assert_eq!(kind(again), Some(CallErrorKind::Stale));
        let is = Condition::Is("\"00000000000000000000000000000000\"".into());
        let stale = sites.put(bucket, key, other(), &is).await;
        assert_eq!(kind(stale), Some(CallErrorKind::Stale));
        let gone = sites.put(bucket, "conditions/none", other(), &is).await;
        assert_eq!(kind(gone), Some(CallErrorKind::Stale));
    }
    let head = sites.head(bucket, key).await.expect("an answer");
    assert_eq!(head.map(|head| head.etag), Some(etag.clone()));
    let two = object("two");
    let changed = sites.put(bucket, key, two, &Condition::Is(etag)).await;
    changed.expect("put");
    let (bytes, ..) = fixture.read_object(key).await.expect("an object");
    assert_eq!(bytes, "two");
}

#[tokio::test]
async fn truncated_upload_never_becomes_visible() {
    let fixture = Fixture::new().await;
    let (sites, bucket) = (fixture.sites().await, fixture.site());
    let cut = CallError::new("s3:GetObject", "archive", CallErrorKind::Corrupt, "cut off");
    for size in [100_usize, MIB] {
        let broken = |end: Result<Bytes, CallError>| -> ByteStream {
            let half = Bytes::from(vec![b'x'; size / 2]);
            stream::iter([Ok(half), end]).boxed()
        };
        let key = format!("broken/{size}");
        let with = |body| NewObject {
            size: size as u64,
            served: Served {
                content_type: "text/css".into(),
                content_encoding: Some("gzip".into()),
            },
            metadata: BTreeMap::new(),
            body,
        };
        let failed = with(broken(Err(cut.clone())));
        let result = sites.put(bucket, &key, failed, &Condition::Absent).await;
        assert_eq!(result, Err(cut.clone()));
        let short = with(broken(Ok(Bytes::new())));
        let result = sites.put(bucket, &key, short, &Condition::Absent).await;
        assert!(result.is_err(), "{size}");
        assert_eq!(sites.head(bucket, &key).await, Ok(None));
    }
}

#[tokio::test]
async fn lost_reply_to_a_write_is_an_unknown_outcome() {
    let fixture = Fixture::new().await;
    let (sites, bucket) = (fixture.sites().await, fixture.site());
    let key = "once/a.css";
    for (action, expected) in [
        (Action::LoseReply, CallErrorKind::Unknown),
        (
            Action::respond(500, "InternalError", "no"),
            CallErrorKind::Unknown,
        ),
        (
            Action::Throttle,
            CallErrorKind::Throttled { retry_after: None },
        ),
        (
            Action::respond(409, "ConditionalRequestConflict", "no"),
            CallErrorKind::Busy,
        ),
        (
            Action::respond(403, "AccessDenied", "no"),
            CallErrorKind::Denied,
        ),
    ] {
        let shown = format!("{action:?}");
        let on = Pattern::operation("s3", "PutObject").about(key);
        let _fault = fixture.lab.faults().add(Rule::always(on, action));
        let mark = fixture.lab.mark();
        let result = sites
            .put(bucket, key, object("one"), &Condition::Absent)
            .await;
        let error = result.expect_err("a fault");
        assert_eq!(error.kind, expected, "{shown}");
        assert!(error.resource.ends_with(key), "{error}");
        let sent = fixture.lab.calls_since(mark);
        let sent = sent.only(|call| call.resource.ends_with(key));
        assert_eq!(sent.len(), 1, "{shown}");
    }
    // The first write had taken effect.
    let head = sites.head(bucket, key).await.expect("an answer");
    assert!(head.is_some());
}

#[tokio::test]
async fn copy_and_restore_preserve_bytes_and_metadata() {
    let fixture = Fixture::new().await;
    let (sites, store) = (fixture.sites().await, fixture.store().await);
    let bucket = fixture.site();
    let key = "copies/a b+ü.css";
    let request = fixture
        .s3()
        .put_object()
        .bucket(bucket)
        .key(key)
        .body(SdkStream::from_static(b"former"))
        .content_type("text/x-odd")
        .cache_control("max-age=3")
        .content_disposition("inline")
        .metadata("made-by", "hand")
        .send();
    let etag = request.await.expect("put").e_tag.expect("an ETag");

    let to = "sites/shop/site/copies/one";
    let kept = sites.keep(bucket, key, &etag, 6, to).await.expect("kept");
    // A second call finds the same copy, and does not take it for another state of the object.
    let again = sites.keep(bucket, key, &etag, 6, to).await.expect("kept");
    assert_eq!(again.version_id, kept.version_id);
    let stale = sites
        .keep(bucket, key, "\"0\"", 6, "sites/shop/site/copies/two")
        .await;
    assert_eq!(kind(stale), Some(CallErrorKind::Stale));
    assert_eq!(store.head("sites/shop/site/copies/two").await, Ok(None));
    let gone = sites.keep(
        bucket,
        "copies/none",
        &etag,
        6,
        "sites/shop/site/copies/two",
    );
    assert_eq!(kind(gone.await), Some(CallErrorKind::Stale));

    let changed = sites
        .put(bucket, key, object("changed"), &Condition::Is(etag))
        .await
        .expect("put");
    let copy = StoredCopy {
        key: to,
        version_id: &kept.version_id,
        size: 6,
    };
    let stale = sites.restore(&copy, bucket, key, &Condition::Absent).await;
    assert_eq!(kind(stale), Some(CallErrorKind::Stale));
    let is = Condition::Is("\"00000000000000000000000000000000\"".into());
    let stale = sites.restore(&copy, bucket, key, &is).await;
    assert_eq!(kind(stale), Some(CallErrorKind::Stale));
    let back = sites
        .restore(&copy, bucket, key, &Condition::Is(changed))
        .await
        .expect("restored");

    let head = fixture.s3().head_object().bucket(bucket).key(key).send();
    let head = head.await.expect("an object");
    assert_eq!(head.e_tag(), Some(back.as_str()));
    assert_eq!(head.content_type(), Some("text/x-odd"));
    assert_eq!(head.cache_control(), Some("max-age=3"));
    assert_eq!(head.content_disposition(), Some("inline"));
    let made_by = head.metadata().and_then(|all| all.get("made-by").cloned());
    assert_eq!(made_by.as_deref(), Some("hand"));
    let (bytes, ..) = fixture.read_object(key).await.expect("an object");
    assert_eq!(bytes, "former");

    // A restore works where no object exists, too; the error names a lost copy.
    let deletion = |etag: &str| Deletion {
        path: "a b+ü.css".into(),
        etag: etag.to_owned(),
    };
    let ends = sites.delete(bucket, "copies/", &[deletion(&back)]).await;
    assert_eq!(ends, Ok(vec![Ok(())]));
    let gone = sites.restore(&copy, bucket, key, &is).await;
    assert_eq!(kind(gone), Some(CallErrorKind::Stale));
    let back = sites.restore(&copy, bucket, key, &Condition::Absent).await;
    let is = Condition::Is(back.expect("restored"));
    store.delete(to, &kept.version_id).await.expect("deleted");
    let lost = sites.restore(&copy, bucket, key, &is).await;
    let lost = lost.expect_err("lost");
    assert_eq!(lost.kind, CallErrorKind::NotFound, "{lost}");
    assert!(lost.message.contains("stored copy"), "{lost}");
}

#[tokio::test]
async fn each_deletion_is_conditional_and_has_its_own_result() {
    let fixture = Fixture::new().await;
    let (sites, bucket) = (fixture.sites().await, fixture.site());
    let mut objects = Vec::new();
    for path in ["a", "b & c", "changed"] {
        let etag = put(&*sites, bucket, &format!("deleted/{path}"), "one").await;
        objects.push(Deletion {
            path: path.to_owned(),
            etag,
        });
    }
    objects[2].etag = "\"00000000000000000000000000000000\"".into();
    objects.push(Deletion {
        path: "never".into(),
        etag: objects[0].etag.clone(),
    });
    let ends = sites.delete(bucket, "deleted/", &objects).await;
    let ends = ends.expect("an answer");
    assert_eq!(ends[0], Ok(()));
    assert_eq!(ends[1], Ok(()));
    let changed = ends[2].as_ref().expect_err("another state");
    assert_eq!(changed.kind, CallErrorKind::Stale);
    assert!(changed.resource.ends_with("/deleted/changed"), "{changed}");
    assert_eq!(ends[3], Ok(()));
    let left = sites.list(bucket, "deleted/", None).await.expect("a page");
    let left: Vec<_> = left.objects.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(left, ["deleted/changed"]);
    assert_eq!(sites.delete(bucket, "deleted/", &[]).await, Ok(vec![]));
}

#[tokio::test]
async fn bucket_of_another_account_is_refused_even_if_public() {
    let fixture = Fixture::new().await;
    let prod = fixture.lab.prod();
    let theirs = &prod.sites[REGION];
    let key = "open/a.css";
    let s3 = Client::new(&fixture.lab.sdk_config(&prod.id, REGION));
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{}:root", fixture.lab.dev().id) },
            "Action": "s3:*",
            "Resource": [format!("arn:aws:s3:::{theirs}"), format!("arn:aws:s3:::{theirs}/open/*")],
        }],
    });
    let open = s3.put_bucket_policy().bucket(theirs);
    open.policy(policy.to_string()).send().await.expect("open");
    // IAM lets dev's root write there.
    let root = fixture.s3().put_object().bucket(theirs).key(key);
    root.send().await.expect("put");

    fixture.vault.put_key("root", &fixture.lab.dev().id, "root");
    let mut account = (*fixture.account("dev")).clone();
    account.metadata.name = Some("open".into());
    account.spec.credentials = by_key();
    if let Some(key) = &mut account.spec.credentials.access_key {
        key.secret_ref.name = "root".into();
    }
    let sites = fixture.cloud.sites(&account, REGION, &buckets("*")).await;
    let sites = sites.expect("a client");
    let denied = Some(CallErrorKind::Denied);
    let etag = "\"0\"";
    let absent = Condition::Absent;
    assert_eq!(kind(sites.list(theirs, "open/", None).await), denied);
    assert_eq!(kind(sites.head(theirs, key).await), denied);
    let put = sites.put(theirs, "open/b.css", object("b"), &absent).await;
    assert_eq!(kind(put), denied);
    let kept = sites
        .keep(theirs, key, etag, 1, "sites/shop/site/open/a")
        .await;
    assert_eq!(kind(kept), denied);
    let deletion = Deletion {
        path: "a.css".into(),
        etag: etag.into(),
    };
    let deleted = sites.delete(theirs, "open/", &[deletion]).await;
    assert_eq!(kind(deleted), denied);
    let left = s3.list_objects_v2().bucket(theirs).prefix("open/").send();
    assert_eq!(left.await.expect("a page").key_count(), Some(1));
}

#[tokio::test]
async fn artifact_and_ungranted_buckets_are_refused_without_a_call() {
    let fixture = Fixture::new().await;
    let dev = fixture.lab.dev();
    let all = fixture.sites_of("*").await;
    for bucket in dev.buckets.values() {
        let mark = fixture.lab.mark();
        let result = all
            .put(bucket, "refused/artifacts", object("x"), &Condition::Absent)
            .await;
        let error = result.expect_err("refused");
        assert_eq!(error.kind, CallErrorKind::Denied);
        assert!(error.message.contains("keeps artifacts"), "{error}");
        let sent = fixture.lab.calls_since(mark);
        let sent = sent.only(|call| call.resource.contains("refused/artifacts"));
        assert_eq!(sent.len(), 0);
    }
    let other = fixture.sites_of("other-*").await;
    let error = other.list(fixture.site(), "refused/", None).await;
    let error = error.expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Denied);
    assert!(
        error.message.contains("Account dev has no grant"),
        "{error}"
    );
}

#[tokio::test]
async fn session_reaches_only_granted_buckets() {
    let fixture = Fixture::new().await;
    // A combined grant is wider in the session policy than by name; AWS enforces the policy.
    let sites = fixture.sites_of("sluice-site-2*").await;
    let (bucket, key) = (fixture.site(), "session/a.css");
    let etag = put(&*sites, bucket, key, "one").await;
    let kept = sites
        .keep(bucket, key, &etag, 3, "sites/shop/site/session/a")
        .await;
    let kept = kept.expect("kept");
    // The session may write copies below `sites/shop/site/` only.
    for to in [
        "packages/session",
        "snapshots/shop/site/a",
        "sites/pay/site/session/a",
        "sites/shop/site-2/session/a",
    ] {
        let elsewhere = sites.keep(bucket, key, &etag, 3, to).await;
        let error = elsewhere.expect_err("refused");
        assert_eq!(error.kind, CallErrorKind::Denied, "{to}: {error}");
    }
    let copy = StoredCopy {
        key: "sites/shop/site/session/a",
        version_id: &kept.version_id,
        size: 3,
    };
    let back = sites
        .restore(&copy, bucket, key, &Condition::Is(etag))
        .await;
    back.expect("restored");
}

#[tokio::test]
async fn artifact_range_read_returns_exactly_the_range() {
    let fixture = Fixture::new().await;
    let store = fixture.store().await;
    let bytes: Bytes = (0..=250_u8).cycle().take(MIB).collect();
    let key = "ranges/object";
    let version = store
        .put(key, bytes.clone(), &BTreeMap::new())
        .await
        .expect("stored");
    let read = |range: std::ops::Range<u64>| {
        let (store, version) = (&store, &version);
        async move {
            let mut body = store.open_range(key, version, range).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = body.next().await {
                bytes.extend_from_slice(&piece?);
            }
            Ok::<_, CallError>(bytes)
        }
    };
    let all = MIB as u64;
    for range in [0..1, 5..70_000, all - 1..all, 0..all, 7..7] {
        let at = |at: u64| usize::try_from(at).expect("small");
        let expected = &bytes[at(range.start)..at(range.end)];
        assert!(
            read(range.clone()).await.as_deref() == Ok(expected),
            "{range:?}"
        );
    }
    let beyond = read(all - 1..all + 5).await;
    assert_eq!(kind(beyond), Some(CallErrorKind::Corrupt));
    let outside = read(all + 1..all + 2).await;
    assert_eq!(kind(outside), Some(CallErrorKind::Invalid));
}
