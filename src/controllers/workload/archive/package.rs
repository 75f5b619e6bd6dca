//! Packages of code, made of a folder of an archive and kept in an artifact bucket.
//!
//! The files are hashed first. Only a package that is not there is uploaded, and its packed bytes are copied from the
//! archive as they are, so that memory holds one piece and the directory.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::{reader::Archive, unpack::Tape};
use crate::{
    domain::{
        archive::{
            Mode, PackageFile, PackageProblem, Writer, ZipEntry, is_link_inside, package_digest,
            package_files, runs,
        },
        digest::Sha256,
    },
    ports::{CallError, store::ByteStream},
};

/// The package of a folder (empty for the whole archive): its digest, and its bytes as a stream that reads nothing
/// before the first poll.
pub async fn package(
    archive: &Archive,
    entries: &[ZipEntry],
    folder: &str,
) -> Result<(Sha256, ByteStream), CallError> {
    let files = package_files(entries, folder).map_err(|why| archive.unfit(why))?;
    check_links(archive, &files).await?;
    let packed = files.iter().map(|(path, file)| (path, &file.packed));
    let digests = archive.digests(packed).await?;
    let hashed = files.iter().filter_map(|(path, file)| {
        let digest = digests.get(path)?;
        Some((path.as_str(), file.mode, *digest))
    });
    let digest = package_digest(hashed);
    Ok((digest, zipped(archive.clone(), files)))
}

async fn check_links(
    archive: &Archive,
    files: &BTreeMap<String, PackageFile>,
) -> Result<(), CallError> {
    for (path, file) in files.iter().filter(|(_, file)| file.mode == Mode::Link) {
        let target = archive.read(path, &file.packed).await?;
        if !is_link_inside(path, &String::from_utf8_lossy(&target)) {
            return Err(archive.unfit(PackageProblem::LinkOutside(path.clone())));
        }
    }
    Ok(())
}

/// Files that are adjacent in the archive.
struct Part {
    start: u64,
    end: u64,
    files: VecDeque<(String, PackageFile)>,
}

/// The part that is being read.
struct Reading {
    tape: Tape,
    files: VecDeque<(String, PackageFile)>,
    /// How many packed bytes remain of the present file.
    left: u64,
}

/// A zip that is being written.
struct Zipping {
    archive: Archive,
    parts: VecDeque<Part>,
    reading: Option<Reading>,
    /// Absent once the zip is complete.
    writer: Option<Writer>,
}

/// The bytes of the zip with these files.
fn zipped(archive: Archive, mut files: BTreeMap<String, PackageFile>) -> ByteStream {
    let packed: BTreeMap<String, _> = files
        .iter()
        .map(|(path, file)| (path.clone(), file.packed))
        .collect();
    let parts = runs(&packed).into_iter().map(|run| Part {
        start: run.start,
        end: run.end,
        files: (run.files.into_iter())
            .filter_map(|(path, _)| files.remove_entry(path))
            .collect(),
    });
    let zipping = Zipping {
        archive,
        parts: parts.collect(),
        reading: None,
        writer: Some(Writer::default()),
    };
    let pieces = stream::unfold(Some(zipping), |zipping| async move {
        let mut zipping = zipping?;
        match zipping.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(zipping))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    pieces.boxed()
}

impl Zipping {
    /// The next bytes; `None` once the zip is complete.
    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        while let Some(writer) = &mut self.writer {
            let Some(reading) = &mut self.reading else {
                let Some(Part { start, end, files }) = self.parts.pop_front() else {
                    return Ok(self.writer.take().map(|writer| writer.finish().into()));
                };
                let tape = self.archive.tape(start, end).await?;
                let left = 0;
                self.reading = Some(Reading { tape, files, left });
                continue;
            };
            if reading.left > 0 {
                let piece = reading.tape.next(reading.left).await?;
                reading.left -= piece.len() as u64;
                return Ok(Some(piece));
            }
            if let Some((path, file)) = reading.files.pop_front() {
                reading.tape.skip_to_bytes_of(&path, &file.packed).await?;
                reading.left = file.packed.length;
                return Ok(Some(writer.begin(&path, &file).into()));
            }
            self.reading = None;
        }
        Ok(None)
    }
}
