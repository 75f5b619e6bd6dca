//! Separates objects that this version can't read from readable ones.
//!
//! One malformed object in a list would otherwise fail the whole list, and with it every other
//! object of the kind. The schema rejects such objects, but a newer or older schema may have
//! admitted them. kube has a guard as well; this one also names the invalid field, and drops
//! managedFields before it deserializes the object.

use std::{borrow::Cow, fmt::Debug};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, api::ObjectMeta};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

/// An object, or what is wrong with it.
#[derive(Clone, Debug)]
pub struct Guarded<K>(pub Result<K, Box<Malformed>>);

/// An object that this version cannot read.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its conditions, if they can be read.
    pub conditions: Vec<Condition>,
    /// Where in the object: `spec.stages[0].name`.
    pub field: String,
    /// What is wrong there.
    pub problem: String,
}

impl<'de, K> Deserialize<'de> for Guarded<K>
where
    K: Resource + DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        let error = match K::deserialize(&value) {
            Ok(object) => return Ok(Self(Ok(object))),
            Err(error) => error,
        };
        let metadata = value
            .get("metadata")
            .map(ObjectMeta::deserialize)
            .transpose()
            .map_err(D::Error::custom)?
            .unwrap_or_default();
        let (field, problem) =
            locate::<K>(&value).unwrap_or_else(|| (String::new(), error.to_string()));
        let conditions = value
            .pointer("/status/conditions")
            .and_then(|conditions| Vec::deserialize(conditions).ok())
            .unwrap_or_default();
        Ok(Self(Err(Box::new(Malformed {
            metadata,
            conditions,
            field,
            problem,
        }))))
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(malformed) => &malformed.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(malformed) => &mut malformed.metadata,
        }
    }
}

/// Where deserialization fails and why. An error in JSON text has a line, and with one field per line, the
/// line gives the field.
fn locate<K: DeserializeOwned>(value: &Value) -> Option<(String, String)> {
    let text = serde_json::to_string_pretty(value).ok()?;
    let error = serde_json::from_str::<K>(&text).err()?;
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let problem = message.strip_suffix(&position).unwrap_or(&message);
    Some((field_at(&text, error.line()), problem.to_owned()))
}

/// The path of the field that a line of pretty-printed JSON belongs to. A closing bracket belongs
/// to the value that it closes: a missing field is reported there.
fn field_at(text: &str, line: usize) -> String {
    /// What encloses a line, from the outside in: a field's name or an element's index.
    struct Level {
        segment: String,
        /// The number of elements so far, for a list.
        elements: Option<usize>,
    }
    let mut path: Vec<Level> = Vec::new();
    for line in text.lines().take(line) {
        let content = line.trim_start();
        // The object itself is at depth 0 and has no segment; its fields are at depth 1.
        let depth = (line.len() - content.len()) / 2;
        if content.starts_with(['}', ']']) {
            path.truncate(depth + 1);
            continue;
        }
        path.truncate(depth);
        let elements = content.ends_with('[').then_some(0);
        let segment = match path.last_mut() {
            None => String::new(),
            Some(Level {
                elements: Some(count),
                ..
            }) => {
                *count += 1;
                format!("[{}]", *count - 1)
            }
            Some(_) => {
                let name = content.split("\": ").next().unwrap_or(content);
                format!(".{}", name.trim_start_matches('"'))
            }
        };
        path.push(Level { segment, elements });
    }
    let path: String = path.into_iter().map(|level| level.segment).collect();
    path.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::v1alpha1::Account;

    fn account() -> Value {
        json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Account",
            "metadata": {"name": "dev", "managedFields": [{"manager": "kubectl"}]},
            "spec": {
                "accountId": "111111111111",
                "credentials": {"ambient": {}},
                "grants": [
                    {"namespaceSelector": {}, "functions": ["a", "b"], "roles": []},
                    {"namespaceSelector": {}, "functions": ["a", "b"]},
                ],
                "regions": [{"name": "eu-west-1", "artifactBucket": "packages"}],
            },
            "status": {"conditions": []},
        })
    }

    fn malformed(value: Value) -> Box<Malformed> {
        serde_json::from_value::<Guarded<Account>>(value)
            .unwrap()
            .0
            .unwrap_err()
    }

    #[test]
    fn valid_object_is_read_without_managed_fields() {
        let object = serde_json::from_value::<Guarded<Account>>(account())
            .unwrap()
            .0
            .unwrap();
        assert_eq!(object.metadata.managed_fields, None);
        assert_eq!(object.spec.grants.len(), 2);
    }

    #[test]
    fn wrong_type_is_reported_with_the_path_of_its_field() {
        let mut value = account();
        value["spec"]["grants"][1]["functions"][1] = json!(7);
        let malformed = malformed(value);
        assert_eq!(malformed.metadata.name.as_deref(), Some("dev"));
        assert_eq!(malformed.field, "spec.grants[1].functions[1]");
        assert_eq!(
            malformed.problem,
            "invalid type: integer `7`, expected a string"
        );
    }

    #[test]
    fn missing_field_is_reported_with_the_path_of_its_parent() {
        let mut value = account();
        value["spec"]["regions"][0] = json!({"name": "eu-west-1"});
        let malformed = malformed(value);
        assert_eq!(malformed.field, "spec.regions[0]");
        assert_eq!(malformed.problem, "missing field `artifactBucket`");
    }

    #[test]
    fn an_object_without_a_spec_is_malformed_too() {
        let mut value = account();
        value.as_object_mut().unwrap().remove("spec");
        let malformed = malformed(value);
        assert_eq!(malformed.field, "");
        assert_eq!(malformed.problem, "missing field `spec`");
    }
}
