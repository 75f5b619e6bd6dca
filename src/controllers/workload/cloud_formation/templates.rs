//! Templates: read from artifacts, packaged, and kept in the Target's artifact bucket, where CloudFormation reads them.
//!
//! A template is kept under the digest of its text, so that every Release and snapshot with the same text shares
//! one object: `templates/<sha256>.template`. `GetTemplate` replaces characters outside of ASCII, so a text with
//! such characters is also kept under the digest of what AWS would return: `templates/<sha256>.original`.

use bytes::Bytes;

use super::assets;
use crate::{
    controllers::{
        access::Access,
        context::Context,
        workload::{
            archive::{Archive, whole_body},
            by_digest,
            hub::hub,
        },
    },
    domain::{
        archive::{EntryKind, ZipEntry, method_name, normal},
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
    let text = match text_of(context, access, file).await {
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

/// The template of a Release, which [`source`] has kept.
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

/// Reads the text of a template from the hub, and keeps what it refers to by local paths.
async fn text_of(
    context: &Context,
    access: &Access,
    file: &TemplateFile,
) -> Result<String, CallError> {
    let archive = Archive {
        store: hub(context, &file.location).await?,
        key: file.location.key.clone(),
        version_id: file.location.version_id.clone(),
        size: file.size,
        origin: file.origin.clone(),
    };
    let Some(path) = &file.path else {
        let text = whole(&archive, file.sha256).await?;
        assets::refuse_local_paths(&archive, &text)?;
        return Ok(text);
    };
    let entries = archive.entries().await?;
    let entry = find(&archive, &entries, path)?;
    let text = text_at(&archive, entry, path).await?;
    let text = assets::packaged(access, &archive, &entries, path, text).await?;
    match text.len() as u64 {
        size if size > limits::TEMPLATE => Err(archive.unfit(too_large(size))),
        _ => Ok(text),
    }
}

async fn whole(archive: &Archive, sha256: Sha256) -> Result<String, CallError> {
    if archive.size > limits::TEMPLATE {
        return Err(archive.unfit(too_large(archive.size)));
    }
    let (_, body) = archive
        .store
        .open(&archive.key, &archive.version_id)
        .await?;
    let bytes = whole_body(body).await?;
    if Sha256::of(&bytes) == sha256 {
        return text(archive, bytes);
    }
    let why = "the bytes are not those that the Release pinned: their digest differs";
    Err(CallError::new(
        "s3:GetObject",
        archive.uri(),
        CallErrorKind::Corrupt,
        why,
    ))
}

/// The file at this path in an archive.
pub fn find<'a>(
    archive: &Archive,
    entries: &'a [ZipEntry],
    path: &str,
) -> Result<&'a ZipEntry, CallError> {
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
    let why = match entry.kind {
        EntryKind::File => return Ok(entry),
        EntryKind::Directory => format!("{path} is a folder"),
        EntryKind::SymbolicLink => format!("{path} is a symbolic link: pack the file itself"),
        EntryKind::UnknownMethod(method) => {
            let method = method_name(i32::from(method));
            format!("{path} is compressed by {method}: store or deflate it")
        }
    };
    Err(archive.unfit(why))
}

/// The text of a template in an archive.
pub async fn text_at(archive: &Archive, entry: &ZipEntry, path: &str) -> Result<String, CallError> {
    if entry.packed.size > limits::TEMPLATE {
        return Err(archive.unfit(too_large(entry.packed.size)));
    }
    let bytes = archive.read(path, &entry.packed).await?;
    text(archive, bytes)
}

fn text(archive: &Archive, bytes: Vec<u8>) -> Result<String, CallError> {
    if bytes.is_empty() {
        return Err(archive.unfit("the template is empty"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        archive.unfit(format!("the template is not UTF-8 text: see byte {at}"))
    })
}
