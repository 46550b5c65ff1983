//! Takes blocks and inodes that are free. What was taken counts once the descriptors are written.

use super::bytes::{crc32c, high16, low, low16, put_u16, put_u32, u16_at, u32_at};
use super::image::Image;
use super::layout::Layout;
use crate::driver::files::offline::extent::{Extent, LENGTH_MAX};
use crate::exec::Failure;

/// Flags of a group: its bitmap of inodes, or of blocks, was never written.
const INODES_UNWRITTEN: u16 = 0x1;
const BLOCKS_UNWRITTEN: u16 = 0x2;

/// The groups of a file system.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    image: &'a Image<'a>,
    layout: Layout,
    descriptors: Vec<Descriptor>,
    /// By group, as far as they were looked at.
    blocks: Vec<Option<Bitmap>>,
    inodes: Vec<Option<Bitmap>>,
    /// Where the search for the next blocks begins: group and bit.
    next: (u64, u64),
    taken: (u64, u32),
}

/// One bit for each block or inode; those in use are set.
#[derive(Debug)]
struct Bitmap {
    bits: Vec<u8>,
    changed: bool,
}

impl Bitmap {
    fn is_set(&self, bit: u64) -> bool {
        usize::try_from(bit / 8).ok().and_then(|byte| self.bits.get(byte)).is_none_or(|byte| byte >> (bit % 8) & 1 == 1)
    }

    fn set(&mut self, bits: std::ops::Range<u64>) {
        for bit in bits {
            if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|byte| self.bits.get_mut(byte)) {
                *byte |= 1 << (bit % 8);
            }
        }
        self.changed = true;
    }

    /// The first free bits from `from` on, at most so many, and before `to`: where, and how many.
    fn free(&self, from: u64, to: u64, most: u64) -> Option<(u64, u64)> {
        let first = (from..to).find(|bit| !self.is_set(*bit))?;
        let end = to.min(first + most);
        Some((first, (first..end).find(|bit| self.is_set(*bit)).unwrap_or(end) - first))
    }

    fn count(&self, length: u64) -> u64 {
        (0..length).filter(|bit| !self.is_set(*bit)).count() as u64
    }
}

/// Of a group, as it is stored (the kernel's ext4 documentation, "Block Group Descriptors").
#[derive(Debug)]
struct Descriptor(Vec<u8>);

impl Descriptor {
    fn place(&self, at: usize) -> u64 {
        u64::from(u32_at(&self.0, at)) | u64::from(u32_at(&self.0, at + 0x20)) << 32
    }

    fn number(&self, (lower, upper): Halves) -> u32 {
        u32::from(u16_at(&self.0, lower)) | u32::from(u16_at(&self.0, upper)) << 16
    }

    fn put(&mut self, (lower, upper): Halves, value: u32) {
        put_u16(&mut self.0, lower, low16(value));
        if self.0.len() > upper {
            put_u16(&mut self.0, upper, high16(value));
        }
    }

    fn flag(&self, flag: u16) -> bool {
        u16_at(&self.0, 0x12) & flag != 0
    }

    fn clear(&mut self, flag: u16) {
        let flags = u16_at(&self.0, 0x12);
        put_u16(&mut self.0, 0x12, flags & !flag);
    }
}

/// Where the lower and the upper half of a number are; small descriptors have no upper halves.
type Halves = (usize, usize);

const FREE_BLOCKS: Halves = (0x0c, 0x2c);
const FREE_INODES: Halves = (0x0e, 0x2e);
/// Inodes at the end of a group that were never in use.
const UNUSED_INODES: Halves = (0x1c, 0x32);

/// Where a descriptor has the place of a bitmap, and its checksum.
type OfBitmap = (usize, Halves);

const OF_BLOCKS: OfBitmap = (0x00, (0x18, 0x38));
const OF_INODES: OfBitmap = (0x04, (0x1a, 0x3a));
/// Where it has the place of its inodes.
const TABLE: usize = 0x08;

impl<'a> Groups<'a> {
    /// Reads the descriptors.
    pub(super) fn read(image: &'a Image<'a>, layout: Layout) -> Result<Self, Failure> {
        let count = usize::try_from(layout.groups()).map_err(|_| image.damaged("it has too many groups"))?;
        let bytes = image.read((layout.first_block + 1) * layout.block_size, count * layout.descriptor_size)?;
        let descriptors = bytes.chunks(layout.descriptor_size).map(|bytes| Descriptor(bytes.to_vec())).collect();
        let none = || (0..count).map(|_| None).collect();
        Ok(Self { image, layout, descriptors, blocks: none(), inodes: none(), next: (0, 0), taken: (0, 0) })
    }

    /// Where an inode is: bytes from the start of the image.
    pub(super) fn inode(&self, number: u32) -> Result<u64, Failure> {
        let index = number.checked_sub(1).ok_or_else(|| self.image.damaged("an entry leads nowhere"))?;
        let (group, index) = (index / self.layout.inodes_per_group, index % self.layout.inodes_per_group);
        let descriptor =
            self.descriptors.get(group as usize).ok_or_else(|| self.image.damaged("an entry leads nowhere"))?;
        Ok(descriptor.place(TABLE) * self.layout.block_size + u64::from(index) * self.layout.inode_size)
    }

