//! Where the entries of an archive lie, so that each can be read by its own range of bytes.
//!
//! Names are taken as unpacking tools take them: `./x` is `x`. A backslash is no separator; what has one
//! in its name was packed by a tool that writes Windows' paths, and is told by [`backslashes`].
//!
//! What stands before an entry's bytes (its local header) is not trusted for anything but its length:
//! name, sizes and checksum are the directory's.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    directory::{Attributes, End, Entry, u16_at, u32_at, walk},
    problem::{ArchiveProblem, TAIL},
};

/// The attribute of a directory on MS-DOS, in the lower half.
pub(super) const MSDOS_DIRECTORY: u32 = 0x10;

const LOCAL: u32 = 0x0403_4b50;
/// The part of a local header whose length is known beforehand.
pub const LOCAL_LENGTH: u64 = 30;

/// An entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZipEntry {
    /// As unpacking tools take it ([`normal`]); neither absolute nor with `..`.
    pub name: Box<[u8]>,
    /// What it is.
    pub kind: EntryKind,
    /// Where it is and how to read it.
    pub packed: Packed,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file, in a way of packing that can be read.
    File,
    /// A file, packed in a way that can't; its number in APPNOTE.TXT 4.4.5.
    UnknownMethod(u16),
    /// A directory: nothing by itself.
    Directory,
    /// A symbolic link: its bytes are the name of another file.
    SymbolicLink,
}

/// Where an entry is and how to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Packed {
    /// The archive's byte that its local header begins with.
    pub start: u64,
    /// The archive's byte after all that belongs to it.
    pub end: u64,
    /// Bytes as they are packed.
    pub length: u64,
    /// Bytes when unpacked.
    pub size: u64,
    /// Of the unpacked bytes.
    pub crc32: u32,
    /// Whether it is deflated; stored as it is otherwise.
    pub deflated: bool,
}

/// How many of an archive's last bytes hold its directory, told from fewer of them.
pub fn directory_length(tail: &[u8], size: u64) -> Result<u64, ArchiveProblem> {
    let end = End::find(tail)?;
    let behind = (tail.len() - end.position) as u64;
    match end.directory_size.checked_add(behind) {
        Some(length) if length <= size && length <= TAIL as u64 => Ok(length),
        Some(length) if length <= size => Err(ArchiveProblem::DirectoryTooLarge(length)),
        _ => Err(ArchiveProblem::Damaged("it is larger than the archive")),
    }
}

/// The entries of an archive of `size` bytes, from the last of them: in the order of the directory,
/// with everything checked that [`super::summarise`] checks.
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
        });
        Ok(())
    })?;
    let end = End::find(tail)?;
    let behind = (tail.len() - end.position) as u64;
    let directory = size
        .checked_sub(behind)
        .and_then(|end_of_directory| end_of_directory.checked_sub(end.directory_size))
        .ok_or(ArchiveProblem::Damaged("it is larger than the archive"))?;
    // Something may have been put before the archive after it was written.
    let before = directory
        .checked_sub(end.directory_start)
        .ok_or(ArchiveProblem::Damaged("it does not lie where it says"))?;
    place(&mut entries, before, directory)?;
    Ok(entries)
}

/// Each entry reaches to the next one, the last to the directory. Two that share bytes are a way to
/// make much out of little.
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

/// What an entry is, by its name, its mode and its method.
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

/// Whether anybody may execute it. A tool that keeps no modes writes none, and then Lambda sets none.
pub(super) fn is_executable(entry: &Entry<'_>) -> bool {
    (entry.attributes.external >> 16) & 0o111 != 0
}

/// A name without the parts that stand for where they are: `./a/./b` is `a/b`.
pub fn normal(name: &[u8]) -> Cow<'_, [u8]> {
    let is_here = |part: &[u8]| part == b".";
    if !name.split(|byte| *byte == b'/').any(is_here) {
        return Cow::Borrowed(name);
    }
    let parts = name.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !is_here(part)).collect();
    Cow::Owned(parts.join(&b'/'))
}

/// What is left of a name below a folder, which is given without a slash at its end; empty is the whole
/// archive. `None` outside.
pub fn inside<'a>(name: &'a [u8], tree: &[u8]) -> Option<&'a [u8]> {
    if tree.is_empty() {
        return Some(name);
    }
    name.strip_prefix(tree)?.strip_prefix(b"/")
}

/// What is said of an entry with backslashes in its name.
pub fn backslashes(name: &str) -> String {
    format!(
        "its entry {name:?} has backslashes in its name, which are no separators in a zip: have the build \
         pack it with forward slashes, such as by zip, tar or Python's zipfile"
    )
}

/// A way of packing, by its number in APPNOTE.TXT 4.4.5.
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
    /// How many bytes stand between the fixed part of this local header and the entry's own bytes;
    /// `None` where it is no local header, or one that leaves no room for them.
    pub fn after_header(&self, header: &[u8]) -> Option<u64> {
        let name = u16_at(header, 26)?;
        let extra = u16_at(header, 28)?;
        let after = u64::from(name) + u64::from(extra);
        let room = (self.end - self.start).checked_sub(LOCAL_LENGTH + self.length)?;
        (u32_at(header, 0) == Some(LOCAL) && after <= room).then_some(after)
    }
}
