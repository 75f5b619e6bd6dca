#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

use std::io::{Cursor, Write as _};

use proptest::prelude::*;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{
    directory::{END_LENGTH, END64, ENTRY, ENTRY_LENGTH, LOCATOR, u32_at},
    index::MSDOS_DIRECTORY,
    *,
};

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(files, SimpleFileOptions::default())
}

fn zip_with(files: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn read(bytes: &[u8]) -> Result<(i64, i64), String> {
    summarize(bytes, bytes.len() as u64)
        .map(|summary| (summary.entries, summary.uncompressed_size))
        .map_err(|problem| problem.to_string())
}

/// Overwrites a field of the first directory entry.
fn patch(archive: &mut [u8], at: usize, bytes: &[u8]) {
    let start = (archive.windows(4))
        .position(|window| window == ENTRY.to_le_bytes())
        .unwrap();
    archive[start + at..start + at + bytes.len()].copy_from_slice(bytes);
}

#[test]
fn entries_and_sizes_come_from_the_directory() {
    assert_eq!(read(&zip(&[])), Ok((0, 0)));
    let archive = zip(&[("app.py", b"print()"), ("lib/x.py", &[b'x'; 5000])]);
    assert_eq!(read(&archive), Ok((2, 5007)));
}

#[test]
fn a_comment_at_the_end_is_skipped() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.set_comment("what the build wrote here").unwrap();
    writer
        .start_file("a", SimpleFileOptions::default())
        .unwrap();
    let archive = writer.finish().unwrap().into_inner();
    assert_eq!(read(&archive), Ok((1, 0)));
}

#[test]
fn zip64_sizes_are_read() {
    let options = SimpleFileOptions::default().large_file(true);
    assert_eq!(read(&zip_with(&[("a", b"abc")], options)), Ok((1, 3)));

    // The plain record defers to the Zip64 one.
    let plain = zip(&[("a", b"abc"), ("b", b"")]);
    let (body, end) = plain.split_at(plain.len() - END_LENGTH);
    let mut archive = body.to_vec();
    let size = u64::from(u32_at(end, 12).unwrap());
    archive.extend(END64.to_le_bytes());
    archive.extend([0; 28]);
    for value in [2, size, body.len() as u64 - size] {
        archive.extend(value.to_le_bytes());
    }
    archive.extend(LOCATOR.to_le_bytes());
    archive.extend([0; 16]);
    archive.extend(&end[..10]);
    archive.extend([0xff; 10]);
    archive.extend([0; 2]);
    assert_eq!(read(&archive), Ok((2, 3)));
}

#[test]
fn invalid_or_truncated_zip_is_refused() {
    let archive = zip(&[("a", b"abc")]);
    let not_a_zip = Err("it is not a zip archive, or its end is missing".to_owned());
    assert_eq!(read(b""), not_a_zip);
    assert_eq!(read(b"hello"), not_a_zip);
    assert_eq!(read(&archive[..archive.len() - 1]), not_a_zip);
}

#[test]
fn entry_outside_of_the_archive_is_refused() {
    for name in [
        "../x",
        "a/../../x",
        "/etc/x",
        "\\x",
        "C:x",
        "a\\..\\x",
        "a\0x",
    ] {
        // Written under a harmless name of the same length, because writers sanitize names.
        let harmless = "n".repeat(name.len());
        let mut archive = zip(&[(harmless.as_str(), b"x")]);
        patch(&mut archive, ENTRY_LENGTH, name.as_bytes());
        assert_eq!(
            summarize(&archive, archive.len() as u64),
            Err(ArchiveProblem::UnsafeName(name.to_owned()))
        );
    }
    for name in ["a..b", "..a/b", "a/b/", "ä"] {
        assert!(read(&zip(&[(name, b"")])).is_ok(), "{name}");
    }
}

