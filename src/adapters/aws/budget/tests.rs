//! The order of waiting calls, with a clock that the tests move.

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::task::unconstrained;

use super::*;
use crate::domain::priority::Priority;

const SECOND: Duration = Duration::from_secs(1);

/// A timeout; no test takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(30);

/// A bucket of one call a second, with none left of this second. The tests grant turns by hand.
fn used_up() -> Bucket {
    let bucket = Bucket::new(
        "calls in account 1, eu-west-1".into(),
        1,
        WaitGauge::default(),
    );
    let mut schedule = bucket.schedule();
    schedule.is_served = true;
    assert_eq!(schedule.rate.take(Instant::now()), Ok(()));
    drop(schedule);
    bucket
}

fn call() -> Call {
    Call::write("lambda:UpdateAlias", "checkout-api:live")
}

fn turn(priority: Priority, deployment: &str) -> Turn {
    Turn::new(priority, "shop", deployment, Timestamp::UNIX_EPOCH)
}

/// Starts a call that waits in another task.
fn waits(bucket: &Bucket, turn: &Turn) -> tokio::task::JoinHandle<Result<(), CallError>> {
    let (bucket, turn) = (bucket.clone(), turn.clone());
    tokio::spawn(async move { turn.scope(bucket.turn(&call())).await })
}

/// The result of a call; one that never ends fails its test and does not block it.
async fn ended(call: tokio::task::JoinHandle<Result<(), CallError>>) -> Result<(), CallError> {
    let call = tokio::time::timeout(LIMIT, call).await;
    call.expect("it ends").expect("a task")
}

async fn wait_until_queued(bucket: &Bucket, count: usize) {
    let until = Instant::now() + LIMIT;
    while bucket.schedule().queue.len() != count {
        let waiting = bucket.schedule().queue.len();
        assert!(Instant::now() < until, "{waiting} wait, not {count}");
        tokio::task::yield_now().await;
    }
}

/// Grants the turns up to the `nth` second, of which there is one a second.
fn second_passes(bucket: &Bucket, nth: u32) {
    let now = Instant::now() + SECOND * nth + Duration::from_millis(100);
    bucket.schedule().grant_turns(now);
}

fn kind(result: Result<(), CallError>) -> Option<CallErrorKind> {
    result.err().map(|error| error.kind)
}

#[tokio::test]
async fn rollback_goes_before_a_thousand_drift_checks() {
    let bucket = used_up();
    let drift: Vec<_> = (0..1_000)
        .map(|nth| {
            waits(
                &bucket,
                &turn(Priority::Background, &format!("at-rest-{nth}")),
            )
        })
        .collect();
    wait_until_queued(&bucket, 1_000).await;
    let rollback = waits(&bucket, &turn(Priority::Restore, "checkout"));
    wait_until_queued(&bucket, 1_001).await;
    second_passes(&bucket, 1);
    assert_eq!(ended(rollback).await, Ok(()));
    assert_eq!(bucket.schedule().queue.len(), 1_000);
    assert!(drift.iter().all(|check| !check.is_finished()));
}

#[tokio::test]
async fn deployments_take_turns() {
    let bucket = used_up();
    let big = turn(Priority::Traffic, "big");
    let many: Vec<_> = (0..100).map(|_| waits(&bucket, &big)).collect();
    wait_until_queued(&bucket, 100).await;
    let small = waits(&bucket, &turn(Priority::Traffic, "small"));
    wait_until_queued(&bucket, 101).await;
    second_passes(&bucket, 1);
    second_passes(&bucket, 2);
    assert_eq!(ended(small).await, Ok(()));
    assert_eq!(bucket.schedule().queue.len(), 99);
    drop(many);
}

#[tokio::test]
async fn cancelled_calls_are_not_sent_and_leave_the_queue() {
    let bucket = used_up();
    let checkout = turn(Priority::Preparation, "checkout");
    let one = waits(&bucket, &checkout);
    let other = waits(&bucket, &checkout);
    let stays = waits(&bucket, &turn(Priority::Preparation, "cart"));
    wait_until_queued(&bucket, 3).await;
    let (queue_position, _) = checkout.queue_position().expect("it waits");
    assert_eq!(queue_position.budget, "calls in account 1, eu-west-1");
    checkout.call_off();
    for call in [one, other] {
        let result = ended(call).await;
        assert_eq!(kind(result), Some(CallErrorKind::CalledOff));
    }
    assert_eq!(bucket.schedule().queue.len(), 1);
    assert_eq!(checkout.queue_position(), None);
    stays.abort();
    wait_until_queued(&bucket, 0).await;
    second_passes(&bucket, 1);
    let next = waits(&bucket, &turn(Priority::Preparation, "cart"));
    assert_eq!(ended(next).await, Ok(()), "no turn was lost");
}

