//! Substitution of `$(name)` in the strings of a spec, from a closed list of names.
//!
//! As in Kubernetes, `$$(name)` stands for the text `$(name)`; any other `$` stands for itself.
//! Files in artifacts are never substituted.
//!
//! `$(components.x.outputs.y)` is an output of another component. Some outputs are known from the spec, such
//! as the ARN of a function; others only once the component serves, such as its version. A field that accepts
//! the latter ([`Variables::template`]) keeps the reference until the level of its component starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

/// The names that can be used, and their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    names: BTreeMap<String, Meaning>,
    /// Components with outputs whose names are not known here.
    open: BTreeSet<String>,
    /// Components whose outputs can't be used.
    others: BTreeSet<String>,
}

/// The value of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    Known(String),
    Deferred(OutputRef),
}

/// An output of a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutputRef {
    /// The component.
    pub component: String,
    /// The output.
    pub output: String,
}

/// The name of the output in specs.
impl fmt::Display for OutputRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "components.{}.outputs.{}", self.component, self.output)
    }
}

/// Outputs of components, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs(BTreeMap<OutputRef, String>);

impl Outputs {
    /// The value of an output, if it is known.
    pub fn get(&self, reference: &OutputRef) -> Option<&str> {
        self.0.get(reference).map(String::as_str)
    }

    /// Adds the outputs of a component.
    pub fn add(
        &mut self,
        component: &str,
        outputs: impl IntoIterator<Item = (impl Into<String>, String)>,
    ) {
        let of_component = outputs.into_iter().map(|(output, value)| {
            let reference = OutputRef {
                component: component.to_owned(),
                output: output.into(),
            };
            (reference, value)
        });
        self.0.extend(of_component);
    }
}

/// A text in which only outputs are not yet substituted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Output(OutputRef),
}

impl Template {
    /// The text with these outputs; `None` if one is unknown.
    pub fn resolve(&self, outputs: &Outputs) -> Option<String> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Output(reference) => outputs.0.get(reference).cloned(),
        };
        self.0.iter().map(piece).collect()
    }

    /// The first output that is not yet substituted.
    pub fn deferred(&self) -> Option<&OutputRef> {
        self.references().next()
    }

    /// The outputs that are not yet substituted.
    pub fn references(&self) -> impl Iterator<Item = &OutputRef> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Output(reference) => Some(reference),
        })
    }
}

/// The text, with references as in specs.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Output(reference) => write!(f, "$({reference})"),
        })
    }
}

/// A name that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubstitutionError {
    /// The name is unknown.
    #[error("$({name}) is not known here; the known names are {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The known names.
        known: Vec<String>,
    },
    /// The name is an output of a component that this one does not depend on.
    #[error("$({name}) is an output of component {component}: add {component} to dependsOn")]
    NotADependency {
        /// The name.
        name: String,
        /// The component.
        component: String,
    },
    /// The output is known too late for this field.
    #[error("$({0}) is known only once component {component} serves: use it in environment or parameters", component = .0.component)]
    Deferred(OutputRef),
}

