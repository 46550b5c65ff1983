//! The fixed structures of a file system that mke2fs just made: superblock, descriptors of its groups, bitmaps.
//!
//! Where everything stands: the kernel's documentation, `Documentation/filesystems/ext4/`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::blocks::{Free, Run};
use super::bytes::{halves, put, u16_at, u32_at};
use super::checksum::crc32c;

/// Bytes of a block: what [`FEATURES`] are used with.
pub(super) const BLOCK: usize = 4096;

/// What mke2fs is to make: e2fsprogs' own choice for ext4 since 1.43, written down so that newer ones make the same.
pub(in crate::driver) const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
    sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// Bytes of an inode.
pub(super) const INODE: usize = 256;

/// Bytes of a group's descriptor, with the feature `64bit`.
const DESCRIPTOR: usize = 64;

/// Flags of a group: its inode table, its bitmap of blocks are not written yet; its inode table is zeros.
const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;
const INODE_ZEROED: u16 = 4;

/// The file system's geometry, and what changes when it is filled.
#[derive(Debug)]
pub(super) struct Layout {
    superblock: Vec<u8>,
    groups: Vec<Vec<u8>>,
    /// Blocks that were free before anything was put into it.
    before: Free,
}

/// What a group's inodes are used for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// Inodes, all from its first one on.
    pub(super) inodes: u32,
    /// Those that are directories.
    pub(super) directories: u32,
}

impl Layout {
    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read, or was made with other features.
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let mut superblock = vec![0; 1024];
        file.read_exact_at(&mut superblock, 1024)?;
        let is_ours = u16_at(&superblock, 0x38) == 0xef53
            && u32_at(&superblock, 0x18) == 2
            && usize::from(u16_at(&superblock, 0x58)) == INODE
            && usize::from(u16_at(&superblock, 0xfe)) == DESCRIPTOR
            && u32_at(&superblock, 0x150) == 0;
        if !is_ours {
            return Err(io::Error::other("mke2fs made a file system of another form than it was asked for"));
        }
        let mut layout = Self { superblock, groups: Vec::new(), before: Free::default() };
        let mut table = vec![0; layout.group_count() as usize * DESCRIPTOR];
        file.read_exact_at(&mut table, BLOCK as u64)?;
        layout.groups = table.chunks_exact(DESCRIPTOR).map(<[u8]>::to_vec).collect();
        for group in 0..layout.group_count() {
            let used = layout.used(file, group)?;
            let (start, count) = layout.blocks_of(group);
            let is_free = |index: &u32| used[(index / 8) as usize] & (1 << (index % 8)) == 0;
            for index in (0..count).filter(is_free) {
                layout.before.add(Run { start: start + index, count: 1 });
            }
        }
        Ok(layout)
    }

    /// The blocks that are free now.
    pub(super) fn free(&self) -> Free {
        self.before.clone()
    }

    /// What every checksum begins with.
    pub(super) fn seed(&self) -> u32 {
        crc32c(!0, &self.superblock[0x68..0x78])
    }

    /// Inodes that there are.
    pub(super) fn inodes(&self) -> u32 {
        u32_at(&self.superblock, 0)
    }

    /// The first inode that is nobody's. The one before it is `lost+found`.
    pub(super) fn first_inode(&self) -> u32 {
        u32_at(&self.superblock, 0x54) + 1
    }

    /// Where an inode lies, in bytes, and its group.
    pub(super) fn place(&self, inode: u32) -> (u64, u32) {
        let per_group = self.inodes_per_group();
        let (group, index) = ((inode - 1) / per_group, (inode - 1) % per_group);
        let table = self.groups.get(group as usize).map_or(0, |group| u32_at(group, 0x8));
        (u64::from(table) * BLOCK as u64 + u64::from(index) * INODE as u64, group)
    }

    fn inodes_per_group(&self) -> u32 {
        u32_at(&self.superblock, 0x28).max(1)
    }

    fn blocks(&self) -> u32 {
        u32_at(&self.superblock, 0x4)
    }

    fn group_count(&self) -> u32 {
        self.blocks().div_ceil(self.blocks_per_group())
    }

    fn blocks_per_group(&self) -> u32 {
        u32_at(&self.superblock, 0x20).max(1)
    }

    /// A group's first block, and how many it has: the last one may be short.
    fn blocks_of(&self, group: u32) -> (u32, u32) {
        let start = group * self.blocks_per_group();
        (start, self.blocks_per_group().min(self.blocks() - start))
    }

    /// A group's bitmap of blocks; computed, as the kernel does, where it was not written.
    fn used(&self, file: &File, group: u32) -> io::Result<Vec<u8>> {
        let descriptor = &self.groups[group as usize];
        let mut used = vec![0; BLOCK];
        if u16_at(descriptor, 0x12) & BLOCK_UNINIT == 0 {
            file.read_exact_at(&mut used, u64::from(u32_at(descriptor, 0)) * BLOCK as u64)?;
            return Ok(used);
        }
        let (start, count) = self.blocks_of(group);
        let table = (self.inodes_per_group() as usize * INODE).div_ceil(BLOCK);
        let own = [(u32_at(descriptor, 0), 1), (u32_at(descriptor, 4), 1), (u32_at(descriptor, 8), table as u32)];
        let copies = if has_superblock(group) { 1 + self.descriptor_blocks() } else { 0 };
        let taken = own.into_iter().flat_map(|(from, count)| from..from + count).chain(start..start + copies);
        for block in taken.filter(|block| (start..start + count).contains(block)) {
            used[((block - start) / 8) as usize] |= 1 << ((block - start) % 8);
        }
        Ok(used)
    }

    /// Blocks of the table of descriptors, with those that are reserved for its growth.
    fn descriptor_blocks(&self) -> u32 {
        let table = (self.group_count() as usize * DESCRIPTOR).div_ceil(BLOCK) as u32;
        table + u32::from(u16_at(&self.superblock, 0xce))
    }

    /// Writes bitmaps, descriptors and the superblock for what is used now.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn write(&mut self, file: &File, free: &Free, usage: &[Usage]) -> io::Result<()> {
        let seed = self.seed();
        for (group, usage) in (0..self.group_count()).zip(usage) {
            let blocks = self.blocks_of(group);
            let now: u32 = free.within(blocks.0, blocks.1).map(|run| run.count).sum();
            let before: u32 = self.before.within(blocks.0, blocks.1).map(|run| run.count).sum();
            let (per_group, mut descriptor) = (self.inodes_per_group(), self.groups[group as usize].clone());
            let mut flags = u16_at(&descriptor, 0x12) | INODE_ZEROED;
            if now != before || flags & BLOCK_UNINIT == 0 {
                flags &= !BLOCK_UNINIT;
                let bitmap = bitmap(blocks, free);
                file.write_all_at(&bitmap, u64::from(u32_at(&descriptor, 0)) * BLOCK as u64)?;
                put_halves(&mut descriptor, (0x18, 0x38), crc32c(seed, &bitmap));
            }
            if usage.inodes > 0 {
                flags &= !INODE_UNINIT;
                let bitmap = first(usage.inodes, per_group);
                file.write_all_at(&bitmap, u64::from(u32_at(&descriptor, 4)) * BLOCK as u64)?;
                put_halves(&mut descriptor, (0x1a, 0x3a), crc32c(seed, &bitmap[..(per_group / 8) as usize]));
            }
            put(&mut descriptor, 0x12, flags.to_le_bytes());
            put_halves(&mut descriptor, (0xc, 0x2c), now);
            put_halves(&mut descriptor, (0xe, 0x2e), per_group - usage.inodes);
            put_halves(&mut descriptor, (0x10, 0x30), usage.directories);
            put_halves(&mut descriptor, (0x1c, 0x32), per_group - usage.inodes);
            put(&mut descriptor, 0x1e, [0; 2]);
            let checksum = crc32c(crc32c(seed, &group.to_le_bytes()), &descriptor);
            put(&mut descriptor, 0x1e, halves(checksum).0);
            self.groups[group as usize] = descriptor;
        }
        file.write_all_at(&self.groups.concat(), BLOCK as u64)?;
        self.write_superblock(file, free.total(), usage)
    }

    fn write_superblock(&mut self, file: &File, free: u64, usage: &[Usage]) -> io::Result<()> {
        let inodes: u32 = usage.iter().map(|group| group.inodes).sum();
        let unused = self.inodes() - inodes;
        let superblock = &mut self.superblock;
        put(superblock, 0xc, u32::try_from(free).unwrap_or(u32::MAX).to_le_bytes());
        put(superblock, 0x10, unused.to_le_bytes());
        let checksum = crc32c(!0, &superblock[..0x3fc]);
        put(superblock, 0x3fc, checksum.to_le_bytes());
        file.write_all_at(superblock, 1024)
    }

    /// How many groups there are.
    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }
}

