//! The problems of an archive, and its limits.

/// The number of last bytes that are kept, and so the maximum size of a directory: [`ENTRIES`] with names of
/// 60 bytes and the usual extra fields. They stay in memory while an artifact is transferred.
pub const TAIL: usize = 12 << 20;

/// The maximum number of entries.
pub const ENTRIES: u64 = 100_000;

/// The maximum ratio of the uncompressed size to the archive's size, above [`RATIO_FROM`].
pub const RATIO: u64 = 200;

/// The uncompressed size, in bytes, up to which any ratio is harmless.
pub const RATIO_FROM: u64 = 1 << 30;

/// Why an archive is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveProblem {
    /// The bytes have no directory at the end.
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
    #[error(
        "its entry {0:?} points outside of the archive: names must be relative and without \"..\""
    )]
    UnsafeName(String),
    /// An entry is encrypted.
    #[error("its entry {0:?} is encrypted")]
    Encrypted(String),
    /// The archive unpacks to an implausible size.
    #[error(
        "it would unpack to {unpacked} bytes, more than {RATIO} times its size of {size} bytes"
    )]
    Bomb {
        /// Uncompressed size in bytes.
        unpacked: u64,
        /// Size of the archive in bytes.
        size: u64,
    },
}
