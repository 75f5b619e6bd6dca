//! Packages of code: a folder of an archive, zipped by itself.
//!
//! A package is identified by the digest of its files: their paths, modes and bytes. Times, owners, the order of the
//! archive and its compression do not count, so that a build that makes the same files makes the same package.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{EntryKind, Packed, ZipEntry, backslashes, inside, method_name, similar_folders};
use crate::domain::{digest::Sha256, outcome::shorten};

/// The most bytes of the files of a package, unpacked: twice what Lambda takes, which has the lowest limit.
pub const PACKAGE_SIZE: u64 = 512 << 20;

/// The most files of a package: as many as a zip has without Zip64.
const PACKAGE_FILES: usize = 65_535;

/// The most bytes of a symbolic link.
pub const LINK: u64 = 4 << 10;

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// Where the archive has it.
    pub packed: Packed,
    /// What it is.
    pub mode: Mode,
}

/// What a file of a package is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Mode {
    /// A file that is not executable.
    Plain,
    /// A file that may be executed.
    Executable,
    /// A symbolic link: its bytes are the path of another file.
    Link,
}

/// Why there is no package of a folder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackageProblem {
    /// The archive has no such folder.
    #[error("it has no file {}{near}", below(.folder))]
    NoFiles {
        /// The folder.
        folder: String,
        /// Similar folders, as part of the message.
        near: String,
    },
    /// A name with backslashes, from a tool that packs Windows paths.
    #[error("{why}", why = backslashes(.0))]
    Backslash(String),
    /// A name that is not text.
    #[error("its entry {0:?} has a name that is not UTF-8")]
    InvalidName(String),
    /// Two entries with one name.
    #[error("it has two entries named {0:?}")]
    DuplicateName(String),
    /// Neither stored nor deflated.
    #[error(
        "its entry {0:?} is compressed with {by}: make the build store or deflate it",
        by = method_name(i32::from(*.1))
    )]
    UnknownMethod(String, u16),
    /// A link that the package does not contain the target of.
    #[error(
        "its entry {0:?} is a symbolic link out of the folder that is packaged: make the build copy the file itself"
    )]
    LinkOutside(String),
    /// More than a zip can have.
    #[error("it has {files} files {}, more than the limit of {PACKAGE_FILES}", below(.folder))]
    TooManyFiles {
        /// The actual value.
        files: usize,
        /// The folder.
        folder: String,
    },
    /// Larger than [`PACKAGE_SIZE`].
    #[error("its files {} have {size} bytes, more than the limit of {PACKAGE_SIZE}", below(.folder))]
    TooLarge {
        /// The actual value.
        size: u64,
        /// The folder.
        folder: String,
    },
}

fn below(folder: &str) -> String {
    match folder {
        "" => "in it".to_owned(),
        folder => format!("below {folder:?}"),
    }
}

