//! What a zip holds, read from the directory at its end while the bytes pass through.
//!
//! Nothing is unpacked and nothing is kept but the last [`TAIL`] bytes, in which the directory has
//! to lie. It is read here and not by the `zip` crate, because that needs the bytes before the
//! directory as well, and memory in proportion to the number of entries.
//!
//! Relies on: the layout of APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16 (directory and Zip64).
//! Sizes are what the directory says. That is enough to refuse what is wrong by mistake; whoever
//! unpacks has limits of their own. They find the entries by the same reading of the directory
//! ([`index`]), so that what was looked at when the archive was fetched is what is unpacked.

mod index;

#[cfg(test)]
mod tests;

use self::index::Attributes;
pub use self::index::{
    EntryKind, LOCAL_LENGTH, Packed, ZipEntry, backslashes, directory_length, index, inside,
    method_name, normal,
};
use crate::api::v1alpha1::{ArchiveSummary, UnsupportedEntry};

/// How many of the last bytes are kept, and so how large a directory may be: [`ENTRIES`] with names of
/// 60 bytes and the usual extra fields. It is held in memory while an artifact is transferred.
pub const TAIL: usize = 12 << 20;

/// The most entries an archive may have.
pub const ENTRIES: u64 = 100_000;

/// How many times its own size an archive may unpack to, above [`RATIO_FROM`].
pub const RATIO: u64 = 200;

/// Smaller archives may have any ratio: they can't do harm.
pub const RATIO_FROM: u64 = 1 << 30;

/// The most that a function's code may be unpacked, layers included (AWS Lambda quotas).
pub const LAMBDA_UNPACKED: i64 = 262_144_000;

/// Why bytes are not taken for an archive, or can't be found in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveProblem {
    /// There is no directory at the end.
    #[error("it is not a zip archive, or its end is missing")]
    NotAZip,
    /// The directory contradicts itself.
    #[error("its zip directory is damaged: {0}")]
    Damaged(&'static str),
    /// More entries than [`ENTRIES`].
    #[error("it has {0} entries, more than the limit of {ENTRIES}")]
    TooManyEntries(u64),
    /// Larger than [`TAIL`].
    #[error("its zip directory has {0} bytes, more than the limit of {TAIL}: too many files")]
    DirectoryTooLarge(u64),
    /// A name that leads out of the directory it is unpacked to.
    #[error("its entry {0:?} leads out of the archive: names must be relative and without \"..\"")]
    UnsafeName(String),
    /// Nobody could unpack it.
    #[error("its entry {0:?} is encrypted")]
    Encrypted(String),
    /// It unpacks to an amount that nobody means.
    #[error(
        "it would unpack to {unpacked} bytes, more than {RATIO} times its size of {size} bytes"
    )]
    Bomb {
        /// Bytes when unpacked.
        unpacked: u64,
        /// Bytes as it is.
        size: u64,
    },
}

/// Keeps the last [`TAIL`] bytes of what passes by.
#[derive(Debug, Default)]
pub struct Tail {
    ring: Vec<u8>,
    /// Where the oldest byte is, once the ring is full.
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

    /// How many bytes passed by.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Reads the directory of the archive that passed by.
    pub fn summarise(mut self) -> Result<ArchiveSummary, ArchiveProblem> {
        self.ring.rotate_left(self.start);
        summarise(&self.ring, self.total)
    }
}

