//! Writes zips whose bytes depend on nothing but their files: without times and owners.
//!
//! The packed bytes of a file are copied from another archive as they are. Layout: APPNOTE.TXT 6.3.10, sections
//! 4.3.7, 4.3.12 and 4.3.16. Archives with Zip64 are not needed: see [`super::PACKAGE_SIZE`].

use super::{
    Mode, PackageFile,
    directory::{END, ENTRY},
    index::LOCAL,
};

/// 2.0: the version that knows deflated files.
const VERSION: u16 = 20;
/// Made on Unix, so that modes count.
const MADE_BY: u16 = 3 << 8 | VERSION;
/// Bit 11: names are UTF-8.
const FLAGS: u16 = 1 << 11;
/// Midnight of 1980-01-01, the first time that a zip can have.
const TIME: u16 = 0;
const DATE: u16 = 1 << 5 | 1;

/// Writes the headers of a zip.
#[derive(Debug, Default)]
pub struct Writer {
    directory: Vec<u8>,
    files: u16,
    /// How many bytes come before the next header.
    at: u32,
}

impl Writer {
    /// The header of the next file, after which its packed bytes follow. `path` and `file` are of
    /// [`super::package_files`], which limits their number and size.
    pub fn begin(&mut self, path: &str, file: &PackageFile) -> Vec<u8> {
        let common = common(path, file);
        let name = path.as_bytes();
        let local: Vec<u8> = [
            &LOCAL.to_le_bytes(),
            &common[..],
            &0_u16.to_le_bytes(),
            name,
        ]
        .concat();
        let (comment, disk, internal) = (0_u16, 0_u16, 0_u16);
        let external: u32 = mode(file.mode) << 16;
        for bytes in [&ENTRY.to_le_bytes()[..], &MADE_BY.to_le_bytes(), &common] {
            self.directory.extend_from_slice(bytes);
        }
        for number in [0, comment, disk, internal] {
            self.directory.extend_from_slice(&number.to_le_bytes());
        }
        for number in [external, self.at] {
            self.directory.extend_from_slice(&number.to_le_bytes());
        }
        self.directory.extend_from_slice(name);
        self.files += 1;
        self.at += small(local.len() as u64) + small(file.packed.length);
        local
    }

    /// The directory, which ends the zip.
    pub fn finish(self) -> Vec<u8> {
        let length = small(self.directory.len() as u64);
        let mut end = self.directory;
        end.extend_from_slice(&END.to_le_bytes());
        for number in [0, 0, self.files, self.files] {
            end.extend_from_slice(&number.to_le_bytes());
        }
        for number in [length, self.at] {
            end.extend_from_slice(&number.to_le_bytes());
        }
        end.extend_from_slice(&0_u16.to_le_bytes());
        end
    }
}

/// What the local header and the directory have in common: all between version and extra field.
fn common(path: &str, file: &PackageFile) -> Vec<u8> {
    let packed = &file.packed;
    let method: u16 = if packed.deflated { 8 } else { 0 };
    let mut bytes = Vec::with_capacity(24);
    for number in [VERSION, FLAGS, method, TIME, DATE] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for number in [packed.crc32, small(packed.length), small(packed.size)] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let length = u16::try_from(path.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes
}

/// Type and permissions, as Unix has them.
fn mode(mode: Mode) -> u32 {
    match mode {
        Mode::Plain => 0o100_644,
        Mode::Executable => 0o100_755,
        Mode::Link => 0o120_777,
    }
}

/// A size in 32 bits. Files of a package are far smaller.
fn small(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

    use super::*;
    use crate::domain::archive::{index, package_files};

    /// A zip with other times, another order and comments, and the same files.
    fn original() -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        let files: [(&str, u32, &[u8]); 3] = [
            ("out/Zürich.py", 0o640, &b"print('a')\n".repeat(100)),
            ("out/bin/run", 0o755, b"#!/bin/sh\n"),
            ("out/a", 0o600, b""),
        ];
        for (name, mode, bytes) in files {
            let options = options.unix_permissions(mode);
            writer.start_file(name, options).expect("a file");
            std::io::Write::write_all(&mut writer, bytes).expect("written");
        }
        writer
            .add_symlink("out/link", "bin/run", options)
            .expect("a link");
        writer.finish().expect("a zip").into_inner()
    }

    fn rewritten() -> Vec<u8> {
        let original = original();
        let entries = index(&original, original.len() as u64).expect("entries");
        let files = package_files(&entries, "out").expect("files");
        let (mut writer, mut bytes) = (Writer::default(), Vec::new());
        for (path, file) in &files {
            bytes.extend(writer.begin(path, file));
            let start = usize::try_from(file.packed.start).expect("small");
            let length = usize::try_from(file.packed.length).expect("small");
            let after = file
                .packed
                .after_header(&original[start..start + 30])
                .expect("a header");
            let start = start + 30 + usize::try_from(after).expect("small");
            bytes.extend_from_slice(&original[start..start + length]);
        }
        bytes.extend(writer.finish());
        bytes
    }

    #[test]
    fn other_tools_read_what_it_writes() {
        let mut zip = ZipArchive::new(Cursor::new(rewritten())).expect("a zip");
        let mut found = Vec::new();
        for at in 0..zip.len() {
            let mut file = zip.by_index(at).expect("a file");
            let mut text = String::new();
            file.read_to_string(&mut text).expect("text");
            found.push((
                file.name().expect("a name").into_owned(),
                file.unix_mode(),
                text,
            ));
        }
        let expected = [
            ("Zürich.py", 0o100_644, "print('a')\n".repeat(100)),
            ("a", 0o100_644, String::new()),
            ("bin/run", 0o100_755, "#!/bin/sh\n".to_owned()),
            ("link", 0o120_777, "bin/run".to_owned()),
        ];
        let expected = expected.map(|(name, mode, text)| (name.to_owned(), Some(mode), text));
        assert_eq!(found, expected);
    }

    #[test]
    fn own_reader_accepts_what_it_writes() {
        let bytes = rewritten();
        let entries = index(&bytes, bytes.len() as u64).expect("entries");
        let files = package_files(&entries, "").expect("files");
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["Zürich.py", "a", "bin/run", "link"]);
    }
}
