//! What surrounds every reconcile, the same for each controller.
//!
//! A span that names the object, the count and time of it, the fence, panics turned into an ending
//! like others, and the moment to come back. Controllers answer with how it ended and nothing else.
//!
//! # Guarantees
//! - One object that panics or fails stalls no other.
//! - No reconcile starts once the process stops or the fence is closed; what runs comes to its end.
//!
//! # Assumptions
//! - A controller publishes its own status before it answers.

use std::{
    any::Any,
    fmt::Debug,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _};
use kube::{
    Resource, ResourceExt as _,
    core::Status,
    runtime::controller::{Action, Controller, Error},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use super::context::Context;
use super::retry::{Key, Memory, word};
pub use super::{
    retry::{Ended, spread},
    status::publish_status,
};
use crate::domain::outcome::Outcome;

/// How soon to look again when the API server says that a write was decided from an old state.
const STALE: Duration = Duration::from_millis(100);

/// How soon to look again while another process may hold the Lease.
const FENCED: Duration = Duration::from_secs(1);

/// Runs a controller until `stop`, and then until its running reconciles have ended.
///
/// `controller` comes from [`super::feed::Feed::controller`], with what else should wake it.
/// `reconcile` brings one object a step further; it never runs twice at a time for one object.
pub async fn run<K, F, R, E>(
    name: &'static str,
    controller: Controller<K>,
    context: Arc<Context>,
    stop: CancellationToken,
    reconcile: F,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    F: Fn(Arc<K>) -> R + Send + Sync + 'static,
    R: Future<Output = E> + Send + 'static,
    E: Into<Ended> + 'static,
{
    let memory = Arc::new(Memory::default());
    let forget = Arc::clone(&memory);
    let stopped = stop.clone();
    controller
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            move |object, context: Arc<Context>| {
                let span = span(name, &*object);
                let memory = Arc::clone(&memory);
                let key = (object.namespace(), object.name_any());
                let work = if stopped.is_cancelled() || !context.fence.may_write() {
                    None
                } else {
                    Some(reconcile(object).map(Into::into))
                };
                async move {
                    let Some(work) = work else {
                        return Ok::<_, Never>(Action::requeue(FENCED));
                    };
                    let started = Instant::now();
                    let ended = AssertUnwindSafe(work)
                        .catch_unwind()
                        .await
                        .unwrap_or_else(|panic| panicked(&*panic));
                    Ok(conclude(
                        name,
                        &context,
                        &memory,
                        key,
                        &ended,
                        started.elapsed(),
                    ))
                }
                .instrument(span)
            },
            |_, never, _| match *never {},
            context,
        )
        .for_each(|result| {
            match result {
                Err(Error::ObjectNotFound(object)) => {
                    forget.forget(&(object.namespace.clone(), object.name.clone()));
                }
                Err(error) => warn!(controller = name, %error, "the controller's queue failed"),
                Ok(_) => {}
            }
            futures::future::ready(())
        })
        .await;
    debug!(controller = name, "stopped");
}

/// No reconcile fails: it ends in one of the ways of [`Outcome`].
#[derive(Debug, thiserror::Error)]
enum Never {}

fn span<K: Resource<DynamicType = ()>>(controller: &'static str, object: &K) -> tracing::Span {
    static RECONCILES: AtomicU64 = AtomicU64::new(1);
    info_span!(
        "reconcile",
        controller,
        namespace = object.namespace(),
        name = object.name_any(),
        generation = object.meta().generation,
        id = RECONCILES.fetch_add(1, Ordering::Relaxed),
    )
}

fn conclude(
    controller: &'static str,
    context: &Context,
    memory: &Memory,
    key: Key,
    ended: &Ended,
    took: Duration,
) -> Action {
    let outcome = &ended.outcome;
    let (word, reason, message) = (word(outcome), outcome.reason(), outcome.message());
    context.metrics.reconciled(controller, word, reason, took);
    let next = memory.next(key, ended);
    let trouble = matches!(outcome, Outcome::Transient { .. } | Outcome::Stalled { .. });
    let (ms, after) = (took.as_millis(), next.after);
    match (next.is_news, trouble) {
        (true, true) => warn!(ending = word, reason, message, ms, ?after, "ended"),
        (true, false) => info!(ending = word, reason, message, ms, ?after, "ended"),
        (false, _) => debug!(ending = word, reason, message, ms, ?after, "ended"),
    }
    next.after
        .map_or_else(Action::await_change, Action::requeue)
}

/// A write to the API server that failed, as the ending it leads to.
pub fn api_failure(error: kube::Error) -> Outcome {
    match error {
        kube::Error::Api(status) if status.is_conflict() => Outcome::Waiting {
            reason: "Stale",
            message: "The object changed meanwhile".to_owned(),
            after: STALE,
        },
        kube::Error::Api(status) if status.is_not_found() => Outcome::Done {
            reason: "Gone",
            message: "The object is gone".to_owned(),
        },
        error => Outcome::Transient {
            reason: "ApiServer",
            message: refusal(&error),
            after: None,
        },
    }
}

/// What the API server said, or why it gave no answer.
pub fn refusal(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        let Status {
            message,
            reason,
            code,
            ..
        } = &**status;
        return format!("the API server refused: {message} ({code} {reason})");
    }
    // What led to it is last; the rest names parts of the client.
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("the API server gave no answer that can be used: {cause}")
}

/// A defect of ours: tried again with backoff, because others of its kind passed by themselves.
fn panicked(panic: &(dyn Any + Send)) -> Ended {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    error!(what, "a reconcile panicked: please report this");
    Outcome::Transient {
        reason: "Panicked",
        message: format!("the controller has a defect here: {what}"),
        after: None,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_says_is_told_in_its_words() {
        let status = Status::failure(
            "targets.sluice.dev \"a\" is invalid: spec.run: Too long",
            "Invalid",
        );
        let error = kube::Error::Api(status.with_code(422).boxed());
        assert_eq!(
            api_failure(error).message(),
            "the API server refused: targets.sluice.dev \"a\" is invalid: spec.run: Too long (422 Invalid)"
        );
        let io = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let message = refusal(&kube::Error::Service(Box::new(io)));
        assert_eq!(
            message,
            "the API server gave no answer that can be used: connection refused"
        );
    }

    #[test]
    fn a_panic_is_an_ending_with_its_message() {
        let panic = std::panic::catch_unwind(|| panic!("no {}", "stage")).unwrap_err();
        let ended = panicked(&*panic);
        assert_eq!(ended.outcome.reason(), "Panicked");
        assert!(ended.outcome.message().ends_with("no stage"));
    }
}
