//! Stacks of CDK apps: their templates, with the files that these refer to published first, as `cdk deploy` does.

use std::collections::{BTreeSet, VecDeque};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{asset_bucket::AssetBucket, text::text_at};
use crate::{
    controllers::{access::Access, context::Context, workload::archive::Archive},
    domain::{
        archive::ZipEntry,
        digest::Sha256,
        workload::cloud_formation::{
            AssemblyStack, FileAsset, Manifest, StackInAssembly, file_assets, select,
        },
    },
    ports::CallError,
};

/// The most bytes of a manifest.
const MANIFEST: u64 = 8 << 20;

/// The most assemblies in an assembly, itself included.
const ASSEMBLIES: usize = 100;

/// How many files are published concurrently.
const AT_A_TIME: usize = 4;

/// The text of the template of this stack, once all files that it refers to are published.
pub async fn published(
    context: &Context,
    access: &Access,
    archive: &Archive,
    entries: &[ZipEntry],
    wanted: &StackInAssembly,
) -> Result<String, CallError> {
    let stacks = stacks(archive, entries, &wanted.assembly).await?;
    let stack = select(&stacks, &wanted.stack).map_err(|why| archive.unfit(why))?;
    if let Some(why) = wanted.bootstrap.refusal(stack) {
        return Err(archive.unfit(why));
    }
    let entry = archive.find(entries, &stack.template)?;
    let text = text_at(archive, entry, &stack.template).await?;
    let (own, assets): (Vec<_>, Vec<_>) = assets(archive, entries, stack, wanted)
        .await?
        .into_iter()
        .partition(|asset| asset.path == stack.template);
    // The template is passed on from the artifact bucket, so it needs no copy. Its id is the digest of its text.
    let digest = Sha256::of(text.as_bytes()).to_string();
    if let Some(other) = own.iter().find(|asset| asset.id != digest) {
        let why = format!(
            "{} was changed after cdk synth: its digest is {digest}, and the assembly has {}",
            stack.template, other.id
        );
        return Err(archive.unfit(why));
    }
    if assets.is_empty() {
        return Ok(text);
    }
    let bucket = AssetBucket {
        store: access.assets(context, &wanted.bootstrap).await?,
        archive,
        entries,
    };
    let mut publishing = Vec::with_capacity(assets.len());
    for asset in &assets {
        publishing.push(bucket.publish(asset));
    }
    let () = stream::iter(publishing)
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    Ok(text)
}

/// The stacks of an assembly, those of nested assemblies included.
async fn stacks(
    archive: &Archive,
    entries: &[ZipEntry],
    assembly: &str,
) -> Result<Vec<AssemblyStack>, CallError> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([assembly.to_owned()]);
    let mut folders = VecDeque::from([assembly.to_owned()]);
    while let Some(folder) = folders.pop_front() {
        let path = format!("{folder}/manifest.json");
        let unfit = |why: String| archive.unfit(format!("{path}: {why}"));
        let text = read(archive, entries, &path).await?;
        let manifest = Manifest::read(&text).map_err(unfit)?;
        found.extend(manifest.stacks(assembly, &folder).map_err(unfit)?);
        for nested in manifest.nested(assembly, &folder).map_err(unfit)? {
            if seen.insert(nested.clone()) {
                folders.push_back(nested);
            }
        }
        if seen.len() > ASSEMBLIES {
            let why = format!("the assembly has more than {ASSEMBLIES} nested assemblies");
            return Err(archive.unfit(why));
        }
    }
    Ok(found)
}

/// The file assets of a stack.
async fn assets(
    archive: &Archive,
    entries: &[ZipEntry],
    stack: &AssemblyStack,
    wanted: &StackInAssembly,
) -> Result<Vec<FileAsset>, CallError> {
    let mut assets = Vec::new();
    for path in &stack.asset_manifests {
        let text = read(archive, entries, path).await?;
        let listed = file_assets(&text, &wanted.assembly, stack, &wanted.bootstrap);
        let listed = listed.map_err(|why| archive.unfit(format!("{path}: {why}")))?;
        assets.extend(listed);
    }
    Ok(assets)
}

/// A manifest in the archive.
async fn read(archive: &Archive, entries: &[ZipEntry], path: &str) -> Result<Vec<u8>, CallError> {
    let packed = &archive.find(entries, path)?.packed;
    if packed.size > MANIFEST {
        let size = packed.size;
        let why = format!("{path} has {size} bytes, more than the limit of {MANIFEST}");
        return Err(archive.unfit(why));
    }
    archive.read(path, packed).await
}
