//! Provisioned concurrency takes time; the emulator allocates it at once.

use serde_json::json;

use super::{Exchange, Step, invalid, tracker::Progress};
use crate::aws::reply::Reply;

/// Refuses provisioned concurrency of `$LATEST`.
pub(super) fn refuse_latest(exchange: &Exchange) -> Step {
    match exchange.qualifier.as_deref() {
        None | Some("$LATEST") => invalid(
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
        ),
        Some(_) => Step::Pass,
    }
}

/// Records the request.
pub(super) fn note(exchange: &mut Exchange, _: &mut Reply) {
    if let Some(qualifier) = &exchange.qualifier {
        exchange.tracker.provision(&exchange.function, qualifier);
    }
}

/// Shows the progress: nothing is available until all is, and while an alias moves, it is allocated again.
pub(super) fn show(exchange: &mut Exchange, reply: &mut Reply) {
    let (Some(mut config), Some(qualifier)) = (reply.value(), &exchange.qualifier) else {
        return;
    };
    let moves = exchange
        .tracker
        .left(&exchange.function, qualifier)
        .is_some();
    match exchange.tracker.provisioned(&exchange.function, qualifier) {
        Progress::Failed(code) => {
            config["Status"] = json!("FAILED");
            config["StatusReason"] = json!(code);
        }
        Progress::Settled if !moves => return,
        _ => config["Status"] = json!("IN_PROGRESS"),
    }
    for field in [
        "AvailableProvisionedConcurrentExecutions",
        "AllocatedProvisionedConcurrentExecutions",
    ] {
        config[field] = json!(0);
    }
    reply.set_value(&config);
}
