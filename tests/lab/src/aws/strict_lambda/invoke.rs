//! Invocations: refused while the version is Pending, and routed by an alias's weights.

use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use super::{
    Exchange, Step, refuse, text,
    tracker::{Change, Progress},
    view,
};
use crate::error::LabError;

/// Finds the version that an invocation runs, by weight if the alias has two.
///
/// The emulator ignores weights, so the request is redirected to the number of the chosen version; the
/// caller's permission is then checked for the version instead of the alias.
pub(super) async fn route(exchange: &mut Exchange) -> Result<Step, LabError> {
    let pending = match exchange.qualifier.clone().as_deref() {
        None | Some("$LATEST") => {
            let Some(latest) = exchange.latest().await? else {
                return Ok(Step::Pass);
            };
            view::in_progress(exchange, &latest) == Some(Change::Creation)
        }
        Some(version) if version.bytes().all(|byte| byte.is_ascii_digit()) => {
            exchange.tracker.version(&exchange.function, version) == Progress::Unsettled
        }
        Some(name) => {
            let Some(alias) = exchange.alias(name).await? else {
                return Ok(Step::Pass);
            };
            let Some(version) = choose(&alias, fastrand::f64()) else {
                return Ok(Step::Pass);
            };
            if Some(version) != text(&alias, "FunctionVersion") {
                redirect(exchange, version);
            }
            exchange.tracker.version(&exchange.function, version) == Progress::Unsettled
        }
    };
    if pending {
        return Ok(refuse(
            409,
            "ResourceConflictException",
            "The operation cannot be performed at this time. The function is currently in the \
             following state: Pending",
        ));
    }
    Ok(Step::Pass)
}

/// The additional version if `dice`, from 0 to 1, falls below its weight.
fn choose(alias: &Value, dice: f64) -> Option<&str> {
    let weights = alias["RoutingConfig"]["AdditionalVersionWeights"].as_object();
    let additional = weights.and_then(|weights| {
        weights
            .iter()
            .find(|(_, weight)| weight.as_f64().is_some_and(|weight| dice < weight))
    });
    additional
        .map(|(version, _)| version.as_str())
        .or_else(|| text(alias, "FunctionVersion"))
}

fn redirect(exchange: &mut Exchange, version: &str) {
    let last = exchange
        .path_and_query
        .split('?')
        .next()
        .and_then(|path| path.rsplit('/').next());
    let (name, part) = (&exchange.function.name, last.unwrap_or("invocations"));
    let version: String = byte_serialize(version.as_bytes()).collect();
    let date = exchange
        .path_and_query
        .split('/')
        .nth(1)
        .unwrap_or("2015-03-31");
    exchange.path_and_query = format!("/{date}/functions/{name}/{part}?Qualifier={version}");
    exchange.changed = true;
}
