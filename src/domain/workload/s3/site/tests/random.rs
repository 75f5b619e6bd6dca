//! Random sites, random hands in between, and crashes anywhere.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    super::*,
    bucket::{End, Object, World, content, want},
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

/// Crashes before the n-th change from the last one, a few times.
fn crashes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..12_usize, 0..6)
}

/// As a new process does after each crash: it knows nothing but what is written down.
fn insist(world: &mut World, mut work: impl FnMut(&mut World, &mut ObservedSite) -> End) -> End {
    let mut observed = ObservedSite::default();
    loop {
        match work(world, &mut observed) {
            End::Crashed => observed = ObservedSite::default(),
            end => return end,
        }
    }
}

/// A run to its end, whatever crashes.
fn deliver(world: &mut World, files: &Files) -> End {
    let content = of(files);
    world.journal = None;
    let begun = insist(world, |world, observed| world.begin(&content, observed));
    if begun != End::Ready || world.journal.is_none() {
        return begun;
    }
    let gone_on = insist(world, |world, observed| world.go_on(&content, observed));
    if gone_on != End::Ready {
        return gone_on;
    }
    insist(world, |world, observed| world.prune(&content, observed))
}

fn served(world: &World) -> Vec<(String, String)> {
    let served = world.served();
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

/// Objects of somebody else beside ours, none in the way.
fn neighbours() -> impl Strategy<Value = BTreeSet<&'static str>> {
    let paths = prop::sample::select(&["other.html", "z/1", "0"][..]);
    prop::collection::btree_set(paths, 0..3)
}

/// Every file before every page, in what was put by one process.
fn pages_last(log: &[String]) -> bool {
    let puts: Vec<bool> = log
        .iter()
        .filter_map(|line| line.strip_prefix("put "))
        .map(is_entry_document)
        .collect();
    puts.is_sorted()
}

proptest! {
    /// Whatever was there of ours, and however often the process dies: in the end what is wanted is
    /// there, nobody else's object was touched, and nothing is left to do.
    #[test]
    fn every_delivery_arrives(
        sites in prop::collection::vec(files(), 1..4),
        foreign in neighbours(),
        dying in crashes(),
        random_etags in any::<bool>(),
    ) {
        let mut world = World::new(random_etags);
        for path in &foreign {
            world.foreign(&format!("docs/{path}"), "theirs");
        }
        let theirs: Vec<Object> = world.objects.values().cloned().collect();
        for files in &sites {
            world.crashes.clone_from(&dying);
            world.log.clear();
            prop_assert_eq!(deliver(&mut world, files), End::Ready);
            prop_assert_eq!(served(&world), expected(files, &foreign));
            prop_assert!(pages_last(&world.log), "{:?}", world.log);
            prop_assert!(world.is_unchanged(&of(files)));
            let manifest = world.manifest();
            prop_assert!(manifest.retired.is_empty());
            for (path, file) in &manifest.files {
                prop_assert_eq!(&file.etag, &world.objects[&want().place.key(path)].etag);
            }
        }
        let after: Vec<Object> = world
            .objects
            .iter()
            .filter(|(key, _)| want().place.path(key).is_some_and(|path| foreign.contains(path)))
            .map(|(_, object)| object.clone())
            .collect();
        prop_assert_eq!(after, theirs);
    }

    /// Without a crash, an object is written only where it has to be, and once.
    #[test]
    fn nothing_is_written_that_is_there(one in files(), two in files(), random_etags in any::<bool>()) {
        let mut world = World::new(random_etags);
        prop_assert_eq!(deliver(&mut world, &one), End::Ready);
        world.log.clear();
        prop_assert_eq!(deliver(&mut world, &two), End::Ready);
        let written = |what: &str| -> BTreeSet<String> {
            let lines = world.log.iter().filter_map(|line| line.strip_prefix(what));
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
        let mut once = world.log.clone();
        once.retain(|line| line.starts_with("put ") || line.starts_with("delete "));
        let all = once.len();
        once.sort();
        once.dedup();
        prop_assert_eq!(once.len(), all);
    }

    /// Whenever it is turned back, and whatever crashes then: what stood before stands again, bytes,
    /// content types and metadata, and what is on record of it is true.
    #[test]
    fn every_restore_puts_back_what_stood(
        one in files(),
        drifted in prop::collection::btree_set(prop::sample::select(&PATHS[..]), 0..3),
        two in files(),
        turned_back_after in 0..25_usize,
        dying in crashes(),
        random_etags in any::<bool>(),
    ) {
        let mut world = World::new(random_etags);
        prop_assert_eq!(deliver(&mut world, &one), End::Ready);
        // What somebody overwrote since is put back as it was found, too.
        for path in drifted.iter().filter(|path| one.contains_key(*path)) {
            world.foreign(&format!("docs/{path}"), "theirs");
        }
        let before = world.objects.clone();
        let manifest = world.manifest();
        world.crashes = vec![turned_back_after];
        world.journal = None;
        let content = of(&two);
        let mut observed = ObservedSite::default();
        let _ = world.deliver(&content, &mut observed);
        world.crashes = dying;
        if world.journal.is_some() {
            let end = insist(&mut world, World::restore);
            prop_assert_eq!(end, End::Ready);
        }
        world.assert_same(&before);
        world.crashes.clear();
        if world.journal.is_some() {
            let after = world.manifest();
            prop_assert_eq!(after.files.keys().collect::<Vec<_>>(), manifest.files.keys().collect::<Vec<_>>());
            for (path, file) in &after.files {
                let object = &world.objects[&want().place.key(path)];
                let was = &before[&want().place.key(path)];
                let drifted = was.etag != manifest.files[path].etag;
                prop_assert_eq!(object.etag != file.etag, drifted, "{}", path);
            }
        }
    }

    /// An object of somebody else that is in the way is refused before anything is written.
    #[test]
    fn nothing_is_written_where_somebody_is_in_the_way(
        one in files(),
        two in files(),
        random_etags in any::<bool>(),
    ) {
        let mut world = World::new(random_etags);
        let in_the_way: Vec<&str> = two.keys().filter(|path| !one.contains_key(*path)).copied().collect();
        prop_assume!(!in_the_way.is_empty());
        prop_assert_eq!(deliver(&mut world, &one), End::Ready);
        for path in &in_the_way {
            world.foreign(&format!("docs/{path}"), "theirs");
        }
        let before = world.objects.clone();
        world.log.clear();
        let End::Failed(why) = deliver(&mut world, &two) else {
            return Err(TestCaseError::fail("it was not refused"));
        };
        prop_assert!(in_the_way.iter().any(|path| why.contains(path)), "{}", why);
        prop_assert!(world.log.is_empty());
        prop_assert_eq!(&world.objects, &before);
    }
}
