//! What a kind works out its desired state with: one component on one Target.

use std::collections::BTreeMap;

use crate::{
    api::v1alpha1::{Artifact, Component, Override, PinnedArtifact, Stage, TargetSpec},
    domain::{
        digest::Sha256,
        grants::{Permissions, Resource},
        invalid::{Invalid, Problems},
        names,
        ownership::{Adoption, Owner},
        substitution::{Template, Variables},
    },
};

/// One component on one Target.
pub struct Scope<'a> {
    /// The field of the component that holds its spec.
    pub field: &'static str,
    /// The component.
    pub component: &'a Component,
    /// The stage of the Target.
    pub stage: &'a Stage,
    /// What is taken from the pipeline.
    pub template_artifacts: &'a [Artifact],
    /// What the Release pinned of that.
    pub artifacts: &'a [PinnedArtifact],
    /// The Target.
    pub target: &'a TargetSpec,
    /// Whose it is.
    pub owner: &'a Owner,
    /// What grants allow.
    pub permissions: &'a Permissions,
    /// What `$(…)` stands for.
    pub variables: &'a Variables,
}

impl Scope<'_> {
    /// What the spec and the grants say about taking something over.
    pub fn adoption(&self, granted: bool) -> Adoption {
        match (self.component.adopt, granted) {
            (false, _) => Adoption::NotAsked,
            (true, true) => Adoption::Granted {
                unqualified: self.component.allow_unqualified,
            },
            (true, false) => Adoption::NotGranted {
                account: self.target.account.clone(),
            },
        }
    }

    /// Whether grants allow it.
    pub fn granted(&self, field: &str, resource: Resource<'_>) -> Result<(), Invalid> {
        match self.permissions.refusal(resource) {
            None => Ok(()),
            Some(why) => Err(self.invalid(field, why)),
        }
    }

    /// The text with every `$(…)` filled in.
    pub fn expand(&self, field: &str, text: &str) -> Result<String, Invalid> {
        self.variables
            .expand(text)
            .map_err(|error| self.invalid(field, error.to_string()))
    }

    /// The value, where AWS takes it.
    pub fn within<T>(&self, field: &str, value: T, problem: Option<String>) -> Result<T, Invalid> {
        problem.map_or(Ok(value), |why| Err(self.invalid(field, why)))
    }

    /// What the stage has in place of the component's settings.
    pub fn overrides(&self) -> Option<&Override> {
        let mut overrides = self.stage.overrides.iter();
        overrides.find(|over| over.component == self.component.name)
    }

    /// The component's map with the stage's own entries in it, filled in but for outputs that are known later.
    pub fn merged(
        &self,
        field: &str,
        map: &BTreeMap<String, String>,
        over: Option<&BTreeMap<String, String>>,
        found: &mut Problems,
    ) -> Option<BTreeMap<String, Template>> {
        let before = found.count();
        let own = over.into_iter().flatten();
        let theirs = map
            .iter()
            .filter(|(key, _)| !over.is_some_and(|over| over.contains_key(*key)));
        let mut merged = BTreeMap::new();
        for (key, value) in theirs {
            let value = self.variables.template(value);
            let value = value.map_err(|error| {
                let field = format!("{field}.{key}");
                self.invalid(&field, error.to_string())
            });
            merged.extend(found.keep(value).map(|value| (key.clone(), value)));
        }
        for (key, value) in own {
            let value = self.variables.template(value).map_err(|error| {
                let field = self.overriding(&format!("{field}.{key}"));
                Invalid::new(field, error.to_string())
            });
            merged.extend(found.keep(value).map(|value| (key.clone(), value)));
        }
        (found.count() == before).then_some(merged)
    }

    /// What is wrong with a setting, said of the stage's own value where it `has_own`.
    pub fn wrong(&self, field: &str, has_own: bool, why: impl Into<String>) -> Invalid {
        if has_own {
            Invalid::new(self.overriding(field), why)
        } else {
            self.invalid(field, why)
        }
    }

    /// The path of a setting that the stage has its own value of.
    pub fn overriding(&self, field: &str) -> String {
        let (stage, component) = (&self.stage.name, &self.component.name);
        let kind = self.field;
        format!("spec.stages[{stage}].overrides[{component}].{kind}.{field}")
    }

    /// What the Release pinned under that name.
    pub fn artifact(&self, name: &str) -> Result<Pinned<'_>, Invalid> {
        let artifacts = self.artifacts;
        let pinned = artifacts.iter().find(|artifact| artifact.name == name);
        let pinned = pinned.ok_or_else(|| {
            let near = names::but(
                name,
                artifacts.iter().map(|artifact| artifact.name.as_str()),
            );
            self.invalid("artifact", format!("there is no artifact {name}{near}"))
        })?;
        let sha256 = Sha256::from_hex(&pinned.sha256)
            .ok_or_else(|| self.invalid("artifact", format!("{name} has no SHA-256 digest")))?;
        Ok(Pinned { pinned, sha256 })
    }

    /// What is wrong with a field of the component.
    pub fn invalid(&self, field: &str, message: impl Into<String>) -> Invalid {
        let (kind, component) = (self.field, &self.component.name);
        Invalid::new(
            format!("spec.components[{component}].{kind}.{field}"),
            message,
        )
    }
}

/// What the Release pinned.
pub struct Pinned<'a> {
    /// As it says.
    pub pinned: &'a PinnedArtifact,
    /// The digest of its bytes.
    pub sha256: Sha256,
}