    /// Takes an inode.
    ///
    /// # Errors
    /// When there is none, or a bitmap is damaged.
    pub(super) fn take_inode(&mut self) -> Result<u32, Failure> {
        let per_group = self.layout.inodes_per_group;
        let Some(group) = self.descriptors.iter().position(|group| group.number(FREE_INODES) > 0) else {
            return Err(Failure::permanent("the guest's work disk has no room for more files"));
        };
        if self.inodes[group].is_none() {
            self.inodes[group] = Some(self.inode_bitmap(group)?);
        }
        let descriptor = &mut self.descriptors[group];
        let free = self.inodes[group].as_mut().and_then(|bitmap| {
            let (bit, _) = bitmap.free(0, per_group.into(), 1)?;
            bitmap.set(bit..bit + 1);
            u32::try_from(bit).ok()
        });
        let index = free.ok_or_else(|| self.image.damaged("its free inodes are not counted right"))?;
        let unused = if descriptor.flag(INODES_UNWRITTEN) { per_group } else { descriptor.number(UNUSED_INODES) };
        descriptor.clear(INODES_UNWRITTEN);
        descriptor.put(UNUSED_INODES, unused.min(per_group - index - 1));
        descriptor.put(FREE_INODES, descriptor.number(FREE_INODES) - 1);
        self.taken.1 += 1;
        Ok(low(group as u64) * per_group + index + 1)
    }

    /// Takes so many blocks, in few pieces.
    ///
    /// # Errors
    /// When there are not so many, or a bitmap is damaged.
    pub(super) fn take(&mut self, count: u64) -> Result<Vec<Extent>, Failure> {
        let whole = count.min(LENGTH_MAX);
        for least in [whole, whole.div_ceil(4), whole.div_ceil(1000), 1] {
            if let Some(found) = self.search(count, least)? {
                found.iter().for_each(|extent| self.mark(extent));
                self.taken.0 += count;
                return Ok(found);
            }
        }
        Err(Failure::permanent("the guest's work disk is too full"))
    }

    /// So many free blocks, in pieces that have at least so many; `None` when there are not enough.
    fn search(&mut self, count: u64, least: u64) -> Result<Option<Vec<Extent>>, Failure> {
        let (mut found, mut missing) = (Vec::new(), count);
        let (groups, (group, bit)) = (self.layout.groups(), self.next);
        for step in 0..=groups {
            let here = (group + step) % groups;
            let from = if step == 0 { bit } else { 0 };
            let to = if step == groups { bit } else { self.layout.length(here) };
            let Some(bitmap) = self.block_bitmap(here)? else { continue };
            let mut at = from;
            while missing > 0
                && let Some((first, length)) = bitmap.free(at, to, missing.min(LENGTH_MAX))
            {
                at = first + length;
                if length >= least.min(missing) {
                    found.push((here, first, length));
                    missing -= length;
                }
            }
            if missing == 0 {
                let start = |group| self.layout.start(group);
                let extent = |(group, first, length)| Extent { place: start(group) + first, length };
                return Ok(Some(found.into_iter().map(extent).collect()));
            }
        }
        Ok(None)
    }

    fn mark(&mut self, extent: &Extent) {
        let from_start = extent.place - self.layout.first_block;
        let (group, bit) = (from_start / self.layout.blocks_per_group, from_start % self.layout.blocks_per_group);
        let index = group as usize;
        if let Some(bitmap) = &mut self.blocks[index] {
            bitmap.set(bit..bit + extent.length);
        }
        let descriptor = &mut self.descriptors[index];
        descriptor.put(FREE_BLOCKS, descriptor.number(FREE_BLOCKS).saturating_sub(low(extent.length)));
        descriptor.clear(BLOCKS_UNWRITTEN);
        self.next = (group, bit + extent.length);
    }

    /// The bitmap of a group's blocks; `None` when none of them is free.
    fn block_bitmap(&mut self, group: u64) -> Result<Option<&Bitmap>, Failure> {
        let index = group as usize;
        let free = self.descriptors[index].number(FREE_BLOCKS);
        if free == 0 {
            return Ok(None);
        }
        if self.blocks[index].is_none() {
            let bitmap = if self.descriptors[index].flag(BLOCKS_UNWRITTEN) {
                self.unwritten(group)
            } else {
                self.bitmap(index, OF_BLOCKS, self.layout.blocks_per_group)?
            };
            if bitmap.count(self.layout.length(group)) != u64::from(free) {
                return Err(self.image.damaged("its free blocks are not counted right"));
            }
            self.blocks[index] = Some(bitmap);
        }
        Ok(self.blocks[index].as_ref())
    }