#[test]
fn malicious_archives_are_refused() {
    let mut encrypted = zip(&[("a", b"x")]);
    patch(&mut encrypted, 8, &[1]);
    assert_eq!(
        summarize(&encrypted, encrypted.len() as u64),
        Err(ArchiveProblem::Encrypted("a".to_owned()))
    );

    let mut bomb = zip(&[("a", b"x")]);
    patch(&mut bomb, 24, &2_000_000_000_u32.to_le_bytes());
    assert_eq!(
        summarize(&bomb, bomb.len() as u64),
        Err(ArchiveProblem::Bomb {
            unpacked: 2_000_000_000,
            size: bomb.len() as u64
        })
    );

    let mut overlapping = zip(&[("a", b"x")]);
    patch(&mut overlapping, 20, &1_000_000_u32.to_le_bytes());
    assert_eq!(
        summarize(&overlapping, overlapping.len() as u64),
        Err(ArchiveProblem::Damaged("its entries overlap"))
    );
}

#[test]
fn directory_larger_than_the_tail_is_refused() {
    let archive = zip(&[("a", b"abc"), ("b", b"abc")]);
    let tail = &archive[archive.len() - 30..];
    assert_eq!(
        summarize(tail, archive.len() as u64),
        Err(ArchiveProblem::DirectoryTooLarge(94))
    );
}

#[test]
fn package_above_the_size_limit_of_lambda_is_refused() {
    let summary = |entries, uncompressed_size| ArchiveSummary {
        entries,
        uncompressed_size,
        executable_bootstrap: None,
        unsupported: None,
        backslash: None,
    };
    let lambda_problem = |archive: Option<&ArchiveSummary>, problem: Option<&str>| {
        super::lambda_problem(archive, problem, "python3.13")
    };
    assert_eq!(
        lambda_problem(Some(&summary(1, LAMBDA_UNPACKED)), None),
        None
    );
    let too_large = lambda_problem(Some(&summary(1, LAMBDA_UNPACKED + 1)), None);
    assert!(too_large.is_some_and(|problem| problem.contains("at most 262144000")));
    let empty = lambda_problem(Some(&summary(0, 0)), None);
    assert!(empty.is_some_and(|problem| problem.contains("is empty")));
    let no_zip = lambda_problem(None, Some("it is not a zip archive, or its end is missing"));
    assert_eq!(
        no_zip.as_deref(),
        Some(
            "it is not a valid deployment package: it is not a zip archive, or its end is missing"
        )
    );
}

fn summary(archive: &[u8]) -> ArchiveSummary {
    summarize(archive, archive.len() as u64).unwrap()
}

#[test]
fn non_executable_bootstrap_is_refused_if_the_runtime_starts_it() {
    let problem = |archive: &[u8], runtime: &str| {
        lambda_problem(Some(&summary(archive)), None, runtime).unwrap_or_default()
    };
    let with_mode = |name: &str, mode| {
        let options = SimpleFileOptions::default().unix_permissions(mode);
        zip_with(&[("lib/bootstrap", b""), (name, b"\x7fELF")], options)
    };
    let plain = with_mode("bootstrap", 0o644);
    let refused = problem(&plain, "provided.al2023");
    assert!(refused.contains("set the mode to 755"), "{refused}");
    assert_eq!(problem(&plain, "python3.13"), "");
    for fine in [
        with_mode("bootstrap", 0o755),
        with_mode("./bootstrap", 0o755),
        // The bootstrap may be in a layer.
        with_mode("app", 0o644),
    ] {
        assert_eq!(problem(&fine, "provided.al2"), "");
    }
    // A tool that writes no modes.
    let mut plain = with_mode("bootstrap", 0o755);
    for name in [&b"lib/bootstrap"[..], b"bootstrap"] {
        let at = (plain.windows(4).enumerate())
            .filter(|(_, window)| *window == ENTRY.to_le_bytes())
            .map(|(at, _)| at)
            .find(|at| plain[at + ENTRY_LENGTH..].starts_with(name))
            .unwrap();
        plain[at + 5] = 0;
        plain[at + 38..at + 42].fill(0);
    }
    assert!(!problem(&plain, "provided.al2023").is_empty());
}

