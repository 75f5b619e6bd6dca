//! The callers that invoke a function without a version or alias, and so run `$LATEST`.

use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use serde::Deserialize;
use serde_json::Value;

use super::functions::{LambdaFunctions, none_if_missing};
use crate::ports::CallError;

/// The resource-based policy of the function itself, as far as it says who may invoke it.
/// <https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    statement: Vec<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    #[serde(default)]
    sid: String,
    #[serde(default)]
    principal: Value,
}

pub(super) async fn unqualified(
    functions: &LambdaFunctions,
    name: &str,
) -> Result<Vec<String>, CallError> {
    let mut callers = permissions(functions, name).await?;
    callers.extend(url(functions, name).await?);
    callers.extend(event_sources(functions, name).await?);
    Ok(callers)
}

async fn permissions(functions: &LambdaFunctions, name: &str) -> Result<Vec<String>, CallError> {
    let call = functions.read("lambda:GetPolicy", name);
    functions.budget.control.turn(&call).await?;
    let request = functions
        .clients
        .reads
        .get_policy()
        .function_name(name)
        .send();
    let answer = functions.verified.sent(&call, request).await;
    let text = none_if_missing(answer)?.and_then(|answer| answer.policy);
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let policy: Policy = serde_json::from_str(&text)
        .map_err(|error| call.unusable(format!("the policy can't be read: {error}")))?;
    let callers = policy.statement.iter().map(|it| {
        let who = principal(&it.principal);
        format!("the permission {} of {who}", it.sid)
    });
    Ok(callers.collect())
}

/// A principal as text: `"*"`, `{"Service": "s3.amazonaws.com"}` or `{"AWS": "arn:…"}`.
fn principal(json: &Value) -> String {
    let one = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match json {
        Value::Object(kinds) => kinds.values().map(one).collect::<Vec<_>>().join(", "),
        other => one(other),
    }
}

async fn url(functions: &LambdaFunctions, name: &str) -> Result<Option<String>, CallError> {
    let call = functions.read("lambda:GetFunctionUrlConfig", name);
    functions.budget.control.turn(&call).await?;
    let request = functions.clients.reads.get_function_url_config();
    let request = request.function_name(name).send();
    let answer = functions.verified.sent(&call, request).await;
    let found = none_if_missing(answer)?;
    Ok(found.map(|found| format!("the function URL {}", found.function_url)))
}

async fn event_sources(functions: &LambdaFunctions, name: &str) -> Result<Vec<String>, CallError> {
    let call = functions.read("lambda:ListEventSourceMappings", name);
    let mut found = Vec::new();
    let mut next = None;
    loop {
        functions.budget.control.turn(&call).await?;
        let request = functions.clients.reads.list_event_source_mappings();
        let request = request.function_name(name).set_marker(next).send();
        let answer = functions.verified.sent(&call, request).await?;
        let mappings = answer.event_source_mappings.unwrap_or_default();
        found.extend(mappings.iter().filter(|one| invokes(one, name)).map(source));
        next = answer.next_marker.filter(|marker| !marker.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// Whether the mapping names the function itself, and is not disabled.
fn invokes(mapping: &EventSourceMappingConfiguration, name: &str) -> bool {
    let arn = mapping.function_arn.as_deref().unwrap_or_default();
    let is_off = mapping.state.as_deref() == Some("Disabled");
    let itself = arn
        .split_once(":function:")
        .is_some_and(|(_, what)| what == name || what.strip_prefix(name) == Some(":$LATEST"));
    itself && !is_off
}

fn source(mapping: &EventSourceMappingConfiguration) -> String {
    let of = mapping.event_source_arn.as_deref();
    let of = of.or(mapping.uuid.as_deref()).unwrap_or_default();
    format!("the event source {of}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn principals_of_a_policy_are_listed() {
        assert_eq!(principal(&json!("*")), "*");
        let bucket = json!({"Service": "s3.amazonaws.com"});
        assert_eq!(principal(&bucket), "s3.amazonaws.com");
        let many = json!({"AWS": ["arn:aws:iam::111111111111:root"]});
        assert_eq!(principal(&many), r#"["arn:aws:iam::111111111111:root"]"#);
    }

    #[test]
    fn mapping_of_an_alias_or_disabled_mapping_does_not_count() {
        let of = |arn: &str, state: &str| {
            EventSourceMappingConfiguration::builder()
                .function_arn(format!(
                    "arn:aws:lambda:eu-west-1:222222222222:function:{arn}"
                ))
                .state(state)
                .build()
        };
        assert!(invokes(&of("api", "Enabled"), "api"));
        assert!(invokes(&of("api:$LATEST", "Creating"), "api"));
        assert!(!invokes(&of("api:live", "Enabled"), "api"));
        assert!(!invokes(&of("api-2", "Enabled"), "api"));
        assert!(!invokes(&of("api", "Disabled"), "api"));
    }
}
