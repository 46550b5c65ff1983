//! Writing in large pieces what comes in small ones, and leaving out blocks of zeros: what is written to is all holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::layout::BLOCK;

/// Bytes that are collected.
const PIECE: usize = 1 << 20;

/// What waits to be written at one place.
#[derive(Debug, Default)]
pub(super) struct Ink {
    at: u64,
    waiting: Vec<u8>,
}

impl Ink {
    /// Writes bytes, now or together with what follows them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&mut self, file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.at + self.waiting.len() as u64 != at || self.waiting.len() >= PIECE {
            self.flush(file)?;
            self.at = at;
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn flush(&mut self, file: &File) -> io::Result<()> {
        let blank = |block: &[u8]| block.iter().all(|byte| *byte == 0);
        let (mut at, mut from) = (0, 0);
        for block in self.waiting.chunks(BLOCK) {
            if blank(block) {
                file.write_all_at(&self.waiting[from..at], self.at + from as u64)?;
                from = at + block.len();
            }
            at += block.len();
        }
        file.write_all_at(&self.waiting[from..], self.at + from as u64)?;
        self.waiting.clear();
        Ok(())
    }
}
