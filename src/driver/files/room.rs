//! Whether what is to be written fits, asked before the first byte. debugfs, run against a full file system, leaves files
//! with holes where the last bytes should be, and e2fsck finds nothing wrong with them; a running guest whose disk is
//! full has other troubles as well.

use super::edits::Edit;
use crate::config::ByteSize;
use crate::exec::Failure;

/// What a file system has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes.
    pub(super) block_size: u64,
    /// Blocks.
    pub(super) free_blocks: u64,
    /// Files; `None` where they have no limit of their own.
    pub(super) free_inodes: Option<u64>,
}

impl Room {
    /// Refuses edits that need more than there is, and says how much is missing.
    ///
    /// # Errors
    /// When they do not fit.
    pub(super) fn expect(self, edits: &[Edit]) -> Result<(), Failure> {
        let missing = self.blocks_needed(edits).saturating_sub(self.free_blocks) * self.block_size;
        if missing > 0 {
            let free = ByteSize::bytes(self.free_blocks * self.block_size);
            return Err(Failure::permanent(format!(
                "the guest's work disk is too full: {free} are free, {} more are needed",
                ByteSize::bytes(missing)
            ))
            .hint("free space in the guest, or declare a larger `work-disk`"));
        }
        let inodes = edits.iter().filter(|edit| makes_inode(edit)).count();
        if let Some(free) = self.free_inodes.filter(|free| inodes as u64 > *free) {
            return Err(Failure::permanent(format!(
                "the guest's work disk has room for {free} more files, {inodes} are to be written"
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
                Edit::Link { path, .. } => {
                    // A long target does not fit into the inode.
                    blocks += 1;
                    names += path.name().len() as u64 + 12;
                }
                Edit::MakeDirectory { .. } => blocks += 2,
                Edit::RemoveFile(_) | Edit::RemoveDirectory(_) | Edit::Permit { .. } => {}
            }
        }
        // Directory blocks are split when they are full, so half of each may stay empty.
        blocks + (2 * names).div_ceil(self.block_size)
    }
}

fn makes_inode(edit: &Edit) -> bool {
    matches!(edit, Edit::Write(_) | Edit::Link { .. } | Edit::MakeDirectory { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::files::edits::NewFile;
    use crate::driver::files::source::Source;
    use crate::resource::GuestPath;

    fn write(size: usize) -> Edit {
        let path = GuestPath::new("f").unwrap();
        let source = Source::Bytes(vec![0; size]);
        Edit::Write(NewFile { path, source, mode: 0o600, owner: (0, 0), replaces: false })
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_is_missing() {
        let room = Room { block_size: 4096, free_blocks: 100, free_inodes: Some(1) };
        assert_eq!(room.expect(&[write(4096 * 80)]), Ok(()));
        let refused = room.expect(&[write(4096 * 120)]).unwrap_err();
        assert_eq!(refused.causes, ["the guest's work disk is too full: 400KiB are free, 148KiB more are needed"]);
        let refused = room.expect(&[write(0), write(0)]).unwrap_err();
        assert_eq!(refused.causes, ["the guest's work disk has room for 1 more files, 2 are to be written"]);
        assert_eq!(Room { free_inodes: None, ..room }.expect(&[write(0), write(0)]), Ok(()));
    }
}
