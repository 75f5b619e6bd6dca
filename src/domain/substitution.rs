//! `$(name)` in the strings of a spec, from a closed list of names.
//!
//! As in Kubernetes, `$$(name)` stands for the text `$(name)`; any other `$` stands for itself.
//! Templates that come out of artifacts are never touched.

use std::collections::BTreeMap;

use serde_json::Value;

/// The names that can be used and what they stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<&'static str, String>);

/// A name that is not on the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("$({name}) is not known here; known are {}", known.join(", "))]
pub struct UnknownName {
    /// What was asked for.
    pub name: String,
    /// What there is.
    pub known: Vec<&'static str>,
}

impl Variables {
    /// Adds a name.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.insert(name, value.into());
        self
    }

    /// `text` with every name replaced.
    pub fn expand(&self, text: &str) -> Result<String, UnknownName> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at..];
            let escaped = rest.starts_with("$$(");
            let open = if escaped { 3 } else { 2 };
            match rest.find(')') {
                Some(end) if escaped => {
                    expanded.push_str(&rest[1..=end]);
                    rest = &rest[end + 1..];
                }
                Some(end) if rest.starts_with("$(") => {
                    expanded.push_str(self.get(&rest[open..end])?);
                    rest = &rest[end + 1..];
                }
                _ => {
                    expanded.push('$');
                    rest = &rest[1..];
                }
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// `value` with every name replaced in every string, keys excepted.
    pub fn expand_json(&self, value: &Value) -> Result<Value, UnknownName> {
        Ok(match value {
            Value::String(text) => Value::String(self.expand(text)?),
            Value::Array(items) => items
                .iter()
                .map(|item| self.expand_json(item))
                .collect::<Result<_, _>>()?,
            Value::Object(members) => {
                let member =
                    |(key, value): (&String, &Value)| Ok((key.clone(), self.expand_json(value)?));
                Value::Object(
                    members
                        .iter()
                        .map(member)
                        .collect::<Result<_, UnknownName>>()?,
                )
            }
            other => other.clone(),
        })
    }

    fn get(&self, name: &str) -> Result<&str, UnknownName> {
        self.0
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| UnknownName {
                name: name.to_owned(),
                known: self.0.keys().copied().collect(),
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_replaced_and_everything_else_stays() {
        let variables = Variables::default()
            .with("stage.name", "dev")
            .with("target.accountId", "1234");
        for (text, expected) in [
            ("plain", "plain"),
            ("api-$(stage.name)-$(target.accountId)", "api-dev-1234"),
            ("$$(stage.name)", "$(stage.name)"),
            ("costs 5$ (or more)", "costs 5$ (or more)"),
            ("$(unclosed", "$(unclosed"),
            ("$", "$"),
        ] {
            assert_eq!(variables.expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let variables = Variables::default().with("stage.name", "dev");
        let error = variables.expand("$(stage.nmae)").expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "$(stage.nmae) is not known here; known are stage.name"
        );
    }

    #[test]
    fn values_inside_json_are_replaced_but_keys_are_not() {
        let variables = Variables::default().with("stage.name", "dev");
        let expanded = variables.expand_json(&json!({"$(stage.name)": ["$(stage.name)", 1, null]}));
        assert_eq!(expanded, Ok(json!({"$(stage.name)": ["dev", 1, null]})));
    }
}
