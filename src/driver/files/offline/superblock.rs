//! What an image's superblock says: whether its journal must be replayed, and whether what is to be written fits.
//! debugfs, run against a full file system, leaves files with holes where the last bytes should be, and e2fsck finds
//! nothing wrong with them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;

use super::tool::io_failure;
use crate::config::ByteSize;
use crate::driver::files::edits::Edit;
use crate::exec::Failure;

/// The fields of an ext4 superblock that matter here; from the kernel's ext4 documentation, "Super Block".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Whether the last writes are in the journal only.
    pub(super) needs_recovery: bool,
    block_size: u64,
    blocks: u64,
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
            free_blocks: wide(0x0c, 0x158),
            free_inodes: u64::from(field(0x10)),
        })
    }

    /// Refuses edits that need more than there is, and says how much is missing.
    pub(super) fn expect_room(self, edits: &[Edit]) -> Result<(), Failure> {
        let missing = self.blocks_needed(edits).saturating_sub(self.free_blocks) * self.block_size;
        if missing > 0 {
            let free = ByteSize::bytes(self.free_blocks * self.block_size);
            return Err(Failure::permanent(format!(
                "the guest's work disk is too full: {free} are free, {} more are needed",
                ByteSize::bytes(missing)
            ))
            .hint("free space in the guest, or declare a larger `work-disk`"));
        }
        let inodes = edits.iter().filter(|edit| matches!(edit, Edit::Write(_) | Edit::MakeDirectory { .. })).count();
        if inodes as u64 > self.free_inodes {
            return Err(Failure::permanent(format!(
                "the guest's work disk has room for {} more files, {inodes} are to be written",
                self.free_inodes
            ))
            .hint("declare a larger `work-disk`"));
        }
        Ok(())
    }

    /// Data, one block per directory, room for names in directories and for the trees that map blocks.
    fn blocks_needed(self, edits: &[Edit]) -> u64 {
        let mut blocks = 16;
        let mut names = 0;
        for edit in edits {
            match edit {
                Edit::Write(file) => {
                    let data = file.source.size().div_ceil(self.block_size);
                    blocks += data + data / 256;
                    names += file.path.as_bytes().len().min(255) as u64 + 12;
                }
                Edit::MakeDirectory { .. } => blocks += 2,
                Edit::RemoveFile(_) | Edit::RemoveDirectory(_) | Edit::Permit { .. } => {}
            }
        }
        // Directory blocks are split when they are full, so half of each may stay empty.
        blocks + (2 * names).div_ceil(self.block_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::files::edits::NewFile;
    use crate::driver::files::source::Source;
    use crate::resource::GuestPath;

    fn write(size: usize) -> Edit {
        let path = GuestPath::new("f").unwrap();
        Edit::Write(NewFile { path, source: Source::Bytes(vec![0; size]), mode: 0o600, owner: (0, 0), replaces: false })
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_is_missing() {
        let superblock =
            Superblock { needs_recovery: false, block_size: 4096, blocks: 0, free_blocks: 100, free_inodes: 1 };
        assert_eq!(superblock.expect_room(&[write(4096 * 80)]), Ok(()));
        let refused = superblock.expect_room(&[write(4096 * 120)]).unwrap_err();
        assert_eq!(refused.causes, ["the guest's work disk is too full: 400KiB are free, 148KiB more are needed"]);
        let refused = superblock.expect_room(&[write(0), write(0)]).unwrap_err();
        assert_eq!(refused.causes, ["the guest's work disk has room for 1 more files, 2 are to be written"]);
    }

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
            Some(Superblock { needs_recovery: false, block_size: 4096, blocks: 0, free_blocks: 7, free_inodes: 0 })
        );
        superblock[0x60] = 0x80;
        assert_eq!(Superblock::parse(&superblock).map(|found| found.free_blocks), Some((1 << 32) | 7));
    }
}
