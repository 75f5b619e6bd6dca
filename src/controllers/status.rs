//! Writes a status: only changed fields, and only if any changed.
//!
//! Relies on the caller to pass the resourceVersion that it decided from: the API server then
//! refuses the write if the object changed since, and the decision is made again.

use std::fmt::Debug;

use kube::{
    Api, Resource, ResourceExt as _,
    api::{Patch, PatchParams, ValidationDirective},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

/// Changes the object's status from `before`, the basis of the decision, to `after`. Returns the object as
/// the API server has it. Makes no call if both are equal.
///
/// A field that the schema doesn't know is refused (400) rather than dropped. With a
/// `resource_version` the answer is a conflict (409) if the object changed since.
pub async fn publish_status<K, S>(
    api: &Api<K>,
    object: &K,
    resource_version: Option<String>,
    before: &S,
    after: &S,
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    S: Serialize + PartialEq + Sync,
{
    if before == after {
        return Ok(object.clone());
    }
    let before = serde_json::to_value(before).map_err(kube::Error::SerdeError)?;
    let after = serde_json::to_value(after).map_err(kube::Error::SerdeError)?;
    let mut patch = json!({ "status": difference(&before, &after) });
    if let Some(version) = resource_version {
        patch["metadata"] = json!({ "resourceVersion": version });
    }
    api.patch_status(
        &object.name_any(),
        &strict_patch_params(),
        &Patch::Merge(Value::Object(into_map(patch))),
    )
    .await
}

/// Parameters of a patch whose unknown fields are refused.
pub fn strict_patch_params() -> PatchParams {
    PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    }
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The JSON merge patch (RFC 7386) that makes `before` into `after`: `null` removes.
fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return after.clone();
    };
    let mut patch = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        match before.get(key) {
            Some(same) if same == value => {}
            Some(other) => {
                patch.insert(key.clone(), difference(other, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_patch_has_only_changed_fields() {
        let before = json!({"same": 1, "gone": 1, "in": {"a": 1, "b": 2}, "list": [1, 2]});
        let after = json!({"same": 1, "new": 1, "in": {"a": 1, "b": 3}, "list": [2]});
        assert_eq!(
            difference(&before, &after),
            json!({"gone": null, "new": 1, "in": {"b": 3}, "list": [2]})
        );
    }

    #[test]
    fn missing_status_is_written_completely() {
        assert_eq!(
            difference(&json!({}), &json!({"a": {"b": 1}})),
            json!({"a": {"b": 1}})
        );
    }
}
