//! Transfers: what is stored and found again, whose turn it is, and how they fail.

#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

mod bucket;
mod scene;
mod source;

use bytes::Bytes;
use tokio::sync::Semaphore;

use self::{
    scene::{LONG, Scene, foreign_key, key, scene, scene_key_of, scene_within, zip},
    source::Source,
};
use super::*;
use crate::{domain::digest::Sha256, ports::store::Store as _};

#[tokio::test]
async fn artifact_is_stored_pinned_and_summarised() {
    let bytes = zip();
    let mut scene = scene(Source::of(&bytes));
    let done = scene.through().await.unwrap();
    assert_eq!(done.sha256, Sha256::of(&bytes));
    assert_eq!(done.size, bytes.len() as u64);
    assert_eq!(done.location.version_id, "v1");
    assert_eq!(
        done.archive.as_ref().map(|archive| archive.entries),
        Some(1)
    );
    assert_eq!(done.archive_problem, None);
    assert_eq!(
        scene.bucket.keys(),
        [key(1).object_key(), key(1).marker_key()]
    );
}

#[tokio::test]
async fn non_archive_is_stored_with_the_reason() {
    let mut scene = scene(Source::of(b"hello"));
    let done = scene.through().await.unwrap();
    assert_eq!(done.archive, None);
    let problem = done.archive_problem.as_deref();
    assert!(problem.is_some_and(|problem| problem.contains("not a zip")));
}

#[tokio::test]
async fn concurrent_requests_share_one_transfer_and_are_woken() {
    let mut source = Source::of(&zip());
    source.permits = Arc::new(Semaphore::new(0));
    let mut scene = scene(source);
    for who in ["a", "b", "a"] {
        assert!(matches!(scene.ask(who, 1), TransferState::Running { .. }));
    }
    scene.source.permits.add_permits(1000);
    assert_eq!(scene.wake().await, "a");
    assert_eq!(scene.wake().await, "b");
    assert!(matches!(scene.ask("b", 1), TransferState::Done(_)));
    assert_eq!(scene.source.asked(), 1);
}

#[tokio::test]
async fn parallel_transfers_stay_within_the_limit() {
    let mut source = Source::of(&zip());
    source.permits = Arc::new(Semaphore::new(0));
    let mut scene = scene(source);
    for job_id in 1..=5 {
        scene.ask("a", job_id);
    }
    while scene.source.asked() < 2 {
        tokio::task::yield_now().await;
    }
    // Let every task that can run proceed until it waits.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.source.asked(), 2);
    scene.source.permits.add_permits(10_000);
    for _ in 1..=5 {
        scene.wake().await;
    }
    assert_eq!(scene.source.asked(), 5);
}

#[tokio::test]
async fn restart_does_not_download_again() {
    let mut first = scene(Source::of(&zip()));
    let done = first.through().await.unwrap();
    let mut second = scene(Source::of(b""));
    second.bucket = Arc::clone(&first.bucket);
    assert_eq!(second.through().await.unwrap(), done);
    assert_eq!(second.source.asked(), 0);
}

#[tokio::test]
async fn copy_of_another_connection_is_not_returned() {
    let mut first = scene(Source::of(&zip()));
    first.through().await.unwrap();
    let source = Source::of(&zip());
    *source.failure.lock().unwrap() = Some(foreign_key(1).error(CallErrorKind::Denied, "403"));
    let mut second = scene(source);
    second.bucket = Arc::clone(&first.bucket);
    let ask = |scene: &Scene| scene.ask_for(&foreign_key(1), ObjectRef::new("b").within("till"));
    assert!(matches!(ask(&second), TransferState::Running { .. }));
    second.wake().await;
    let TransferState::Failed { error, .. } = ask(&second) else {
        panic!("the copy of another connection was returned");
    };
    assert_eq!(error.kind, CallErrorKind::Denied);
    assert_eq!(second.source.asked(), 1);
}

#[tokio::test]
async fn marker_of_another_connection_is_ignored_wherever_it_lies() {
    let mut first = scene(Source::of(b"planted"));
    first.through().await.unwrap();
    let planted = |key: String| first.bucket.objects.lock().unwrap()[&key].1.clone();
    let (object, marker) = (planted(key(1).object_key()), planted(key(1).marker_key()));
    let mut second = scene(Source::of(&zip()));
    // The versions are the same as in the first bucket, so that only the connection differs.
    second.bucket.keep(&foreign_key(1).object_key(), object);
    second.bucket.keep(&foreign_key(1).marker_key(), marker);
    let who = || ObjectRef::new("b").within("till");
    second.ask_for(&foreign_key(1), who());
    second.wake().await;
    let TransferState::Done(done) = second.ask_for(&foreign_key(1), who()) else {
        panic!("the transfer has not ended");
    };
    assert_eq!(done.sha256, Sha256::of(&zip()));
    assert_eq!(second.source.asked(), 1);
}

