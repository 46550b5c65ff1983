//! What an image's superblock says: whether its journal must be replayed, and what is free.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;

use super::fill;
use super::tool::io_failure;
use crate::config::ByteSize;
use crate::driver::files::room::Room;
use crate::exec::Failure;

/// The fields of an ext4 superblock that matter here; from the kernel's ext4 documentation, "Super Block".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Whether the last writes are in the journal only.
    pub(super) needs_recovery: bool,
    /// Bytes of a block.
    pub(super) block_size: u64,
    /// How many blocks there are.
    pub(super) blocks: u64,
    /// Whether files can be [filled in](super::fill).
    pub(super) can_fill: bool,
    free_blocks: u64,
    free_inodes: u64,
}

impl Superblock {
    /// Reads an image's superblock. What is free is only right when nothing needs recovery.
    pub(super) fn of(disk: &Utf8Path) -> Result<Self, Failure> {
        let fail = |cause| io_failure("read", disk, &cause);
        let mut bytes = [0; 1024];
        let image = File::open(disk).map_err(fail)?;
        image.read_exact_at(&mut bytes, 1024).map_err(fail)?;
        let found =
            Self::parse(&bytes).ok_or_else(|| Failure::permanent(format!("`{disk}` is no ext4 file system")))?;
        let (size, expected) = (image.metadata().map_err(fail)?.len(), found.blocks.saturating_mul(found.block_size));
        if size < expected {
            return Err(Failure::permanent(format!(
                "`{disk}` was cut short: found {}, expected {}",
                ByteSize::bytes(size),
                ByteSize::bytes(expected)
            )));
        }
        Ok(found)
    }

    fn parse(superblock: &[u8; 1024]) -> Option<Self> {
        let field = |at: usize| u32::from_le_bytes(superblock[at..at + 4].try_into().unwrap_or_default());
        let has_64bit = field(0x60) & 0x80 != 0;
        let wide =
            |low: usize, high: usize| u64::from(field(low)) | if has_64bit { u64::from(field(high)) << 32 } else { 0 };
        let shift = field(0x18);
        (superblock[0x38..0x3a] == [0x53, 0xef] && shift <= 6).then(|| Self {
            needs_recovery: field(0x60) & 0x4 != 0,
            block_size: 1024 << shift,
            blocks: wide(0x04, 0x150),
            can_fill: fill::can_fill(superblock),
            free_blocks: wide(0x0c, 0x158),
            free_inodes: u64::from(field(0x10)),
        })
    }

    /// What is free.
    pub(super) const fn room(self) -> Room {
        Room { block_size: self.block_size, free_blocks: self.free_blocks, free_inodes: Some(self.free_inodes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ext4_superblock_is_read() {
        let mut superblock = [0; 1024];
        assert_eq!(Superblock::parse(&superblock), None);
        superblock[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        superblock[0x18] = 2;
        superblock[0x0c] = 7;
        superblock[0x158] = 1;
        assert_eq!(
            Superblock::parse(&superblock),
            Some(Superblock {
                needs_recovery: false,
                block_size: 4096,
                blocks: 0,
                can_fill: false,
                free_blocks: 7,
                free_inodes: 0
            })
        );
        superblock[0x60] = 0x80;
        assert_eq!(Superblock::parse(&superblock).map(|found| found.free_blocks), Some((1 << 32) | 7));
    }
}
