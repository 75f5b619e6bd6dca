//! Garbage collection deletes garbage, and never what a Release or a restore still needs.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{super::*, fake_aws::*};

/// Collects the garbage while these Releases exist.
fn collect(aws: &mut FakeAws, revisions: &[i64]) -> Option<Outcome> {
    let needed = Needed {
        existing: revisions.iter().map(|it| reference(*it).uid).collect(),
        ..Needed::default()
    };
    aws.collect(&needed)
}

fn versions(aws: &FakeAws) -> Vec<u32> {
    let deployed = &aws.functions["checkout-api"];
    deployed.versions.keys().copied().collect()
}

fn recorded(aws: &FakeAws) -> Vec<String> {
    let versions = aws.status.versions.iter();
    versions.map(|one| one.version.clone()).collect()
}

/// A fake AWS with this many Releases, delivered one after the other.
fn delivered(releases: i64) -> FakeAws {
    let mut aws = FakeAws::new();
    for revision in 1..=releases {
        let wanted = [want("api", &format!("v{revision}"), 128)];
        assert_eq!(aws.deliver(revision, &wanted), Step::Succeeded);
    }
    aws
}

#[test]
fn versions_of_deleted_releases_are_collected_with_their_records() {
    let mut aws = delivered(5);
    assert_eq!(versions(&aws), [1, 2, 3, 4, 5]);
    collect(&mut aws, &[3, 4, 5]);
    assert_eq!(versions(&aws), [3, 4, 5]);
    assert_eq!(recorded(&aws), ["3", "4", "5"]);
    let records = aws.records;
    collect(&mut aws, &[3, 4, 5]);
    assert_eq!(aws.records, records, "nothing is left to do");
}

#[test]
fn version_in_the_last_snapshot_is_kept() {
    let mut aws = delivered(3);
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.alias.as_mut().expect("an alias").version = "1".into();
    let wanted = [want("api", "v4", 128)];
    assert_eq!(aws.deliver(4, &wanted), Step::Succeeded);
    collect(&mut aws, &[4]);
    assert_eq!(
        versions(&aws),
        [1, 3, 4],
        "1 is in the snapshot, 3 was live before"
    );
    aws.restore(4);
    let alias = aws.functions["checkout-api"].alias.clone();
    assert_eq!(alias.map(|alias| alias.version), Some("1".into()));
}

#[test]
fn version_behind_an_alias_is_kept() {
    let mut aws = delivered(5);
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.other = Some("1".into());
    let ended = collect(&mut aws, &[5]);
    assert!(
        matches!(ended, Some(Outcome::Transient { .. })),
        "{ended:?}"
    );
    assert_eq!(versions(&aws), [1, 4, 5], "an unmanaged alias points at 1");
    assert_eq!(recorded(&aws), ["1", "4", "5"]);
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.other = None;
    deployed.alias.as_mut().expect("an alias").version = "1".into();
    collect(&mut aws, &[5]);
    assert_eq!(
        versions(&aws),
        [1, 4, 5],
        "the alias was moved to 1 externally"
    );
}

#[test]
fn replaced_version_is_only_removed_from_the_record() {
    let mut aws = delivered(3);
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.versions.get_mut(&1).expect("there").code_sha256 = code("theirs");
    collect(&mut aws, &[3]);
    assert_eq!(versions(&aws), [1, 2, 3]);
    assert_eq!(recorded(&aws), ["2", "3"]);

    let mut aws = delivered(3);
    let deployed = aws.functions.get_mut("checkout-api").expect("delivered");
    deployed.latest.tags.clear();
    collect(&mut aws, &[3]);
    assert_eq!(
        versions(&aws),
        [1, 2, 3],
        "the function is no longer owned by Sluice"
    );
}

#[test]
fn expired_snapshots_are_deleted_once_there_are_many() {
    let mut aws = delivered(12);
    let needed = Needed {
        existing: (1..=12).map(|it| reference(it).uid).collect(),
        ..Needed::default()
    };
    assert_eq!(aws.status.expired_snapshots.len(), 11);
    assert_eq!(garbage(&aws.status, &needed).len(), 11);
    collect(&mut aws, &(1..=12).collect::<Vec<_>>());
    assert_eq!(aws.discarded.len(), 11);
    assert!(aws.status.expired_snapshots.is_empty());
    assert!(garbage(&aws.status, &needed).is_empty());
    assert_eq!(aws.restore(12), Step::RolledBack, "the last one exists");
}

