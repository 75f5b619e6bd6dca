//! Updates: one at a time, and dry runs that change nothing.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Exchange, Step, invalid, package, refuse, text, tracker::Change, view};
use crate::error::LabError;

/// No function has this revision, so a request with it passes all other checks and is then refused.
const NO_REVISION: &str = "00000000-0000-0000-0000-000000000000";

/// Refuses a write while an update is in progress.
pub(super) async fn refuse_while_in_progress(exchange: &mut Exchange) -> Result<Step, LabError> {
    let Some(latest) = exchange.latest().await? else {
        return Ok(Step::Pass);
    };
    let message = match view::in_progress(exchange, &latest) {
        None => return Ok(Step::Pass),
        Some(Change::Creation) => {
            "The operation cannot be performed at this time. The function is \
                                   currently in the following state: Pending"
                .to_owned()
        }
        Some(Change::Update) => format!(
            "The operation cannot be performed at this time. An update is in progress for \
             resource: {}",
            exchange.arn()
        ),
    };
    Ok(refuse(409, "ResourceConflictException", &message))
}

/// Refuses to delete `$LATEST` without its function.
pub(super) fn refuse_deleting_latest(exchange: &Exchange) -> Step {
    if exchange.qualifier.as_deref() == Some("$LATEST") {
        return invalid("$LATEST version cannot be deleted without deleting the function.");
    }
    Step::Pass
}

/// Prepares the response to a `DryRun`: the result of the update.
///
/// The emulator ignores `DryRun`. The request still goes to it, with a revision that cannot match, because
/// the emulator checks whether the caller may write.
pub(super) async fn answer_dry_run(exchange: &mut Exchange) -> Result<Step, LabError> {
    let mut request = exchange.json();
    if request["DryRun"] != true {
        return Ok(Step::Pass);
    }
    let Some(mut answer) = exchange.latest().await? else {
        return Ok(Step::Pass);
    };
    if let Some(revision) = text(&request, "RevisionId")
        && Some(revision) != text(&answer, "RevisionId")
    {
        return Ok(Step::Pass);
    }
    if let Some(code) = package(exchange, &request).await? {
        answer["CodeSha256"] = STANDARD.encode(digest(&SHA256, &code)).into();
        answer["CodeSize"] = code.len().into();
    }
    request["RevisionId"] = json!(NO_REVISION);
    exchange.body = request.to_string().into();
    exchange.changed = true;
    exchange.dry_run = Some(answer);
    Ok(Step::Pass)
}

async fn package(exchange: &Exchange, request: &Value) -> Result<Option<Vec<u8>>, LabError> {
    if let Some(zip) = text(request, "ZipFile") {
        return Ok(STANDARD.decode(zip).ok());
    }
    package::object(exchange, request).await
}
