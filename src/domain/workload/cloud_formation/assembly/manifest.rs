//! The manifest of a cloud assembly (`manifest.json`).
//!
//! Its shape is that of AWS's own schema, of which version 55 is the newest that is known here:
//! <https://github.com/aws/aws-cdk-cli/tree/main/packages/@aws-cdk/cloud-assembly-schema>. Each version of the schema
//! only adds fields, but may add some that must be obeyed, so newer ones are refused.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::path::in_assembly;
use crate::domain::outcome::shorten;

/// The newest version of the schema that is known.
const NEWEST: u64 = 55;

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

/// A stack of an assembly. Paths are paths in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssemblyStack {
    /// Its path in the app, as `cdk list` shows it: `Prod/Checkout`.
    pub display_name: String,
    /// Its id in the manifest.
    pub id: String,
    /// The name that CDK gives the stack in CloudFormation.
    pub stack_name: String,
    /// `aws://<account>/<region>`.
    pub environment: String,
    /// The folder of its manifest, to which the paths in its asset manifests are relative.
    pub folder: String,
    /// The template.
    pub template: String,
    /// The manifests of its assets.
    pub asset_manifests: Vec<String>,
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
            let name = it.properties.stack_name.as_ref().unwrap_or(id);
            Ok(AssemblyStack {
                display_name: it.display_name.as_ref().unwrap_or(id).clone(),
                id: id.clone(),
                stack_name: name.clone(),
                environment: it.environment.clone().ok_or_else(|| missing("environment"))?,
                folder: folder.to_owned(),
                template: in_assembly(assembly, folder, template)?,
                asset_manifests: self.assets_of(it, assembly, folder)?,
            })
        };
        stacks.map(of_stack).collect()
    }

    /// The asset manifests that an artifact depends on.
    fn assets_of(
        &self,
        artifact: &Artifact,
        assembly: &str,
        folder: &str,
    ) -> Result<Vec<String>, String> {
        let names = artifact.dependencies.iter();
        let assets = names.filter_map(|name| self.artifacts.get(name));
        let assets = assets.filter(|it| it.kind == ASSETS);
        let files = assets.filter_map(|it| it.properties.file.as_deref());
        files
            .map(|file| in_assembly(assembly, folder, file))
            .collect()
    }
}
