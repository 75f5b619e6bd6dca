//! The positions of an archive's entries, so that each can be read by its own range of bytes.
//!
//! Names are interpreted as by unpacking tools: `./x` is `x`. A backslash is not a separator; an entry with
//! one in its name was packed by a tool that writes Windows paths, and [`backslashes`] is its message.
//!
//! An entry's local header is used only for its length: name, sizes and checksum come from the directory.

use std::{borrow::Cow, collections::BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    directory::{Attributes, End, Entry, u16_at, u32_at, walk},
    problem::{ArchiveProblem, TAIL},
};
use crate::domain::names;

/// The attribute of a directory on MS-DOS, in the lower half.
pub(super) const MSDOS_DIRECTORY: u32 = 0x10;

pub(super) const LOCAL: u32 = 0x0403_4b50;
/// The length of the fixed part of a local header.
pub const LOCAL_LENGTH: u64 = 30;

/// An entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZipEntry {
    /// The name as unpacking tools interpret it ([`normal`]); neither absolute nor with `..`.
    pub name: Box<[u8]>,
    /// The kind of entry.
    pub kind: EntryKind,
    /// The position, and how to read it.
    pub packed: Packed,
    /// Whether any user may execute the file.
    pub is_executable: bool,
}

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with a supported compression method.
    File,
    /// A file with an unsupported compression method: its number in APPNOTE.TXT 4.4.5.
    UnknownMethod(u16),
    /// A directory, without content.
    Directory,
    /// A symbolic link: its bytes are the name of another file.
    SymbolicLink,
}

/// The position of an entry, and how to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Packed {
    /// Offset of the local header in the archive.
    pub start: u64,
    /// Offset after the last byte of the entry in the archive.
    pub end: u64,
    /// Compressed size in bytes.
    pub length: u64,
    /// Uncompressed size in bytes.
    pub size: u64,
    /// CRC-32 of the uncompressed bytes.
    pub crc32: u32,
    /// Whether the entry is deflated. Otherwise it is stored.
    pub deflated: bool,
}

/// The number of last bytes of an archive that contain its directory, determined from fewer bytes.
pub fn directory_length(tail: &[u8], size: u64) -> Result<u64, ArchiveProblem> {
    let end = End::find(tail)?;
    let behind = (tail.len() - end.position) as u64;
    match end.directory_size.checked_add(behind) {
        Some(length) if length <= size && length <= TAIL as u64 => Ok(length),
        Some(length) if length <= size => Err(ArchiveProblem::DirectoryTooLarge(length)),
        _ => Err(ArchiveProblem::Damaged("it is larger than the archive")),
    }
}

/// The entries of an archive of `size` bytes, from its last bytes: in the order of the directory, with all
/// checks of [`super::summarize`].
pub fn index(tail: &[u8], size: u64) -> Result<Vec<ZipEntry>, ArchiveProblem> {
    let mut entries = Vec::new();
    walk(tail, size, &mut |entry| {
        if entry.attributes.method == 0 && entry.packed != entry.unpacked {
            return Err(ArchiveProblem::Damaged("a stored entry has two sizes"));
        }
        entries.push(ZipEntry {
            name: normal(entry.name).into(),
            kind: kind(entry),
            packed: Packed {
                start: entry.start,
                end: 0,
                length: entry.packed,
                size: entry.unpacked,
                crc32: entry.attributes.crc32,
                deflated: entry.attributes.method == 8,
            },
            is_executable: is_executable(entry),
        });
        Ok(())
    })?;
    let end = End::find(tail)?;
    let behind = (tail.len() - end.position) as u64;
    let directory = size
        .checked_sub(behind)
        .and_then(|end_of_directory| end_of_directory.checked_sub(end.directory_size))
        .ok_or(ArchiveProblem::Damaged("it is larger than the archive"))?;
    // The archive may have been prefixed with other bytes after it was written.
    let before = directory
        .checked_sub(end.directory_start)
        .ok_or(ArchiveProblem::Damaged("its offset is wrong"))?;
    place(&mut entries, before, directory)?;
    Ok(entries)
}

