//! The manifest of a cloud assembly (`manifest.json`).
//!
//! Its shape is that of AWS's own schema, of which version 55 is the newest that is known here:
//! <https://github.com/aws/aws-cdk-cli/tree/main/packages/@aws-cdk/cloud-assembly-schema>. Each version of the schema
//! only adds fields, but may add some that must be obeyed, so newer ones are refused.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::path::in_assembly;
use crate::{api::v1alpha1::AssemblyStack, domain::outcome::shorten};

/// The newest version of the schema that is known.
const NEWEST: u64 = 55;

/// The limits of a Release: characters of names and paths, manifests of assets and dependencies of a stack.
const NAME: usize = 512;
const PATH: usize = 1024;
const MANIFESTS: usize = 16;
const DEPENDENCIES: usize = 200;

/// Types of artifacts.
const STACK: &str = "aws:cloudformation:stack";
const ASSETS: &str = "cdk:asset-manifest";
const NESTED: &str = "cdk:cloud-assembly";

/// The manifest of an assembly, as far as it is used.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    version: String,
    #[serde(default)]
    artifacts: BTreeMap<String, Artifact>,
    #[serde(default)]
    missing: Vec<Missing>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    #[serde(rename = "type")]
    kind: String,
    environment: Option<String>,
    display_name: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    /// Of a stack.
    template_file: Option<String>,
    /// Of a stack; its id without one.
    stack_name: Option<String>,
    /// Of an asset manifest.
    file: Option<String>,
    /// Of a nested assembly.
    directory_name: Option<String>,
}

/// A value that `cdk synth` would have had to look up in the account.
#[derive(Debug, Deserialize)]
struct Missing {
    key: String,
}

impl Manifest {
    /// Reads a manifest.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text)
            .map_err(|error| format!("it is not the manifest of a cloud assembly: {error}"))?;
        let version = &manifest.version;
        let major = version.split('.').next().map(str::parse::<u64>);
        match major {
            Some(Ok(major)) if major <= NEWEST => {}
            Some(Ok(_)) => {
                return Err(format!(
                    "the version of its schema is {version}, and this Sluice knows those up to {NEWEST}: update Sluice, \
                     or run cdk synth with an earlier version of aws-cdk-lib"
                ));
            }
            _ => return Err(format!("its schema has no version, but {version:?}")),
        }
        if let Some(Missing { key }) = manifest.missing.first() {
            return Err(format!(
                "the value of the context lookup {} is missing: run cdk synth with access to the account once, and commit \
                 cdk.context.json",
                shorten(key, 200)
            ));
        }
        Ok(manifest)
    }

    /// The folders of nested assemblies, as paths in the archive.
    pub fn nested(&self, assembly: &str, folder: &str) -> Result<Vec<String>, String> {
        let nested = self.artifacts.values().filter(|it| it.kind == NESTED);
        let names = nested.filter_map(|it| it.properties.directory_name.as_deref());
        names
            .map(|name| in_assembly(assembly, folder, name))
            .collect()
    }

    /// The stacks, those of nested assemblies excepted.
    pub fn stacks(&self, assembly: &str, folder: &str) -> Result<Vec<AssemblyStack>, String> {
        let stacks = self.artifacts.iter().filter(|(_, it)| it.kind == STACK);
        let of_stack = |(id, it): (&String, &Artifact)| {
            let missing = |what: &str| format!("its stack {id} has no {what}");
            let template = it.properties.template_file.as_deref();
            let template = template.ok_or_else(|| missing("templateFile"))?;
            let manifests = self.dependencies(it, ASSETS);
            let manifests = manifests.filter_map(|(_, it)| it.properties.file.as_deref());
            let manifests = manifests.map(|file| in_assembly(assembly, folder, file));
            let stack = AssemblyStack {
                name: it.name(id),
                id: id.clone(),
                stack_name: it.properties.stack_name.as_ref().unwrap_or(id).clone(),
                environment: it
                    .environment
                    .clone()
                    .ok_or_else(|| missing("environment"))?,
                template: in_assembly(assembly, folder, template)?,
                asset_manifests: manifests.collect::<Result<_, _>>()?,
                depends_on: self
                    .dependencies(it, STACK)
                    .map(|(id, it)| it.name(id))
                    .collect(),
            };
            checked(stack)
        };
        stacks.map(of_stack).collect()
    }

    /// The artifacts of this type that an artifact depends on.
    fn dependencies<'a>(
        &'a self,
        artifact: &'a Artifact,
        kind: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Artifact)> {
        let names = artifact.dependencies.iter();
        let found = names.filter_map(|name| self.artifacts.get_key_value(name));
        found.filter(move |(_, it)| it.kind == kind)
    }
}

impl Artifact {
    /// The path in the app of the stack with this id.
    fn name(&self, id: &str) -> String {
        self.display_name.as_deref().unwrap_or(id).to_owned()
    }
}

/// The stack, if a Release can hold it.
fn checked(stack: AssemblyStack) -> Result<AssemblyStack, String> {
    if fits(&stack) {
        return Ok(stack);
    }
    let name = shorten(&stack.name, 100);
    Err(format!(
        "its stack {name} has a name of more than {NAME} characters, a path of more than {PATH}, or more than \
         {DEPENDENCIES} dependencies"
    ))
}

/// Whether a Release can hold the stack.
fn fits(stack: &AssemblyStack) -> bool {
    let AssemblyStack {
        name,
        id,
        stack_name,
        environment,
        template,
        asset_manifests,
        depends_on,
    } = stack;
    let mut names = [name, id, stack_name, environment]
        .into_iter()
        .chain(depends_on);
    let mut paths = asset_manifests.iter().chain([template]);
    names.all(|it| it.chars().count() <= NAME)
        && paths.all(|it| it.chars().count() <= PATH)
        && asset_manifests.len() <= MANIFESTS
        && depends_on.len() <= DEPENDENCIES
}
