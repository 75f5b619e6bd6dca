//! Rollouts on an in-memory bucket that behaves like S3, with crashes in between.

pub mod bucket;
mod random;
mod served;

use super::*;
use bucket::{End, FakeBucket, content, want};

/// A complete rollout of `files`, without external changes.
fn deliver(bucket: &mut FakeBucket, files: &[(&str, &str)]) {
    let content = content(files);
    let mut observed = ObservedSite::default();
    let end = bucket.deliver(&content, &mut observed);
    assert_eq!(end, End::Ready);
}

#[test]
fn first_delivery_uploads_pages_last() {
    let mut bucket = FakeBucket::default();
    deliver(
        &mut bucket,
        &[("a.css", "a"), ("index.html", "i"), ("z/app.js", "z")],
    );
    assert_eq!(
        bucket.log,
        [
            "store snapshot",
            "put a.css",
            "put z/app.js",
            "put index.html",
            "store manifest"
        ]
    );
    assert_eq!(
        bucket.served(),
        [("a.css", "a"), ("index.html", "i"), ("z/app.js", "z")]
    );
    let manifest = bucket.manifest();
    assert_eq!(manifest.files["z/app.js"].served, Served::of("app.js", &[]));
    assert!(manifest.retired.is_empty());
}

#[test]
fn only_differing_objects_are_written_new_then_changed_then_pages() {
    let mut bucket = FakeBucket::default();
    deliver(
        &mut bucket,
        &[
            ("a.css", "1"),
            ("gone.js", "g"),
            ("index.html", "1"),
            ("same.js", "s"),
            ("same.html", "s"),
        ],
    );
    bucket.log.clear();
    deliver(
        &mut bucket,
        &[
            ("a.css", "2"),
            ("index.html", "2"),
            ("new.html", "n"),
            ("new.js", "n"),
            ("same.js", "s"),
            ("same.html", "s"),
        ],
    );
    assert_eq!(
        bucket.log,
        [
            "keep a.css",
            "keep index.html",
            "keep gone.js",
            "store snapshot",
            "put new.js",
            "put a.css",
            "put index.html",
            "put new.html",
            "store manifest",
            "delete gone.js",
            "store manifest"
        ]
    );
    assert!(bucket.manifest().retired.is_empty());
    bucket.log.clear();
    let content = content(&[
        ("a.css", "2"),
        ("index.html", "2"),
        ("new.html", "n"),
        ("new.js", "n"),
        ("same.js", "s"),
        ("same.html", "s"),
    ]);
    assert!(bucket.is_unchanged(&content));
    assert!(bucket.log.is_empty());
}

#[test]
fn unmanaged_object_fails_the_run_by_name_and_is_never_changed() {
    let mut bucket = FakeBucket::default();
    bucket.foreign("docs/index.html", "theirs");
    bucket.foreign("docs/other.html", "theirs");
    bucket.foreign("docs-old/a", "theirs");
    let content = content(&[("index.html", "i"), ("a", "a")]);
    let end = bucket.deliver(&content, &mut ObservedSite::default());
    let End::Failed(why) = end else {
        panic!("the delivery did not fail: {end:?}");
    };
    assert!(
        why.starts_with("object s3://shop-site/docs/index.html can't be written: it exists"),
        "{why}"
    );
    assert!(bucket.log.is_empty());
}

#[test]
fn objects_of_a_recreated_target_are_recognised() {
    let mut bucket = FakeBucket::default();
    deliver(&mut bucket, &[("a", "1"), ("index.html", "i")]);
    // The Target was created again: its inventory is empty.
    bucket.recorded = None;
    bucket.log.clear();
    deliver(&mut bucket, &[("a", "2"), ("index.html", "i")]);
    let expected = ["keep a", "store snapshot", "put a", "store manifest"];
    assert_eq!(bucket.log, expected);
}

#[test]
fn restore_recovers_changed_and_deleted_objects_and_deletes_new_ones() {
    let mut bucket = FakeBucket::default();
    let former = [("a.css", "1"), ("gone.js", "g"), ("index.html", "1")];
    deliver(&mut bucket, &former);
    let before = bucket.objects.clone();
    let content = content(&[("a.css", "2"), ("index.html", "2"), ("new.js", "n")]);
    let mut observed = ObservedSite::default();
    assert_eq!(bucket.deliver(&content, &mut observed), End::Ready);
    assert!(!bucket.objects.contains_key("docs/gone.js"));
    bucket.log.clear();
    assert_eq!(bucket.restore(&mut observed), End::Ready);
    assert_eq!(
        bucket.log,
        [
            "copy back gone.js",
            "copy back index.html",
            "copy back a.css",
            "delete new.js"
        ]
    );
    bucket.assert_same(&before);
    // The restored manifest is valid for the next delivery.
    bucket.log.clear();
    deliver(&mut bucket, &former);
    assert!(bucket.log.is_empty(), "{:?}", bucket.log);
}

