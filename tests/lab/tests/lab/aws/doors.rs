//! A hook observes, holds and fails the calls of one caller.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use sluice_lab::{
    aws::{Cloud, Door},
    door::{Fault, Point, Porter, Visit},
    lab::{PATIENCE, wait_until},
};

use super::{cloud, create, deployer, dev_lambda, refusal_code};

/// Records requests, and holds or fails those that have not been forwarded.
#[derive(Default)]
struct Script {
    seen: Mutex<Vec<(String, Point)>>,
    fault: Option<Fault>,
    holds: bool,
    /// Cloned by each held request, and dropped with it.
    held: Arc<()>,
}

#[async_trait]
impl Porter for Script {
    async fn at(&self, visit: &Visit, point: Point) -> Option<Fault> {
        let name = format!("{} {}", visit.operation, visit.resource);
        self.seen.lock().unwrap().push((name, point));
        if self.holds && visit.is_write {
            let _held = Arc::clone(&self.held);
            std::future::pending::<()>().await;
        }
        self.fault.filter(|_| point == Point::Before)
    }
}

/// A Lambda client for dev, whose calls pass through `porter`.
async fn lambda_through(cloud: &Cloud, porter: &Arc<Script>) -> (Client, Door) {
    let door = cloud.open_door(porter.clone()).await.unwrap();
    let config = deployer(cloud, cloud.dev()).await.into_builder();
    let config = config.endpoint_url(&door.endpoint).build();
    (Client::new(&config), door)
}

#[tokio::test]
async fn each_call_is_seen_at_each_point_and_may_be_failed() {
    let cloud = cloud().await;
    let porter = Arc::new(Script::default());
    let (lambda, _door) = lambda_through(cloud, &porter).await;
    let get = |lambda: &Client| lambda.get_function().function_name("doors-none").send();
    assert_eq!(
        refusal_code(get(&lambda).await),
        "ResourceNotFoundException"
    );
    let points = [Point::Before, Point::Done, Point::Answered];
    let expected = points.map(|point| ("GetFunction doors-none".to_owned(), point));
    assert_eq!(*porter.seen.lock().unwrap(), expected);

    let porter = Arc::new(Script {
        fault: Some(Fault::Throttled),
        ..Script::default()
    });
    let (lambda, _door) = lambda_through(cloud, &porter).await;
    assert_eq!(refusal_code(get(&lambda).await), "TooManyRequestsException");
    assert_eq!(*porter.seen.lock().unwrap(), expected[..1]);
}

#[tokio::test]
async fn what_is_held_and_left_by_who_asked_is_never_passed_on() {
    let cloud = cloud().await;
    let name = "doors-held";
    let straight = dev_lambda(cloud).await;
    create(cloud, &straight, name).await;
    let porter = Arc::new(Script {
        holds: true,
        ..Script::default()
    });
    let (lambda, _door) = lambda_through(cloud, &porter).await;
    let call = lambda.delete_function().function_name(name).send();
    let asking = tokio::spawn(call);
    let is_held = |held: bool| {
        let porter = Arc::clone(&porter);
        wait_until("the call is held or released", PATIENCE, async move || {
            (held == (Arc::strong_count(&porter.held) > 1)).then_some(())
        })
    };
    is_held(true).await.unwrap();
    asking.abort();
    is_held(false).await.unwrap();
    let found = straight.get_function().function_name(name).send().await;
    assert!(found.is_ok(), "{found:?}");
    let seen = porter.seen.lock().unwrap();
    assert!(
        seen.iter().all(|(_, point)| *point == Point::Before),
        "{seen:?}"
    );
}
