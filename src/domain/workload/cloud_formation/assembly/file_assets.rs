//! The asset manifest of a stack (`<stack>.assets.json`): files that its template refers to by bucket and key.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{bootstrap::Bootstrap, path::in_assembly};

/// S3's limit of the length of a key, in bytes.
const KEY: usize = 1024;

/// A file asset of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAsset {
    /// Its id, which CDK derives from its content or source.
    pub id: String,
    /// Its path in the archive.
    pub path: String,
    /// What is uploaded.
    pub form: AssetForm,
    /// Its key in the bucket of the bootstrap.
    pub key: String,
}

/// What is uploaded for an asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssetForm {
    /// The file as it is.
    #[default]
    File,
    /// A zip of the folder.
    Zip,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssetManifest {
    #[serde(default)]
    files: BTreeMap<String, File>,
    #[serde(default)]
    docker_images: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    source: FileSource,
    #[serde(default)]
    destinations: BTreeMap<String, Destination>,
}

#[derive(Deserialize)]
struct FileSource {
    path: Option<String>,
    #[serde(default)]
    packaging: AssetForm,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Destination {
    bucket_name: String,
    object_key: String,
    region: Option<String>,
    assume_role_arn: Option<String>,
}

/// The file assets in the asset manifest at this path, in the assembly with this folder. Fails unless each of them goes
/// to the bucket of the bootstrap.
pub fn file_assets(
    text: &[u8],
    assembly: &str,
    path: &str,
    bootstrap: &Bootstrap,
) -> Result<Vec<FileAsset>, String> {
    let manifest: AssetManifest = serde_json::from_slice(text)
        .map_err(|error| format!("it is not a manifest of assets: {error}"))?;
    if let Some(image) = manifest.docker_images.keys().next() {
        return Err(format!(
            "the stack has the Docker image asset {image}, which Sluice does not build: let a job of the pipeline push the \
             image, and refer to it by its digest, as in DockerImageCode.fromEcr(repository, {{tagOrDigest: \"sha256:…\"}})"
        ));
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut assets = Vec::new();
    for (
        id,
        File {
            source,
            destinations,
        },
    ) in manifest.files
    {
        let Some(path) = source.path else {
            return Err(format!(
                "a command makes the asset {id} when it is published, and Sluice runs none: let cdk synth bundle it"
            ));
        };
        let path = in_assembly(assembly, folder, &path)?;
        for (at, destination) in destinations {
            if is_elsewhere(&at, bootstrap) {
                continue;
            }
            assets.push(FileAsset {
                key: key(&id, &destination, bootstrap)?,
                path: path.clone(),
                form: source.packaging,
                id: id.clone(),
            });
        }
    }
    Ok(assets)
}

/// Whether a destination with this id is in another account or region: `<account>-<region>-<digest>`, with
/// `current_account` and `current_region` for those of any target. Stacks that share a synthesizer have one list of
/// assets, so that of a stack may have files, and destinations, of others.
fn is_elsewhere(id: &str, bootstrap: &Bootstrap) -> bool {
    let Some((account, rest)) = id.split_once('-') else {
        return false;
    };
    let is_account = account == "current_account" || account == bootstrap.account_id;
    let is = |region: &str| {
        let after = rest.strip_prefix(region);
        after.is_some_and(|after| after.is_empty() || after.starts_with('-'))
    };
    !(is_account && (is("current_region") || is(&bootstrap.region)))
}

/// The key of an asset at this destination.
fn key(id: &str, destination: &Destination, bootstrap: &Bootstrap) -> Result<String, String> {
    let bucket = bootstrap.expand(&destination.bucket_name);
    let role = destination.assume_role_arn.as_deref();
    let role = role.map(|role| bootstrap.expand(role));
    let region = destination.region.as_deref();
    let region = region.map(|region| bootstrap.expand(region));
    let is_bucket = bucket == bootstrap.bucket();
    let is_role = role.is_none_or(|role| role == bootstrap.publishing_role());
    let is_region = region.is_none_or(|region| region == bootstrap.region);
    if !(is_bucket && is_role && is_region) {
        return Err(format!(
            "the asset {id} goes to bucket {bucket}, and Sluice publishes assets only to {} with the role {}, which the \
             bootstrap with the qualifier {} of the target's account and region has: use that qualifier and the \
             DefaultStackSynthesizer with its own names, or set cdk.qualifier",
            bootstrap.bucket(),
            bootstrap.publishing_role(),
            bootstrap.qualifier
        ));
    }
    let key = bootstrap.expand(&destination.object_key);
    if key.is_empty() || key.len() > KEY || key.chars().any(char::is_control) {
        return Err(format!("the asset {id} has an invalid key"));
    }
    Ok(key)
}