/// Sets the positions: each entry reaches to the next one, the last to the directory. Overlapping entries
/// are refused, because they allow zip bombs.
fn place(entries: &mut [ZipEntry], before: u64, directory: u64) -> Result<(), ArchiveProblem> {
    const OVERLAP: ArchiveProblem = ArchiveProblem::Damaged("its entries overlap");
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(entries[at].packed.start));
    let mut end = directory;
    for at in order {
        let packed = &mut entries[at].packed;
        packed.start = packed.start.checked_add(before).ok_or(OVERLAP)?;
        packed.end = end;
        let least = LOCAL_LENGTH.checked_add(packed.length).ok_or(OVERLAP)?;
        if end
            .checked_sub(packed.start)
            .is_none_or(|room| room < least)
        {
            return Err(OVERLAP);
        }
        end = packed.start;
    }
    Ok(())
}

/// The kind of an entry, by its name, its mode and its method.
pub(super) fn kind(entry: &Entry<'_>) -> EntryKind {
    let Attributes {
        method,
        made_by,
        external,
        ..
    } = entry.attributes;
    // Made on Unix or macOS (APPNOTE.TXT 4.4.2): the upper half is the mode.
    let is_unix = matches!(made_by >> 8, 3 | 19);
    let unix_type = (external >> 16) & 0o170_000;
    let is_directory = if is_unix && unix_type != 0 {
        unix_type == 0o040_000
    } else {
        external & MSDOS_DIRECTORY != 0 && entry.unpacked == 0
    };
    if is_directory || matches!(entry.name.last(), Some(b'/' | b'\\')) {
        EntryKind::Directory
    } else if is_unix && unix_type == 0o120_000 {
        EntryKind::SymbolicLink
    } else if matches!(method, 0 | 8) {
        EntryKind::File
    } else {
        EntryKind::UnknownMethod(method)
    }
}

/// Whether any user may execute the entry. A tool that keeps no modes writes none, and then Lambda sets none.
pub(super) fn is_executable(entry: &Entry<'_>) -> bool {
    (entry.attributes.external >> 16) & 0o111 != 0
}

/// A name without parts `.`: `./a/./b` is `a/b`.
pub fn normal(name: &[u8]) -> Cow<'_, [u8]> {
    let is_dot = |part: &[u8]| part == b".";
    if !name.split(|byte| *byte == b'/').any(is_dot) {
        return Cow::Borrowed(name);
    }
    let parts = name.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !is_dot(part)).collect();
    Cow::Owned(parts.join(&b'/'))
}

/// The path of a name below a folder, which has no trailing slash and is empty for the whole archive.
/// `None` outside of the folder.
pub fn inside<'a>(name: &'a [u8], tree: &[u8]) -> Option<&'a [u8]> {
    if tree.is_empty() {
        return Some(name);
    }
    name.strip_prefix(tree)?.strip_prefix(b"/")
}

/// `, but` and the folders whose names are similar, for a message about a missing one; empty without one.
pub fn similar_folders(entries: &[ZipEntry], folder: &str) -> String {
    let folder = folder.trim_end_matches('/');
    let depth = folder.split('/').count();
    let beginning = |entry: &ZipEntry| {
        let name = std::str::from_utf8(&entry.name).ok()?;
        let parts: Vec<&str> = name.split('/').collect();
        (parts.len() > depth).then(|| parts[..depth].join("/"))
    };
    let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
    let folders: BTreeSet<String> = files.filter_map(beginning).collect();
    names::but(folder, folders.iter().map(String::as_str))
}

/// The message about an entry with backslashes in its name.
pub fn backslashes(name: &str) -> String {
    format!(
        "its entry {name:?} has backslashes in its name, which are not separators in a zip: let the build \
         pack it with forward slashes, such as by zip, tar or Python's zipfile"
    )
}

/// The name of a compression method, by its number in APPNOTE.TXT 4.4.5.
pub fn method_name(method: i32) -> String {
    let name = match method {
        9 => "Deflate64",
        12 => "bzip2",
        14 => "LZMA",
        93 => "zstd",
        95 => "xz",
        98 => "PPMd",
        _ => return format!("method {method}"),
    };
    format!("{name} (method {method})")
}

impl Packed {
    /// The number of bytes between the fixed part of this local header and the entry's own bytes;
    /// `None` if it is not a local header, or leaves no room for the entry.
    pub fn after_header(&self, header: &[u8]) -> Option<u64> {
        let name = u16_at(header, 26)?;
        let extra = u16_at(header, 28)?;
        let after = u64::from(name) + u64::from(extra);
        let room = (self.end - self.start).checked_sub(LOCAL_LENGTH + self.length)?;
        (u32_at(header, 0) == Some(LOCAL) && after <= room).then_some(after)
    }
}