#[test]
fn unsupported_compression_method_is_refused_by_name() {
    for (method, name) in [
        (12_u16, "bzip2"),
        (14, "LZMA"),
        (93, "zstd"),
        (1, "method 1"),
    ] {
        let mut archive = zip(&[("app.py", b"print()"), ("b", b"")]);
        patch(&mut archive, 10, &method.to_le_bytes());
        let problem = lambda_problem(Some(&summary(&archive)), None, "python3.13");
        let problem = problem.unwrap_or_default();
        assert!(
            problem.contains("\"app.py\"") && problem.contains(name),
            "{problem}"
        );
    }
}

#[test]
fn folder_with_backslashes_gets_its_own_message() {
    let archive = summary(&zip(&[("public\\index.html", b"x")]));
    for tree in ["", "public", "./public"] {
        let problem = site_problem(Some(&archive), None, tree).unwrap_or_default();
        assert!(problem.contains("has backslashes in its name"), "{problem}");
    }
    assert_eq!(site_problem(Some(&archive), None, "docs"), None);
}

#[test]
fn the_directory_of_many_small_files_is_read() {
    let names: Vec<String> = (0..36_000)
        .map(|n| format!("node_modules/@scope/a-package-of-some-length/dist/esm/file-{n}.js"))
        .collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let archive = zip_with(&files, stored);
    let mut tail = Tail::default();
    tail.push(&archive);
    assert_eq!(tail.summarize().map(|summary| summary.entries), Ok(36_000));
}

#[test]
fn tail_ring_keeps_the_last_bytes() {
    let archive = zip(&[("a", b"abc")]);
    let mut tail = Tail::default();
    for _ in 0..7 {
        tail.push(&vec![b'-'; TAIL / 3]);
    }
    for piece in archive.chunks(7) {
        tail.push(piece);
    }
    assert_eq!(tail.total(), (7 * (TAIL / 3) + archive.len()) as u64);
    let read = tail.summarize().map(|summary| summary.entries);
    assert_eq!(read, Ok(1));

    let mut tail = Tail::default();
    tail.push(&vec![b'-'; 3 * TAIL + 5]);
    tail.push(&archive);
    assert_eq!(tail.summarize().map(|summary| summary.entries), Ok(1));
}

fn entries(archive: &[u8]) -> Result<Vec<ZipEntry>, ArchiveProblem> {
    index(archive, archive.len() as u64)
}

/// The compressed bytes of an entry.
fn packed<'a>(archive: &'a [u8], entry: &ZipEntry) -> &'a [u8] {
    let at = |at: u64| usize::try_from(at).unwrap();
    let packed = &entry.packed;
    let header = &archive[at(packed.start)..at(packed.end)];
    let after = packed.after_header(header).unwrap();
    let begin = packed.start + LOCAL_LENGTH + after;
    &archive[at(begin)..at(begin + packed.length)]
}

