//! Inodes: owner, mode, times, and where the content lies.

use super::Attributes;
use super::attributes::{IN_INODE, Stored};
use super::blocks::Run;
use super::bytes::{halves, put};
use super::checksum::crc32c;
use super::layout::{BLOCK, INODE};

/// The content is named by extents, as everything's is that has blocks.
const EXTENTS: u32 = 0x8_0000;

/// Extents that an inode holds itself, and those of a block of them.
const IN_PLACE: usize = 4;
const PER_BLOCK: usize = (BLOCK - 12) / 12;

/// Blocks that one extent names at most.
const LONGEST: u32 = 32768;

/// The largest number of names that is counted; directories beyond it have 1 (feature `dir_nlink`).
const MAX_LINKS: u32 = 65000;

/// What a file is, as the upper bits of its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

impl Kind {
    const fn mode(self) -> u16 {
        match self {
            Self::File => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Symlink => 0o120_000,
            Self::CharDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
            Self::Fifo => 0o010_000,
        }
    }

    /// Its number in directories.
    pub(super) const fn in_directory(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::CharDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Symlink => 7,
        }
    }
}

/// What the 60 bytes say that tell where the content is.
#[derive(Debug)]
pub(super) enum Body {
    /// Extents that fit, or the blocks that hold them.
    Extents(Vec<u8>),
    /// The content itself: a short target, the numbers of a device.
    Inline(Vec<u8>),
}

/// An inode to be written.
pub(super) struct Inode<'a> {
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) attributes: &'a Attributes,
    pub(super) links: u32,
    /// Bytes of content.
    pub(super) size: u64,
    /// Blocks of content, extents and attributes.
    pub(super) blocks: u64,
    pub(super) body: Body,
    /// Its attributes, if they fit, and the block that has them, if not.
    pub(super) stored: &'a Stored,
    pub(super) attribute_block: u32,
}

/// What the checksums of an inode and its blocks begin with. Its generation is 0.
pub(super) fn seed(file_system: u32, inode: u32) -> u32 {
    crc32c(crc32c(file_system, &inode.to_le_bytes()), &[0; 4])
}

impl Inode<'_> {
    /// As it stands on the disk.
    pub(super) fn encode(&self, file_system: u32) -> Vec<u8> {
        let (mut inode, attributes) = (vec![0; INODE], self.attributes);
        put(&mut inode, 0x0, (self.kind.mode() | (attributes.mode & 0o7777)).to_le_bytes());
        let ((uid, uid_high), (gid, gid_high)) = (halves(attributes.owner.0), halves(attributes.owner.1));
        for (at, half) in [(0x2, uid), (0x18, gid), (0x78, uid_high), (0x7a, gid_high)] {
            put(&mut inode, at, half);
        }
        let [size, size_high] = split(self.size);
        put(&mut inode, 0x4, size);
        put(&mut inode, 0x6c, size_high);
        let (seconds, epoch) = time(attributes.mtime);
        for (at, extra) in [(0x8, 0x8c), (0xc, 0x84), (0x10, 0x88), (0x90, 0x94)] {
            put(&mut inode, at, seconds);
            put(&mut inode, extra, epoch);
        }
        let links = if self.links > MAX_LINKS { 1 } else { self.links };
        put(&mut inode, 0x1a, halves(links).0);
        // Counted in sectors of 512 bytes.
        let [sectors, sectors_high] = split(self.blocks * (BLOCK as u64 / 512));
        put(&mut inode, 0x1c, sectors);
        put(&mut inode, 0x74, [sectors_high[0], sectors_high[1]]);
        let content = match &self.body {
            Body::Extents(content) => {
                put(&mut inode, 0x20, EXTENTS.to_le_bytes());
                content
            }
            Body::Inline(content) => content,
        };
        inode[0x28..0x28 + content.len()].copy_from_slice(content);
        put(&mut inode, 0x68, self.attribute_block.to_le_bytes());
        put(&mut inode, 0x80, 32_u16.to_le_bytes());
        if let Stored::InInode(inside) = self.stored {
            inode[IN_INODE..].copy_from_slice(inside);
        }
        let (low, high) = halves(crc32c(seed(file_system, self.number), &inode));
        put(&mut inode, 0x7c, low);
        put(&mut inode, 0x82, high);
        inode
    }
}

fn split(value: u64) -> [[u8; 4]; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [[a, b, c, d], [e, f, g, h]]
}

