//! How a file system is laid out, as far as it is one that we fill.

use super::bytes::{crc32c, u16_at, u32_at};

/// What a superblock may say that a reader must understand: types in directories, extents, 64 bits, metadata of several
/// groups in one place, a checksum seed of its own.
const INCOMPATIBLE: u32 = 0x2 | 0x40 | 0x80 | 0x200 | 0x2000;

/// Of these, what we need.
const EXTENTS: u32 = 0x40;
const WIDE: u32 = 0x80;
const SEED: u32 = 0x2000;

/// What it may say that a writer must understand: few backups, large files, huge files, many subdirectories, larger inodes,
/// checksums.
const READ_ONLY: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400;

/// Of these, what we need.
const FEW_BACKUPS: u32 = 0x1;
const CHECKSUMS: u32 = 0x400;

/// What everybody may ignore, but for this: backups in two groups only.
const TWO_BACKUPS: u32 = 0x200;

/// Numbers and places, from the kernel's ext4 documentation, "Super Block" and "Layout".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of a block.
    pub(super) block_size: u64,
    /// The block with the superblock.
    pub(super) first_block: u64,
    /// Bytes of an inode.
    pub(super) inode_size: u64,
    /// Inodes of a group.
    pub(super) inodes_per_group: u32,
    /// Blocks of a group.
    pub(super) blocks_per_group: u64,
    /// Bytes of a group's descriptor.
    pub(super) descriptor_size: usize,
    /// Bytes that an inode has beyond the first 128, as far as they mean something.
    pub(super) extra_size: u16,
    /// What every checksum begins with.
    pub(super) seed: u32,
    blocks: u64,
    reserved_descriptors: u64,
    few_backups: bool,
}

impl Layout {
    /// Of a superblock; `None` when it is of a kind that is left to e2fsprogs.
    pub(super) fn of(superblock: &[u8; 1024]) -> Option<Self> {
        let (compatible, incompatible, read_only) =
            (u32_at(superblock, 0x5c), u32_at(superblock, 0x60), u32_at(superblock, 0x64));
        let shift = u32_at(superblock, 0x18);
        let understood = u16_at(superblock, 0x38) == 0xef53
            && incompatible & !INCOMPATIBLE == 0
            && incompatible & EXTENTS != 0
            && read_only & !READ_ONLY == 0
            && read_only & CHECKSUMS != 0
            && compatible & TWO_BACKUPS == 0
            && shift <= 5;
        if !understood {
            return None;
        }
        let wide = incompatible & WIDE != 0;
        let upper = |at| if wide { u64::from(u32_at(superblock, at)) << 32 } else { 0 };
        let own_seed = incompatible & SEED != 0;
        let layout = Self {
            block_size: 1024 << shift,
            first_block: u32_at(superblock, 0x14).into(),
            inode_size: u16_at(superblock, 0x58).into(),
            inodes_per_group: u32_at(superblock, 0x28),
            blocks_per_group: u32_at(superblock, 0x20).into(),
            descriptor_size: if wide { u16_at(superblock, 0xfe).into() } else { 32 },
            extra_size: u16_at(superblock, 0x15e),
            seed: if own_seed { u32_at(superblock, 0x270) } else { crc32c(!0, &superblock[0x68..0x78]) },
            blocks: u64::from(u32_at(superblock, 0x04)) | upper(0x150),
            reserved_descriptors: u16_at(superblock, 0xce).into(),
            few_backups: read_only & FEW_BACKUPS != 0,
        };
        layout.is_sound().then_some(layout)
    }

    /// Whether the numbers fit together.
    fn is_sound(&self) -> bool {
        let bits = self.block_size * 8;
        self.blocks > self.first_block
            && (1..=bits).contains(&self.blocks_per_group)
            && self.blocks_per_group.is_multiple_of(8)
            && (8..=bits).contains(&u64::from(self.inodes_per_group))
            && self.inodes_per_group.is_multiple_of(8)
            && (256..=self.block_size).contains(&self.inode_size)
            && matches!(self.descriptor_size, 32 | 64)
            && (32..=self.inode_size - 128).contains(&u64::from(self.extra_size))
    }

    /// How many groups there are.
    pub(super) const fn groups(&self) -> u64 {
        (self.blocks - self.first_block).div_ceil(self.blocks_per_group)
    }

    /// The first block of a group.
    pub(super) const fn start(&self, group: u64) -> u64 {
        self.first_block + group * self.blocks_per_group
    }

    /// How many blocks a group has: the last one may be shorter.
    pub(super) fn length(&self, group: u64) -> u64 {
        self.blocks_per_group.min(self.blocks - self.start(group))
    }

    /// Blocks at the start of a group with the superblock or a copy of it, and the descriptors of all groups.
    pub(super) fn head(&self, group: u64) -> u64 {
        let power_of =
            |base: u64| std::iter::successors(Some(base), |n| n.checked_mul(base)).find(|n| *n >= group) == Some(group);
        if self.few_backups && group > 1 && ![3, 5, 7].into_iter().any(power_of) {
            return 0;
        }
        let descriptors = (self.groups() * self.descriptor_size as u64).div_ceil(self.block_size);
        1 + descriptors + self.reserved_descriptors
    }

    /// Blocks of a group's inodes.
    pub(super) const fn table_length(&self) -> u64 {
        (self.inodes_per_group as u64 * self.inode_size).div_ceil(self.block_size)
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes::{put_u16, put_u32};
    use super::*;

    /// What mkfs.ext4 makes of 2 GiB.
    fn usual() -> [u8; 1024] {
        let mut superblock = [0; 1024];
        for (at, value) in
            [(0x04, 524_288), (0x18, 2), (0x20, 32_768), (0x28, 8192), (0x5c, 0x103c), (0x60, 0x2c2), (0x64, 0x46b)]
        {
            put_u32(&mut superblock, at, value);
        }
        for (at, value) in [(0x38, 0xef53), (0x58, 256), (0xce, 255), (0xfe, 64), (0x15e, 32)] {
            put_u16(&mut superblock, at, value);
        }
        superblock
    }

    #[test]
    fn groups_and_their_heads_follow_from_the_superblock() {
        let layout = Layout::of(&usual()).unwrap();
        assert_eq!(
            (layout.groups(), layout.start(3), layout.length(15), layout.table_length()),
            (16, 98_304, 32_768, 512)
        );
        let heads: Vec<u64> = (0..16).filter(|group| layout.head(*group) > 0).collect();
        assert_eq!((heads, layout.head(0)), (vec![0, 1, 3, 5, 7, 9], 257));
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        // Waiting for recovery, bigalloc, encrypted, no checksums, no extents, a damaged number.
        for (at, value) in
            [(0x60, 0x2c6), (0x64, 0x66b), (0x60, 0x102c2), (0x64, 0x6b), (0x60, 0x282), (0x20, 0), (0x28, 7)]
        {
            let mut superblock = usual();
            put_u32(&mut superblock, at, value);
            assert_eq!(Layout::of(&superblock), None, "{at:x} {value:x}");
        }
    }
}
