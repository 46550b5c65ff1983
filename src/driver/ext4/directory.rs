//! The blocks of directories: lists of names, as mke2fs writes them too. Linux adds an index where it makes a directory grow.

use super::bytes::put;
use super::checksum::crc32c;
use super::layout::BLOCK;

/// The last bytes of each block hold its checksum, in what looks like an unused entry.
const TAIL: usize = 12;

/// A name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) inode: u32,
    /// The type, as [`super::Kind::in_directory`] numbers it.
    pub(super) kind: u8,
    pub(super) name: &'a [u8],
}

/// The blocks of a directory with these names; `seed` is its inode's.
pub(super) fn encode(names: &[Name<'_>], seed: u32) -> Vec<u8> {
    let mut blocks = Vec::new();
    let mut block = Vec::with_capacity(BLOCK);
    let mut last = 0;
    for name in names {
        let length = (8 + name.name.len()).next_multiple_of(4);
        if block.len() + length > BLOCK - TAIL {
            finish(&mut block, last, seed);
            blocks.append(&mut block);
        }
        last = block.len();
        block.extend_from_slice(&name.inode.to_le_bytes());
        block.extend_from_slice(&(length as u16).to_le_bytes());
        block.push(name.name.len().to_le_bytes()[0]);
        block.push(name.kind);
        block.extend_from_slice(name.name);
        block.resize(last + length, 0);
    }
    finish(&mut block, last, seed);
    blocks.append(&mut block);
    blocks
}

/// The last entry takes what is left, and the checksum comes after it.
fn finish(block: &mut Vec<u8>, last: usize, seed: u32) {
    block.resize(BLOCK, 0);
    put(block, last + 4, ((BLOCK - TAIL - last) as u16).to_le_bytes());
    let checksum = crc32c(seed, &block[..BLOCK - TAIL]);
    put(block, BLOCK - TAIL + 4, 12_u16.to_le_bytes());
    put(block, BLOCK - TAIL + 7, [0xde]);
    put(block, BLOCK - TAIL + 8, checksum.to_le_bytes());
}
