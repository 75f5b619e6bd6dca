//! Templates in the Target's artifact bucket, where CloudFormation reads them.
//!
//! A template is kept under the digest of its text, so that every Release and snapshot with the same text shares
//! one object: `templates/<sha256>.template`. `GetTemplate` replaces characters outside of ASCII, so a text with
//! such characters is also kept under the digest of what AWS would return: `templates/<sha256>.original`.

use bytes::Bytes;

use crate::{
    controllers::{access::Access, workload::by_digest},
    domain::{
        digest::Sha256,
        workload::cloud_formation::{TEMPLATES_PREFIX, TemplateDigests, TemplateSource},
    },
    ports::{CallError, CallErrorKind},
};

/// The template of a Release, which was kept when it was read.
pub async fn exact(access: &Access, digest: Sha256) -> Result<TemplateSource, CallError> {
    find_kept(access, [exact_key(digest)]).await
}

/// Keeps a template, unless it is there.
pub async fn keep(access: &Access, text: &str) -> Result<TemplateSource, CallError> {
    let digests = TemplateDigests::of(text);
    if !text.is_ascii() {
        put(access, &original_key(digests), digests.exact, text).await?;
    }
    put(access, &exact_key(digests.exact), digests.exact, text).await
}

/// The template of a snapshot, which was kept when the snapshot was taken.
pub async fn kept(access: &Access, digests: TemplateDigests) -> Result<TemplateSource, CallError> {
    find_kept(access, [original_key(digests), exact_key(digests.exact)]).await
}

async fn find_kept<const N: usize>(
    access: &Access,
    keys: [String; N],
) -> Result<TemplateSource, CallError> {
    let mut missing = String::new();
    for key in keys {
        if let Some(found) = access.store.head(&key).await? {
            return Ok(stored(access, key, found.version_id));
        }
        missing = key;
    }
    Err(CallError::new(
        "s3:GetObject",
        format!("{}/{missing}", access.store.bucket()),
        CallErrorKind::NotFound,
        "the template was removed from the artifact bucket",
    ))
}

fn exact_key(digest: Sha256) -> String {
    format!("{TEMPLATES_PREFIX}/{digest}.template")
}

fn original_key(digests: TemplateDigests) -> String {
    format!("{TEMPLATES_PREFIX}/{}.original", digests.returned)
}

async fn put(
    access: &Access,
    key: &str,
    digest: Sha256,
    text: &str,
) -> Result<TemplateSource, CallError> {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let version_id = by_digest::put(&*access.store, key, digest, bytes).await?;
    Ok(stored(access, key.to_owned(), version_id))
}

fn stored(access: &Access, key: String, version_id: String) -> TemplateSource {
    TemplateSource::Stored {
        bucket: access.store.bucket().to_owned(),
        key,
        version_id,
    }
}
