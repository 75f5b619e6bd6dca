//! How a function's configuration looks from outside.
//!
//! - An update leaves an Active function Active; the emulator makes it Pending.
//! - A new version is Pending for a while of its own.
//! - `RevisionId` changes once more when an update settles. The emulator's stays, so another one
//!   stands in for it until then, made from it: a caller that kept the stand-in fails with 412
//!   afterwards, as on AWS, and no request needs to be translated.
//! - What is empty is left out.

use serde_json::{Value, json};

use super::{
    Exchange,
    book::{Change, Standing},
    text,
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
const FAILED: &str = "The lab was told that this fails.";

/// What has not settled of `$LATEST`: either the emulator says so or the book does.
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
        let (change, standing) = exchange.book.last_change(&exchange.function)?;
        (standing == Standing::Unsettled).then_some(change)
    })
}

/// A creation or an update has begun.
pub(super) fn note_change(exchange: &mut Exchange, _: &mut Reply) {
    let creates = exchange.operation == "CreateFunction";
    let change = if creates {
        Change::Creation
    } else {
        Change::Update
    };
    exchange.book.change(&exchange.function, change);
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
    if unsettled && let Some(revision) = text(config, "RevisionId").map(stand_in) {
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
    // A list holds other functions too, of which the emulator's word is all there is.
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
    match exchange.book.last_change(&exchange.function) {
        Some((Change::Creation, Standing::Failed(code))) => {
            set_state(config, "Failed", FAILED, code);
        }
        Some((Change::Update, Standing::Failed(code))) => {
            config["LastUpdateStatus"] = json!("Failed");
            config["LastUpdateStatusReason"] = json!(FAILED);
            config["LastUpdateStatusReasonCode"] = json!(code);
        }
        _ => {}
    }
    false
}

fn show_version(exchange: &Exchange, config: &mut Value, version: &str) -> bool {
    let standing = exchange.book.version(&exchange.function, version);
    match standing {
        Standing::Unsettled => set_state(config, "Pending", BEING_CREATED, "Creating"),
        Standing::Failed(code) => set_state(config, "Failed", FAILED, code),
        // Published along with an update, it is Pending in the emulator as long as that.
        Standing::Settled if config["State"] == "Pending" => set_state(config, "Active", "", ""),
        Standing::Settled => {}
    }
    config["LastUpdateStatus"] = json!("Successful");
    // What was published along with an update has the function's own ARN in the emulator.
    if config["FunctionArn"] == exchange.arn() {
        config["FunctionArn"] = format!("{}:{version}", exchange.arn()).into();
    }
    standing == Standing::Unsettled
}

fn set_state(config: &mut Value, state: &str, reason: &str, code: &str) {
    config["State"] = state.into();
    config["StateReason"] = reason.into();
    config["StateReasonCode"] = code.into();
}

/// Another revision id, the same each time, never the one it is made from.
fn stand_in(revision: &str) -> String {
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

/// An answer that is a configuration.
pub(super) fn show_configuration(exchange: &mut Exchange, reply: &mut Reply) {
    if let Some(mut config) = reply.value() {
        show(exchange, &mut config);
        reply.set_value(&config);
    }
}

/// `GetFunction`: the package is fetched through the proxy too.
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

/// A page of configurations.
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
