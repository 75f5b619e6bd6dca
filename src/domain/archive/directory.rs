//! The directory at the end of an archive: its records, with checks of each entry and of all entries
//! together.

use super::problem::{ArchiveProblem, ENTRIES, RATIO, RATIO_FROM};
use crate::{api::v1alpha1::ArchiveSummary, domain::outcome::shorten};

pub(super) const END: u32 = 0x0605_4b50;
pub(super) const END_LENGTH: usize = 22;
pub(super) const END64: u32 = 0x0606_4b50;
const END64_LENGTH: usize = 56;
pub(super) const LOCATOR: u32 = 0x0706_4b50;
const LOCATOR_LENGTH: usize = 20;
pub(super) const ENTRY: u32 = 0x0201_4b50;
pub(super) const ENTRY_LENGTH: usize = 46;

/// Checks and visits every entry of the directory, then checks all of them together.
pub(super) fn walk(
    tail: &[u8],
    size: u64,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), ArchiveProblem>,
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
        visit(&entry)?;
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

/// The end of central directory record.
pub(super) struct End {
    /// The end of the directory in the tail.
    pub(super) position: usize,
    entries: u64,
    pub(super) directory_size: u64,
    /// The offset of the directory in the archive as it was written.
    pub(super) directory_start: u64,
}

impl End {
    pub(super) fn find(tail: &[u8]) -> Result<Self, ArchiveProblem> {
        let last = (tail.len().checked_sub(END_LENGTH)).ok_or(ArchiveProblem::NotAZip)?;
        let first = last.saturating_sub(usize::from(u16::MAX));
        // The comment after the record has to end with the archive. Otherwise these bytes only look like
        // the record.
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

    /// The Zip64 record, if its locator precedes the record at `at`. Otherwise the record's own values apply.
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

/// The fields of a directory entry besides its name and sizes.
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    pub(super) method: u16,
    pub(super) crc32: u32,
    pub(super) made_by: u16,
    pub(super) external: u32,
}

/// One entry of the directory.
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    encrypted: bool,
    pub(super) packed: u64,
    pub(super) unpacked: u64,
    /// The offset of the entry in the archive as it was written.
    pub(super) start: u64,
    pub(super) attributes: Attributes,
}

impl<'a> Entry<'a> {
    /// The first entry, and the rest.
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
        // In the extra field, the uncompressed size comes first.
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

    /// The name for messages.
    pub(super) fn shown(&self) -> String {
        let name = String::from_utf8_lossy(self.name);
        shorten(&name, 100)
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

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