    /// What a bitmap of blocks says that was never written: only what the file system itself needs is in use.
    fn unwritten(&self, group: u64) -> Bitmap {
        let (start, length) = (self.layout.start(group), self.layout.length(group));
        let bits = vec![0; usize::try_from(self.layout.block_size).unwrap_or_default()];
        let mut bitmap = Bitmap { bits, changed: false };
        bitmap.set(0..self.layout.head(group));
        // Beyond the last block all bits are set.
        bitmap.set(length..self.layout.block_size * 8);
        let mut used = |place: u64, count: u64| {
            let (first, last) = (place.max(start), (place + count).min(start + length));
            if first < last {
                bitmap.set(first - start..last - start);
            }
        };
        for descriptor in &self.descriptors {
            used(descriptor.place(OF_BLOCKS.0), 1);
            used(descriptor.place(OF_INODES.0), 1);
            used(descriptor.place(TABLE), self.layout.table_length());
        }
        Bitmap { changed: false, ..bitmap }
    }

    fn inode_bitmap(&self, group: usize) -> Result<Bitmap, Failure> {
        let per_group = u64::from(self.layout.inodes_per_group);
        if !self.descriptors[group].flag(INODES_UNWRITTEN) {
            return self.bitmap(group, OF_INODES, per_group);
        }
        let bits = vec![0; usize::try_from(self.layout.block_size).unwrap_or_default()];
        let mut bitmap = Bitmap { bits, changed: false };
        bitmap.set(per_group..self.layout.block_size * 8);
        Ok(Bitmap { changed: false, ..bitmap })
    }

    /// Reads a bitmap, whose first so many bits have a checksum.
    fn bitmap(&self, group: usize, (place, checksum): OfBitmap, counted: u64) -> Result<Bitmap, Failure> {
        let descriptor = &self.descriptors[group];
        let length = usize::try_from(self.layout.block_size).unwrap_or_default();
        let bits = self.image.read(descriptor.place(place) * self.layout.block_size, length)?;
        let bitmap = Bitmap { bits, changed: false };
        let (found, mut expected) = (descriptor.number(checksum), self.checksum(&bitmap, counted));
        if self.layout.descriptor_size == 32 {
            expected = low16(expected).into();
        }
        if found == expected { Ok(bitmap) } else { Err(self.image.damaged("a bitmap has another checksum")) }
    }

    fn checksum(&self, bitmap: &Bitmap, counted: u64) -> u32 {
        let length = usize::try_from(counted / 8).unwrap_or_default().min(bitmap.bits.len());
        crc32c(self.layout.seed, &bitmap.bits[..length])
    }

    /// Writes down what was taken.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let counted = [self.layout.blocks_per_group, self.layout.inodes_per_group.into()];
        for group in 0..self.descriptors.len() {
            let bitmaps = [self.blocks[group].take(), self.inodes[group].take()];
            for ((bitmap, (place, at)), counted) in bitmaps.into_iter().zip([OF_BLOCKS, OF_INODES]).zip(counted) {
                if let Some(bitmap) = bitmap.filter(|bitmap| bitmap.changed) {
                    let checksum = self.checksum(&bitmap, counted);
                    let descriptor = &mut self.descriptors[group];
                    descriptor.put(at, checksum);
                    self.image.write(descriptor.place(place) * self.layout.block_size, &bitmap.bits)?;
                }
            }
            self.seal(group);
        }
        let all: Vec<u8> = self.descriptors.iter().flat_map(|descriptor| descriptor.0.iter().copied()).collect();
        self.image.write((self.layout.first_block + 1) * self.layout.block_size, &all)?;
        self.count()
    }

    /// Gives a descriptor its checksum: over the group's number, and itself with zeros in the checksum's place.
    fn seal(&mut self, group: usize) {
        let descriptor = &mut self.descriptors[group].0;
        put_u16(descriptor, 0x1e, 0);
        let number = crc32c(self.layout.seed, &low(group as u64).to_le_bytes());
        let checksum = low16(crc32c(number, descriptor));
        put_u16(descriptor, 0x1e, checksum);
    }

    /// Counts in the superblock what was taken.
    fn count(&self) -> Result<(), Failure> {
        const AT: u64 = 1024;
        let mut superblock = self.image.read(AT, 1024)?;
        let upper = if self.layout.descriptor_size > 32 { u64::from(u32_at(&superblock, 0x158)) << 32 } else { 0 };
        let free = (upper | u64::from(u32_at(&superblock, 0x0c))).saturating_sub(self.taken.0);
        put_u32(&mut superblock, 0x0c, low(free));
        if self.layout.descriptor_size > 32 {
            put_u32(&mut superblock, 0x158, low(free >> 32));
        }
        let inodes = u32_at(&superblock, 0x10).saturating_sub(self.taken.1);
        put_u32(&mut superblock, 0x10, inodes);
        let checksum = crc32c(!0, &superblock[..0x3fc]);
        put_u32(&mut superblock, 0x3fc, checksum);
        self.image.write(AT, &superblock)
    }
}