impl Variables {
    /// Adds a name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let known = Meaning::Known(value.into());
        self.names.insert(name.to_owned(), known);
        self
    }

    /// Adds the name of a component whose outputs can't be used here.
    pub fn add_other(&mut self, component: &str) {
        self.others.insert(component.to_owned());
    }

    /// Adds the outputs of a component; `None` for an output that is known only once the component serves.
    pub fn add_outputs<'a>(
        &mut self,
        component: &str,
        outputs: impl IntoIterator<Item = (&'a str, Option<String>)>,
    ) {
        for (output, value) in outputs {
            let reference = OutputRef {
                component: component.to_owned(),
                output: output.to_owned(),
            };
            let name = reference.to_string();
            let meaning = value.map_or(Meaning::Deferred(reference), Meaning::Known);
            self.names.insert(name, meaning);
        }
    }

    /// Adds a component with further outputs, whose names and values are known only once it serves.
    pub fn add_open(&mut self, component: &str) {
        self.open.insert(component.to_owned());
    }

    /// `text` with every known name replaced.
    pub fn template(&self, text: &str) -> Result<Template, SubstitutionError> {
        let mut pieces = Vec::new();
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
                    match self.get(&rest[open..end])? {
                        Meaning::Known(value) => expanded.push_str(&value),
                        Meaning::Deferred(reference) => {
                            pieces.push(Piece::Text(std::mem::take(&mut expanded)));
                            pieces.push(Piece::Output(reference));
                        }
                    }
                    rest = &rest[end + 1..];
                }
                _ => {
                    expanded.push('$');
                    rest = &rest[1..];
                }
            }
        }
        expanded.push_str(rest);
        pieces.push(Piece::Text(expanded));
        Ok(Template(pieces))
    }

    /// `text` with every name replaced.
    pub fn expand(&self, text: &str) -> Result<String, SubstitutionError> {
        let template = self.template(text)?;
        match template.deferred() {
            Some(reference) => Err(SubstitutionError::Deferred(reference.clone())),
            None => Ok(template.to_string()),
        }
    }

    /// `value` with every name replaced in every string, keys excepted.
    pub fn expand_json(&self, value: &Value) -> Result<Value, SubstitutionError> {
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
                        .collect::<Result<_, SubstitutionError>>()?,
                )
            }
            other => other.clone(),
        })
    }

    /// The output of a component with open outputs that has this name.
    fn open_output(&self, name: &str) -> Option<Meaning> {
        let (component, output) = name.strip_prefix("components.")?.split_once(".outputs.")?;
        let is_name = !output.is_empty() && output.chars().all(|c| c.is_ascii_alphanumeric());
        (is_name && self.open.contains(component)).then(|| {
            Meaning::Deferred(OutputRef {
                component: component.to_owned(),
                output: output.to_owned(),
            })
        })
    }

    fn get(&self, name: &str) -> Result<Meaning, SubstitutionError> {
        let known = self.names.get(name).cloned();
        known.or_else(|| self.open_output(name)).ok_or_else(|| {
            let name = name.to_owned();
            let output = name.strip_prefix("components.");
            let component = output.and_then(|rest| rest.split('.').next());
            match component.filter(|component| self.others.contains(*component)) {
                Some(component) => SubstitutionError::NotADependency {
                    component: component.to_owned(),
                    name,
                },
                None => SubstitutionError::Unknown {
                    name,
                    known: self.names.keys().cloned().collect(),
                },
            }
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
            "$(stage.nmae) is not known here; the known names are stage.name"
        );
    }

    #[test]
    fn values_inside_json_are_replaced_but_keys_are_not() {
        let variables = Variables::default().with("stage.name", "dev");
        let expanded = variables.expand_json(&json!({"$(stage.name)": ["$(stage.name)", 1, null]}));
        assert_eq!(expanded, Ok(json!({"$(stage.name)": ["dev", 1, null]})));
    }

    #[test]
    fn output_of_a_component_is_substituted_once_known() {
        let mut variables = Variables::default().with("stage.name", "dev");
        variables.add_outputs(
            "api",
            [
                ("functionArn", Some("arn:api".to_owned())),
                ("version", None),
            ],
        );
        let arn = "$(components.api.outputs.functionArn)";
        assert_eq!(variables.expand(arn).as_deref(), Ok("arn:api"));
        let version = "$(stage.name)-$(components.api.outputs.version)";
        let error = variables.expand(version).expect_err("known too late");
        assert_eq!(
            error.to_string(),
            "$(components.api.outputs.version) is known only once component api serves: use it in environment or parameters"
        );
        let template = variables.template(version).expect("a template");
        assert_eq!(
            template.to_string(),
            "dev-$(components.api.outputs.version)"
        );
        let mut outputs = Outputs::default();
        assert_eq!(template.resolve(&outputs), None, "the output is unknown");
        outputs.add("web", [("version", "3".to_owned())]);
        assert_eq!(template.resolve(&outputs), None);
        outputs.add("api", [("version", "7".to_owned())]);
        assert_eq!(template.resolve(&outputs).as_deref(), Some("dev-7"));
    }

    #[test]
    fn component_with_open_outputs_has_every_name() {
        let mut variables = Variables::default();
        variables.add_open("infra");
        let template = variables.template("$(components.infra.outputs.QueueUrl)");
        let template = template.expect("a template");
        let needed: Vec<String> = template.references().map(ToString::to_string).collect();
        assert_eq!(needed, ["components.infra.outputs.QueueUrl"]);
        for name in [
            "components.web.outputs.Url",
            "components.infra.outputs.a.b",
            "components.infra.outputs.",
        ] {
            let error = variables.template(&format!("$({name})"));
            assert!(error.is_err(), "{name}");
        }
    }
}
