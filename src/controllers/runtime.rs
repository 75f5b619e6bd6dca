//! The frame around every reconcile, the same for each controller.
//!
//! It adds a span that names the object, metrics, the fence, the conversion of panics to outcomes,
//! and the requeue. Controllers return how the reconcile ended and nothing else.
//!
//! # Guarantees
//! - An object that panics or fails stalls no other.
//! - No reconcile starts once the process stops or the fence is closed; running ones finish.
//!
//! # Assumptions
//! - A controller publishes its own status before it returns.

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
    runtime::controller::{Action, Controller, Error},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use super::context::Context;
use super::retry::{Key, Memory, outcome_label};
pub use super::{
    retry::{Ended, spread},
    status::publish_status,
};
use crate::domain::{outcome::Outcome, reason::Reason};

/// How soon to try again while another process may hold the Lease.
const FENCED: Duration = Duration::from_secs(1);

/// Runs a controller until `stop`, and then until its running reconciles have ended.
///
/// `controller` comes from [`super::feed::Feed::controller`], with its other triggers added.
/// `reconcile` never runs twice at a time for one object.
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

/// Reconciles don't fail: they end with an [`Outcome`].
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
    let (word, reason, message) = (outcome_label(outcome), outcome.reason(), outcome.message());
    context.metrics.reconciled(controller, word, reason, took);
    let reason = reason.as_str();
    let next = memory.next(key, ended);
    let trouble = matches!(outcome, Outcome::Transient { .. } | Outcome::Stalled { .. });
    let (ms, after) = (took.as_millis(), next.after);
    match (next.is_change, trouble) {
        (true, true) => warn!(ending = word, reason, message, ms, ?after, "ended"),
        (true, false) => info!(ending = word, reason, message, ms, ?after, "ended"),
        (false, _) => debug!(ending = word, reason, message, ms, ?after, "ended"),
    }
    next.after
        .map_or_else(Action::await_change, Action::requeue)
}

/// A bug in Sluice. The reconcile is retried with backoff, because some panics don't repeat.
fn panicked(panic: &(dyn Any + Send)) -> Ended {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    error!(what, "a reconcile panicked: please report this");
    Outcome::Transient {
        reason: Reason::InternalError,
        message: format!("the reconcile panicked, which is a bug in Sluice: {what}"),
        after: None,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_becomes_an_outcome_with_its_message() {
        let panic = std::panic::catch_unwind(|| panic!("no {}", "stage")).unwrap_err();
        let ended = panicked(&*panic);
        assert_eq!(ended.outcome.reason(), Reason::InternalError);
        assert!(ended.outcome.message().ends_with("no stage"));
    }
}
