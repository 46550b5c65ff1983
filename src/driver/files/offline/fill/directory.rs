//! Directories whose names stand one after the other (the kernel's ext4 documentation, "Linear (Classic) Directories").

use super::bytes::{crc32c, low, low16, put_u16, put_u32, u16_at, u32_at};
use super::groups::Groups;
use super::image::Image;
use super::inode::Inode;
use super::layout::Layout;
use crate::driver::files::offline::extent::Extent;
use crate::exec::Failure;

/// Bytes at the end of each block: what looks like an empty entry, and holds its checksum.
const TAIL: usize = 12;

/// The type of a regular file, and of that tail.
const REGULAR: u8 = 1;
const CHECKSUM: u8 = 0xde;

/// Bytes of an entry before its name.
const HEAD: usize = 8;

/// The longest name.
const NAME_MAX: usize = 255;

/// A directory that is being read, or gets names.
#[derive(Debug)]
pub(super) struct Directory {
    inode: Inode,
    extents: Vec<Extent>,
    blocks: Vec<Vec<u8>>,
    changed: bool,
}

impl Directory {
    /// Reads one.
    pub(super) fn read(image: &Image<'_>, layout: &Layout, inode: Inode) -> Result<Self, Failure> {
        let extents =
            inode.extents(image, layout)?.ok_or_else(|| image.damaged("the map of a directory makes no sense"))?;
        let size = usize::try_from(layout.block_size).unwrap_or_default();
        let places = extents.iter().flat_map(|extent| extent.place..extent.place + extent.length);
        let blocks = places.map(|place| image.read(place * layout.block_size, size)).collect::<Result<Vec<_>, _>>()?;
        if blocks.is_empty() || inode.size() != blocks.len() as u64 * layout.block_size {
            return Err(image.damaged("a directory has another size than its blocks"));
        }
        Ok(Self { inode, extents, blocks, changed: false })
    }

    /// The inode of a name.
    pub(super) fn find(&self, name: &[u8]) -> Option<u32> {
        let entries = self.blocks.iter().flat_map(|block| Entries { block, at: 0, end: block.len() });
        entries.filter(|entry| entry.inode != 0 && entry.name == name).map(|entry| entry.inode).next()
    }

    /// Adds a file under a name that is not there yet.
    ///
    /// # Errors
    /// When no directory can hold the name, or this one is of another kind.
    pub(super) fn add(&mut self, image: &Image<'_>, name: &[u8], inode: u32) -> Result<(), Failure> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Failure::permanent(format!("a name has {} bytes, expected at most {NAME_MAX}", name.len())));
        }
        if !self.inode.is_plain_directory() {
            return Err(image.damaged("a new directory has an index"));
        }
        let size = self.blocks.first().map_or(0, Vec::len);
        self.changed = true;
        if self.blocks.last_mut().is_some_and(|block| insert(block, name, inode)) {
            return Ok(());
        }
        let mut block = vec![0; size];
        put_u16(&mut block, 4, low16(low((size - TAIL) as u64)));
        insert(&mut block, name, inode);
        self.blocks.push(block);
        Ok(())
    }

    /// Writes it down, with blocks for what was added.
    pub(super) fn write(mut self, image: &Image<'_>, layout: &Layout, groups: &mut Groups<'_>) -> Result<(), Failure> {
        if !self.changed {
            return Ok(());
        }
        let there: u64 = self.extents.iter().map(|extent| extent.length).sum();
        let missing = self.blocks.len() as u64 - there;
        if missing > 0 {
            self.extents.extend(groups.take(missing)?);
            let size = self.blocks.len() as u64 * layout.block_size;
            super::map(image, layout, groups, &mut self.inode, size, &self.extents)?;
            self.inode.write(image, layout)?;
        }
        let seed = self.inode.seed(layout);
        let places = self.extents.iter().flat_map(|extent| extent.place..extent.place + extent.length);
        for (place, block) in places.zip(&mut self.blocks) {
            seal(block, seed);
            image.write(place * layout.block_size, block)?;
        }
        Ok(())
    }
}

struct Entry<'a> {
    at: usize,
    inode: u32,
    length: usize,
    name: &'a [u8],
}

impl Entry<'_> {
    /// Bytes that are in use.
    fn used(&self) -> usize {
        if self.inode == 0 { 0 } else { needed(self.name) }
    }
}

fn needed(name: &[u8]) -> usize {
    HEAD + name.len().next_multiple_of(4)
}

/// The entries of a block, as far as they make sense.
struct Entries<'a> {
    block: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let entry = self.block.get(self.at..self.end).filter(|rest| rest.len() >= HEAD)?;
        let (inode, length) = (u32_at(entry, 0), usize::from(u16_at(entry, 4)));
        let name = entry.get(HEAD..HEAD + usize::from(entry[6]))?;
        if length < HEAD || length > entry.len() {
            return None;
        }
        let found = Entry { at: self.at, inode, length, name };
        self.at += length;
        Some(found)
    }
}

/// Puts an entry into a block; `false` when there is no room.
fn insert(block: &mut [u8], name: &[u8], inode: u32) -> bool {
    let end = block.len() - TAIL;
    let room = |entry: &Entry<'_>| entry.length - entry.used() >= needed(name);
    let Some(before) = (Entries { block, at: 0, end }).find(room) else { return false };
    let (at, used, length) = (before.at, before.used(), before.length);
    if used > 0 {
        put_u16(block, at + 4, low16(low(used as u64)));
    }
    let entry = at + used;
    put_u32(block, entry, inode);
    put_u16(block, entry + 4, low16(low((length - used) as u64)));
    block[entry + 6] = low(name.len() as u64).to_le_bytes()[0];
    block[entry + 7] = REGULAR;
    block[entry + HEAD..entry + HEAD + name.len()].copy_from_slice(name);
    true
}

/// Gives a block its checksum.
fn seal(block: &mut [u8], seed: u32) {
    let at = block.len() - TAIL;
    block[at..].fill(0);
    put_u16(block, at + 4, low16(TAIL as u32));
    block[at + 7] = CHECKSUM;
    let checksum = crc32c(seed, &block[..at]);
    put_u32(block, at + 8, checksum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_share_what_is_left_of_a_block() {
        let mut block = vec![0; 1024];
        put_u16(&mut block, 4, 1024 - 12);
        let names: Vec<Vec<u8>> = (1..=255).map(|length| vec![b'n'; length]).collect();
        let fitted: Vec<&Vec<u8>> = names.iter().take_while(|name| insert(&mut block, name, 7)).collect();
        let entries = || Entries { block: &block, at: 0, end: 1024 - TAIL };
        assert_eq!(
            entries().map(|entry| entry.name.to_vec()).collect::<Vec<_>>(),
            fitted.into_iter().cloned().collect::<Vec<_>>()
        );
        assert_eq!(entries().map(|entry| entry.length).sum::<usize>(), 1024 - TAIL);
        // What is no entry ends the list, and takes nothing.
        block[4] = 3;
        assert!(!insert(&mut block, b"x", 7));
    }
}