/// Reads the directory of an archive of `size` bytes from the last of them.
pub fn summarise(tail: &[u8], size: u64) -> Result<ArchiveSummary, ArchiveProblem> {
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

/// Shows every entry of the directory, each checked by itself, then checks all of them together.
fn walk(
    tail: &[u8],
    size: u64,
    see: &mut dyn FnMut(&Entry<'_>) -> Result<(), ArchiveProblem>,
) -> Result<ArchiveSummary, ArchiveProblem> {
    let end = End::find(tail)?;
    if end.entries > ENTRIES {
        return Err(ArchiveProblem::TooManyEntries(end.entries));
    }
    let directory = (usize::try_from(end.directory_size).ok())
        .and_then(|length| end.position.checked_sub(length))
        .and_then(|start| tail.get(start..end.position));
    let Some(mut directory) = directory else {
        return Err(if end.directory_size > size {
            ArchiveProblem::Damaged("it is larger than the archive")
        } else {
            ArchiveProblem::DirectoryTooLarge(end.directory_size)
        });
    };

    let (mut entries, mut packed, mut unpacked) = (0_u64, 0_u64, 0_u64);
    while !directory.is_empty() {
        let (entry, rest) = Entry::read(directory)?;
        entry.check()?;
        see(&entry)?;
        entries += 1;
        packed = packed.saturating_add(entry.packed);
        unpacked = unpacked.saturating_add(entry.unpacked);
        directory = rest;
    }
    if entries != end.entries {
        return Err(ArchiveProblem::Damaged("its number of entries is wrong"));
    }
    if packed > size {
        return Err(ArchiveProblem::Damaged("its entries overlap"));
    }
    if unpacked > RATIO_FROM && unpacked / RATIO > size {
        return Err(ArchiveProblem::Bomb { unpacked, size });
    }
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Ok(ArchiveSummary {
        entries: number(entries),
        uncompressed_size: number(unpacked),
        executable_bootstrap: None,
        unsupported: None,
        backslash: None,
    })
}

/// Why these bytes can't be unpacked into a bucket, as far as can be told before they are read; `None`
/// where they can. `problem` is what [`summarise`] said instead of a summary; `tree` is the folder that
/// is taken.
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
            let meant = name.replace('\\', "/");
            index::inside(meant.as_bytes(), &index::normal(tree.as_bytes()))?;
            index::backslashes(name)
        }
    };
    Some(format!("its files can't be taken: {why}"))
}

/// Why Lambda would not run these bytes as a function's package; `None` where it would.
/// `problem` is what [`summarise`] said instead of a summary.
pub fn lambda_problem(
    archive: Option<&ArchiveSummary>,
    problem: Option<&str>,
    runtime: &str,
) -> Option<String> {
    let Some(archive) = archive else {
        let why = problem.unwrap_or("it is not a zip archive");
        return Some(format!("it can't be a function's package: {why}"));
    };
    if archive.entries == 0 {
        return Some("it can't be a function's package: the archive is empty".to_owned());
    }
    if let Some(UnsupportedEntry { name, method }) = &archive.unsupported {
        return Some(format!(
            "its entry {name:?} is packed by {}, which Lambda does not take: have the build store or \
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
            "it unpacks to {} bytes, and Lambda takes at most {LAMBDA_UNPACKED} (250 MiB, layers \
             included): leave out what isn't needed, or deploy a container image",
            archive.uncompressed_size
        )
    })
}

const END: u32 = 0x0605_4b50;
const END_LENGTH: usize = 22;
const END64: u32 = 0x0606_4b50;
const END64_LENGTH: usize = 56;
const LOCATOR: u32 = 0x0706_4b50;
const LOCATOR_LENGTH: usize = 20;
const ENTRY: u32 = 0x0201_4b50;
const ENTRY_LENGTH: usize = 46;

/// The record at the end.
struct End {
    /// Where the directory ends, in the tail.
    position: usize,
    entries: u64,
    directory_size: u64,
    /// Where the directory begins, in the archive as it was written.
    directory_start: u64,
}

impl End {
    fn find(tail: &[u8]) -> Result<Self, ArchiveProblem> {
        let last = (tail.len().checked_sub(END_LENGTH)).ok_or(ArchiveProblem::NotAZip)?;
        let first = last.saturating_sub(usize::from(u16::MAX));
        // The comment behind the record has to end where the archive does: else it is not the
        // record, but bytes that look like it.
        let at = (first..=last)
            .rev()
            .find(|&at| {
                u32_at(tail, at) == Some(END)
                    && u16_at(tail, at + 20).map(usize::from) == Some(last - at)
            })
            .ok_or(ArchiveProblem::NotAZip)?;
        let field = |value: Option<u64>| value.ok_or(ArchiveProblem::NotAZip);
        let end = Self {
            position: at,
            entries: field(u16_at(tail, at + 10).map(u64::from))?,
            directory_size: field(u32_at(tail, at + 12).map(u64::from))?,
            directory_start: field(u32_at(tail, at + 16).map(u64::from))?,
        };
        let in_zip64 = end.entries == u64::from(u16::MAX)
            || end.directory_size == u64::from(u32::MAX)
            || end.directory_start == u64::from(u32::MAX);
        Ok(in_zip64
            .then(|| Self::find64(tail, at))
            .flatten()
            .unwrap_or(end))
    }