#[test]
fn restored_manifest_has_the_etags_of_the_copies() {
    let mut bucket = FakeBucket::new(true);
    deliver(&mut bucket, &[("a", "1"), ("b", "1")]);
    let before = bucket.objects.clone();
    let mut observed = ObservedSite::default();
    assert_eq!(
        bucket.deliver(&content(&[("a", "2")]), &mut observed),
        End::Ready
    );
    bucket.log.clear();
    assert_eq!(bucket.restore(&mut observed), End::Ready);
    let expected = ["copy back b", "copy back a", "store manifest"];
    assert_eq!(bucket.log, expected);
    bucket.assert_same(&before);
    let manifest = bucket.manifest();
    for path in ["a", "b"] {
        let object = &bucket.objects[&want().location.key(path)];
        assert_eq!(manifest.files[path].etag, object.etag);
    }
}

#[test]
fn file_with_only_another_content_type_is_restored() {
    // Neither the bytes nor the time differ.
    let mut bucket = FakeBucket {
        is_within_one_second: true,
        ..FakeBucket::new(false)
    };
    deliver(&mut bucket, &[("a.css", "1")]);
    // As if an earlier version of Sluice had set another content type.
    let key = want().location.key("a.css");
    let mut manifest = (*bucket.manifest()).clone();
    manifest
        .files
        .get_mut("a.css")
        .expect("file in the manifest")
        .served
        .content_type = "text/plain".into();
    bucket
        .objects
        .get_mut(&key)
        .expect("object in the bucket")
        .served
        .content_type = "text/plain".into();
    bucket.record(&manifest);
    let before = bucket.objects.clone();
    let mut observed = ObservedSite::default();
    assert_eq!(
        bucket.deliver(&content(&[("a.css", "1")]), &mut observed),
        End::Ready
    );
    assert_eq!(bucket.objects[&key].served, Served::of("a.css", &[]));
    assert_eq!(bucket.restore(&mut observed), End::Ready);
    bucket.assert_same(&before);
}

#[test]
fn external_change_during_the_rollout_fails_it_by_name() {
    type Change = fn(&mut FakeBucket);
    let cases: [(Change, &str); 4] = [
        (
            |bucket| bucket.foreign("docs/new.js", "theirs"),
            "docs/new.js was created",
        ),
        (
            |bucket| bucket.foreign("docs/a.css", "theirs"),
            "docs/a.css was changed",
        ),
        (
            |bucket| {
                bucket.objects.remove("docs/a.css");
            },
            "docs/a.css was deleted",
        ),
        (
            |bucket| bucket.foreign("docs/new.html", "theirs"),
            "docs/new.html was created",
        ),
    ];
    for (change, expected) in cases {
        let mut bucket = FakeBucket::default();
        deliver(&mut bucket, &[("a.css", "1")]);
        let content = content(&[("a.css", "2"), ("new.html", "n"), ("new.js", "n")]);
        let mut observed = ObservedSite::default();
        assert_eq!(bucket.begin(&content, &mut observed), End::Ready);
        change(&mut bucket);
        observed.forget_objects();
        let end = bucket.go_on(&content, &mut observed);
        let End::Failed(why) = end else {
            panic!("{expected}: {end:?}");
        };
        assert!(why.contains(expected), "{why}");
        // Restore must not delete an object that was created externally.
        let theirs = bucket.objects.get("docs/new.js").cloned();
        assert_eq!(bucket.restore(&mut observed), End::Ready);
        let after = bucket.objects.get("docs/new.js");
        if expected.contains("new.js") {
            assert_eq!(after, theirs.as_ref());
        } else {
            assert_eq!(after, None);
        }
        assert_eq!(bucket.objects["docs/a.css"].bytes, "1");
    }
}

#[test]
fn confirm_fails_if_an_uploaded_object_was_deleted() {
    let mut bucket = FakeBucket::default();
    deliver(&mut bucket, &[("b", "1")]);
    let content = content(&[("a", "1"), ("b", "1"), ("index.html", "i")]);
    let mut observed = ObservedSite::default();
    assert_eq!(bucket.deliver(&content, &mut observed), End::Ready);
    let manifest = bucket.recorded.clone().expect("a manifest");
    let snapshot = bucket.journal.clone().expect("a snapshot");
    let want = want();
    let step = |observed: &ObservedSite| confirm(&want, &snapshot, &manifest, observed);
    // A file that the run did not change is drift.
    bucket.objects.remove("docs/b");
    observed.forget_objects();
    assert_eq!(bucket.drive(&content, &mut observed, step), End::Ready);
    bucket.objects.remove("docs/a");
    observed.forget_objects();
    let end = bucket.drive(&content, &mut observed, step);
    assert_eq!(
        end,
        End::Failed(
            "object s3://shop-site/docs/a was deleted externally during the rollout".into()
        )
    );
}