#[test]
fn entries_are_read_by_their_ranges() {
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for large in [false, true] {
        let files: [(&str, &[u8]); 3] = [("a.txt", b"abc"), ("b/c", b"defgh"), ("d", b"")];
        let plain = zip_with(&files, stored.large_file(large));
        // Self-extracting archives have a prefix.
        let prefixed = [b"#!/bin/sh\n".as_slice(), &plain].concat();
        for archive in [plain, prefixed] {
            let found = entries(&archive).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|entry| (&*entry.name, packed(&archive, entry)))
                .collect();
            let expected: Vec<_> = files
                .iter()
                .map(|(name, bytes)| (name.as_bytes(), *bytes))
                .collect();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn directory_length_is_known_from_a_few_last_bytes() {
    let archive = zip(&[("a", b"abc"), ("b", b"abc")]);
    let size = archive.len() as u64;
    let few = &archive[archive.len() - END_LENGTH..];
    let length = directory_length(few, size).unwrap();
    assert_eq!(length, 94 + END_LENGTH as u64);
    let tail = &archive[archive.len() - usize::try_from(length).unwrap()..];
    assert_eq!(index(tail, size), entries(&archive));
    assert!(directory_length(few, 50).is_err());
}

#[test]
fn directories_links_and_unknown_methods_are_distinguished() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    writer.add_directory("d", options).unwrap();
    writer.start_file("d/f", options).unwrap();
    writer.add_symlink("l", "d/f", options).unwrap();
    let mut archive = writer.finish().unwrap().into_inner();
    let kinds = |archive: &[u8]| -> Vec<EntryKind> {
        let found = entries(archive).unwrap();
        found.iter().map(|entry| entry.kind).collect()
    };
    let expected = [
        EntryKind::Directory,
        EntryKind::File,
        EntryKind::SymbolicLink,
    ];
    assert_eq!(kinds(&archive), expected);

    archive = zip(&[("f", b"abc")]);
    patch(&mut archive, 10, &93_u16.to_le_bytes());
    assert_eq!(kinds(&archive), [EntryKind::UnknownMethod(93)]);
}

#[test]
fn directory_is_recognized_by_mode_and_names_are_normalized() {
    let mut archive = zip(&[("public/assets", b""), ("./public/./a.js", b"a")]);
    // The writer of this library recognizes a directory by its slash.
    patch(&mut archive, 38, &(0o040_755_u32 << 16).to_le_bytes());
    let found = entries(&archive).unwrap();
    let found: Vec<_> = found.iter().map(|it| (&*it.name, it.kind)).collect();
    let expected = [
        (&b"public/assets"[..], EntryKind::Directory),
        (b"public/a.js", EntryKind::File),
    ];
    assert_eq!(found, expected);
    // The directory attribute of MS-DOS.
    patch(&mut archive, 4, &20_u16.to_le_bytes());
    patch(&mut archive, 38, &MSDOS_DIRECTORY.to_le_bytes());
    assert_eq!(entries(&archive).unwrap()[0].kind, EntryKind::Directory);
}

#[test]
fn overlapping_entries_are_refused() {
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let archive = zip_with(&[("a", b"abc"), ("b", b"abc")], stored);
    let damaged = |mut archive: Vec<u8>, at, bytes: &[u8]| {
        patch(&mut archive, at, bytes);
        entries(&archive)
    };
    let overlap = Err(ArchiveProblem::Damaged("its entries overlap"));
    // The first entry has the offset of the second.
    let second = LOCAL_LENGTH + 4;
    let at = u32::try_from(second).unwrap().to_le_bytes();
    assert_eq!(damaged(archive.clone(), 42, &at), overlap);
    assert_eq!(
        damaged(archive.clone(), 42, &u32::MAX.to_le_bytes()[..3]),
        overlap
    );
    assert_eq!(
        damaged(archive, 20, &2_u32.to_le_bytes()),
        Err(ArchiveProblem::Damaged("a stored entry has two sizes"))
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), size in any::<u64>()) {
        let _ = summarize(&bytes, size);
        let _ = directory_length(&bytes, size);
        let mut end = bytes;
        end.extend(zip(&[]));
        let _ = summarize(&end, size);
        let _ = index(&end, size);
        let _ = directory_length(&end, size);
    }

    #[test]
    fn damaged_archive_never_panics_or_yields_wrong_ranges(
        at in 0..400_usize,
        byte in any::<u8>(),
        cut in 0..400_usize,
        large in any::<bool>(),
    ) {
        let options = SimpleFileOptions::default().large_file(large);
        let mut archive = zip_with(&[("a/b", b"abc"), ("c", b"defg")], options);
        let length = archive.len();
        archive[at % length] = byte;
        archive.drain(..cut % length);
        if let Ok(summary) = summarize(&archive, length as u64) {
            prop_assert!(summary.entries <= 2);
        }
        for entry in entries(&archive).unwrap_or_default() {
            let Packed { start, end, length, .. } = entry.packed;
            prop_assert!(start + LOCAL_LENGTH + length <= end && end <= archive.len() as u64);
            let header = &archive[usize::try_from(start).unwrap()..];
            if let Some(after) = entry.packed.after_header(header) {
                prop_assert!(start + LOCAL_LENGTH + after + length <= end);
            }
        }
    }
}
