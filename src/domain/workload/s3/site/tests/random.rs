//! Random sites, random external changes, and crashes anywhere.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    super::*,
    bucket::{End, FakeBucket, Object, content, want},
};

const PATHS: [&str; 8] = [
    "a.css",
    "b.js",
    "c/d.png",
    "e",
    "index.html",
    "c/index.html",
    "f.html",
    "g.json",
];

type Files = BTreeMap<&'static str, &'static str>;

fn files() -> impl Strategy<Value = Files> {
    let path = prop::sample::select(&PATHS[..]);
    let bytes = prop::sample::select(&["1", "2", "3"][..]);
    prop::collection::btree_map(path, bytes, 1..PATHS.len())
}

fn of(files: &Files) -> SiteContent {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, bytes)| (*path, *bytes)).collect();
    content(&files)
}

/// A few crashes, each after a number of changes since the previous one.
fn crashes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..12_usize, 0..6)
}

/// Repeats the work after each crash as a new process, which knows only stored state.
fn retry(
    bucket: &mut FakeBucket,
    mut work: impl FnMut(&mut FakeBucket, &mut ObservedSite) -> End,
) -> End {
    let mut observed = ObservedSite::default();
    loop {
        match work(bucket, &mut observed) {
            End::Crashed => observed = ObservedSite::default(),
            end => return end,
        }
    }
}

/// A complete run, whatever crashes.
fn deliver(bucket: &mut FakeBucket, files: &Files) -> End {
    let content = of(files);
    bucket.journal = None;
    let begun = retry(bucket, |bucket, observed| bucket.begin(&content, observed));
    if begun != End::Ready || bucket.journal.is_none() {
        return begun;
    }
    let continued = retry(bucket, |bucket, observed| bucket.go_on(&content, observed));
    if continued != End::Ready {
        return continued;
    }
    retry(bucket, |bucket, observed| bucket.prune(&content, observed))
}

fn served(bucket: &FakeBucket) -> Vec<(String, String)> {
    let served = bucket.served();
    served
        .into_iter()
        .map(|(path, bytes)| (path.to_owned(), bytes.to_owned()))
        .collect()
}

fn expected(files: &Files, foreign: &BTreeSet<&str>) -> Vec<(String, String)> {
    let ours = files.iter().map(|(path, bytes)| (*path, *bytes));
    let theirs = foreign.iter().map(|path| (*path, "theirs"));
    let all: BTreeMap<&str, &str> = ours.chain(theirs).collect();
    all.into_iter()
        .map(|(path, bytes)| (path.to_owned(), bytes.to_owned()))
        .collect()
}

/// External objects that do not conflict.
fn neighbours() -> impl Strategy<Value = BTreeSet<&'static str>> {
    let paths = prop::sample::select(&["other.html", "z/1", "0"][..]);
    prop::collection::btree_set(paths, 0..3)
}

/// Whether one process uploaded every other file before every page.
fn pages_last(log: &[String]) -> bool {
    let puts: Vec<bool> = log
        .iter()
        .filter_map(|line| line.strip_prefix("put "))
        .map(is_entry_document)
        .collect();
    puts.is_sorted()
}

