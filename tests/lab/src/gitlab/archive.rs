//! Artifact archives: stored bytes, or bytes that are generated while they are read.
//!
//! A generated archive is a valid zip with one stored entry whose content is pseudo-random and
//! differs in every block, so that lost, duplicated or swapped chunks change its digest. Its checksum
//! is computed from one block: CRC-32 is linear, each block is the same noise with its number at the
//! start, and running over a block of zeros is a fixed linear map of the register.

use std::{
    io::{Cursor, Read, Write},
    sync::Arc,
};

use bytes::Bytes;
use zip::{
    CompressionMethod, DateTime, ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions,
};

const BLOCK: usize = 64 * 1024;
const STAMP: usize = 8;
const POLYNOMIAL: u32 = 0xedb8_8320;

/// A deterministic archive of files: equal input gives equal bytes.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        writer
            .start_file(*path, options)
            .expect("writing to memory cannot fail and paths are short");
        writer
            .write_all(content)
            .expect("writing to memory cannot fail");
    }
    writer
        .finish()
        .expect("writing to memory cannot fail")
        .into_inner()
}

/// The bytes of an archive.
#[derive(Clone, Debug)]
pub enum ArtifactSource {
    /// Bytes in memory.
    Stored(Bytes),
    /// Generated while they are read.
    Generated(Arc<Generated>),
}

impl From<Bytes> for ArtifactSource {
    fn from(bytes: Bytes) -> Self {
        Self::Stored(bytes)
    }
}

impl From<Vec<u8>> for ArtifactSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Stored(bytes.into())
    }
}

/// One entry found in an archive.
#[derive(Clone, Debug)]
pub struct Entry {
    source: ArtifactSource,
    start: u64,
    end: u64,
}

impl ArtifactSource {
    /// An archive with one entry of `size` pseudo-random bytes at `path`. At most 4 GiB.
    pub fn generated(path: &str, size: u32, seed: u64) -> Self {
        Self::Generated(Arc::new(Generated::new(path, size, seed)))
    }

    /// How many bytes the archive has.
    pub fn size(&self) -> u64 {
        match self {
            Self::Stored(bytes) => bytes.len() as u64,
            Self::Generated(generated) => generated.end(),
        }
    }

    /// A chunk of bytes from `offset` on; empty only at the end.
    pub fn read(&self, offset: u64) -> Bytes {
        match self {
            Self::Stored(bytes) => {
                let from = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                bytes.slice(from..bytes.len().min(from + BLOCK))
            }
            Self::Generated(generated) => generated.read(offset),
        }
    }

    /// The whole archive.
    pub fn whole(&self) -> Entry {
        Entry {
            source: self.clone(),
            start: 0,
            end: self.size(),
        }
    }

    /// The content of the file at `path`; `None` if the file is missing or the bytes are no archive.
    pub fn entry(&self, path: &str) -> Option<Entry> {
        match self {
            Self::Stored(bytes) => {
                let mut archive = ZipArchive::new(Cursor::new(bytes.clone())).ok()?;
                let content = read_entry(&mut archive, path).ok()?;
                Some(Self::Stored(content.into()).whole())
            }
            Self::Generated(generated) => {
                let start = generated.head.len() as u64;
                let end = start + u64::from(generated.size);
                (generated.path == path).then(|| Entry {
                    source: self.clone(),
                    start,
                    end,
                })
            }
        }
    }
}

impl Entry {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.end - self.start
    }

    /// The part from `first` on, `len` bytes at most.
    #[must_use]
    pub fn part(&self, first: u64, len: u64) -> Self {
        let start = self.end.min(self.start + first);
        Self {
            source: self.source.clone(),
            start,
            end: self.end.min(start.saturating_add(len)),
        }
    }
}

impl Iterator for Entry {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.start >= self.end {
            return None;
        }
        let mut chunk = self.source.read(self.start);
        let left = usize::try_from(self.end - self.start).unwrap_or(usize::MAX);
        chunk.truncate(left);
        self.start += chunk.len() as u64;
        (!chunk.is_empty()).then_some(chunk)
    }
}

