//! Templates of Releases: read from artifacts, packaged, kept and judged.

use super::{
    assembly, assets, kept,
    text::{text, text_at},
};
use crate::{
    controllers::{
        access::Access,
        context::Context,
        workload::{
            archive::{Archive, whole_body},
            hub::hub,
        },
    },
    domain::{
        digest::Sha256,
        limits,
        workload::cloud_formation::{Source, TemplateAt, TemplateDigests, TemplateFile, too_large},
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
    let template = kept::keep(access, &text).await?;
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

/// Reads the text of a template from the hub, and keeps or publishes the files that it refers to.
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
    let text = match &file.at {
        TemplateAt::Whole => {
            let text = whole(&archive, file.sha256).await?;
            assets::refuse_local_paths(&archive, &text)?;
            text
        }
        TemplateAt::File(path) => {
            let entries = archive.entries().await?;
            let entry = archive.find(&entries, path)?;
            let text = text_at(&archive, entry, path).await?;
            assets::packaged(access, &archive, &entries, path, text).await?
        }
        TemplateAt::Assembly(stack) => {
            let entries = archive.entries().await?;
            assembly::published(context, access, &archive, &entries, stack).await?
        }
    };
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
