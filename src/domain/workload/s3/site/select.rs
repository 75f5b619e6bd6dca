//! Selecting the files of a site from an archive's entries, and grouping them for reads.

use std::collections::BTreeMap;

use super::{
    content::ContentFile,
    location::{MAX_KEY_SIZE, S3Location, unfit},
    unicode::{escaped, is_same_text},
};
use crate::domain::{
    archive::{
        ArchiveProblem, EntryKind, GAP, Packed, ZipEntry, backslashes, inside, method_name, normal,
        similar_folders,
    },
    outcome::shorten,
};

/// The most files of a site: each takes memory during the rollout.
pub const MAX_FILES: usize = 20_000;

/// The most bytes of one file: one call uploads it, and one copy backs it up or restores it.
pub const MAX_FILE_SIZE: u64 = 1 << 30;

/// The most bytes of all files.
pub const MAX_TOTAL_SIZE: u64 = 20 << 30;

/// The most bytes of small files that are held in memory together.
const BATCH: u64 = 4 << 20;

/// Why no site can be made of an archive's entries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteProblem {
    /// The archive itself can't be read.
    #[error(transparent)]
    Archive(#[from] ArchiveProblem),
    /// No file to deliver.
    #[error("it has no file{}{near}", below(.tree))]
    NoFiles {
        /// The sub-tree.
        tree: String,
        /// Folders with a similar name, as part of the message.
        near: String,
    },
    /// No file to deliver, except in a folder whose name only looks the same.
    #[error(
        "it has no file below {tree:?} ({wanted}), but below {found:?} ({there}): these are the same \
         characters in different Unicode forms, such as NFC and NFD; write the path as the archive has it",
        wanted = escaped(.tree),
        there = escaped(.found)
    )]
    OtherUnicodeForm {
        /// The sub-tree.
        tree: String,
        /// The folder that is there.
        found: String,
    },
    /// A name with backslashes, from a tool that packs Windows paths.
    #[error("{why}", why = backslashes(.0))]
    Backslash(String),
    /// A name that can't be a key.
    #[error("its entry {0:?} can't be a key: {1}")]
    InvalidName(String, &'static str),
    /// Two entries would become the same object.
    #[error("it has two entries named {0:?}")]
    DuplicateName(String),
    /// A symbolic link, whose content is the name of another file.
    #[error("its entry {0:?} is a symbolic link: make the build include the file itself")]
    SymbolicLink(String),
    /// Neither stored nor deflated.
    #[error(
        "its entry {0:?} is compressed with {by}: make the build store or deflate it",
        by = packing(.1)
    )]
    UnknownMethod(String, u16),
    /// More than [`MAX_FILES`].
    #[error("it has {files} files{}, more than the limit of {MAX_FILES}", below(.tree))]
    TooManyFiles {
        /// The actual value.
        files: usize,
        /// The sub-tree.
        tree: String,
    },
    /// Larger than [`MAX_FILE_SIZE`].
    #[error("its file {0:?} has {1} bytes, more than the limit of {MAX_FILE_SIZE}")]
    FileTooLarge(String, u64),
    /// Larger than [`MAX_TOTAL_SIZE`] together.
    #[error("its files have {size} bytes{}, more than the limit of {MAX_TOTAL_SIZE}", below(.tree))]
    TooLarge {
        /// The actual value.
        size: u64,
        /// The sub-tree.
        tree: String,
    },
}

fn below(tree: &str) -> String {
    match tree {
        "" => String::new(),
        tree => format!(" below {tree:?}"),
    }
}

/// The files of a sub-tree, by their path below it (`public` and `public/` are the same; empty is the whole
/// archive).
pub fn select(entries: &[ZipEntry], tree: &str) -> Result<BTreeMap<String, Packed>, SiteProblem> {
    let folder = normal(tree.trim_end_matches('/').as_bytes());
    let mut files = BTreeMap::new();
    let mut total = 0_u64;
    for entry in entries {
        if entry.kind == EntryKind::Directory {
            continue;
        }
        let name = || shorten(&String::from_utf8_lossy(&entry.name), 100);
        let Some(path) = inside(&entry.name, &folder) else {
            if inside(&with_slashes(&entry.name), &folder).is_some() {
                return Err(SiteProblem::Backslash(name()));
            }
            continue;
        };
        match entry.kind {
            EntryKind::Directory => continue,
            EntryKind::SymbolicLink => return Err(SiteProblem::SymbolicLink(name())),
            EntryKind::UnknownMethod(method) => {
                return Err(SiteProblem::UnknownMethod(name(), method));
            }
            EntryKind::File => {}
        }
        let Ok(path) = std::str::from_utf8(path) else {
            return Err(SiteProblem::InvalidName(name(), "it is not UTF-8"));
        };
        if path.contains('\\') {
            return Err(SiteProblem::Backslash(name()));
        }
        if let Some(why) = unfit(path) {
            return Err(SiteProblem::InvalidName(name(), why));
        }
        if entry.packed.size > MAX_FILE_SIZE {
            return Err(SiteProblem::FileTooLarge(name(), entry.packed.size));
        }
        total = total.saturating_add(entry.packed.size);
        if files.insert(path.to_owned(), entry.packed).is_some() {
            return Err(SiteProblem::DuplicateName(name()));
        }
    }
    if files.is_empty() {
        let tree = tree.to_owned();
        if let Some(found) = same_text(entries, &tree) {
            return Err(SiteProblem::OtherUnicodeForm { tree, found });
        }
        let near = similar_folders(entries, &tree);
        return Err(SiteProblem::NoFiles { tree, near });
    }
    if files.len() > MAX_FILES {
        let (files, tree) = (files.len(), tree.to_owned());
        return Err(SiteProblem::TooManyFiles { files, tree });
    }
    if total > MAX_TOTAL_SIZE {
        let tree = tree.to_owned();
        return Err(SiteProblem::TooLarge { size: total, tree });
    }
    Ok(files)
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the derived message gives a reference"
)]
fn packing(method: &u16) -> String {
    method_name(i32::from(*method))
}