/// The files of a folder, by their path below it; or a single file, by its name. The folder has no trailing slash and is
/// empty for the whole archive.
pub fn package_files(
    entries: &[ZipEntry],
    folder: &str,
) -> Result<BTreeMap<String, PackageFile>, PackageProblem> {
    let mut files = BTreeMap::new();
    let (mut size, mut packed) = (0_u64, 0_u64);
    for entry in entries {
        let path = match inside(&entry.name, folder.as_bytes()) {
            Some(path) => path,
            None if *entry.name == *folder.as_bytes() => base_name(&entry.name),
            None => continue,
        };
        let name = || shorten(&String::from_utf8_lossy(&entry.name), 100);
        let mode = match entry.kind {
            EntryKind::Directory => continue,
            EntryKind::UnknownMethod(method) => {
                return Err(PackageProblem::UnknownMethod(name(), method));
            }
            EntryKind::SymbolicLink if entry.packed.size > LINK => {
                return Err(PackageProblem::LinkOutside(name()));
            }
            EntryKind::SymbolicLink => Mode::Link,
            EntryKind::File if entry.is_executable => Mode::Executable,
            EntryKind::File => Mode::Plain,
        };
        let Ok(path) = std::str::from_utf8(path) else {
            return Err(PackageProblem::InvalidName(name()));
        };
        if path.contains('\\') {
            return Err(PackageProblem::Backslash(name()));
        }
        size = size.saturating_add(entry.packed.size);
        packed = packed.saturating_add(entry.packed.length);
        let file = PackageFile {
            packed: entry.packed,
            mode,
        };
        if files.insert(path.to_owned(), file).is_some() {
            return Err(PackageProblem::DuplicateName(name()));
        }
    }
    let folder = folder.to_owned();
    if files.is_empty() {
        let near = similar_folders(entries, &folder);
        return Err(PackageProblem::NoFiles { folder, near });
    }
    if files.len() > PACKAGE_FILES {
        let files = files.len();
        return Err(PackageProblem::TooManyFiles { files, folder });
    }
    // A file that does not compress may be a little larger when it is packed.
    let size = size.max(packed);
    if size > PACKAGE_SIZE {
        return Err(PackageProblem::TooLarge { size, folder });
    }
    Ok(files)
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Whether the target of a link leads to something in the same package.
pub fn is_link_inside(path: &str, target: &str) -> bool {
    let mut depth = path.matches('/').count();
    if target.is_empty() || target.starts_with('/') {
        return false;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}

/// The digest that identifies a package with these files.
pub fn package_digest<'a>(files: impl Iterator<Item = (&'a str, Mode, Sha256)>) -> Sha256 {
    let files: Vec<_> = files.collect();
    Sha256::of_json(&("sluice package 1", files))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: EntryKind) -> ZipEntry {
        ZipEntry {
            name: name.as_bytes().into(),
            kind,
            packed: Packed {
                start: 0,
                end: 100,
                length: 10,
                size: 20,
                crc32: 0,
                deflated: true,
            },
            is_executable: name.ends_with("bootstrap"),
        }
    }

    fn file(name: &str) -> ZipEntry {
        entry(name, EntryKind::File)
    }

    fn problem(entries: &[ZipEntry], folder: &str) -> String {
        package_files(entries, folder)
            .expect_err("a problem")
            .to_string()
    }

    #[test]
    fn package_has_the_files_of_the_folder_with_their_modes() {
        let entries = [
            entry("build/Api/", EntryKind::Directory),
            file("build/Api/app.py"),
            file("build/Api/bootstrap"),
            entry("build/Api/bin/app", EntryKind::SymbolicLink),
            file("build/ApiOther/app.py"),
            file("build/template.yaml"),
        ];
        let files = package_files(&entries, "build/Api").expect("files");
        let modes: Vec<(&str, Mode)> = files
            .iter()
            .map(|(path, file)| (path.as_str(), file.mode))
            .collect();
        let expected = [
            ("app.py", Mode::Plain),
            ("bin/app", Mode::Link),
            ("bootstrap", Mode::Executable),
        ];
        assert_eq!(modes, expected);
        assert_eq!(package_files(&entries, "").expect("files").len(), 5);
        let single = package_files(&entries, "build/Api/app.py").expect("a file");
        assert_eq!(single.into_keys().collect::<Vec<_>>(), ["app.py"]);
    }

    #[test]
    fn unfit_folders_are_refused_with_the_reason() {
        let missing = problem(&[file("build/Api/app.py")], "build/Ap1");
        assert_eq!(missing, "it has no file below \"build/Ap1\", but build/Api");
        assert!(problem(&[file("a/x\\y")], "a").contains("backslashes"));
        assert!(problem(&[file("a/x"), file("a/x")], "a").contains("two entries named \"a/x\""));
        let packed = entry("a/x", EntryKind::UnknownMethod(12));
        assert!(problem(&[packed], "a").contains("bzip2"));
        let mut large = file("a/x");
        large.packed.size = PACKAGE_SIZE + 1;
        assert!(problem(&[large], "a").contains("more than the limit of 536870912"));
        let mut link = entry("a/x", EntryKind::SymbolicLink);
        link.packed.size = LINK + 1;
        assert!(problem(&[link], "a").contains("out of the folder"));
        let many: Vec<ZipEntry> = (0..65_536).map(|it| file(&format!("a/{it}"))).collect();
        assert!(problem(&many, "a").contains("65536 files below \"a\""));
    }

    #[test]
    fn links_stay_in_their_package() {
        for (path, target, is_inside) in [
            ("bin/app", "../app.js", true),
            ("app", "lib/./app.js", true),
            ("a/b/c", "../../d", true),
            ("a/b", "../../d", false),
            ("app", "/etc/passwd", false),
            ("app", "x/../../y", false),
            ("app", "", false),
        ] {
            assert_eq!(
                is_link_inside(path, target),
                is_inside,
                "{path} -> {target}"
            );
        }
    }

    #[test]
    fn digest_depends_on_paths_modes_and_bytes() {
        let one = Sha256::of(b"1");
        let digest = |path, mode, bytes| package_digest([(path, mode, bytes)].into_iter());
        let first = digest("a", Mode::Plain, one);
        assert_eq!(digest("a", Mode::Plain, one), first);
        assert_ne!(digest("b", Mode::Plain, one), first);
        assert_ne!(digest("a", Mode::Executable, one), first);
        assert_ne!(digest("a", Mode::Plain, Sha256::of(b"2")), first);
    }
}