proptest! {
    /// Whatever the former files, and however often the process crashes: in the end the bucket has the
    /// desired files, external objects are unchanged, and nothing is left to do.
    #[test]
    fn every_delivery_completes_despite_crashes(
        sites in prop::collection::vec(files(), 1..4),
        foreign in neighbours(),
        crash_points in crashes(),
        random_etags in any::<bool>(),
    ) {
        let mut bucket = FakeBucket::new(random_etags);
        for path in &foreign {
            bucket.foreign(&format!("docs/{path}"), "theirs");
        }
        let theirs: Vec<Object> = bucket.objects.values().cloned().collect();
        for files in &sites {
            bucket.crashes.clone_from(&crash_points);
            bucket.log.clear();
            prop_assert_eq!(deliver(&mut bucket, files), End::Ready);
            prop_assert_eq!(served(&bucket), expected(files, &foreign));
            prop_assert!(pages_last(&bucket.log), "{:?}", bucket.log);
            prop_assert!(bucket.is_unchanged(&of(files)));
            let manifest = bucket.manifest();
            prop_assert!(manifest.retired.is_empty());
            for (path, file) in &manifest.files {
                prop_assert_eq!(&file.etag, &bucket.objects[&want().location.key(path)].etag);
            }
        }
        let after: Vec<Object> = bucket
            .objects
            .iter()
            .filter(|(key, _)| want().location.path(key).is_some_and(|path| foreign.contains(path)))
            .map(|(_, object)| object.clone())
            .collect();
        prop_assert_eq!(after, theirs);
    }

    /// Without a crash, an object is written only if it differs, and once.
    #[test]
    fn equal_objects_are_never_written_again(one in files(), two in files(), random_etags in any::<bool>()) {
        let mut bucket = FakeBucket::new(random_etags);
        prop_assert_eq!(deliver(&mut bucket, &one), End::Ready);
        bucket.log.clear();
        prop_assert_eq!(deliver(&mut bucket, &two), End::Ready);
        let written = |what: &str| -> BTreeSet<String> {
            let lines = bucket.log.iter().filter_map(|line| line.strip_prefix(what));
            lines.map(str::to_owned).collect()
        };
        let differing: BTreeSet<String> = two
            .iter()
            .filter(|(path, bytes)| one.get(*path) != Some(bytes))
            .map(|(path, _)| (*path).to_owned())
            .collect();
        prop_assert_eq!(written("put "), differing);
        let gone: BTreeSet<String> = one
            .keys()
            .filter(|path| !two.contains_key(*path))
            .map(|path| (*path).to_owned())
            .collect();
        prop_assert_eq!(written("delete "), gone);
        let mut once = bucket.log.clone();
        once.retain(|line| line.starts_with("put ") || line.starts_with("delete "));
        let all = once.len();
        once.sort();
        once.dedup();
        prop_assert_eq!(once.len(), all);
    }

    /// Whenever the run is restored, and whatever crashes then: bytes, content types and metadata are as
    /// before, and the manifest is correct.
    #[test]
    fn every_restore_recovers_the_former_objects(
        one in files(),
        drifted in prop::collection::btree_set(prop::sample::select(&PATHS[..]), 0..3),
        two in files(),
        restored_after in 0..25_usize,
        crash_points in crashes(),
        random_etags in any::<bool>(),
    ) {
        let mut bucket = FakeBucket::new(random_etags);
        prop_assert_eq!(deliver(&mut bucket, &one), End::Ready);
        // Externally modified objects are restored as the run found them, too.
        for path in drifted.iter().filter(|path| one.contains_key(*path)) {
            bucket.foreign(&format!("docs/{path}"), "theirs");
        }
        let before = bucket.objects.clone();
        let manifest = bucket.manifest();
        bucket.crashes = vec![restored_after];
        bucket.journal = None;
        let content = of(&two);
        let mut observed = ObservedSite::default();
        let _ = bucket.deliver(&content, &mut observed);
        bucket.crashes = crash_points;
        if bucket.journal.is_some() {
            let end = retry(&mut bucket, FakeBucket::restore);
            prop_assert_eq!(end, End::Ready);
        }
        bucket.assert_same(&before);
        bucket.crashes.clear();
        if bucket.journal.is_some() {
            let after = bucket.manifest();
            prop_assert_eq!(after.files.keys().collect::<Vec<_>>(), manifest.files.keys().collect::<Vec<_>>());
            for (path, file) in &after.files {
                let object = &bucket.objects[&want().location.key(path)];
                let was = &before[&want().location.key(path)];
                let drifted = was.etag != manifest.files[path].etag;
                prop_assert_eq!(object.etag != file.etag, drifted, "{}", path);
            }
        }
    }

    /// A conflicting external object fails the run before anything is written.
    #[test]
    fn nothing_is_written_if_an_external_object_conflicts(
        one in files(),
        two in files(),
        random_etags in any::<bool>(),
    ) {
        let mut bucket = FakeBucket::new(random_etags);
        let conflicting: Vec<&str> = two.keys().filter(|path| !one.contains_key(*path)).copied().collect();
        prop_assume!(!conflicting.is_empty());
        prop_assert_eq!(deliver(&mut bucket, &one), End::Ready);
        for path in &conflicting {
            bucket.foreign(&format!("docs/{path}"), "theirs");
        }
        let before = bucket.objects.clone();
        bucket.log.clear();
        let End::Failed(why) = deliver(&mut bucket, &two) else {
            return Err(TestCaseError::fail("the run did not fail"));
        };
        prop_assert!(conflicting.iter().any(|path| why.contains(path)), "{}", why);
        prop_assert!(bucket.log.is_empty());
        prop_assert_eq!(&bucket.objects, &before);
    }
}