#[tokio::test]
async fn full_queue_keeps_the_most_urgent_calls() {
    let bucket = used_up();
    bucket.schedule().capacity = 2;
    let plan = waits(&bucket, &turn(Priority::Planning, "a"));
    let drift = turn(Priority::Background, "b");
    let check = waits(&bucket, &drift);
    wait_until_queued(&bucket, 2).await;
    let late = waits(&bucket, &turn(Priority::Background, "c"));
    let refused = ended(late).await;
    assert_eq!(kind(refused), Some(CallErrorKind::CalledOff));
    let rollback = waits(&bucket, &turn(Priority::Restore, "d"));
    let displaced = ended(check).await;
    assert_eq!(kind(displaced), Some(CallErrorKind::CalledOff));
    assert!(drift.is_called_off(), "its turn is cancelled as a whole");
    second_passes(&bucket, 1);
    assert_eq!(ended(rollback).await, Ok(()));
    second_passes(&bucket, 2);
    assert_eq!(ended(plan).await, Ok(()));
}

#[tokio::test]
async fn calls_that_wait_are_counted() {
    let metrics = Metrics::new();
    let waiting = "sluice_aws_calls_waiting{budget=\"lambda_control_plane\"} ";
    let reports = |count: u32| {
        metrics
            .encode()
            .unwrap()
            .contains(&format!("{waiting}{count}\n"))
    };
    let bucket = Bucket {
        waiting: metrics.aws_calls_waiting("lambda_control_plane"),
        ..used_up()
    };
    assert!(reports(0));
    let checkout = turn(Priority::Traffic, "checkout");
    let call = waits(&bucket, &checkout);
    wait_until_queued(&bucket, 1).await;
    assert!(reports(1), "{}", metrics.encode().unwrap());
    checkout.call_off();
    assert!(ended(call).await.is_err());
    assert!(reports(0));
}

#[tokio::test]
async fn calls_beyond_the_burst_are_all_granted() {
    let bucket = Bucket::new("calls".into(), 500, WaitGauge::default());
    let calls: Vec<_> = (0..600)
        .map(|nth| {
            waits(
                &bucket,
                &turn(Priority::Planning, &format!("d-{}", nth % 7)),
            )
        })
        .collect();
    for call in calls {
        assert_eq!(ended(call).await, Ok(()));
    }
    assert!(!bucket.schedule().is_served, "no call waits");
}

#[tokio::test]
async fn throttling_slows_all_calls_of_that_kind() {
    let budget = Budget::new("111111111111", "eu-west-1", &Metrics::new());
    budget.control.refused(None);
    let now = Instant::now();
    assert!(budget.control.schedule().rate.take(now).is_err());
    assert!(budget.get_function.schedule().rate.take(now).is_ok());
}

#[tokio::test]
async fn account_uses_the_request_rates_of_its_region() {
    let budget = Budget::new("111111111111", "eu-west-1", &Metrics::new());
    let rates = RequestRates {
        lambda_control_plane: Some(200),
        ..RequestRates::default()
    };
    let at_once = |bucket: &Bucket| {
        let now = Instant::now() + SECOND;
        let tries = (0..1_000).filter(|_| bucket.schedule().rate.take(now).is_ok());
        tries.count()
    };
    budget.allow(Some(&rates));
    assert_eq!(at_once(&budget.control), 100);
    budget.allow(None);
    let second = Instant::now() + SECOND * 3;
    let mut schedule = budget.control.schedule();
    let taken = (0..1_000).filter(|_| schedule.rate.take(second).is_ok());
    assert_eq!(taken.count(), 7);
}

#[tokio::test]
async fn new_call_does_not_overtake_those_that_wait() {
    let bucket = used_up();
    let first = waits(&bucket, &turn(Priority::Restore, "checkout"));
    wait_until_queued(&bucket, 1).await;
    // A turn is available again, but not granted yet.
    let later = Instant::now() + SECOND + Duration::from_millis(100);
    let entry = bucket.enter(&turn(Priority::Background, "at-rest"), later);
    let entry = entry.expect("it joins the queue").ok().expect("has room");
    assert_eq!(bucket.schedule().queue.len(), 2);
    bucket.schedule().grant_turns(later);
    assert_eq!(ended(first).await, Ok(()));
    drop(entry);
}

#[tokio::test]
async fn turn_of_an_abandoned_call_goes_to_the_next() {
    let bucket = used_up();
    let (gone, _) = oneshot::channel();
    let checkout = turn(Priority::Restore, "checkout");
    bucket.schedule().queue.push(&checkout, gone);
    let next = waits(&bucket, &checkout);
    wait_until_queued(&bucket, 2).await;
    second_passes(&bucket, 1);
    assert_eq!(ended(next).await, Ok(()));
}

#[tokio::test]
async fn namespace_with_fifty_invocations_does_not_block_others() {
    let metrics = Metrics::new();
    let budget = Budget::new("111111111111", "eu-west-1", &metrics);
    let within = |namespace: &str| {
        let turn = Turn::new(
            Priority::Traffic,
            namespace,
            "checkout",
            Timestamp::UNIX_EPOCH,
        );
        // Tokio's cooperative scheduling would not run so many at once.
        unconstrained(turn.scope(budget.invocation())).now_or_never()
    };
    let mut running: Vec<_> = (0..50).map(|_| within("shop").expect("its turn")).collect();
    assert!(within("shop").is_none());
    assert!(within("bank").is_some());
    running.pop();
    assert!(within("shop").is_some());
    let others: Vec<_> = (0..400)
        .map(|nth| within(&format!("n{}", nth % 40)))
        .collect();
    assert_eq!(others.iter().flatten().count(), 200 - running.len());
}