/// The name with slashes in place of backslashes.
fn with_slashes(name: &[u8]) -> Vec<u8> {
    let separator = |byte: &u8| if *byte == b'\\' { b'/' } else { *byte };
    name.iter().map(separator).collect()
}

/// The folder whose name is the same text as the sub-tree, in another Unicode form.
fn same_text(entries: &[ZipEntry], tree: &str) -> Option<String> {
    let tree = tree.trim_end_matches('/');
    if tree.is_ascii() {
        return None;
    }
    let depth = tree.split('/').count();
    entries.iter().find_map(|entry| {
        let name = std::str::from_utf8(&entry.name).ok()?;
        let parts: Vec<&str> = name.split('/').take(depth).collect();
        let folder = parts.join("/");
        is_same_text(&folder, tree).then_some(folder)
    })
}

/// Why a key would be too long at this location; names the first such file.
pub(super) fn too_long<'a>(
    location: &S3Location,
    paths: impl IntoIterator<Item = &'a String>,
) -> Option<String> {
    let longest = MAX_KEY_SIZE - location.prefix.len();
    let path = paths.into_iter().find(|path| path.len() > longest)?;
    Some(format!(
        "{} is longer than the {MAX_KEY_SIZE} bytes that a key may have",
        location.shown(&shorten(path, 100))
    ))
}