fn put_halves(descriptor: &mut [u8], (low, high): (usize, usize), value: u32) {
    let (lower, upper) = halves(value);
    put(descriptor, low, lower);
    put(descriptor, high, upper);
}

/// Which groups have a copy of the superblock (`sparse_super`): 0, 1, and powers of 3, 5 and 7.
fn has_superblock(group: u32) -> bool {
    let power_of = |base: u32| std::iter::successors(Some(base), |n| n.checked_mul(base)).any(|power| power == group);
    group <= 1 || [3, 5, 7].into_iter().any(power_of)
}

/// A bitmap of blocks; what lies beyond the end counts as used.
fn bitmap((start, count): (u32, u32), free: &Free) -> Vec<u8> {
    let mut bitmap = vec![0xff; BLOCK];
    for run in free.within(start, count) {
        for index in run.start - start..run.start - start + run.count {
            bitmap[(index / 8) as usize] &= !(1 << (index % 8));
        }
    }
    bitmap
}

/// A bitmap in which the first so many are used, and all beyond `of`.
fn first(used: u32, of: u32) -> Vec<u8> {
    let mut bitmap = vec![0; BLOCK];
    for index in (0..used).chain(of..BLOCK as u32 * 8) {
        bitmap[(index / 8) as usize] |= 1 << (index % 8);
    }
    bitmap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_with_a_copy_of_the_superblock() {
        let copies: Vec<u32> = (0..130).filter(|group| has_superblock(*group)).collect();
        assert_eq!(copies, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }

    #[test]
    fn bits_beyond_the_end_are_used() {
        let bitmap = first(10, 16);
        assert_eq!(bitmap[..3], [0xff, 0b11, 0xff]);
        let mut free = Free::default();
        free.add(Run { start: 101, count: 8 });
        assert_eq!(super::bitmap((100, 16), &free)[..3], [0b1, 0xfe, 0xff]);
    }
}
