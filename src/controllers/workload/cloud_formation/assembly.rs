//! Cloud assemblies: read once for a Release, and the files of their stacks published, as `cdk deploy` does.

use std::collections::{BTreeSet, VecDeque};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{asset_bucket::AssetBucket, text::text_at};
use crate::{
    api::v1alpha1::CloudAssembly,
    controllers::{access::Access, context::Context, workload::archive::Archive},
    domain::{
        archive::ZipEntry,
        digest::Sha256,
        workload::cloud_formation::{FileAsset, Manifest, StackInAssembly, file_assets},
    },
    ports::CallError,
};

/// The manifest in the folder of an assembly.
const MANIFEST_NAME: &str = "manifest.json";

/// The most bytes of a manifest.
const MANIFEST: u64 = 8 << 20;

/// The most assemblies in an assembly, itself included.
const ASSEMBLIES: usize = 100;

/// The most stacks that a Release can hold.
const STACKS: usize = 200;

/// How many files are published concurrently.
const AT_A_TIME: usize = 4;

/// The assembly in this folder of an archive, nested assemblies included.
pub async fn read_assembly(archive: &Archive, assembly: &str) -> Result<CloudAssembly, CallError> {
    let entries = archive.entries().await?;
    let mut stacks = Vec::new();
    let mut seen = BTreeSet::from([assembly.to_owned()]);
    let mut folders = VecDeque::from([assembly.to_owned()]);
    while let Some(folder) = folders.pop_front() {
        let path = if folder.is_empty() {
            MANIFEST_NAME.to_owned()
        } else {
            format!("{folder}/{MANIFEST_NAME}")
        };
        let unfit = |why: String| archive.unfit(format!("{path}: {why}"));
        let text = read(archive, &entries, &path).await?;
        let manifest = Manifest::read(&text).map_err(unfit)?;
        stacks.extend(manifest.stacks(assembly, &folder).map_err(unfit)?);
        for nested in manifest.nested(assembly, &folder).map_err(unfit)? {
            if seen.insert(nested.clone()) {
                folders.push_back(nested);
            }
        }
        if seen.len() > ASSEMBLIES || stacks.len() > STACKS {
            return Err(archive.unfit(format!(
                "the assembly {assembly} has more than {STACKS} stacks or {ASSEMBLIES} nested assemblies: let the job \
                 synthesize fewer of them"
            )));
        }
    }
    Ok(CloudAssembly {
        folder: assembly.to_owned(),
        stacks,
    })
}

/// The text of the template of this stack, once all files that it refers to are published.
pub async fn published(
    context: &Context,
    access: &Access,
    archive: &Archive,
    entries: &[ZipEntry],
    wanted: &StackInAssembly,
) -> Result<String, CallError> {
    let template = &wanted.stack.template;
    let entry = archive.find(entries, template)?;
    let text = text_at(archive, entry, template).await?;
    if wanted.stack.asset_manifests.is_empty() && text.contains("AssetParameters") {
        return Err(archive.unfit(format!(
            "{template} has parameters for its files, as the LegacyStackSynthesizer makes them: use the \
             DefaultStackSynthesizer"
        )));
    }
    let (own, assets): (Vec<_>, Vec<_>) = assets(archive, entries, wanted)
        .await?
        .into_iter()
        .partition(|asset| asset.path == *template);
    // The template is passed on from the artifact bucket, so it needs no copy. Its id is the digest of its text.
    let digest = Sha256::of(text.as_bytes()).to_string();
    if let Some(other) = own.iter().find(|asset| asset.id != digest) {
        let why = format!(
            "{template} was changed after cdk synth: its digest is {digest}, and the assembly has {}",
            other.id
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
    // Created before they are streamed: a closure in the stream would have to hold for any lifetime.
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

/// The file assets of a stack.
async fn assets(
    archive: &Archive,
    entries: &[ZipEntry],
    wanted: &StackInAssembly,
) -> Result<Vec<FileAsset>, CallError> {
    let mut assets = Vec::new();
    for path in &wanted.stack.asset_manifests {
        let text = read(archive, entries, path).await?;
        let listed = file_assets(&text, &wanted.assembly, path, &wanted.bootstrap);
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
