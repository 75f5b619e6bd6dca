//! Aliases: versions that exist, and weights that make sense.

use serde_json::{Map, Value};

use super::{Exchange, Step, invalid, refuse, text};
use crate::error::LabError;

/// Both versions of a weighted alias must agree in these.
const SHARED: [(&str, &str); 2] = [
    ("Role", "execution role"),
    ("DeadLetterConfig", "dead-letter queue"),
];

/// A version that an alias names can't be deleted.
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

/// Checks what the alias would be after the write.
pub(super) async fn refuse_bad_routing(exchange: &mut Exchange) -> Result<Step, LabError> {
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
    if let (Some(alias), false) = (&exchange.qualifier, weights.is_empty()) {
        let part = format!("provisioned-concurrency?Qualifier={alias}");
        if exchange.ask(&part).await?.is_some() {
            return Ok(invalid(
                "Alias with weights can not be used with Provisioned Concurrency",
            ));
        }
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
    Ok(refuse_unlike(&configs).unwrap_or(Step::Pass))
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

fn refuse_unlike(configs: &[&Value]) -> Option<Step> {
    let [one, other] = configs else { return None };
    let (_, what) = SHARED
        .iter()
        .find(|(field, _)| one[*field] != other[*field])?;
    Some(invalid(&format!(
        "Versions in the routing configuration of an alias must have the same {what}"
    )))
}
