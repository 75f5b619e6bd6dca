//! Templates: read from artifacts, and kept in the Target's artifact bucket, where CloudFormation reads them.
//!
//! A template is kept under the digest of its text, so that every Release and snapshot with the same text shares
//! one object: `templates/<sha256>.template`. `GetTemplate` replaces characters outside of ASCII, so a text with
//! such characters is also kept under the digest of what AWS would return: `templates/<sha256>.original`.

use bytes::Bytes;

use crate::{
    controllers::{
        access::Access,
        context::Context,
        workload::{
            archive::{Archive, Unpacking, whole_body},
            by_digest,
            hub::hub,
        },
    },
    domain::{
        archive::{EntryKind, method_name, normal},
        digest::Sha256,
        limits, names,
        workload::cloud_formation::{
            Source, TEMPLATES_PREFIX, TemplateDigests, TemplateFile, TemplateSource, too_large,
        },
    },
    ports::{CallError, CallErrorKind},
};

/// The template of a Release, and what CloudFormation finds in it.
pub async fn source(
    context: &Context,
    access: &Access,
    stack: &str,
    file: &TemplateFile,
) -> Result<Source, CallError> {
    let text = match text_of(context, file).await {
        Ok(text) => text,
        Err(error) if error.kind == CallErrorKind::Invalid => {
            return Ok(Source::Invalid(error.message));
        }
        Err(error) => return Err(error),
    };
    let template = keep(access, &text).await?;
    match access
        .stacks(context)
        .await?
        .summary(stack, &template)
        .await
    {
        Ok(summary) => Ok(Source::Template {
            digests: TemplateDigests::of(&text),
            summary: Box::new(summary),
        }),
        Err(error) if error.kind == CallErrorKind::Invalid => Ok(Source::Invalid(error.message)),
        Err(error) => Err(error),
    }
}

/// The template of a Release, where CloudFormation can read it.
pub async fn of_release(
    context: &Context,
    access: &Access,
    file: &TemplateFile,
) -> Result<TemplateSource, CallError> {
    keep(access, &text_of(context, file).await?).await
}

/// Keeps a template, unless it is there.
pub async fn keep(access: &Access, text: &str) -> Result<TemplateSource, CallError> {
    let digests = TemplateDigests::of(text);
    if !text.is_ascii() {
        put(access, &original_key(digests), digests.exact, text).await?;
    }
    put(access, &key(digests), digests.exact, text).await
}

/// The template of a snapshot, which was kept when the snapshot was taken.
pub async fn kept(access: &Access, digests: TemplateDigests) -> Result<TemplateSource, CallError> {
    for key in [original_key(digests), key(digests)] {
        if let Some(found) = access.store.head(&key).await? {
            return Ok(stored(access, key, found.version_id));
        }
    }
    Err(CallError::new(
        "s3:GetObject",
        format!("{}/{}", access.store.bucket(), key(digests)),
        CallErrorKind::NotFound,
        "the snapshot's template was removed from the artifact bucket",
    ))
}

fn key(digests: TemplateDigests) -> String {
    format!("{TEMPLATES_PREFIX}/{}.template", digests.exact)
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

/// Reads the text of a template from the hub.
async fn text_of(context: &Context, file: &TemplateFile) -> Result<String, CallError> {
    let archive = Archive {
        store: hub(context, &file.location).await?,
        key: file.location.key.clone(),
        version_id: file.location.version_id.clone(),
        size: file.size,
        origin: file.origin.clone(),
    };
    let bytes = match &file.path {
        Some(path) => entry(&archive, path).await?,
        None => whole(&archive, file.sha256).await?,
    };
    if bytes.is_empty() {
        return Err(archive.unfit("the template is empty"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        archive.unfit(format!("the template is not UTF-8 text: see byte {at}"))
    })
}

async fn whole(archive: &Archive, sha256: Sha256) -> Result<Vec<u8>, CallError> {
    if archive.size > limits::TEMPLATE {
        return Err(archive.unfit(too_large(archive.size)));
    }
    let (_, body) = archive
        .store
        .open(&archive.key, &archive.version_id)
        .await?;
    let bytes = whole_body(body).await?;
    if Sha256::of(&bytes) == sha256 {
        return Ok(bytes);
    }
    let why = "the bytes are not those that the Release pinned: their digest differs";
    Err(CallError::new(
        "s3:GetObject",
        archive.uri(),
        CallErrorKind::Corrupt,
        why,
    ))
}

async fn entry(archive: &Archive, path: &str) -> Result<Vec<u8>, CallError> {
    let entries = archive.entries().await?;
    let name = normal(path.as_bytes());
    let mut found = entries.iter().filter(|entry| *entry.name == *name);
    let Some(entry) = found.next() else {
        let names = entries
            .iter()
            .filter_map(|entry| std::str::from_utf8(&entry.name).ok());
        let near = names::but(path, names);
        return Err(archive.unfit(format!("there is no file {path} in it{near}")));
    };
    if found.next().is_some() {
        return Err(archive.unfit(format!("it has more than one file {path}")));
    }
    match entry.kind {
        EntryKind::File => {}
        EntryKind::Directory => return Err(archive.unfit(format!("{path} is a folder"))),
        EntryKind::SymbolicLink => {
            return Err(archive.unfit(format!("{path} is a symbolic link: pack the file itself")));
        }
        EntryKind::UnknownMethod(method) => {
            let method = method_name(i32::from(method));
            return Err(archive.unfit(format!(
                "{path} is compressed by {method}: store or deflate it"
            )));
        }
    }
    if entry.packed.size > limits::TEMPLATE {
        return Err(archive.unfit(too_large(entry.packed.size)));
    }
    let mut tape = archive.tape(entry.packed.start, entry.packed.end).await?;
    let mut unpacking = Unpacking::begin(path, &entry.packed, &mut tape).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = unpacking.next(&mut tape).await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