#[test]
fn manifest_follows_the_etag_of_a_rewritten_equal_object() {
    let mut bucket = FakeBucket::new(true);
    deliver(&mut bucket, &[("a", "1"), ("b", "1")]);
    let key = want().location.key("b");
    let etag = "\"again\"".to_owned();
    bucket
        .objects
        .get_mut(&key)
        .expect("object in the bucket")
        .etag
        .clone_from(&etag);
    bucket.log.clear();
    deliver(&mut bucket, &[("a", "2"), ("b", "1")]);
    let expected = ["keep a", "store snapshot", "put a", "store manifest"];
    assert_eq!(bucket.log, expected);
    assert_eq!(bucket.manifest().files["b"].etag, etag);
}

#[test]
fn prune_keeps_externally_modified_objects() {
    let mut bucket = FakeBucket::default();
    deliver(&mut bucket, &[("a", "1"), ("b", "1"), ("index.html", "i")]);
    let content = content(&[("index.html", "i")]);
    let mut observed = ObservedSite::default();
    assert_eq!(bucket.begin(&content, &mut observed), End::Ready);
    assert_eq!(bucket.go_on(&content, &mut observed), End::Ready);
    assert!(bucket.manifest().retired.contains_key("a"));
    bucket.foreign("docs/a", "theirs");
    observed.forget_objects();
    assert_eq!(bucket.prune(&content, &mut observed), End::Ready);
    assert_eq!(bucket.objects["docs/a"].bytes, "theirs");
    assert!(!bucket.objects.contains_key("docs/b"));
    assert!(bucket.manifest().retired.is_empty());
}

#[test]
fn unpruned_objects_stay_owned_in_the_next_delivery() {
    let mut bucket = FakeBucket::default();
    deliver(&mut bucket, &[("a", "1"), ("b", "1"), ("c", "1")]);
    let mut observed = ObservedSite::default();
    let one = content(&[("c", "1")]);
    assert_eq!(bucket.begin(&one, &mut observed), End::Ready);
    assert_eq!(bucket.go_on(&one, &mut observed), End::Ready);
    bucket.log.clear();
    // `a` is desired again, `b` still is not.
    deliver(&mut bucket, &[("a", "1"), ("c", "1")]);
    assert_eq!(
        bucket.log,
        [
            "keep b",
            "store snapshot",
            "store manifest",
            "delete b",
            "store manifest"
        ]
    );
    assert_eq!(bucket.served(), [("a", "1"), ("c", "1")]);
}

#[test]
fn site_drift_follows_from_a_listing() {
    let mut bucket = FakeBucket::default();
    deliver(&mut bucket, &[("a", "1"), ("b", "1"), ("c", "1")]);
    let manifest = bucket.manifest();
    let mut observed = ObservedSite::default();
    assert_eq!(drift(&manifest, &observed), None);
    observed.note_listing(bucket.listing(&|_| true));
    assert_eq!(drift(&manifest, &observed), Some(vec![]));
    bucket.objects.remove("docs/a");
    bucket.foreign("docs/b", "theirs");
    observed.note_listing(bucket.listing(&|_| true));
    assert_eq!(
        drift(&manifest, &observed),
        Some(vec![Drift::Missing("a"), Drift::Changed("b")])
    );
}

#[test]
fn deletion_removes_all_owned_objects_pages_first() {
    let mut bucket = FakeBucket::default();
    deliver(&mut bucket, &[("a", "1"), ("b", "1"), ("index.html", "i")]);
    bucket.foreign("docs/b", "theirs");
    bucket.foreign("docs/c", "theirs");
    bucket.log.clear();
    let reference = bucket.recorded.clone().expect("a manifest");
    let owner = want().owner;
    let mut observed = ObservedSite::default();
    let step = |observed: &ObservedSite| remove(&owner, &reference, observed);
    let end = bucket.drive(&content(&[]), &mut observed, step);
    assert_eq!(end, End::Ready);
    assert_eq!(bucket.log, ["delete index.html", "delete a"]);
    assert_eq!(bucket.served(), [("b", "theirs"), ("c", "theirs")]);
}

#[test]
fn site_intents_have_one_line_per_kind_of_change() {
    let mut bucket = FakeBucket::default();
    deliver(&mut bucket, &[("a.css", "1"), ("gone.js", "g")]);
    let content = content(&[("a.css", "2"), ("index.html", "2"), ("new.js", "n")]);
    let mut observed = ObservedSite::default();
    assert_eq!(bucket.begin(&content, &mut observed), End::Ready);
    let (_, snapshot) = observed.snapshot.expect("a snapshot");
    let lines = |phase| -> Vec<String> {
        intents(&snapshot, phase)
            .into_iter()
            .map(|intent| format!("{} {}", intent.operation, intent.resource))
            .collect()
    };
    assert_eq!(
        lines(Phase::Prepare),
        ["PutObject s3://shop-site/docs/ (1 new files)"]
    );
    assert_eq!(
        lines(Phase::Promote),
        [
            "PutObject s3://shop-site/docs/ (1 changed files)",
            "PutObject s3://shop-site/docs/ (1 new entry documents)"
        ]
    );
}