/// An event of a Target.
#[derive(Clone, Debug)]
enum Event {
    Deliver { code: u8, good: bool },
    RollBack(usize),
    Forget(usize),
    MoveAlias(usize),
    Collect { crashes: bool },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (0..4_u8, prop::bool::weighted(0.8)).prop_map(|(code, good)| Event::Deliver { code, good }),
        (0..8_usize).prop_map(Event::RollBack),
        (0..8_usize).prop_map(Event::Forget),
        (0..8_usize).prop_map(Event::MoveAlias),
        any::<bool>().prop_map(|crashes| Event::Collect { crashes }),
    ];
    prop::collection::vec(event, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn garbage_collection_keeps_what_a_release_or_the_last_snapshot_needs(events in events()) {
        let mut aws = FakeAws::new();
        // The existing Releases with their code; a rollback goes only to good ones.
        let mut releases: Vec<(i64, String, bool)> = Vec::new();
        let mut newest = 0;
        let mut attempt = 1;
        for event in events {
            let named = |aws: &FakeAws| -> BTreeSet<i64> {
                let run = aws.status.run.as_ref();
                let live = aws.status.live.as_ref().map(|live| live.release.revision);
                let before = run.and_then(|run| run.snapshot.as_ref()?.release.as_ref());
                let run = run.map(|run| run.release.revision);
                [live, run, before.map(|it| it.revision)].into_iter().flatten().collect()
            };
            match event {
                Event::Deliver { code: name, good } => {
                    newest += 1;
                    let name = if good { format!("v{name}") } else { format!("bad{newest}") };
                    if !good {
                        aws.bad.push(code(&name));
                    }
                    aws.deliver(newest, &[want("api", &name, 128)]);
                    releases.push((newest, name, good));
                }
                Event::RollBack(which) => {
                    let good: Vec<_> = releases.iter().filter(|it| it.2).cloned().collect();
                    if let Some((revision, name, _)) = good.get(which % good.len().max(1)) {
                        attempt += 1;
                        let task = Task::Deliver(desired(*revision, vec![want("api", name, 128)]));
                        aws.known = Known::default();
                        let before = aws.functions.get("checkout-api").map(|it| it.next_version);
                        let step = aws.finish(&task, &run(*revision, attempt, Goal::Deliver));
                        prop_assert_eq!(step, Step::Succeeded);
                        let after = aws.functions.get("checkout-api").map(|it| it.next_version);
                        prop_assert_eq!(after, before, "the rollback published a version");
                    }
                }
                Event::Forget(which) => {
                    let named = named(&aws);
                    if let Some(at) = (which < releases.len()).then_some(which)
                        && !named.contains(&releases[at].0)
                    {
                        releases.remove(at);
                    }
                }
                Event::MoveAlias(which) => {
                    if let Some(deployed) = aws.functions.get_mut("checkout-api") {
                        let numbers: Vec<u32> = deployed.versions.keys().copied().collect();
                        if let (Some(alias), Some(number)) = (&mut deployed.alias, numbers.get(which)) {
                            alias.version = number.to_string();
                        }
                    }
                }
                Event::Collect { crashes } => {
                    let kept: Vec<i64> = releases.iter().map(|it| it.0).collect();
                    if crashes {
                        aws.faults = vec![Fault::None, Fault::CrashAfter];
                        collect(&mut aws, &kept);
                        aws.faults.clear();
                    }
                    collect(&mut aws, &kept);
                    let known: BTreeSet<String> = kept.iter().map(|it| reference(*it).uid).collect();
                    for one in aws.status.versions.iter().filter(|it| known.contains(&it.release_uid)) {
                        let number: u32 = one.version.parse().expect("a number");
                        if let Some(deployed) = aws.functions.get(&one.function_name) {
                            prop_assert!(deployed.versions.contains_key(&number), "{} is gone", number);
                        }
                    }
                }
            }
        }
        // The state before the last run can still be restored.
        if let Some(run) = aws.status.run.clone() && Step::of(&run) == Some(Step::Succeeded) {
            let task = Task::Restore("another target of the stage failed".into());
            let restore = Run { goal: Goal::Restore, ..super::fake_aws::run(run.release.revision, run.attempt, Goal::Restore) };
            aws.known = Known::default();
            prop_assert_eq!(aws.finish(&task, &restore), Step::RolledBack);
        }
    }
}
