//! A function's configuration as callers see it.
//!
//! - An update leaves an Active function Active; the emulator makes it Pending.
//! - A new version is Pending for a time of its own.
//! - `RevisionId` changes once more when an update settles. The emulator's does not, so until then callers
//!   see another one that is derived from it: a caller that kept the derived one fails with 412 afterwards,
//!   as on AWS, and no request needs to be translated.
//! - Empty fields are omitted.

use serde_json::{Value, json};

use super::{
    Exchange, text,
    tracker::{Change, Progress},
};
use crate::aws::reply::Reply;

const OMITTED_WHEN_EMPTY: [&str; 7] = [
    "StateReason",
    "StateReasonCode",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
    "KMSKeyArn",
    "Layers",
    "CodeSha256",
];

const BEING_CREATED: &str = "The function is being created.";
const FAILED: &str = "The lab is configured to fail this change.";

/// The change of `$LATEST` that is in progress, according to the emulator or the proxy.
pub(super) fn in_progress(exchange: &Exchange, latest: &Value) -> Option<Change> {
    let in_emulator = if latest["State"] == "Pending" {
        let updating = latest["StateReasonCode"] == "Updating";
        Some(if updating {
            Change::Update
        } else {
            Change::Creation
        })
    } else {
        (latest["LastUpdateStatus"] == "InProgress").then_some(Change::Update)
    };
    in_emulator.or_else(|| {
        let (change, progress) = exchange.tracker.last_change(&exchange.function)?;
        (progress == Progress::Unsettled).then_some(change)
    })
}

/// Records that a creation or an update has begun.
pub(super) fn record_change(exchange: &mut Exchange, _: &mut Reply) {
    let creates = exchange.operation == "CreateFunction";
    let change = if creates {
        Change::Creation
    } else {
        Change::Update
    };
    exchange.tracker.change(&exchange.function, change);
}

/// Turns the emulator's configuration into AWS's.
pub(super) fn show(exchange: &Exchange, config: &mut Value) {
    let Some(version) = text(config, "Version").map(str::to_owned) else {
        return;
    };
    let unsettled = if version == "$LATEST" {
        show_latest(exchange, config)
    } else {
        show_version(exchange, config, &version)
    };
    if unsettled && let Some(revision) = text(config, "RevisionId").map(derived_revision) {
        config["RevisionId"] = revision.into();
    }
    if let Some(fields) = config.as_object_mut() {
        fields.retain(|name, value| {
            let empty = value == "" || value.as_array().is_some_and(Vec::is_empty);
            !(empty && OMITTED_WHEN_EMPTY.contains(&name.as_str()))
        });
    }
}

fn show_latest(exchange: &Exchange, config: &mut Value) -> bool {
    // A list holds other functions too, whose state only the emulator knows.
    if text(config, "FunctionName") != Some(exchange.function.name.as_str()) {
        return false;
    }
    if let Some(change) = in_progress(exchange, config) {
        match change {
            Change::Creation => set_state(config, "Pending", BEING_CREATED, "Creating"),
            Change::Update => set_state(config, "Active", "", ""),
        }
        config["LastUpdateStatus"] = json!("InProgress");
        return true;
    }
    match exchange.tracker.last_change(&exchange.function) {
        Some((Change::Creation, Progress::Failed(code))) => {
            set_state(config, "Failed", FAILED, code);
        }
        Some((Change::Update, Progress::Failed(code))) => {
            config["LastUpdateStatus"] = json!("Failed");
            config["LastUpdateStatusReason"] = json!(FAILED);
            config["LastUpdateStatusReasonCode"] = json!(code);
        }
        _ => {}
    }
    false
}

fn show_version(exchange: &Exchange, config: &mut Value, version: &str) -> bool {
    let progress = exchange.tracker.version(&exchange.function, version);
    match progress {
        Progress::Unsettled => set_state(config, "Pending", BEING_CREATED, "Creating"),
        Progress::Failed(code) => set_state(config, "Failed", FAILED, code),
        // A version that was published with an update is Pending in the emulator as long as the update.
        Progress::Settled if config["State"] == "Pending" => set_state(config, "Active", "", ""),
        Progress::Settled => {}
    }
    config["LastUpdateStatus"] = json!("Successful");
    // A version that was published with an update has the function's own ARN in the emulator.
    if config["FunctionArn"] == exchange.arn() {
        config["FunctionArn"] = format!("{}:{version}", exchange.arn()).into();
    }
    progress == Progress::Unsettled
}

fn set_state(config: &mut Value, state: &str, reason: &str, code: &str) {
    config["State"] = state.into();
    config["StateReason"] = reason.into();
    config["StateReasonCode"] = code.into();
}

/// A different revision id, always the same one for `revision`.
fn derived_revision(revision: &str) -> String {
    let turned = |c: char| {
        c.to_digit(16)
            .and_then(|digit| char::from_digit(15 - digit, 16))
            .unwrap_or(c)
    };
    revision
        .chars()
        .enumerate()
        .map(|(i, c)| if i < 8 { turned(c) } else { c })
        .collect()
}

/// Adjusts a response that is a configuration.
pub(super) fn show_configuration(exchange: &mut Exchange, reply: &mut Reply) {
    if let Some(mut config) = reply.value() {
        show(exchange, &mut config);
        reply.set_value(&config);
    }
}

/// Adjusts `GetFunction`'s response: the package, too, is downloaded through the proxy.
pub(super) fn show_function(exchange: &mut Exchange, reply: &mut Reply) {
    let Some(mut function) = reply.value() else {
        return;
    };
    show(exchange, &mut function["Configuration"]);
    if let Some(location) = text(&function["Code"], "Location") {
        let location = location.replacen(exchange.backend.endpoint(), &exchange.endpoint, 1);
        function["Code"]["Location"] = location.into();
    }
    reply.set_value(&function);
}

/// Adjusts a page of configurations.
pub(super) fn show_list(exchange: &mut Exchange, reply: &mut Reply) {
    let Some(mut page) = reply.value() else {
        return;
    };
    for field in ["Versions", "Functions"] {
        for config in page[field].as_array_mut().into_iter().flatten() {
            show(exchange, config);
        }
    }
    reply.set_value(&page);
}