/// Seconds, signed, and the two bits above them.
fn time(seconds: u64) -> ([u8; 4], [u8; 4]) {
    let [low, _] = split(seconds);
    let signed = i64::from(i32::from_le_bytes(low));
    let epoch = (i64::try_from(seconds).unwrap_or_default() - signed) >> 32;
    (low, u32::try_from(epoch & 3).unwrap_or_default().to_le_bytes())
}

/// Extents for runs of blocks; with `index`, those blocks of extents that an inode has no room for itself.
#[derive(Debug)]
pub(super) struct Tree {
    leaves: Vec<Vec<[u8; 12]>>,
}

impl Tree {
    /// Lays out runs of blocks; `None` when there are more of them than any file has that was written at once.
    pub(super) fn of(runs: &[Run]) -> Option<Self> {
        let mut extents = Vec::new();
        let mut logical = 0_u32;
        for run in runs {
            let (mut start, mut left) = (run.start, run.count);
            while left > 0 {
                let count = left.min(LONGEST);
                let mut extent = [0; 12];
                put(&mut extent, 0, logical.to_le_bytes());
                put(&mut extent, 4, halves(count).0);
                put(&mut extent, 8, start.to_le_bytes());
                extents.push(extent);
                (start, left, logical) = (start + count, left - count, logical + count);
            }
        }
        let leaves: Vec<Vec<[u8; 12]>> = match extents.len() {
            ..=IN_PLACE => vec![extents],
            _ => extents.chunks(PER_BLOCK).map(<[_]>::to_vec).collect(),
        };
        (leaves.len() <= IN_PLACE).then_some(Self { leaves })
    }

    /// Blocks that it needs for itself.
    pub(super) fn blocks(&self) -> u32 {
        match &self.leaves[..] {
            [only] if only.len() <= IN_PLACE => 0,
            leaves => leaves.len() as u32,
        }
    }

    /// What the inode says, and what stands in these blocks.
    pub(super) fn encode(&self, blocks: &[u32], seed: u32) -> (Body, Vec<Vec<u8>>) {
        if self.blocks() == 0 {
            let entries: Vec<u8> = self.leaves.iter().flatten().flatten().copied().collect();
            return (Body::Extents(node(&entries, 60, 0)), Vec::new());
        }
        let (mut index, mut contents) = (Vec::new(), Vec::new());
        for (leaf, block) in self.leaves.iter().zip(blocks) {
            let mut entry = [0; 12];
            entry[..4].copy_from_slice(&leaf[0][..4]);
            put(&mut entry, 4, block.to_le_bytes());
            index.extend_from_slice(&entry);
            let mut content = node(&leaf.concat(), BLOCK, 0);
            let checksum = crc32c(seed, &content[..BLOCK - 4]);
            put(&mut content, BLOCK - 4, checksum.to_le_bytes());
            contents.push(content);
        }
        (Body::Extents(node(&index, 60, 1)), contents)
    }
}

/// A node of the tree: header and entries.
fn node(entries: &[u8], size: usize, depth: u16) -> Vec<u8> {
    let mut node = vec![0; size];
    let fields = [0xf30a, (entries.len() / 12) as u16, ((size - 12) / 12) as u16, depth];
    for (index, field) in fields.into_iter().enumerate() {
        put(&mut node, index * 2, field.to_le_bytes());
    }
    node[12..12 + entries.len()].copy_from_slice(entries);
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_2038() {
        assert_eq!(time(1), ([1, 0, 0, 0], [0; 4]));
        assert_eq!(time(0x8000_0000), ([0, 0, 0, 0x80], [1, 0, 0, 0]));
        assert_eq!(time(0x1_8000_0000), ([0, 0, 0, 0x80], [2, 0, 0, 0]));
    }

    #[test]
    fn many_extents_go_into_blocks() {
        let runs = |count: u32| (0..count).map(|n| Run { start: 2 * n + 100, count: 1 }).collect::<Vec<_>>();
        let blocks = |count| Tree::of(&runs(count)).map(|tree| tree.blocks());
        assert_eq!((blocks(0), blocks(4), blocks(5), blocks(341)), (Some(0), Some(0), Some(1), Some(2)));
        assert_eq!((blocks(1360), blocks(1361)), (Some(4), None));
        assert_eq!(Tree::of(&[Run { start: 9, count: 100_000 }]).map(|tree| tree.leaves[0].len()), Some(4));
    }
}