fn read_entry(archive: &mut ZipArchive<Cursor<Bytes>>, path: &str) -> Result<Vec<u8>, ZipError> {
    let mut file = archive.by_name(path)?;
    if file.is_dir() {
        return Err(ZipError::FileNotFound);
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

/// A zip with one generated entry.
#[derive(Debug)]
pub struct Generated {
    path: String,
    size: u32,
    noise: Vec<u8>,
    head: Bytes,
    tail: Bytes,
}

impl Generated {
    fn new(path: &str, size: u32, seed: u64) -> Self {
        let mut noise = vec![0; BLOCK];
        fastrand::Rng::with_seed(seed).fill(&mut noise[STAMP..]);
        let crc = checksum(&noise, size);
        let name_len =
            u16::try_from(path.len()).expect("a path in an archive is shorter than 64 KiB");
        let mut shared = Vec::new();
        for field in [20_u16, 0, 0, 0, 0x0021] {
            shared.extend(field.to_le_bytes());
        }
        for field in [crc, size, size] {
            shared.extend(field.to_le_bytes());
        }
        shared.extend(name_len.to_le_bytes());
        shared.extend(0_u16.to_le_bytes());
        let head = [b"PK\x03\x04".as_slice(), &shared, path.as_bytes()].concat();

        let after_extra = [0_u8; 14];
        let entry = [
            b"PK\x01\x02\x14\x03".as_slice(),
            &shared,
            &after_extra,
            path.as_bytes(),
        ]
        .concat();
        let entry_len = u32::try_from(entry.len()).expect("a directory of one entry is short");
        let start = u32::try_from(head.len())
            .expect("a header is short")
            .saturating_add(size);
        let mut tail = entry;
        tail.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        tail.extend(entry_len.to_le_bytes());
        tail.extend(start.to_le_bytes());
        tail.extend(0_u16.to_le_bytes());
        Self {
            path: path.to_owned(),
            size,
            noise,
            head: head.into(),
            tail: tail.into(),
        }
    }

    fn end(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64 + u64::from(self.size)
    }

    fn read(&self, offset: u64) -> Bytes {
        let content = self.head.len() as u64;
        let directory = content + u64::from(self.size);
        let small = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        if offset < content {
            self.head.slice(small(offset)..)
        } else if offset < directory {
            let at = offset - content;
            let (number, from) = (at / BLOCK as u64, small(at % BLOCK as u64));
            let to = BLOCK.min(from + small(directory - offset));
            Bytes::from(stamped(&self.noise, number)).slice(from..to)
        } else {
            self.tail
                .slice(small(offset - directory).min(self.tail.len())..)
        }
    }
}

fn stamped(noise: &[u8], number: u64) -> Vec<u8> {
    let mut block = noise.to_vec();
    block[..STAMP].copy_from_slice(&number.to_le_bytes());
    block
}

/// CRC-32 of `size` bytes of numbered blocks.
fn checksum(noise: &[u8], size: u32) -> u32 {
    let table = table();
    let over_block = over_zeros(&table, BLOCK);
    let after_stamp = over_zeros(&table, BLOCK - STAMP);
    let unnumbered = run(&table, 0, noise);
    let blocks = u64::from(size) / BLOCK as u64;
    let rest = size as usize % BLOCK;
    let register = (0..blocks).fold(u32::MAX, |register, number| {
        let stamp = run(&table, 0, &number.to_le_bytes());
        map(&over_block, register) ^ unnumbered ^ map(&after_stamp, stamp)
    });
    !run(&table, register, &stamped(noise, blocks)[..rest])
}

fn table() -> [u32; 256] {
    let mut table = [0; 256];
    for (byte, slot) in (0_u32..).zip(&mut table) {
        *slot = (0..8).fold(byte, |value, _| {
            (value >> 1) ^ if value & 1 == 1 { POLYNOMIAL } else { 0 }
        });
    }
    table
}

fn run(table: &[u32; 256], register: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(register, |register, byte| {
        let [low, ..] = register.to_le_bytes();
        (register >> 8) ^ table[usize::from(low ^ byte)]
    })
}

/// The image of each bit of the register after running over `length` zeros.
fn over_zeros(table: &[u32; 256], length: usize) -> [u32; 32] {
    let zeros = vec![0; length];
    std::array::from_fn(|bit| run(table, 1 << bit, &zeros))
}

fn map(matrix: &[u32; 32], register: u32) -> u32 {
    (0..32)
        .filter(|bit| register >> bit & 1 == 1)
        .fold(0, |sum, bit| sum ^ matrix[bit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_archive_is_read_by_an_ordinary_reader() {
        let size = 3 * 65_536 + 17;
        let source = ArtifactSource::generated("dist/big.bin", size, 7);
        let bytes: Vec<u8> = source.whole().flatten().collect();
        assert_eq!(bytes.len() as u64, source.size());
        let read = ArtifactSource::from(bytes)
            .entry("dist/big.bin")
            .expect("the checksum is valid");
        let content: Vec<u8> = source
            .entry("dist/big.bin")
            .expect("the entry exists")
            .flatten()
            .collect();
        assert_eq!(read.flatten().collect::<Vec<u8>>(), content);
        assert_eq!(content.len(), size as usize);
        assert_ne!(content[..65_536], content[65_536..131_072]);
    }

    #[test]
    fn zip_of_equal_files_is_byte_identical() {
        assert_eq!(zip(&[("a/b", b"c")]), zip(&[("a/b", b"c")]));
    }

    #[test]
    fn part_of_an_entry_ends_at_the_end_of_the_entry() {
        let whole = ArtifactSource::from(b"0123456789".to_vec()).whole();
        assert_eq!(whole.part(3, 4).flatten().collect::<Vec<u8>>(), b"3456");
        assert_eq!(whole.part(8, 4).flatten().collect::<Vec<u8>>(), b"89");
        assert_eq!(whole.part(11, 4).size(), 0);
    }
}