#[tokio::test]
async fn namespace_leaves_a_turn_to_another_one() {
    let mut source = Source::of(&zip());
    source.permits = Arc::new(Semaphore::new(0));
    let mut scene = scene_within(source, Limits::new(4, 2, DEFAULT_RATE));
    for job_id in 1..=9 {
        scene.ask("slow", job_id);
    }
    let other = scene_key_of("till");
    scene.ask_for(&other, ObjectRef::new("b").within("till"));
    while scene.source.asked() < 3 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        scene.source.asked(),
        3,
        "two of the first namespace, one of the other"
    );
    scene.source.permits.add_permits(10_000);
    for _ in 0..10 {
        scene.wake().await;
    }
}

#[tokio::test]
async fn stalled_or_slow_download_is_given_up() {
    let mut source = Source::of(&zip());
    source.permits = Arc::new(Semaphore::new(1));
    let pace_limits = PaceLimits {
        window: Duration::from_millis(1),
        ..PaceLimits::at(1_000_000)
    };
    let limits = Limits {
        pace_limits,
        ..Limits::new(1, 1, 1)
    };
    let (kind, message) = scene_within(source, limits).failure().await;
    assert_eq!(kind, CallErrorKind::Unavailable);
    assert!(message.contains("too slow: 7 bytes"), "{message}");
    assert!(message.contains("7 bytes have arrived"), "{message}");

    let mut source = Source::of(&zip());
    source.permits = Arc::new(Semaphore::new(1));
    let pace_limits = PaceLimits {
        grace: Duration::from_millis(1),
        ..PaceLimits::at(1 << 30)
    };
    let limits = Limits {
        pace_limits,
        ..limits
    };
    let (kind, message) = scene_within(source, limits).failure().await;
    assert_eq!(kind, CallErrorKind::Unavailable);
    assert!(message.contains("not complete within"), "{message}");
}

