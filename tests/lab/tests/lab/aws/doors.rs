//! A hook observes, holds and fails the calls of one caller.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use sluice_lab::{
    aws::{Cloud, HookedEndpoint},
    hook::{Fault, Point, RequestHook, RequestInfo},
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
impl RequestHook for Script {
    async fn at(&self, request_info: &RequestInfo, point: Point) -> Option<Fault> {
        let name = format!("{} {}", request_info.operation, request_info.resource);
        self.seen.lock().unwrap().push((name, point));
        if self.holds && request_info.is_write {
            let _held = Arc::clone(&self.held);
            std::future::pending::<()>().await;
        }
        self.fault.filter(|_| point == Point::Before)
    }
}

/// A Lambda client for dev, whose calls pass through `hook`.
async fn lambda_through(cloud: &Cloud, hook: &Arc<Script>) -> (Client, HookedEndpoint) {
    let endpoint = cloud.open_hooked_endpoint(hook.clone()).await.unwrap();
    let config = deployer(cloud, cloud.dev()).await.into_builder();
    let config = config.endpoint_url(&endpoint.endpoint).build();
    (Client::new(&config), endpoint)
}

#[tokio::test]
async fn a_hook_sees_each_call_at_each_point_and_can_fail_it() {
    let cloud = cloud().await;
    let hook = Arc::new(Script::default());
    let (lambda, _door) = lambda_through(cloud, &hook).await;
    let get = |lambda: &Client| lambda.get_function().function_name("doors-none").send();
    assert_eq!(
        refusal_code(get(&lambda).await),
        "ResourceNotFoundException"
    );
    let points = [Point::Before, Point::Done, Point::Answered];
    let expected = points.map(|point| ("GetFunction doors-none".to_owned(), point));
    assert_eq!(*hook.seen.lock().unwrap(), expected);

    let hook = Arc::new(Script {
        fault: Some(Fault::Throttled),
        ..Script::default()
    });
    let (lambda, _door) = lambda_through(cloud, &hook).await;
    assert_eq!(refusal_code(get(&lambda).await), "TooManyRequestsException");
    assert_eq!(*hook.seen.lock().unwrap(), expected[..1]);
}

#[tokio::test]
async fn a_held_call_that_its_caller_cancels_is_never_forwarded() {
    let cloud = cloud().await;
    let name = "doors-held";
    let straight = dev_lambda(cloud).await;
    create(cloud, &straight, name).await;
    let hook = Arc::new(Script {
        holds: true,
        ..Script::default()
    });
    let (lambda, _door) = lambda_through(cloud, &hook).await;
    let call = lambda.delete_function().function_name(name).send();
    let asking = tokio::spawn(call);
    let is_held = |held: bool| {
        let hook = Arc::clone(&hook);
        wait_until("the call is held or released", PATIENCE, async move || {
            (held == (Arc::strong_count(&hook.held) > 1)).then_some(())
        })
    };
    is_held(true).await.unwrap();
    asking.abort();
    is_held(false).await.unwrap();
    let found = straight.get_function().function_name(name).send().await;
    assert!(found.is_ok(), "{found:?}");
    let seen = hook.seen.lock().unwrap();
    assert!(
        seen.iter().all(|(_, point)| *point == Point::Before),
        "{seen:?}"
    );
}
