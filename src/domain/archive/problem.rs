//! Why bytes are not taken for an archive, and the limits that are set to one.

/// How many of the last bytes are kept, and so how large a directory may be: [`ENTRIES`] with names of
/// 60 bytes and the usual extra fields. It is held in memory while an artifact is transferred.
pub const TAIL: usize = 12 << 20;

/// The most entries an archive may have.
pub const ENTRIES: u64 = 100_000;

/// How many times its own size an archive may unpack to, above [`RATIO_FROM`].
pub const RATIO: u64 = 200;

/// Smaller archives may have any ratio: they can't do harm.
pub const RATIO_FROM: u64 = 1 << 30;

/// Why bytes are not taken for an archive, or can't be found in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveProblem {
    /// There is no directory at the end.
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
    #[error("its entry {0:?} leads out of the archive: names must be relative and without \"..\"")]
    UnsafeName(String),
    /// Nobody could unpack it.
    #[error("its entry {0:?} is encrypted")]
    Encrypted(String),
    /// It unpacks to an amount that nobody means.
    #[error(
        "it would unpack to {unpacked} bytes, more than {RATIO} times its size of {size} bytes"
    )]
    Bomb {
        /// Bytes when unpacked.
        unpacked: u64,
        /// Bytes as it is.
        size: u64,
    },
}
