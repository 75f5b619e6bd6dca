//! The content of a zip, read from the directory at its end while the bytes pass through.
//!
//! This module unpacks nothing and keeps only the last [`TAIL`] bytes, which must contain the directory. It
//! does not use the `zip` crate, which also needs the bytes before the directory, and memory in proportion
//! to the number of entries.
//!
//! Relies on: the layout of APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16 (directory and Zip64).
//! Sizes are those of the directory. That suffices to refuse archives that are wrong by mistake; the code
//! that unpacks has its own limits. It finds the entries by the same reading of the directory ([`index`]), so
//! that it unpacks exactly what was checked when the archive was fetched.

mod directory;
mod index;
mod package;
mod problem;
mod runs;
mod writer;

#[cfg(test)]
mod tests;

use self::directory::walk;
pub use self::{
    index::{
        EntryKind, LOCAL_LENGTH, Packed, ZipEntry, backslashes, directory_length, index, inside,
        method_name, normal, similar_folders,
    },
    package::{
        LINK, Mode, PACKAGE_SIZE, PackageFile, PackageProblem, is_link_inside, package_digest,
        package_files,
    },
    problem::{ArchiveProblem, ENTRIES, RATIO, RATIO_FROM, TAIL},
    runs::{GAP, Run, runs},
    writer::Writer,
};
use crate::api::v1alpha1::{ArchiveSummary, UnsupportedEntry};

/// The maximum unpacked size of a function's code in bytes, layers included (AWS Lambda quotas).
pub const LAMBDA_UNPACKED: i64 = 262_144_000;

/// Keeps the last [`TAIL`] bytes of a stream.
#[derive(Debug, Default)]
pub struct Tail {
    ring: Vec<u8>,
    /// The position of the oldest byte, once the ring is full.
    start: usize,
    total: u64,
}

impl Tail {
    /// Takes the next piece.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let mut bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        let free = TAIL - self.ring.len();
        if free > 0 {
            let (now, rest) = bytes.split_at(free.min(bytes.len()));
            self.ring.extend_from_slice(now);
            bytes = rest;
        }
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at((TAIL - self.start).min(bytes.len()));
            self.ring[self.start..self.start + now.len()].copy_from_slice(now);
            self.start = (self.start + now.len()) % TAIL;
            bytes = rest;
        }
    }

    /// The total number of bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Reads the directory of the streamed archive.
    pub fn summarize(mut self) -> Result<ArchiveSummary, ArchiveProblem> {
        self.ring.rotate_left(self.start);
        summarize(&self.ring, self.total)
    }
}

/// Reads the directory of an archive of `size` bytes from its last bytes.
pub fn summarize(tail: &[u8], size: u64) -> Result<ArchiveSummary, ArchiveProblem> {
    let (mut bootstrap, mut unsupported, mut backslash) = (None, None, None);
    let summary = walk(tail, size, &mut |entry| {
        let name = index::normal(entry.name);
        if *name == *b"bootstrap" {
            bootstrap = Some(index::is_executable(entry));
        }
        if let EntryKind::UnknownMethod(method) = index::kind(entry) {
            unsupported.get_or_insert_with(|| UnsupportedEntry {
                name: entry.shown(),
                method: i32::from(method),
            });
        }
        if name.contains(&b'\\') {
            backslash.get_or_insert_with(|| entry.shown());
        }
        Ok(())
    })?;
    Ok(ArchiveSummary {
        executable_bootstrap: bootstrap,
        unsupported,
        backslash,
        ..summary
    })
}

/// Why this archive can't be unpacked to a bucket, as far as its summary shows; `None` if it can.
/// `problem` is the error of [`summarize`] in place of a summary; `tree` is the folder to unpack.
pub fn site_problem(
    archive: Option<&ArchiveSummary>,
    problem: Option<&str>,
    tree: &str,
) -> Option<String> {
    let why = match archive {
        None => problem.unwrap_or("it is not a zip archive").to_owned(),
        Some(archive) if archive.entries == 0 => "the archive is empty".to_owned(),
        Some(archive) => {
            let name = archive.backslash.as_deref()?;
            let path = name.replace('\\', "/");
            index::inside(path.as_bytes(), &index::normal(tree.as_bytes()))?;
            index::backslashes(name)
        }
    };
    Some(format!("its files can't be uploaded: {why}"))
}

/// Why Lambda would not accept this archive as a function's package; `None` if it would.
/// `problem` is the error of [`summarize`] in place of a summary.
pub fn lambda_problem(
    archive: Option<&ArchiveSummary>,
    problem: Option<&str>,
    runtime: &str,
) -> Option<String> {
    let Some(archive) = archive else {
        let why = problem.unwrap_or("it is not a zip archive");
        return Some(format!("it is not a valid deployment package: {why}"));
    };
    if archive.entries == 0 {
        return Some("it is not a valid deployment package: the archive is empty".to_owned());
    }
    if let Some(UnsupportedEntry { name, method }) = &archive.unsupported {
        return Some(format!(
            "its entry {name:?} is compressed by {}, which Lambda does not support: let the build store or \
             deflate it",
            index::method_name(*method)
        ));
    }
    if runtime.starts_with("provided") && archive.executable_bootstrap == Some(false) {
        return Some(format!(
            "its file bootstrap is not executable, and {runtime} starts it: set the mode to 755 before it \
             is packed, by a tool that keeps Unix modes"
        ));
    }
    (archive.uncompressed_size > LAMBDA_UNPACKED).then(|| {
        format!(
            "it unpacks to {} bytes, and Lambda allows at most {LAMBDA_UNPACKED} (250 MiB, layers \
             included): leave out what isn't needed, or deploy a container image",
            archive.uncompressed_size
        )
    })
}
