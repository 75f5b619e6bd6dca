//! Publishing: only the state that the caller has seen, no second version of the same content, and a
//! Pending state of its own.

use axum::http::StatusCode;
use serde_json::Value;

use super::{Exchange, Step, invalid, refuse, text, view};
use crate::{aws::reply::Reply, error::LabError};

/// Fields that differ between a version and the `$LATEST` it was made from although neither has changed.
///
/// The description is a version's own.
const NOT_CONTENT: [&str; 11] = [
    "Version",
    "FunctionArn",
    "RevisionId",
    "LastModified",
    "Description",
    "State",
    "StateReason",
    "StateReasonCode",
    "LastUpdateStatus",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
];

/// `CodeSha256` and `RevisionId` must be those of `$LATEST`.
pub(super) async fn refuse_other_code_or_revision(
    exchange: &mut Exchange,
) -> Result<Step, LabError> {
    let request = exchange.json();
    let (code, revision) = (text(&request, "CodeSha256"), text(&request, "RevisionId"));
    if code.is_none() && revision.is_none() {
        return Ok(Step::Pass);
    }
    let Some(latest) = exchange.latest().await? else {
        return Ok(Step::Pass);
    };
    if let Some(wanted) = code
        && let Some(actual) = text(&latest, "CodeSha256")
        && wanted != actual
    {
        return Ok(invalid(&format!(
            "CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({actual}). \
             Please try again with the CodeSHA256 in $LATEST."
        )));
    }
    if revision.is_some() && revision != text(&latest, "RevisionId") {
        return Ok(refuse(
            412,
            "PreconditionFailedException",
            "The RevisionId provided does not match the latest RevisionId for the Lambda function \
             or alias. Call the GetFunction or the GetAlias API to retrieve the latest RevisionId \
             for your resource.",
        ));
    }
    Ok(Step::Pass)
}

/// Records the newest version, so that the response shows whether one was published.
pub(super) async fn record_newest_version(exchange: &mut Exchange) -> Result<Step, LabError> {
    let publishes = exchange.operation == "PublishVersion" || exchange.json()["Publish"] == true;
    if publishes {
        exchange.newest_before = exchange.versions().await?.last().map(|(number, _)| *number);
    }
    Ok(Step::Pass)
}

/// Returns the newest version if neither code nor configuration has changed since.
///
/// The emulator does so too, but treats an update to the same values as a change.
pub(super) async fn answer_unchanged(exchange: &mut Exchange) -> Result<Step, LabError> {
    let Some(latest) = exchange.latest().await? else {
        return Ok(Step::Pass);
    };
    let Some((_, mut newest)) = exchange.versions().await?.pop() else {
        return Ok(Step::Pass);
    };
    if content(&latest) != content(&newest) {
        return Ok(Step::Pass);
    }
    view::show(exchange, &mut newest);
    Ok(Step::Answer(Reply::json(StatusCode::CREATED, &newest)))
}

fn content(config: &Value) -> Value {
    let mut content = config.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.retain(|name, _| !NOT_CONTENT.contains(&name.as_str()));
        if let Some(start) = fields.get_mut("SnapStart").and_then(Value::as_object_mut) {
            // Off on $LATEST even if the version has a snapshot.
            start.remove("OptimizationStatus");
        }
    }
    content
}

/// Records a version with a higher number than any before as new.
pub(super) fn record_published_version(exchange: &mut Exchange, reply: &mut Reply) {
    let Some(config) = reply.value() else { return };
    let Some(number) = text(&config, "Version").and_then(|version| version.parse::<u64>().ok())
    else {
        return;
    };
    if exchange.newest_before.is_none_or(|newest| newest < number) {
        exchange
            .tracker
            .publish(&exchange.function, &number.to_string());
    }
}
