//! Event source mappings change asynchronously in Lambda; the emulator changes them at once.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Exchange, FunctionKey, Step, refuse, text};
use crate::aws::{operation::function_and_qualifier, reply::Reply};

/// Refuses to change a mapping that is being changed.
pub(super) fn refuse_in_use(exchange: &Exchange) -> Step {
    if exchange.tracker.mapping(&exchange.function.name).is_none() {
        return Step::Pass;
    }
    let what = match exchange.operation.as_str() {
        "DeleteEventSourceMapping" => "delete",
        _ => "update",
    };
    refuse(
        400,
        "ResourceInUseException",
        &format!("Cannot {what} the event source mapping because it is in use."),
    )
}

/// Returns a mapping that is being deleted, which the emulator no longer has.
pub(super) fn answer_deleted(exchange: &Exchange) -> Step {
    let id = &exchange.function.name;
    let mut deleted = exchange
        .tracker
        .deleted_mappings(&exchange.function)
        .into_iter();
    match deleted.find(|mapping| text(mapping, "UUID") == Some(id)) {
        Some(mapping) => Step::Answer(Reply::json(StatusCode::OK, &mapping)),
        None => Step::Pass,
    }
}

/// Records that a change has begun.
pub(super) fn note(exchange: &mut Exchange, reply: &mut Reply) {
    let Some(mapping) = reply.value() else { return };
    let Some(id) = text(&mapping, "UUID") else {
        return;
    };
    let request = exchange.json();
    let (state, deleted) = match (exchange.operation.as_str(), &request["Enabled"]) {
        ("CreateEventSourceMapping", _) => ("Creating", None),
        ("DeleteEventSourceMapping", _) => ("Deleting", Some(mapping.clone())),
        (_, Value::Bool(true)) => ("Enabling", None),
        (_, Value::Bool(false)) => ("Disabling", None),
        _ => ("Updating", None),
    };
    let (name, _) = function_and_qualifier(text(&mapping, "FunctionArn").unwrap_or_default());
    let function = FunctionKey {
        name,
        ..exchange.function.clone()
    };
    exchange
        .tracker
        .change_mapping(&function, id, state, deleted);
}

/// Adjusts a response that is a mapping.
pub(super) fn show_one(exchange: &mut Exchange, reply: &mut Reply) {
    if let Some(mut mapping) = reply.value() {
        show(exchange, &mut mapping);
        reply.set_value(&mapping);
    }
}

/// Adjusts a page of mappings. Mappings that are being deleted are on the first page.
pub(super) fn show_list(exchange: &mut Exchange, reply: &mut Reply) {
    let Some(mut page) = reply.value() else {
        return;
    };
    if let Some(mappings) = page["EventSourceMappings"].as_array_mut() {
        for mapping in &mut *mappings {
            show(exchange, mapping);
        }
        if !exchange.path_and_query.contains("Marker=") {
            let name = &exchange.function.name;
            let of = |mapping: &Value| {
                let arn = text(mapping, "FunctionArn").unwrap_or_default();
                name.is_empty() || function_and_qualifier(arn).0 == *name
            };
            let deleted = exchange.tracker.deleted_mappings(&exchange.function);
            mappings.extend(deleted.into_iter().filter(of));
        }
    }
    reply.set_value(&page);
}

fn show(exchange: &Exchange, mapping: &mut Value) {
    let state = text(mapping, "UUID").and_then(|id| exchange.tracker.mapping(id));
    if let Some(state) = state {
        mapping["State"] = json!(state);
    }
}
