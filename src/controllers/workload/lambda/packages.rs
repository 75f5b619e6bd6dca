//! Packages in the Target's artifact bucket.
//!
//! A package is kept under its digest, so that every Release and every snapshot that needs the same
//! bytes shares one object: `packages/<sha256>.zip`.

use futures::StreamExt as _;

use crate::{
    api::v1alpha1::StoreLocation,
    controllers::{
        access::Access,
        context::Context,
        workload::{by_digest, hub::hub},
    },
    domain::{
        digest::{Hasher, Sha256},
        workload::lambda::{
            CodeLocation, DesiredFunction, FunctionSnapshot, LatestSnapshot, PACKAGES_PREFIX,
        },
    },
    ports::{CallError, CallErrorKind, store::ByteStream},
};

/// Copies the package of a Release into the Target's bucket, unless it is there.
pub async fn copy(
    context: &Context,
    access: &Access,
    want: &DesiredFunction,
) -> Result<CodeLocation, CallError> {
    if let Some(there) = existing(access, want.code_sha256).await? {
        return Ok(there);
    }
    let package = open_in_hub(context, &want.package).await?;
    keep(context, access, want.code_sha256, package).await
}

/// Finds the package of a snapshot, which was kept when the snapshot was taken.
pub async fn find(access: &Access, digest: Sha256) -> Result<CodeLocation, CallError> {
    existing(access, digest).await?.ok_or_else(|| {
        CallError::new(
            "s3:GetObject",
            format!("{}/{}", access.store.bucket(), key(digest)),
            CallErrorKind::NotFound,
            "the snapshot's package was removed from the artifact bucket",
        )
    })
}

/// Keeps the package of a function that a run may change.
pub async fn keep_former(
    context: &Context,
    access: &Access,
    function: &FunctionSnapshot,
) -> Result<(), CallError> {
    let Some(digest) = function.latest.as_ref().and_then(LatestSnapshot::digest) else {
        return Ok(());
    };
    if existing(access, digest).await?.is_none() {
        let package = access.functions.package(&function.function_name).await?;
        keep(context, access, digest, package).await?;
    }
    Ok(())
}

fn key(digest: Sha256) -> String {
    format!("{PACKAGES_PREFIX}/{digest}.zip")
}

fn location(access: &Access, digest: Sha256, version_id: String) -> CodeLocation {
    CodeLocation {
        bucket: access.store.bucket().to_owned(),
        key: key(digest),
        version_id,
    }
}

async fn existing(access: &Access, digest: Sha256) -> Result<Option<CodeLocation>, CallError> {
    let found = by_digest::existing(&*access.store, &key(digest), digest).await?;
    Ok(found.map(|version_id| location(access, digest, version_id)))
}

/// Keeps a package, refusing bytes that are not what the digest says.
async fn keep(
    context: &Context,
    access: &Access,
    digest: Sha256,
    (length, bytes): (u64, ByteStream),
) -> Result<CodeLocation, CallError> {
    let version_id = access
        .store
        .upload(
            &key(digest),
            verified(bytes, digest),
            &by_digest::metadata(digest),
        )
        .await?;
    context.metrics.transferred_out(length);
    Ok(location(access, digest, version_id))
}

async fn open_in_hub(
    context: &Context,
    at: &StoreLocation,
) -> Result<(u64, ByteStream), CallError> {
    let store = hub(context, at).await?;
    store.open(&at.key, &at.version_id).await
}

/// Passes bytes on, and ends in an error if their digest differs.
fn verified(bytes: ByteStream, digest: Sha256) -> ByteStream {
    let state = (bytes, Some(Hasher::default()));
    futures::stream::unfold(state, move |(mut bytes, hasher)| async move {
        let mut hasher = hasher?;
        match bytes.next().await {
            Some(Ok(piece)) => {
                hasher.update(&piece);
                Some((Ok(piece), (bytes, Some(hasher))))
            }
            Some(Err(error)) => Some((Err(error), (bytes, None))),
            None if hasher.finish() == digest => None,
            None => {
                let error = CallError::new(
                    "s3:PutObject",
                    key(digest),
                    CallErrorKind::Corrupt,
                    "the bytes are not those that the Release pinned: their digest differs",
                );
                Some((Err(error), (bytes, None)))
            }
        }
    })
    .boxed()
}