    /// The Zip64 record, if its locator stands before the record at `at`. Where it doesn't, the
    /// values are meant as they are.
    fn find64(tail: &[u8], at: usize) -> Option<Self> {
        let locator = at.checked_sub(LOCATOR_LENGTH)?;
        if u32_at(tail, locator) != Some(LOCATOR) {
            return None;
        }
        let position = locator.checked_sub(END64_LENGTH)?;
        (u32_at(tail, position) == Some(END64)).then_some(())?;
        Some(Self {
            position,
            entries: u64_at(tail, position + 32)?,
            directory_size: u64_at(tail, position + 40)?,
            directory_start: u64_at(tail, position + 48)?,
        })
    }
}

/// One entry of the directory.
struct Entry<'a> {
    name: &'a [u8],
    encrypted: bool,
    packed: u64,
    unpacked: u64,
    /// Where it begins, in the archive as it was written.
    start: u64,
    attributes: Attributes,
}

impl<'a> Entry<'a> {
    /// The first entry and what comes after it.
    fn read(directory: &'a [u8]) -> Result<(Self, &'a [u8]), ArchiveProblem> {
        if u32_at(directory, 0) != Some(ENTRY) {
            return Err(ArchiveProblem::Damaged("an entry is missing"));
        }
        Self::fields(directory).ok_or(ArchiveProblem::Damaged("an entry is cut off"))
    }

    fn fields(directory: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = |at| u16_at(directory, at).map(usize::from);
        let flags = u16_at(directory, 8)?;
        let packed = u64::from(u32_at(directory, 20)?);
        let unpacked = u64::from(u32_at(directory, 24)?);
        let start = u64::from(u32_at(directory, 42)?);
        let attributes = Attributes {
            method: u16_at(directory, 10)?,
            crc32: u32_at(directory, 16)?,
            made_by: u16_at(directory, 4)?,
            external: u32_at(directory, 38)?,
        };
        let rest = directory.get(ENTRY_LENGTH..)?;
        let (name, rest) = rest.split_at_checked(length(28)?)?;
        let (extra, rest) = rest.split_at_checked(length(30)?)?;
        let (_comment, rest) = rest.split_at_checked(length(32)?)?;
        let mut large = zip64_values(extra);
        let mut size = |value: u64| {
            if value == u64::from(u32::MAX) {
                large.next().unwrap_or(value)
            } else {
                value
            }
        };
        // In the extra field the unpacked size stands first.
        let unpacked = size(unpacked);
        let packed = size(packed);
        let start = size(start);
        let entry = Self {
            name,
            encrypted: flags & 1 != 0,
            packed,
            unpacked,
            start,
            attributes,
        };
        Some((entry, rest))
    }

    fn check(&self) -> Result<(), ArchiveProblem> {
        let separator = |byte: &u8| *byte == b'/' || *byte == b'\\';
        let drive = matches!(self.name, [letter, b':', ..] if letter.is_ascii_alphabetic());
        let absolute = self.name.first().is_none_or(separator) || drive;
        let climbs = self.name.split(separator).any(|part| part == b"..");
        if absolute || climbs || self.name.contains(&0) {
            return Err(ArchiveProblem::UnsafeName(self.shown()));
        }
        if self.encrypted {
            return Err(ArchiveProblem::Encrypted(self.shown()));
        }
        Ok(())
    }

    /// For messages.
    fn shown(&self) -> String {
        let name = String::from_utf8_lossy(self.name);
        crate::domain::outcome::shorten(&name, 100)
    }
}

/// The 64-bit values of the Zip64 extra field, in their order.
fn zip64_values(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut values: &[u8] = &[];
    while let (Some(kind), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some((field, rest)) = extra[4..].split_at_checked(usize::from(length)) else {
            break;
        };
        if kind == 1 {
            values = field;
            break;
        }
        extra = rest;
    }
    (0..values.len() / 8).filter_map(move |index| u64_at(values, index * 8))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