#[tokio::test]
async fn unrequested_transfer_ends_and_frees_its_turn() {
    let mut source = Source::of(&zip());
    source.permits = Arc::new(Semaphore::new(0));
    let limits = Limits {
        unrequested: Duration::from_millis(1),
        ..Limits::new(1, 1, DEFAULT_RATE)
    };
    let mut scene = scene_within(source, limits);
    scene.ask("gone", 1);
    scene.ask("also-gone", 2);
    let mut woken = [scene.wake().await, scene.wake().await];
    woken.sort();
    assert_eq!(woken, ["also-gone", "gone"]);
    assert!(scene.bucket.keys().is_empty(), "no object becomes visible");
    // The next request starts it again, in the free turn.
    assert!(matches!(scene.ask("a", 1), TransferState::Running { .. }));
    scene.source.permits.add_permits(10_000);
    while !matches!(scene.ask("a", 1), TransferState::Done(_)) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn marker_of_a_replaced_object_is_ignored() {
    let mut first = scene(Source::of(&zip()));
    first.through().await.unwrap();
    // The object was overwritten with another version.
    first.bucket.keep(&key(1).object_key(), Bytes::from(zip()));
    let mut second = scene(Source::of(&zip()));
    second.bucket = Arc::clone(&first.bucket);
    let done = second.through().await.unwrap();
    assert_eq!(second.source.asked(), 1);
    let current = second.bucket.head(&key(1).object_key()).await.unwrap();
    assert_eq!(
        current.map(|object| object.version_id),
        Some(done.location.version_id.clone())
    );
}

#[tokio::test]
async fn truncated_or_oversized_download_is_corrupt() {
    let mut cut = Source::of(b"0123456789");
    cut.declared = Some(20);
    assert_eq!(
        scene(cut).failure().await,
        (
            CallErrorKind::Corrupt,
            "cut off after 10 of 20 bytes".to_owned()
        )
    );
    let mut long = Source::of(b"0123456789");
    long.declared = Some(8);
    assert_eq!(
        scene(long).failure().await,
        (
            CallErrorKind::Corrupt,
            "longer than declared: at least 10 bytes instead of 8".to_owned()
        )
    );
    let mut scene = scene(Source::of(b"0123456789"));
    scene.archive_size = Some(9);
    assert_eq!(
        scene.failure().await,
        (
            CallErrorKind::Corrupt,
            "longer than declared: GitLab lists 9 bytes and sends 10".to_owned()
        )
    );
}

#[tokio::test]
async fn size_limit_applies_with_and_without_a_declared_size() {
    for declared in [Some(10), None] {
        let mut source = Source::of(b"0123456789");
        source.declared = declared;
        let mut scene = scene(source);
        scene.limit = 9;
        let (kind, message) = scene.failure().await;
        assert_eq!(kind, CallErrorKind::TooLarge);
        assert!(
            message.contains("more than the limit of 9 bytes"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn transfer_failure_stays_until_it_is_forgotten() {
    let source = Source::of(&zip());
    let denied = key(1).error(CallErrorKind::Denied, "no");
    *source.failure.lock().unwrap() = Some(denied);
    let mut scene = scene(source);
    assert_eq!(scene.failure().await.0, CallErrorKind::Denied);
    assert!(matches!(
        scene.ask("a", 1),
        TransferState::Failed { retry_in: None, .. }
    ));
    scene.transfers.forget_failure(&key(1));
    assert!(scene.through().await.is_ok());
}

#[tokio::test]
async fn running_and_done_transfers_are_not_forgotten() {
    let mut source = Source::of(&zip());
    source.permits = Arc::new(Semaphore::new(0));
    let mut scene = scene(source);
    scene.ask("a", 1);
    scene.transfers.forget_failure(&key(1));
    assert!(matches!(scene.ask("b", 1), TransferState::Running { .. }));
    scene.source.permits.add_permits(1000);
    scene.wake().await;
    scene.transfers.forget_failure(&key(1));
    assert!(matches!(scene.ask("a", 1), TransferState::Done(_)));
    assert_eq!(scene.source.asked(), 1);
}

#[tokio::test]
async fn bytes_are_counted_in_on_arrival_and_out_once_stored() {
    let bytes = zip();
    let mut whole = scene(Source::of(&bytes));
    whole.through().await.unwrap();
    let counted = |scene: &Scene, direction: &str| {
        let text = scene.metrics.encode().unwrap();
        let name = format!("sluice_transferred_bytes_total{{direction=\"{direction}\"}} ");
        text.lines()
            .find_map(|line| line.strip_prefix(&name)?.parse::<usize>().ok())
    };
    assert_eq!(counted(&whole, "in"), Some(bytes.len()));
    assert_eq!(counted(&whole, "out"), Some(bytes.len()));

    let mut cut = Source::of(b"0123456789");
    cut.declared = Some(20);
    let mut cut = scene(cut);
    cut.failure().await;
    assert_eq!(counted(&cut, "in"), Some(10));
    assert_eq!(counted(&cut, "out"), None);
}

#[tokio::test]
async fn panic_is_a_failure_and_wakes_the_deployment() {
    let mut source = Source::of(&zip());
    source.permits.close();
    source.declared = None;
    let mut scene = scene(source);
    assert_eq!(scene.failure().await.0, CallErrorKind::Unknown);
}

#[tokio::test]
async fn shutdown_ends_every_task_and_starts_none() {
    let mut source = Source::of(&zip());
    source.permits = Arc::new(Semaphore::new(0));
    let scene = scene(source);
    scene.ask("a", 1);
    tokio::time::timeout(LONG, scene.transfers.shutdown())
        .await
        .unwrap();
    assert!(matches!(scene.ask("a", 1), TransferState::Failed { .. }));
}

#[test]
fn backoff_grows_and_applies_only_to_transient_errors() {
    let error = |kind| key(1).error(kind, "");
    let seconds = |kind, attempts| backoff(&error(kind), attempts).map(|wait| wait.as_secs());
    assert_eq!(seconds(CallErrorKind::Denied, 1), None);
    assert_eq!(seconds(CallErrorKind::TooLarge, 1), None);
    let waits: Vec<_> = [1, 2, 3, 7, 1000]
        .map(|attempts| seconds(CallErrorKind::Corrupt, attempts))
        .into();
    assert_eq!(waits, [Some(5), Some(10), Some(20), Some(300), Some(300)]);
    let throttled = CallErrorKind::Throttled {
        retry_after: Some(Duration::from_mins(1)),
    };
    assert_eq!(seconds(throttled, 1), Some(60));
}
