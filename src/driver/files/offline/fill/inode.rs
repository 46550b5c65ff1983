//! Inodes, and how they say where their bytes are (the kernel's ext4 documentation, "Index Nodes" and "Extent Tree").

use super::bytes::{crc32c, high, high16, low, low16, put_u16, put_u32, u16_at, u32_at};
use super::groups::Groups;
use super::image::Image;
use super::layout::Layout;
use crate::driver::files::offline::extent::Extent;
use crate::exec::Failure;

/// Type bits of a regular file, and all of them.
const REGULAR: u16 = 0o100_000;
const TYPE: u16 = 0o170_000;

/// Flags: mapped by extents; a directory with an index; blocks are counted in blocks.
const EXTENTS: u32 = 0x8_0000;
const INDEXED: u32 = 0x1000;
const HUGE: u32 = 0x4_0000;

/// Where the map is, and its bytes.
const MAP: usize = 0x28;
const MAP_SIZE: usize = 60;

/// What every node of a map begins with.
const MAGIC: u16 = 0xf30a;

/// Bytes of a node's head, and of each thing in it.
const ENTRY: usize = 12;

/// Extents, or other nodes, that fit into an inode.
const IN_INODE: usize = 4;

/// An inode that is being changed.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) number: u32,
    place: u64,
    bytes: Vec<u8>,
}

impl Inode {
    /// Reads one that is in use.
    pub(super) fn read(image: &Image<'_>, layout: &Layout, groups: &Groups<'_>, number: u32) -> Result<Self, Failure> {
        let place = groups.inode(number)?;
        let inode =
            Self { number, place, bytes: image.read(place, usize::try_from(layout.inode_size).unwrap_or(256))? };
        if inode.flags() & EXTENTS == 0 {
            return Err(image.damaged("an inode is not mapped by extents"));
        }
        Ok(inode)
    }

    /// A regular file without bytes, made at a time in seconds since 1970.
    pub(super) fn new(layout: &Layout, groups: &Groups<'_>, number: u32, now: i64) -> Result<Self, Failure> {
        let bytes = vec![0; usize::try_from(layout.inode_size).unwrap_or(256)];
        let mut inode = Self { number, place: groups.inode(number)?, bytes };
        put_u16(&mut inode.bytes, 0x00, REGULAR);
        put_u16(&mut inode.bytes, 0x1a, 1);
        put_u16(&mut inode.bytes, 0x80, layout.extra_size);
        inode.date(0x0c, 0x84, now);
        inode.date(0x90, 0x94, now);
        Ok(inode)
    }

    fn flags(&self) -> u32 {
        u32_at(&self.bytes, 0x20)
    }

    /// Whether it is a regular file without bytes.
    pub(super) fn is_empty_file(&self) -> bool {
        u16_at(&self.bytes, 0) & TYPE == REGULAR && self.size() == 0
    }

    /// Whether it is a directory whose names stand one after the other.
    pub(super) fn is_plain_directory(&self) -> bool {
        self.flags() & INDEXED == 0
    }

    pub(super) fn size(&self) -> u64 {
        u64::from(u32_at(&self.bytes, 0x04)) | u64::from(u32_at(&self.bytes, 0x6c)) << 32
    }

    /// What its checksum, and those of its blocks, begin with.
    pub(super) fn seed(&self, layout: &Layout) -> u32 {
        crc32c(crc32c(layout.seed, &self.number.to_le_bytes()), &self.bytes[0x64..0x68])
    }

    /// Sets its permission bits and owner.
    pub(super) fn permit(&mut self, mode: u32, (user, group): (u32, u32)) {
        put_u16(&mut self.bytes, 0x00, REGULAR | low16(mode & 0o7777));
        for (owner, lower, upper) in [(user, 0x02, 0x78), (group, 0x18, 0x7a)] {
            put_u16(&mut self.bytes, lower, low16(owner));
            put_u16(&mut self.bytes, upper, high16(owner));
        }
    }

    /// Sets when its bytes were written and read, in seconds since 1970.
    pub(super) fn modified(&mut self, seconds: i64) {
        self.date(0x10, 0x88, seconds);
        self.date(0x08, 0x8c, seconds);
    }

    /// A date: the lower half, with its sign, and then how often that has wrapped around.
    fn date(&mut self, at: usize, more: usize, seconds: i64) {
        let lower = low(seconds.cast_unsigned());
        put_u32(&mut self.bytes, at, lower);
        let wrapped = (seconds - i64::from(lower.cast_signed())) >> 32;
        put_u32(&mut self.bytes, more, low(wrapped.cast_unsigned()) & 3);
    }