/// Groups small files that are adjacent in the archive into batches that are held in memory together.
pub fn batches<'a>(
    files: impl IntoIterator<Item = (&'a String, &'a ContentFile)>,
) -> Vec<Vec<(&'a str, &'a ContentFile)>> {
    let mut order: Vec<(&str, &ContentFile)> = files
        .into_iter()
        .map(|(path, file)| (path.as_str(), file))
        .collect();
    order.sort_by_key(|(_, file)| file.packed.start);
    let mut batches: Vec<Vec<(&str, &ContentFile)>> = Vec::new();
    let (mut size, mut end) = (0, 0);
    for (path, file) in order {
        let is_near = file.packed.start.saturating_sub(end) <= GAP;
        end = file.packed.end;
        match batches.last_mut() {
            Some(batch) if is_near && size + file.size() <= BATCH => {
                size += file.size();
                batch.push((path, file));
            }
            _ => {
                size = file.size();
                batches.push(vec![(path, file)]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{digest::Sha256, workload::s3::site::Served};

    fn entry(name: &str) -> ZipEntry {
        ZipEntry {
            name: name.as_bytes().into(),
            kind: if name.ends_with('/') {
                EntryKind::Directory
            } else {
                EntryKind::File
            },
            packed: Packed {
                start: 0,
                end: 100,
                length: 10,
                size: 20,
                crc32: 0,
                deflated: true,
            },
            is_executable: false,
        }
    }

    fn selected(names: &[&str], tree: &str) -> Result<Vec<String>, String> {
        let entries: Vec<ZipEntry> = names.iter().map(|name| entry(name)).collect();
        select(&entries, tree)
            .map(|files| files.into_keys().collect())
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn sub_tree_is_selected_and_stripped() {
        let names = [
            "public/",
            "public/index.html",
            "public/css/",
            "public/css/a.css",
            "public-old/x",
            "README",
        ];
        let expected = Ok(vec!["css/a.css".to_owned(), "index.html".to_owned()]);
        assert_eq!(selected(&names, "public/"), expected);
        for same in ["public", "./public", "./public/", "public/."] {
            assert_eq!(selected(&names, same), expected, "{same}");
        }
        assert_eq!(selected(&names, "public/css"), Ok(vec!["a.css".to_owned()]));
        assert_eq!(selected(&names, "").map(|files| files.len()), Ok(4));
    }

    #[test]
    fn selection_without_files_is_an_error() {
        let none = |tree| selected(&["public/", "a/index.html"], tree);
        assert_eq!(
            none("public"),
            Err("it has no file below \"public\"".into())
        );
        assert_eq!(
            none("index.html"),
            Err("it has no file below \"index.html\"".into())
        );
        assert_eq!(selected(&["public/"], ""), Err("it has no file".into()));
        assert_eq!(
            selected(&["build/public/index.html", "README"], "build/pubic"),
            Err("it has no file below \"build/pubic\", but build/public".into())
        );
    }

    #[test]
    fn entries_that_can_not_be_served_are_rejected() {
        for (name, why) in [
            ("p/a\\b", "backslash"),
            ("p/a\nb", "control"),
            ("p//b", "each of its parts must have a name"),
            ("p/../b", "each of its parts must have a name"),
        ] {
            let problem = selected(&[name], "p").expect_err("refused");
            assert!(problem.contains(why), "{problem}");
            // Outside of the sub-tree it does not matter.
            assert!(selected(&[name, "q/a"], "q").is_ok(), "{name}");
        }
        let mut link = entry("p/link");
        link.kind = EntryKind::SymbolicLink;
        assert_eq!(
            select(&[link], ""),
            Err(SiteProblem::SymbolicLink("p/link".into()))
        );
        let mut unknown = entry("p/a");
        unknown.kind = EntryKind::UnknownMethod(93);
        assert_eq!(
            select(&[unknown], ""),
            Err(SiteProblem::UnknownMethod("p/a".into(), 93))
        );
        let mut latin = entry("p/a");
        latin.name = b"p/caf\xe9".as_slice().into();
        assert!(select(&[latin], "").is_err());
        let twice = selected(&["p/a", "p/a"], "p");
        assert_eq!(twice, Err("it has two entries named \"p/a\"".into()));
    }

    #[test]
    fn folder_in_another_unicode_form_is_named_in_the_error() {
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
        let problem = selected(&[&format!("{decomposed}/index.html")], composed);
        let problem = problem.expect_err("the folder has another name");
        for part in ["caf\\u{e9}", "cafe\\u{301}", "NFC and NFD"] {
            assert!(problem.contains(part), "{problem}");
        }
        let other = selected(&["th\u{e9}/index.html"], composed);
        assert_eq!(other, Err(format!("it has no file below {composed:?}")));
        // Both exist: two files, two objects.
        let both = [&*format!("p/{composed}"), &*format!("p/{decomposed}")];
        assert_eq!(selected(&both, "p").map(|files| files.len()), Ok(2));
    }

    #[test]
    fn backslash_names_below_the_sub_tree_are_rejected() {
        for (name, tree) in [
            ("public\\index.html", "public/"),
            ("public/a\\index.html", "public"),
            ("public\\index.html", ""),
        ] {
            let problem = selected(&[name, "public/fine.html"], tree).expect_err("refused");
            assert!(problem.contains("has backslashes in its name"), "{problem}");
        }
        assert!(selected(&["docs\\a", "public/a"], "public").is_ok());
    }

    #[test]
    fn site_limits_are_named_in_the_error() {
        let mut large = entry("a");
        large.packed.size = MAX_FILE_SIZE + 1;
        assert_eq!(
            select(&[large.clone()], ""),
            Err(SiteProblem::FileTooLarge("a".into(), MAX_FILE_SIZE + 1))
        );
        let many: Vec<ZipEntry> = (0..=MAX_FILES).map(|n| entry(&format!("p/{n}"))).collect();
        let problem = select(&many, "p").expect_err("too many");
        assert_eq!(
            problem.to_string(),
            "it has 20001 files below \"p\", more than the limit of 20000"
        );
        let heavy: Vec<ZipEntry> = (0..21)
            .map(|n| {
                let mut entry = entry(&n.to_string());
                entry.packed.size = MAX_FILE_SIZE;
                entry
            })
            .collect();
        assert_eq!(
            select(&heavy, ""),
            Err(SiteProblem::TooLarge {
                size: 21 << 30,
                tree: String::new()
            })
        );
        let location = S3Location::new("shop-site", "docs").expect("valid location");
        assert_eq!(too_long(&location, [&"x".repeat(1019)]), None);
        assert!(too_long(&location, [&"x".repeat(1020)]).is_some());
    }

    proptest! {
        /// Every file is in one batch, in the order of the archive, and no batch exceeds the limit.
        #[test]
        fn batches_have_every_file_once(sizes in prop::collection::vec((0..200_000_u64, 0..2_000_000_u64), 0..60)) {
            let mut at = 0;
            let mut files = BTreeMap::new();
            for (number, (gap, size)) in sizes.into_iter().enumerate() {
                let start = at + gap;
                // Deflated to a tenth: only the size in memory counts.
                at = start + 30 + size / 10;
                let packed = Packed { start, end: at, length: size / 10, size, crc32: 0, deflated: true };
                let file = ContentFile { sha256: Sha256::of(b""), packed, served: Served::default() };
                files.insert(format!("{:x}", 1000 - number), file);
            }
            let batches = batches(&files);
            prop_assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), files.len());
            let mut end = 0;
            for batch in &batches {
                prop_assert!(batch.len() == 1 || batch.iter().map(|(_, file)| file.size()).sum::<u64>() <= BATCH);
                for (nth, (_, file)) in batch.iter().enumerate() {
                    prop_assert!(file.packed.start >= end);
                    prop_assert!(nth == 0 || file.packed.start - end <= GAP);
                    end = file.packed.end;
                }
            }
        }
    }
}
