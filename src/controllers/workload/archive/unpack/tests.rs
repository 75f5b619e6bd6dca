#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

use std::io::{Cursor, Write as _};

use futures::{FutureExt as _, stream};
use proptest::prelude::*;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::domain::archive::{ZipEntry, index};

const STORED: CompressionMethod = CompressionMethod::Stored;
const DEFLATED: CompressionMethod = CompressionMethod::Deflated;

fn options(method: CompressionMethod) -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(method)
}

/// An archive by a tool that can't seek: sizes and checksum follow each file.
fn streamed(files: &[(&str, Vec<u8>, CompressionMethod)]) -> Vec<u8> {
    let mut writer = ZipWriter::new_stream(Vec::new());
    for (name, bytes, method) in files {
        writer.start_file(*name, options(*method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn plain(files: &[(&str, Vec<u8>, CompressionMethod)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes, method) in files {
        writer.start_file(*name, options(*method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn entries(archive: &[u8]) -> Vec<ZipEntry> {
    index(archive, archive.len() as u64).unwrap()
}

fn tape(archive: &[u8], start: u64, end: u64, pieces: usize) -> Tape {
    let at = |at: u64| usize::try_from(at).unwrap().min(archive.len());
    let bytes = archive[at(start)..at(end)].to_vec();
    let pieces: Vec<_> = bytes
        .chunks(pieces)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    Tape::new("s3://hub/a.zip", start, stream::iter(pieces).boxed())
}

fn unpack(archive: &[u8], entry: &ZipEntry, pieces: usize) -> Result<Vec<u8>, CallError> {
    let packed = entry.packed;
    let mut tape = tape(archive, packed.start, packed.end, pieces);
    read(&mut tape, entry)
}

fn read(tape: &mut Tape, entry: &ZipEntry) -> Result<Vec<u8>, CallError> {
    let path = String::from_utf8_lossy(&entry.name).into_owned();
    let unpacked = async {
        let mut unpacking = Unpacking::begin(&path, &entry.packed, tape).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = unpacking.next(tape).await? {
            assert!(!piece.is_empty());
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    unpacked.now_or_never().expect("nothing to wait for")
}

fn kind(result: Result<Vec<u8>, CallError>) -> (CallErrorKind, String) {
    let error = result.expect_err("an error");
    (error.kind, error.message)
}

#[test]
fn stored_and_deflated_files_unpack_completely_for_any_piece_size() {
    let large: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let files = [
        ("a.txt", b"stored".to_vec(), STORED),
        ("b.bin", large.clone(), DEFLATED),
        ("c", Vec::new(), STORED),
        ("d", Vec::new(), DEFLATED),
        ("e.bin", large, STORED),
    ];
    for archive in [plain(&files), streamed(&files)] {
        let entries = entries(&archive);
        for (entry, (name, bytes, _)) in entries.iter().zip(&files) {
            for pieces in [1, 37, 64 << 10] {
                let unpacked = unpack(&archive, entry, pieces).unwrap();
                assert!(unpacked == *bytes, "{name} in pieces of {pieces}");
            }
        }
        // One after the other, from one read.
        let all = archive.len() as u64;
        let mut tape = tape(&archive, 0, all, 1000);
        for (entry, (name, bytes, _)) in entries.iter().zip(&files) {
            assert!(read(&mut tape, entry).unwrap() == *bytes, "{name}");
        }
    }
}

#[test]
fn file_that_contradicts_the_directory_is_refused() {
    let bytes = b"many words and many more words".to_vec();
    for method in [STORED, DEFLATED] {
        let archive = plain(&[("a", bytes.clone(), method)]);
        let entry = &entries(&archive)[0];
        let with = |change: &dyn Fn(&mut Packed)| {
            let mut entry = entry.clone();
            change(&mut entry.packed);
            kind(unpack(&archive, &entry, 7))
        };
        let (invalid, why) = with(&|packed| packed.crc32 ^= 1);
        assert_eq!(invalid, CallErrorKind::Invalid);
        assert!(why.contains("checksum"), "{why}");
        let (_, why) = with(&|packed| packed.size += 1);
        assert!(why.contains("shorter"), "{why}");
        let (_, why) = with(&|packed| packed.size -= 1);
        assert!(why.contains("longer"), "{why}");
        let (_, why) = with(&|packed| packed.length -= 1);
        assert!(why.contains("cut off") || why.contains("shorter"), "{why}");
        let (_, why) = with(&|packed| packed.start += 1);
        assert!(why.contains("does not begin"), "{why}");
    }
}

#[test]
fn damaged_and_truncated_bytes_are_distinguished() {
    let bytes = vec![b'x'; 1000];
    let mut archive = plain(&[("a", bytes, DEFLATED)]);
    let entry = &entries(&archive)[0];
    let packed = entry.packed;
    let mut cut = tape(&archive, packed.start, packed.start + 33, 7);
    let (corrupt, _) = kind(read(&mut cut, entry));
    assert_eq!(corrupt, CallErrorKind::Corrupt);
    // The first byte of the deflate stream: an invalid block type.
    archive[31] = 0xff;
    let (invalid, why) = kind(unpack(&archive, entry, 7));
    assert_eq!(invalid, CallErrorKind::Invalid);
    assert!(why.contains("inflated"), "{why}");
}

#[test]
fn bytes_after_the_deflate_stream_are_refused() {
    let archive = plain(&[("a", vec![b'x'; 1000], DEFLATED)]);
    let mut entry = entries(&archive)[0].clone();
    entry.packed.length += 1;
    entry.packed.end += 1;
    let (_, why) = kind(unpack(&archive, &entry, 7));
    assert!(why.contains("before its packed bytes"), "{why}");
}

proptest! {
    /// Damage never yields other bytes than were packed, and never panics.
    #[test]
    fn damage_never_yields_other_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        deflated in any::<bool>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        pieces in 1..200_usize,
    ) {
        let method = if deflated { DEFLATED } else { STORED };
        let mut archive = plain(&[("a", bytes.clone(), method)]);
        let entry = entries(&archive)[0].clone();
        prop_assert_eq!(&unpack(&archive, &entry, pieces).unwrap(), &bytes);
        let end = usize::try_from(entry.packed.end).unwrap();
        archive[at.index(end)] = byte;
        if let Ok(unpacked) = unpack(&archive, &entry, pieces) {
            prop_assert_eq!(&unpacked, &bytes);
        }
    }
}
