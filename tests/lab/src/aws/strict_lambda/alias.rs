//! Aliases: existing versions and valid weights.

use serde_json::{Map, Value, json};

use super::{Exchange, Step, invalid, refuse, text};
use crate::{aws::reply::Reply, error::LabError};

/// Fields in which both versions of a weighted alias must agree.
const SHARED: [(&str, &str); 2] = [
    ("Role", "execution role"),
    ("DeadLetterConfig", "dead-letter queue"),
];

/// Refuses to delete a version that an alias references.
pub(super) async fn refuse_deleting_used(exchange: &mut Exchange) -> Result<Step, LabError> {
    let Some(version) = exchange.qualifier.clone() else {
        return Ok(Step::Pass);
    };
    let list = exchange.ask("aliases").await?.unwrap_or_default();
    let aliases = list["Aliases"].as_array().into_iter().flatten();
    let has = |alias: &&Value| {
        let weights = &alias["RoutingConfig"]["AdditionalVersionWeights"];
        alias["FunctionVersion"] == version.as_str() || weights.get(&version).is_some()
    };
    let named: Vec<&str> = aliases
        .filter(has)
        .filter_map(|alias| alias["Name"].as_str())
        .collect();
    if named.is_empty() {
        return Ok(Step::Pass);
    }
    let message = format!(
        "Unable to delete version because the following aliases reference it: [{}]",
        named.join(", ")
    );
    Ok(refuse(409, "ResourceConflictException", &message))
}

/// Checks the alias as it would be after the write.
pub(super) async fn refuse_invalid_routing(exchange: &mut Exchange) -> Result<Step, LabError> {
    let request = exchange.json();
    let before = match &exchange.qualifier {
        Some(name) if exchange.operation == "UpdateAlias" => exchange.alias(name).await?,
        _ => None,
    }
    .unwrap_or_default();
    let main = text(&request, "FunctionVersion").or_else(|| text(&before, "FunctionVersion"));
    let routing = match &request["RoutingConfig"] {
        Value::Null => &before["RoutingConfig"],
        given => given,
    };
    let none = Map::new();
    let weights = routing["AdditionalVersionWeights"]
        .as_object()
        .unwrap_or(&none);

    if let Some(refusal) = refuse_weights(main, weights) {
        return Ok(refusal);
    }
    let served = text(&before, "FunctionVersion");
    let leaves = served.filter(|served| main.is_some_and(|main| main != *served));
    if let Some(alias) = &exchange.qualifier
        && (leaves.is_some() || !weights.is_empty())
    {
        let part = format!("provisioned-concurrency?Qualifier={alias}");
        let is_provisioned = exchange.ask(&part).await?.is_some();
        if is_provisioned && !weights.is_empty() {
            return Ok(invalid(
                "Alias with weights can not be used with Provisioned Concurrency",
            ));
        }
        exchange.leaves = leaves.filter(|_| is_provisioned).map(str::to_owned);
    }
    let Some(latest) = exchange.latest().await? else {
        return Ok(Step::Pass);
    };
    let versions = exchange.versions().await?;
    let find = |version: &str| {
        let same = |(number, _): &&(u64, Value)| number.to_string() == version;
        versions
            .iter()
            .find(same)
            .map(|(_, config)| config)
            .or((version == "$LATEST").then_some(&latest))
    };
    let mut configs = Vec::new();
    for version in main.into_iter().chain(weights.keys().map(String::as_str)) {
        let Some(config) = find(version) else {
            let message = format!("Function not found: {}:{version}", exchange.arn());
            return Ok(refuse(404, "ResourceNotFoundException", &message));
        };
        configs.push(config);
    }
    Ok(refuse_different_settings(&configs).unwrap_or(Step::Pass))
}

/// Records that an alias with provisioned concurrency moved: the former version serves until the new one
/// has its provisioned concurrency.
pub(super) fn record_move(exchange: &mut Exchange, _: &mut Reply) {
    if let (Some(alias), Some(version)) = (&exchange.qualifier, exchange.leaves.take()) {
        exchange.tracker.leave(&exchange.function, alias, &version);
    }
}

/// Adjusts a response that is an alias.
pub(super) fn show(exchange: &mut Exchange, reply: &mut Reply) {
    if let Some(mut alias) = reply.value() {
        show_former_version(exchange, &mut alias);
        reply.set_value(&alias);
    }
}

/// Adds the weight of the version that Lambda is moving the alias away from.
pub(super) fn show_former_version(exchange: &Exchange, alias: &mut Value) {
    let name = text(alias, "Name").unwrap_or_default();
    if let Some(version) = exchange.tracker.left(&exchange.function, name) {
        alias["RoutingConfig"] = json!({"AdditionalVersionWeights": {version: 1.0}});
    }
}

fn refuse_weights(main: Option<&str>, weights: &Map<String, Value>) -> Option<Step> {
    if weights.len() > 1 {
        return Some(invalid(
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ));
    }
    let (version, weight) = weights.iter().next()?;
    if !weight
        .as_f64()
        .is_some_and(|weight| (0.0..=1.0).contains(&weight))
    {
        return Some(refuse(
            400,
            "ValidationException",
            &format!(
                "1 validation error detected: Value '{{{version}={weight}}}' at \
                 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value \
                 must satisfy constraint: [Member must have value less than or equal to 1.0, \
                 Member must have value greater than or equal to 0.0]"
            ),
        ));
    }
    if version == "$LATEST" || main == Some("$LATEST") {
        return Some(invalid(
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ));
    }
    if main == Some(version.as_str()) {
        return Some(invalid(&format!(
            "Invalid function version {version}. Function version {version} is already included \
             in routing configuration."
        )));
    }
    None
}

fn refuse_different_settings(configs: &[&Value]) -> Option<Step> {
    let [one, other] = configs else { return None };
    let (_, what) = SHARED
        .iter()
        .find(|(field, _)| one[*field] != other[*field])?;
    Some(invalid(&format!(
        "Versions in the routing configuration of an alias must have the same {what}"
    )))
}
