//! The bucket of file assets of a CDK bootstrap.
//!
//! # Guarantees
//! - An object is created and never replaced, because all tenants of the account may share the bucket.
//! - An object that exists is used only if it has the content of the asset, whoever created it: its key alone proves
//!   nothing.

use std::sync::Arc;

use futures::StreamExt as _;

use super::assets::too_large_for_a_package;
use crate::{
    controllers::workload::{
        archive::{Archive, package},
        by_digest,
    },
    domain::{
        archive::ZipEntry,
        digest::{Hasher, Sha256},
        workload::cloud_formation::{AssetForm, FileAsset},
    },
    ports::{
        CallError, CallErrorKind,
        store::{ByteStream, SHA256, Store, StoredObject},
    },
};

/// The bucket of file assets, and the archive that they come from.
pub struct AssetBucket<'a> {
    /// The bucket, in which nothing is replaced.
    pub store: Arc<dyn Store>,
    /// The archive of the assembly.
    pub archive: &'a Archive,
    /// Its entries.
    pub entries: &'a [ZipEntry],
}

impl AssetBucket<'_> {
    /// Uploads an asset, unless it is there.
    pub async fn publish(&self, asset: &FileAsset) -> Result<(), CallError> {
        let (digest, body) = self.content(asset).await?;
        if let Some(found) = self.store.head(&asset.key).await? {
            return self.check(asset, digest, found).await;
        }
        let metadata = by_digest::metadata(digest);
        match self.store.upload(&asset.key, body, &metadata).await {
            // Another Target was first, or the reply to our own write was lost.
            Err(error) if error.kind == CallErrorKind::Stale => {
                match self.store.head(&asset.key).await? {
                    Some(found) => self.check(asset, digest, found).await,
                    None => Err(error),
                }
            }
            uploaded => uploaded.map(|_| ()),
        }
    }

    /// The digest of an asset, and its bytes.
    async fn content(&self, asset: &FileAsset) -> Result<(Sha256, ByteStream), CallError> {
        let FileAsset { path, form, .. } = asset;
        match form {
            AssetForm::Zip => package(self.archive, self.entries, path).await,
            AssetForm::File => {
                let packed = self.archive.find(self.entries, path)?.packed;
                if let Some(why) = too_large_for_a_package(packed.size) {
                    return Err(self.archive.unfit(format!("{path}: {why}")));
                }
                let digest = self.archive.digest(path, &packed).await?;
                Ok((digest, self.archive.file(path, packed, digest)))
            }
        }
    }

    /// Checks that an object has the content of the asset.
    async fn check(
        &self,
        asset: &FileAsset,
        digest: Sha256,
        found: StoredObject,
    ) -> Result<(), CallError> {
        // Sluice's own sessions can't set this for other bytes.
        if found.metadata.get(SHA256) == Some(&digest.to_string()) {
            return Ok(());
        }
        let object = Archive {
            store: Arc::clone(&self.store),
            key: asset.key.clone(),
            version_id: found.version_id,
            size: found.size,
            origin: format!("asset {}", asset.id),
        };
        let is_same = match content_of(&object, asset.form).await {
            Ok(other) => other == digest,
            Err(error) if error.kind == CallErrorKind::Invalid => false,
            Err(error) => return Err(error),
        };
        if is_same {
            return Ok(());
        }
        Err(self.archive.unfit(format!(
            "the asset {} can't be published, because {} exists and has other content. Another build made it under the same \
             hash: let the hash be that of the files (AssetHashType.OUTPUT), not of their source, and run cdk synth again",
            asset.id,
            object.uri()
        )))
    }
}

/// The digest of an object, as [`AssetBucket::content`] has that of an asset.
async fn content_of(object: &Archive, form: AssetForm) -> Result<Sha256, CallError> {
    match form {
        AssetForm::Zip => {
            let entries = object.entries().await?;
            package(object, &entries, "")
                .await
                .map(|(digest, _)| digest)
        }
        AssetForm::File => {
            let (_, body) = object.store.open(&object.key, &object.version_id).await?;
            digest_of(body).await
        }
    }
}

async fn digest_of(mut body: ByteStream) -> Result<Sha256, CallError> {
    let mut hasher = Hasher::default();
    while let Some(piece) = body.next().await {
        hasher.update(&piece?);
    }
    Ok(hasher.finish())
}
