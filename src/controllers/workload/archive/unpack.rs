//! Unpacks files of an archive in a bucket while their bytes arrive.
//!
//! The sizes and the CRC-32 of a file are verified against the archive's directory. Memory holds
//! only one piece and the state of the decompressor.

use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use futures::StreamExt as _;

use crate::{
    domain::archive::{LOCAL_LENGTH, Packed},
    ports::{CallError, CallErrorKind, store::ByteStream},
};

/// How many bytes are inflated at a time.
const PIECE: usize = 32 << 10;

/// A part of an archive, read sequentially.
pub struct Tape {
    body: ByteStream,
    piece: Bytes,
    /// The offset of the next byte in the archive.
    at: u64,
    /// The archive's name in messages.
    archive: String,
}

impl Tape {
    /// A tape of the archive's bytes from offset `at` on.
    pub fn new(archive: &str, at: u64, body: ByteStream) -> Self {
        Self {
            body,
            piece: Bytes::new(),
            at,
            archive: archive.to_owned(),
        }
    }

    /// The next bytes: at least one, and at most `most`.
    pub(super) async fn next(&mut self, most: u64) -> Result<Bytes, CallError> {
        while self.piece.is_empty() {
            self.piece = match self.body.next().await {
                Some(piece) => piece?,
                None => return Err(self.error(CallErrorKind::Corrupt, "cut off")),
            };
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let piece = self.piece.split_to(most.min(self.piece.len()));
        self.at += piece.len() as u64;
        Ok(piece)
    }

    /// Skips to the first packed byte of a file.
    pub(super) async fn skip_to_bytes_of(
        &mut self,
        path: &str,
        packed: &Packed,
    ) -> Result<(), CallError> {
        self.skip_to(packed.start).await?;
        let header = self.exactly(LOCAL_LENGTH).await?;
        let Some(after) = packed.after_header(&header) else {
            let why = format!("its entry {path:?} does not begin where the directory says");
            return Err(self.error(CallErrorKind::Invalid, why));
        };
        self.skip_to(self.at + after).await
    }

    async fn skip_to(&mut self, at: u64) -> Result<(), CallError> {
        while self.at < at {
            self.next(at - self.at).await?;
        }
        if self.at == at {
            return Ok(());
        }
        Err(self.error(CallErrorKind::Invalid, "its entries overlap"))
    }

    /// Reads exactly `length` bytes.
    async fn exactly(&mut self, length: u64) -> Result<Vec<u8>, CallError> {
        let end = self.at + length;
        let mut bytes = Vec::new();
        while self.at < end {
            let piece = self.next(end - self.at).await?;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    fn error(&self, kind: CallErrorKind, why: impl Into<String>) -> CallError {
        CallError::new("s3:GetObject", &self.archive, kind, why)
    }
}

/// A file that is being unpacked.
pub struct Unpacking {
    path: String,
    packed: Packed,
    /// Packed bytes that have not been read.
    left: u64,
    /// Packed bytes that have not been inflated.
    input: Bytes,
    inflate: Option<Box<Decompress>>,
    has_ended: bool,
    size: u64,
    crc32: crc32fast::Hasher,
}

impl Unpacking {
    /// Skips to the file's first byte.
    pub async fn begin(path: &str, packed: &Packed, tape: &mut Tape) -> Result<Self, CallError> {
        tape.skip_to_bytes_of(path, packed).await?;
        Ok(Self {
            path: path.to_owned(),
            packed: *packed,
            left: packed.length,
            input: Bytes::new(),
            inflate: packed.deflated.then(|| Box::new(Decompress::new(false))),
            has_ended: false,
            size: 0,
            crc32: crc32fast::Hasher::new(),
        })
    }

    /// The next bytes of the file; `None` once it is complete and verified.
    pub async fn next(&mut self, tape: &mut Tape) -> Result<Option<Bytes>, CallError> {
        loop {
            if self.has_ended || (self.inflate.is_none() && self.left == 0) {
                return self.whole(tape).map(|()| None);
            }
            if self.input.is_empty() && self.left > 0 {
                self.input = tape.next(self.left).await?;
                self.left -= self.input.len() as u64;
            }
            let bytes = match &mut self.inflate {
                None => std::mem::take(&mut self.input),
                Some(inflate) => {
                    let mut bytes = Vec::with_capacity(PIECE);
                    let before = inflate.total_in();
                    let status =
                        inflate.decompress_vec(&self.input, &mut bytes, FlushDecompress::None);
                    let used = inflate.total_in() - before;
                    self.input.advance(
                        usize::try_from(used)
                            .unwrap_or(usize::MAX)
                            .min(self.input.len()),
                    );
                    let stuck = used == 0 && bytes.is_empty();
                    match status {
                        Ok(Status::StreamEnd) => self.has_ended = true,
                        Ok(_) if !stuck || (self.input.is_empty() && self.left > 0) => {}
                        Ok(_) => return Err(self.damaged(tape, "it is cut off")),
                        Err(_) => return Err(self.damaged(tape, "it can't be inflated")),
                    }
                    Bytes::from(bytes)
                }
            };
            if bytes.is_empty() {
                continue;
            }
            self.size += bytes.len() as u64;
            if self.size > self.packed.size {
                return Err(self.damaged(tape, "it is longer than the directory says"));
            }
            self.crc32.update(&bytes);
            return Ok(Some(bytes));
        }
    }

    fn whole(&self, tape: &Tape) -> Result<(), CallError> {
        if self.left > 0 || !self.input.is_empty() {
            return Err(self.damaged(tape, "it ends before its packed bytes do"));
        }
        if self.size != self.packed.size {
            return Err(self.damaged(tape, "it is shorter than the directory says"));
        }
        if self.crc32.clone().finalize() != self.packed.crc32 {
            return Err(self.damaged(tape, "its checksum differs"));
        }
        Ok(())
    }

    /// The archive's digest was verified, so the archive was created like this.
    fn damaged(&self, tape: &Tape, why: &str) -> CallError {
        let why = format!("its entry {:?} is damaged: {why}", self.path);
        tape.error(CallErrorKind::Invalid, why)
    }
}

#[cfg(test)]
mod tests;
