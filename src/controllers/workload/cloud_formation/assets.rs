//! What a template refers to by local paths, as `sam build` leaves it: packaged, and kept in the Target's artifact
//! bucket, where CloudFormation reads it.
//!
//! Packages are kept under the digest of their files as `packages/assets/<digest>.zip`, and files under the digest of
//! their bytes, there or as `templates/files/<digest>.<extension>`. So every Release with the same content refers to
//! the same object, and a Release that changes nothing of a function leaves its template as it is.

use std::collections::BTreeMap;

use futures::{FutureExt as _, future::BoxFuture};

use super::{kept, text::text_at};
use crate::{
    controllers::{
        access::Access,
        workload::{
            archive::{Archive, package},
            by_digest,
        },
    },
    domain::{
        archive::{EntryKind, PACKAGE_SIZE, ZipEntry},
        digest::Sha256,
        limits,
        workload::cloud_formation::{
            ASSETS_PREFIX, FILES_PREFIX, Form, LocalPath, Location, Packaging, TemplateSource,
            object_url, resolve,
        },
    },
    ports::{CallError, store::ByteStream},
};

/// How deep templates may be nested in each other.
const DEPTH: usize = 5;

/// How a zip begins, and so do .jar and .war files.
const ZIP: &[u8] = b"PK\x03\x04";

/// The text of the template at this path in the archive, with the locations of what it refers to by local paths.
pub async fn packaged(
    access: &Access,
    archive: &Archive,
    entries: &[ZipEntry],
    path: &str,
    text: String,
) -> Result<String, CallError> {
    let mut assets = Assets {
        access,
        archive,
        entries,
        kept: BTreeMap::new(),
    };
    assets.packaged(path, text, DEPTH).await
}

/// Refuses local paths in a template that is an artifact by itself.
pub fn refuse_local_paths(archive: &Archive, text: &str) -> Result<(), CallError> {
    let packaging = Packaging::read(text).map_err(|why| archive.unfit(why))?;
    let Some(local) = packaging.paths().first() else {
        return Ok(());
    };
    let why = "the artifact has only the template: let it be a folder with the template and all that it refers to, \
               such as .aws-sam/build, and set template to the path of the template in it";
    Err(archive.unfit(unpackaged(local, why)))
}

/// Why a file of this size is too large.
pub fn too_large_for_a_package(size: u64) -> Option<String> {
    let is_too_large = size > PACKAGE_SIZE;
    is_too_large.then(|| format!("it has {size} bytes, more than the limit of {PACKAGE_SIZE}"))
}

fn unpackaged(local: &LocalPath, why: &str) -> String {
    let LocalPath {
        place, line, path, ..
    } = local;
    format!("{place} (line {line}) refers to {path:?}, which can't be packaged: {why}")
}

struct Assets<'a> {
    access: &'a Access,
    archive: &'a Archive,
    entries: &'a [ZipEntry],
    /// What is kept already, by its path in the archive.
    kept: BTreeMap<(String, Form), Location>,
}

impl Assets<'_> {
    async fn packaged(
        &mut self,
        path: &str,
        text: String,
        depth: usize,
    ) -> Result<String, CallError> {
        let packaging = Packaging::read(&text).map_err(|why| self.archive.unfit(why))?;
        let mut locations = Vec::with_capacity(packaging.paths().len());
        for local in packaging.paths() {
            let location = match resolve(path, &local.path) {
                Ok(at) => self.location(local, at, depth).await?,
                Err(why) => return Err(self.archive.unfit(unpackaged(local, &why))),
            };
            locations.push(location);
        }
        Ok(packaging.packaged(&locations))
    }

    async fn location(
        &mut self,
        local: &LocalPath,
        at: String,
        depth: usize,
    ) -> Result<Location, CallError> {
        let key = (at, local.form);
        if let Some(kept) = self.kept.get(&key) {
            return Ok(kept.clone());
        }
        if self.kept.len() >= limits::RESOURCES {
            let why = format!("a template may have {} resources", limits::RESOURCES);
            return Err(self.archive.unfit(unpackaged(local, &why)));
        }
        let (at, form) = &key;
        let location = match form {
            Form::Template => self.template(at, depth).await,
            Form::File => self.text(at).await,
            Form::Zip | Form::Bundle => self.package(at, *form).await,
        };
        let location = location.map_err(|error| CallError {
            message: unpackaged(local, &error.message),
            ..error
        })?;
        self.kept.insert(key, location.clone());
        Ok(location)
    }

    /// The zip of a folder or of a single file; a file that is a package already stays as it is.
    async fn package(&self, at: &str, form: Form) -> Result<Location, CallError> {
        let mut files = (self.entries.iter()).filter(|entry| entry.kind == EntryKind::File);
        let file = files.find(|entry| *entry.name == *at.as_bytes());
        if let Some(file) = file
            && (form == Form::Bundle || self.archive.begins_with(at, &file.packed, ZIP).await?)
        {
            return self.file(ASSETS_PREFIX, at, file).await;
        }
        let (digest, body) = package(self.archive, self.entries, at).await?;
        let key = format!("{ASSETS_PREFIX}/{digest}.zip");
        self.keep(key, digest, body).await
    }

    /// A file that CloudFormation, or the service of the resource, reads as it is.
    async fn text(&self, at: &str) -> Result<Location, CallError> {
        let file = self.archive.find(self.entries, at)?;
        self.file(FILES_PREFIX, at, file).await
    }

    /// A file as it is.
    async fn file(&self, prefix: &str, at: &str, file: &ZipEntry) -> Result<Location, CallError> {
        if let Some(why) = too_large_for_a_package(file.packed.size) {
            return Err(self.archive.unfit(why));
        }
        let digest = self.archive.digest(at, &file.packed).await?;
        let body = self.archive.file(at, file.packed, digest);
        let key = format!("{prefix}/{digest}{}", extension(at));
        self.keep(key, digest, body).await
    }

    /// A nested template, with what it refers to itself.
    fn template<'a>(
        &'a mut self,
        at: &'a str,
        depth: usize,
    ) -> BoxFuture<'a, Result<Location, CallError>> {
        async move {
            if depth == 0 {
                let why = format!("templates are nested more than {DEPTH} levels deep");
                return Err(self.archive.unfit(why));
            }
            let entry = self.archive.find(self.entries, at)?;
            let text = text_at(self.archive, entry, at).await?;
            let text = self.packaged(at, text, depth - 1).await?;
            let stored = kept::keep(self.access, &text).await?;
            let TemplateSource::Stored { bucket, key, .. } = stored else {
                return Err(self.archive.changed());
            };
            Ok(self.at(bucket, key))
        }
        .boxed()
    }

    /// Uploads an object, unless it is there.
    async fn keep(
        &self,
        key: String,
        digest: Sha256,
        body: ByteStream,
    ) -> Result<Location, CallError> {
        let store = &*self.access.store;
        if by_digest::existing(store, &key, digest).await?.is_none() {
            let metadata = by_digest::metadata(digest);
            store.upload(&key, body, &metadata).await?;
        }
        Ok(self.at(store.bucket().to_owned(), key))
    }

    fn at(&self, bucket: String, key: String) -> Location {
        let url = object_url(self.access.region(), &bucket, &key, None);
        Location { bucket, key, url }
    }
}

/// The extension of a file's name with its dot, if it is an ordinary one.
fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rfind('.').map_or("", |dot| &name[dot..]);
    let is_ordinary = extension.chars().skip(1).all(|c| c.is_ascii_alphanumeric());
    if is_ordinary && extension.len() <= 8 {
        extension
    } else {
        ""
    }
}
