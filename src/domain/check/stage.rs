//! A check of a stage as a whole, on one Target.

use serde_json::Value;

use super::{alarms::DesiredAlarms, http::DesiredHttp, metric::DesiredMetric};
use crate::{
    api::v1alpha1::Check,
    domain::{
        invalid::Invalid,
        substitution::{OutputRef, Outputs, Variables},
    },
};

/// A check of a stage as a whole, on one Target.
#[derive(Clone, Debug, PartialEq)]
pub struct StageCheck {
    /// The name of the check, as in messages.
    pub name: String,
    /// What the check observes.
    pub kind: StageCheckKind,
}

/// What a check of a stage observes.
#[derive(Clone, Debug, PartialEq)]
pub enum StageCheckKind {
    /// CloudWatch alarms.
    Alarms(DesiredAlarms),
    /// A CloudWatch metric.
    Metric(Box<DesiredMetric>),
    /// A URL.
    Http(Box<DesiredHttp>),
    /// What outputs of components determine that are not known yet.
    Deferred(Box<DeferredCheck>),
}

/// A check that needs outputs of components which are not known yet.
#[derive(Clone, Debug, PartialEq)]
pub struct DeferredCheck {
    /// Those outputs.
    pub needed: Vec<OutputRef>,
    /// Why the check is invalid with their values.
    pub problem: Option<String>,
    check: Check,
    variables: Variables,
}

impl DeferredCheck {
    /// The outputs as in messages: `$(components.infra.outputs.Url)`.
    pub fn unknown(&self) -> String {
        let needed = self.needed.iter().map(|it| format!("$({it})"));
        needed.collect::<Vec<_>>().join(" and ")
    }
}

impl StageCheck {
    /// The check; `None` for a check of a component. The field of an error is relative to the check.
    pub fn new(check: &Check, variables: &Variables) -> Result<Option<Self>, Invalid> {
        let mut needed = Vec::new();
        if check.invoke.is_none() {
            let texts = serde_json::to_value(check).unwrap_or_default();
            collect(&texts, variables, &mut needed);
        }
        let kind = if !needed.is_empty() {
            Ok(StageCheckKind::Deferred(Box::new(DeferredCheck {
                needed,
                problem: None,
                check: check.clone(),
                variables: variables.clone(),
            })))
        } else if let Some(alarms) = &check.alarms {
            DesiredAlarms::new(alarms, variables).map(StageCheckKind::Alarms)
        } else if let Some(metric) = &check.metric {
            DesiredMetric::new(metric, variables).map(|it| StageCheckKind::Metric(Box::new(it)))
        } else if let Some(http) = &check.http {
            DesiredHttp::new(http, variables).map(|it| StageCheckKind::Http(Box::new(it)))
        } else {
            return Ok(None);
        };
        let name = check.name.clone();
        Ok(Some(Self { name, kind: kind? }))
    }

    /// The outputs that it still waits for.
    pub fn needed_outputs(&self) -> &[OutputRef] {
        match &self.kind {
            StageCheckKind::Deferred(deferred) => &deferred.needed,
            StageCheckKind::Alarms(_) | StageCheckKind::Metric(_) | StageCheckKind::Http(_) => &[],
        }
    }

    /// The check with the outputs that are known.
    #[must_use]
    pub fn resolve(&self, outputs: &Outputs) -> Self {
        let StageCheckKind::Deferred(deferred) = &self.kind else {
            return self.clone();
        };
        let mut variables = deferred.variables.clone();
        for reference in &deferred.needed {
            if let Some(value) = outputs.get(reference) {
                variables = variables.with(&reference.to_string(), value);
            }
        }
        match Self::new(&deferred.check, &variables) {
            Ok(Some(resolved)) => resolved,
            Ok(None) => self.clone(),
            Err(invalid) => {
                let mut deferred = deferred.clone();
                deferred.problem = Some(invalid.to_string());
                Self {
                    kind: StageCheckKind::Deferred(deferred),
                    ..self.clone()
                }
            }
        }
    }

    /// Whether the check has to wait for data. Rollbacks skip such checks.
    pub fn waits_for_data(&self) -> bool {
        match &self.kind {
            StageCheckKind::Alarms(_) | StageCheckKind::Metric(_) => true,
            StageCheckKind::Http(_) => false,
            StageCheckKind::Deferred(deferred) => deferred.check.http.is_none(),
        }
    }

    /// The Lambda component whose versions the check distinguishes.
    pub fn component(&self) -> Option<&str> {
        match &self.kind {
            StageCheckKind::Metric(metric) => metric.component.as_deref(),
            _ => None,
        }
    }
}

/// The outputs in the texts of a value that are not known yet. Texts with other problems have none.
fn collect(value: &Value, variables: &Variables, needed: &mut Vec<OutputRef>) {
    match value {
        Value::String(text) => {
            if let Ok(template) = variables.template(text) {
                needed.extend(template.references().cloned());
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, variables, needed);
            }
        }
        Value::Object(members) => {
            for member in members.values() {
                collect(member, variables, needed);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(url: &str) -> StageCheck {
        let check = json!({"name": "page", "http": {"url": url}});
        let check = serde_json::from_value(check).expect("a check");
        let mut variables = Variables::default().with("stage.name", "dev");
        variables.add_open("infra");
        let check = StageCheck::new(&check, &variables).expect("valid");
        check.expect("a check of the stage")
    }

    fn outputs(url: &str) -> Outputs {
        let mut outputs = Outputs::default();
        outputs.add("infra", [("Url", url.to_owned())]);
        outputs
    }

    #[test]
    fn check_that_needs_an_output_is_complete_once_that_is_known() {
        let deferred = check("$(components.infra.outputs.Url)/$(stage.name)");
        let needed: Vec<String> = deferred
            .needed_outputs()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(needed, ["components.infra.outputs.Url"]);
        assert_eq!(deferred.resolve(&Outputs::default()), deferred);
        let resolved = deferred.resolve(&outputs("https://example.com"));
        assert_eq!(resolved, check("https://example.com/dev"));
        assert_eq!(resolved.needed_outputs(), []);
        assert!(!deferred.waits_for_data());
    }

    #[test]
    fn check_that_an_output_makes_invalid_says_why() {
        let deferred = check("$(components.infra.outputs.Url)");
        let StageCheckKind::Deferred(deferred) =
            deferred.resolve(&outputs("ftp://example.com")).kind
        else {
            panic!("it stays deferred");
        };
        assert!(deferred.problem.is_some_and(|why| why.contains("url")));
    }
}
