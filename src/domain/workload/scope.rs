//! The input from which a kind derives its desired state: one component on one Target.

use std::collections::BTreeMap;

use crate::{
    api::v1alpha1::{Artifact, Component, Override, PinnedArtifact, Stage, TargetSpec},
    domain::{
        digest::Sha256,
        grants::{Permissions, Resource, role_name},
        invalid::{Invalid, Problems},
        limits, names,
        ownership::{Adoption, Owner},
        substitution::{Outputs, SubstitutionError, Template, Variables},
    },
};

/// One component on one Target.
pub struct Scope<'a> {
    /// The field of the component that holds its spec.
    pub field: &'static str,
    /// The component.
    pub component: &'a Component,
    /// The name of the component in the template that it stands for.
    pub template_name: &'a str,
    /// The stage of the Target.
    pub stage: &'a Stage,
    /// The names of the components that this one needs by what it is made of, whether or not `dependsOn` says so.
    pub needs: &'a [String],
    /// The artifacts in the template.
    pub template_artifacts: &'a [Artifact],
    /// The artifacts that the Release pinned.
    pub artifacts: &'a [PinnedArtifact],
    /// The Target.
    pub target: &'a TargetSpec,
    /// The owner.
    pub owner: &'a Owner,
    /// What grants allow.
    pub permissions: &'a Permissions,
    /// The values of `$(…)`.
    pub variables: &'a Variables,
}

impl Scope<'_> {
    /// The adoption that the spec asks for and the grants allow.
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

    /// Checks that the grants allow a resource.
    pub fn granted(&self, field: &str, resource: Resource<'_>) -> Result<(), Invalid> {
        match self.permissions.refusal(resource) {
            None => Ok(()),
            Some(why) => Err(self.invalid(field, why)),
        }
    }

    /// The text with every `$(…)` substituted.
    pub fn expand(&self, field: &str, text: &str) -> Result<String, Invalid> {
        self.variables
            .expand(text)
            .map_err(|error| self.invalid(field, error.to_string()))
    }

    /// The value, unless it has a problem.
    pub fn within<T>(&self, field: &str, value: T, problem: Option<String>) -> Result<T, Invalid> {
        problem.map_or(Ok(value), |why| Err(self.invalid(field, why)))
    }

    /// The stage's overrides of the component's settings.
    pub fn overrides(&self) -> Option<&Override> {
        let mut overrides = self.stage.overrides.iter();
        overrides.find(|over| over.component == self.template_name)
    }

    /// The component's map merged with the stage's entries, substituted except for deferred outputs.
    pub fn merged(
        &self,
        field: &str,
        map: &BTreeMap<String, String>,
        over: Option<&BTreeMap<String, String>>,
        found: &mut Problems,
    ) -> Option<BTreeMap<String, Template>> {
        let before = found.count();
        let own = over.into_iter().flatten();
        let inherited = map
            .iter()
            .filter(|(key, _)| !over.is_some_and(|over| over.contains_key(*key)));
        let mut merged = BTreeMap::new();
        for (key, value) in inherited {
            let value = self.variables.template(value);
            let value = value.map_err(|error| {
                let field = format!("{field}.{key}");
                self.invalid(&field, error.to_string())
            });
            merged.extend(found.keep(value).map(|value| (key.clone(), value)));
        }
        for (key, value) in own {
            let value = self.variables.template(value).map_err(|error| {
                let field = self.override_path(&format!("{field}.{key}"));
                Invalid::new(field, error.to_string())
            });
            merged.extend(found.keep(value).map(|value| (key.clone(), value)));
        }
        (found.count() == before).then_some(merged)
    }

    /// The user's tags with the stage's, substituted. Outputs that are known only later can't be used. Sluice adds
    /// `others` tags of its own.
    pub fn tags(
        &self,
        map: &BTreeMap<String, String>,
        over: Option<&BTreeMap<String, String>>,
        others: usize,
        found: &mut Problems,
    ) -> Option<BTreeMap<String, String>> {
        let own = self.merged("tags", map, over, found)?;
        for (key, value) in &own {
            if let Some(reference) = value.deferred() {
                let why = SubstitutionError::Deferred(reference.clone());
                found.push(self.invalid(&format!("tags.{key}"), why.to_string()));
            }
        }
        let own = texts(own);
        for why in limits::tags(&own, others) {
            found.push(self.invalid("tags", why));
        }
        Some(own)
    }

    /// A role's ARN: a bare name is a role of the Target's own account and partition.
    pub fn role_arn(&self, role: &str) -> Result<String, String> {
        let account_id = &self.target.account_id;
        let arn = if let Some(rest) = role.strip_prefix("arn:") {
            let account = rest.split(':').nth(3).unwrap_or_default();
            if account != account_id || !role.contains(":role/") {
                return Err(format!(
                    "{role} is not a role of account {account_id}; set the role's name instead of an ARN to use the \
                     role of each account"
                ));
            }
            role.to_owned()
        } else {
            let partition = partition(&self.target.region);
            format!("arn:{partition}:iam::{account_id}:role/{role}")
        };
        limits::role(role_name(&arn)).map_or(Ok(arn), Err)
    }

    /// A problem with a setting, reported for the stage's value if it `has_own`.
    pub fn wrong(&self, field: &str, has_own: bool, why: impl Into<String>) -> Invalid {
        if has_own {
            Invalid::new(self.override_path(field), why)
        } else {
            self.invalid(field, why)
        }
    }

    /// The path of a setting that the stage overrides.
    pub fn override_path(&self, field: &str) -> String {
        let (stage, component) = (&self.stage.name, self.template_name);
        let kind = self.field;
        format!("spec.stages[{stage}].overrides[{component}].{kind}.{field}")
    }

    /// The artifact that the Release pinned under that name.
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

    /// A problem with a field of the component.
    pub fn invalid(&self, field: &str, message: impl Into<String>) -> Invalid {
        let (kind, component) = (self.field, self.template_name);
        Invalid::new(
            format!("spec.components[{component}].{kind}.{field}"),
            message,
        )
    }
}

/// The partition of a region, by the prefixes that AWS gives them.
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// Those of the texts that need outputs which are not known yet.
pub fn deferred(templates: &BTreeMap<String, Template>) -> BTreeMap<String, Template> {
    let deferred = templates.iter().filter(|(_, it)| it.deferred().is_some());
    let deferred = deferred.map(|(name, it)| (name.clone(), it.clone()));
    deferred.collect()
}

/// Takes out those of the texts whose outputs are known now, with their values.
pub fn take_known(
    deferred: &mut BTreeMap<String, Template>,
    outputs: &Outputs,
) -> impl Iterator<Item = (String, String)> + use<> {
    let mut known = Vec::new();
    deferred.retain(|name, template| match template.resolve(outputs) {
        Some(value) => {
            known.push((name.clone(), value));
            false
        }
        None => true,
    });
    known.into_iter()
}

/// The texts, with references to outputs as in specs.
pub fn texts(templates: BTreeMap<String, Template>) -> BTreeMap<String, String> {
    let text = |(name, value): (String, Template)| (name, value.to_string());
    templates.into_iter().map(text).collect()
}

/// An artifact that the Release pinned.
pub struct Pinned<'a> {
    /// As the Release has it.
    pub pinned: &'a PinnedArtifact,
    /// The digest of its bytes.
    pub sha256: Sha256,
}