    /// Sets how long it is and where its bytes are; `taken` are blocks for the nodes of the map, as many as
    /// [`nodes`] says. Gives what belongs into those.
    pub(super) fn map(&mut self, layout: &Layout, size: u64, extents: &[Extent], taken: &[u64]) -> Vec<(u64, Vec<u8>)> {
        let blocks: u64 = extents.iter().map(|extent| extent.length).sum::<u64>() + taken.len() as u64;
        put_u32(&mut self.bytes, 0x04, low(size));
        put_u32(&mut self.bytes, 0x6c, high(size));
        let sectors = blocks * (layout.block_size / 512);
        put_u32(&mut self.bytes, 0x1c, low(sectors));
        put_u16(&mut self.bytes, 0x74, low16(high(sectors)));
        let flags = self.flags() & !HUGE | EXTENTS;
        put_u32(&mut self.bytes, 0x20, flags);
        let starts: Vec<u64> =
            extents.iter().scan(0, |start, extent| Some(std::mem::replace(start, *start + extent.length))).collect();
        let leaf = |range: std::ops::Range<usize>, room| leaf(&starts[range.clone()], &extents[range], room);
        if taken.is_empty() {
            let map = leaf(0..extents.len(), IN_INODE);
            self.put_map(&map);
            return Vec::new();
        }
        let (room, seed) = (room(layout), self.seed(layout));
        let mut index = head(taken.len(), IN_INODE, 1);
        let mut nodes = Vec::with_capacity(taken.len());
        for (number, place) in taken.iter().enumerate() {
            let (from, to) = (number * room, ((number + 1) * room).min(extents.len()));
            let mut node = leaf(from..to, room);
            let checksum = crc32c(seed, &node);
            node.extend_from_slice(&checksum.to_le_bytes());
            node.resize(usize::try_from(layout.block_size).unwrap_or_default(), 0);
            nodes.push((*place, node));
            index.extend_from_slice(&low(starts[from]).to_le_bytes());
            index.extend_from_slice(&low(*place).to_le_bytes());
            index.extend_from_slice(&low16(high(*place)).to_le_bytes());
            index.extend_from_slice(&[0; 2]);
        }
        index.resize(MAP_SIZE, 0);
        self.put_map(&index);
        nodes
    }

    fn put_map(&mut self, map: &[u8]) {
        self.bytes[MAP..MAP + MAP_SIZE].copy_from_slice(map);
    }

    /// Where its bytes are; `None` when that makes no sense, or some were never written.
    pub(super) fn extents(&self, image: &Image<'_>, layout: &Layout) -> Result<Option<Vec<Extent>>, Failure> {
        let mut found = Vec::new();
        let sound = collect(&self.bytes[MAP..MAP + MAP_SIZE], DEPTH_MAX, &mut found, &|place| {
            image.read(place * layout.block_size, usize::try_from(layout.block_size).unwrap_or_default())
        })?;
        Ok(sound.then_some(found))
    }

    /// Writes it, with its checksum.
    pub(super) fn write(&mut self, image: &Image<'_>, layout: &Layout) -> Result<(), Failure> {
        put_u16(&mut self.bytes, 0x7c, 0);
        put_u16(&mut self.bytes, 0x82, 0);
        let checksum = crc32c(self.seed(layout), &self.bytes);
        put_u16(&mut self.bytes, 0x7c, low16(checksum));
        put_u16(&mut self.bytes, 0x82, high16(checksum));
        image.write(self.place, &self.bytes)
    }
}

/// Nodes below one another, at most.
const DEPTH_MAX: u16 = 5;

/// Adds the extents of a node and of those below it; whether it makes sense, and its blocks follow one another.
fn collect(
    node: &[u8],
    depth_max: u16,
    found: &mut Vec<Extent>,
    read: &dyn Fn(u64) -> Result<Vec<u8>, Failure>,
) -> Result<bool, Failure> {
    let (count, depth) = (usize::from(u16_at(node, 2)), u16_at(node, 6));
    if u16_at(node, 0) != MAGIC || depth > depth_max || ENTRY + count * ENTRY > node.len() {
        return Ok(false);
    }
    for entry in node[ENTRY..].chunks(ENTRY).take(count) {
        if depth > 0 {
            let below = read(u64::from(u32_at(entry, 4)) | u64::from(u16_at(entry, 8)) << 32)?;
            if u16_at(&below, 6) + 1 != depth || !collect(&below, depth - 1, found, read)? {
                return Ok(false);
            }
            continue;
        }
        let start: u64 = found.iter().map(|extent| extent.length).sum();
        let length = u64::from(u16_at(entry, 4));
        if u64::from(u32_at(entry, 0)) != start || length > 0x8000 {
            return Ok(false);
        }
        found.push(Extent { place: u64::from(u32_at(entry, 8)) | u64::from(u16_at(entry, 6)) << 32, length });
    }
    Ok(true)
}

/// Extents that fit into a node: a block with a checksum at its end.
fn room(layout: &Layout) -> usize {
    (usize::try_from(layout.block_size).unwrap_or_default() - ENTRY - 4) / ENTRY
}

/// How many nodes a map of so many extents needs beside the inode; `None` when there are too many.
pub(super) fn nodes(layout: &Layout, extents: usize) -> Option<u64> {
    match extents {
        0..=IN_INODE => Some(0),
        _ => Some(extents.div_ceil(room(layout))).filter(|nodes| *nodes <= IN_INODE).map(|nodes| nodes as u64),
    }
}

fn head(count: usize, room: usize, depth: u16) -> Vec<u8> {
    let mut bytes = vec![0; ENTRY];
    for (at, value) in [(0, MAGIC), (2, low16(low(count as u64))), (4, low16(low(room as u64))), (6, depth)] {
        put_u16(&mut bytes, at, value);
    }
    bytes
}

/// A node that maps blocks, as long as if it were full.
fn leaf(starts: &[u64], extents: &[Extent], room: usize) -> Vec<u8> {
    let mut bytes = head(extents.len(), room, 0);
    for (start, extent) in starts.iter().zip(extents) {
        bytes.extend_from_slice(&low(*start).to_le_bytes());
        bytes.extend_from_slice(&low16(low(extent.length)).to_le_bytes());
        bytes.extend_from_slice(&low16(high(extent.place)).to_le_bytes());
        bytes.extend_from_slice(&low(extent.place).to_le_bytes());
    }
    bytes.resize(ENTRY + room * ENTRY, 0);
    bytes
}
