//! Filling a file system that mke2fs just made: contents as they come, names at the end. No mount, no root, one pass: an
//! ordinary user gives files to anybody, and makes devices and capabilities.
//!
//! ```text
//! content*  ─▶  blocks, in the order they come        release  ─▶  blocks of what was removed again
//! add*      ─▶  inodes (contents, links, devices, directories with their names)
//! finish    ─▶  bitmaps, descriptors, superblock
//! ```
//!
//! Where mke2fs' own `-d` stands: it reads a tree of real files, which an ordinary user can only have under fakeroot. Every
//! file system is held against `e2fsck -fn` by whoever makes it.

use std::fs::File;
use std::io::{self, Read};

use camino::Utf8Path;

use super::attributes::{self, Stored};
use super::blocks::{Free, Run};
use super::bytes::{u16_at, u32_at};
use super::directory::{self, Name};
use super::ink::Ink;
use super::inode::{self, Body, Inode, Kind, Tree};
use super::layout::{BLOCK, INODE, Layout, Usage};
use super::{Attribute, Attributes};
use crate::effect::punch;

/// The root directory, and what mke2fs puts into it.
const ROOT: u32 = 2;
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// Longest target that an inode holds itself.
const SHORT_TARGET: usize = 59;

/// Why a file system cannot be filled.
#[derive(Debug, thiserror::Error)]
pub(in crate::driver) enum FillError {
    /// It cannot be written, or what goes into it cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The content is at fault: it ends too early, or is damaged.
    #[error("{0}")]
    Content(io::Error),
    /// There is more than it has room for.
    #[error("it is full")]
    Full,
    /// There are more files than it has inodes.
    #[error("it has room for {0} files")]
    TooMany(u32),
    /// The extended attributes of one file are larger than 4 KiB.
    #[error("a file has more than 4 KiB of extended attributes")]
    Attributes,
}

/// The content of a file: where it lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::driver) struct Content {
    runs: Vec<Run>,
    size: u64,
}

/// The number of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::driver) struct Number(u32);

impl Number {
    /// The root directory's.
    pub(in crate::driver) const ROOT: Self = Self(ROOT);
}

/// What a directory calls something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) struct Child<'a> {
    /// Its name.
    pub(in crate::driver) name: &'a [u8],
    /// What it is.
    pub(in crate::driver) number: Number,
    /// Of which kind that is.
    pub(in crate::driver) kind: Kind,
}

/// A file system being filled.
#[derive(Debug)]
pub(in crate::driver) struct Writer {
    file: File,
    layout: Layout,
    free: Free,
    next: u32,
    usage: Vec<Usage>,
    contents: Ink,
    inodes: Ink,
}

impl Writer {
    /// Opens a file system that mke2fs made with [`super::FEATURES`], blocks of 4 KiB and inodes of 256 bytes, and in
    /// which nothing is yet.
    ///
    /// # Errors
    /// When it cannot be read, or is another one.
    pub(in crate::driver) fn open(image: &Utf8Path) -> Result<Self, FillError> {
        let file = File::options().read(true).write(true).open(image)?;
        let layout = Layout::read(&file)?;
        let (free, next) = (layout.free(), layout.first_inode());
        let mut usage = vec![Usage::default(); layout.groups()];
        if let Some(first) = usage.first_mut() {
            *first = Usage { inodes: next - 1, directories: 2 };
        }
        Ok(Self { file, layout, free, next, usage, contents: Ink::default(), inodes: Ink::default() })
    }

    /// Stores so many bytes.
    ///
    /// # Errors
    /// When there is no room for them, or they cannot be read or written.
    pub(in crate::driver) fn content(&mut self, from: &mut impl Read, size: u64) -> Result<Content, FillError> {
        let count = u32::try_from(size.div_ceil(BLOCK as u64)).map_err(|_| FillError::Full)?;
        let runs = self.free.take(count).ok_or(FillError::Full)?;
        let (mut left, mut piece) = (size, vec![0; 64 * BLOCK]);
        for run in &runs {
            let (mut at, end) = (byte(run.start), byte(run.start + run.count));
            while at < end {
                let room = piece.len().min(usize::try_from(end - at).unwrap_or(BLOCK));
                let wanted = room.min(usize::try_from(left).unwrap_or(room));
                from.read_exact(&mut piece[..wanted]).map_err(FillError::Content)?;
                piece[wanted..room].fill(0);
                self.contents.write(&self.file, at, &piece[..room])?;
                (at, left) = (at + room as u64, left - wanted as u64);
            }
        }
        Ok(Content { runs, size })
    }

    /// Gives back the room of what is not needed after all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(in crate::driver) fn release(&mut self, content: &Content) -> Result<(), FillError> {
        self.contents.flush(&self.file)?;
        for run in &content.runs {
            // What is not written to is zero: so must be what is given out again.
            punch(&self.file, byte(run.start), byte(run.count))?;
            self.free.add(*run);
        }
        Ok(())
    }

    /// Gives out the number of a file that is to be added.
    ///
    /// # Errors
    /// When there are no more.
    pub(in crate::driver) fn number(&mut self, kind: Kind) -> Result<Number, FillError> {
        if self.next > self.layout.inodes() {
            return Err(FillError::TooMany(self.layout.inodes() - self.layout.first_inode() + 1));
        }
        let number = self.next;
        self.next += 1;
        let (_, group) = self.layout.place(number);
        if let Some(usage) = self.usage.get_mut(group as usize) {
            usage.inodes += 1;
            usage.directories += u32::from(kind == Kind::Directory);
        }
        Ok(Number(number))
    }

    /// Adds a regular file that has so many names.
    ///
    /// # Errors
    /// As [`Writer::content`].
    pub(in crate::driver) fn add_file(
        &mut self,
        number: Number,
        (attributes, links): (&Attributes, u32),
        content: &Content,
    ) -> Result<(), FillError> {
        self.add(number, Kind::File, (attributes, links), (&content.runs, content.size))
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// As [`Writer::content`].
    pub(in crate::driver) fn add_link(
        &mut self,
        number: Number,
        attributes: &Attributes,
        target: &[u8],
    ) -> Result<(), FillError> {
        if target.len() > SHORT_TARGET {
            let content = self.content(&mut &*target, target.len() as u64)?;
            return self.add(number, Kind::Symlink, (attributes, 1), (&content.runs, content.size));
        }
        self.add_inline(number, Kind::Symlink, attributes, (target.to_vec(), target.len() as u64))
    }

    /// Adds a device or a pipe.
    ///
    /// # Errors
    /// As [`Writer::content`].
    pub(in crate::driver) fn add_special(
        &mut self,
        number: Number,
        kind: Kind,
        attributes: &Attributes,
        (major, minor): (u32, u32),
    ) -> Result<(), FillError> {
        let numbers = match (kind, major < 256 && minor < 256) {
            (Kind::Fifo, _) => Vec::new(),
            (_, true) => (major << 8 | minor).to_le_bytes().to_vec(),
            (_, false) => [0, (minor & 0xff) | major << 8 | (minor & !0xff) << 12].map(u32::to_le_bytes).concat(),
        };
        self.add_inline(number, kind, attributes, (numbers, 0))
    }

    /// Adds a directory with what is in it.
    ///
    /// # Errors
    /// As [`Writer::content`].
    pub(in crate::driver) fn add_directory(
        &mut self,
        (number, parent): (Number, Number),
        attributes: &Attributes,
        children: &[Child<'_>],
    ) -> Result<(), FillError> {
        let directory = Kind::Directory.in_directory();
        let dots = [(&b"."[..], number), (b"..", parent)];
        let dots = dots.map(|(name, number)| Name { inode: number.0, kind: directory, name });
        let own = Name { inode: self.layout.first_inode() - 1, kind: directory, name: LOST_AND_FOUND };
        let own = (number == Number::ROOT).then_some(own);
        let theirs = children.iter().filter(|child| own.is_none() || child.name != LOST_AND_FOUND);
        let theirs =
            theirs.map(|child| Name { inode: child.number.0, kind: child.kind.in_directory(), name: child.name });
        let names: Vec<Name<'_>> = dots.into_iter().chain(own).chain(theirs).collect();
        let bytes = directory::encode(&names, inode::seed(self.layout.seed(), number.0));
        if number == Number::ROOT {
            self.release_first_root()?;
        }
        let content = self.content(&mut &*bytes, bytes.len() as u64)?;
        let below = names.iter().skip(2).filter(|name| name.kind == directory).count() as u32;
        self.add(number, Kind::Directory, (attributes, 2 + below), (&content.runs, content.size))
    }

    /// The block of the root directory that mke2fs made: its first extent's.
    fn release_first_root(&mut self) -> Result<(), FillError> {
        use std::os::unix::fs::FileExt as _;
        let mut inode = [0; INODE];
        self.file.read_exact_at(&mut inode, self.layout.place(ROOT).0)?;
        let run = Run { start: u32_at(&inode, 0x28 + 20), count: u32::from(u16_at(&inode, 0x28 + 16)) };
        self.release(&Content { runs: vec![run], size: 0 })
    }

    fn add_inline(
        &mut self,
        number: Number,
        kind: Kind,
        attributes: &Attributes,
        (content, size): (Vec<u8>, u64),
    ) -> Result<(), FillError> {
        let stored = attributes::store(&attributes.extended);
        let attribute_block = self.attribute_block(&stored)?;
        let blocks = u64::from(attribute_block > 0);
        let body = Body::Inline(content);
        let (number, stored) = (number.0, &stored);
        self.put(&Inode { number, kind, attributes, links: 1, size, blocks, body, stored, attribute_block })
    }

    fn add(
        &mut self,
        number: Number,
        kind: Kind,
        (attributes, links): (&Attributes, u32),
        (runs, size): (&[Run], u64),
    ) -> Result<(), FillError> {
        let stored = attributes::store(&attributes.extended);
        let attribute_block = self.attribute_block(&stored)?;
        let tree = Tree::of(runs).ok_or(FillError::Full)?;
        let places = self.free.take(tree.blocks()).ok_or(FillError::Full)?;
        let places: Vec<u32> = places.iter().flat_map(|run| run.start..run.start + run.count).collect();
        let (body, nodes) = tree.encode(&places, inode::seed(self.layout.seed(), number.0));
        for (place, node) in places.iter().zip(&nodes) {
            self.contents.write(&self.file, byte(*place), node)?;
        }
        let blocks = runs.iter().map(|run| u64::from(run.count)).sum::<u64>() + places.len() as u64;
        let blocks = blocks + u64::from(attribute_block > 0);
        let (number, stored) = (number.0, &stored);
        self.put(&Inode { number, kind, attributes, links, size, blocks, body, stored, attribute_block })
    }

    /// The block of attributes that do not fit into the inode; 0 for none.
    fn attribute_block(&mut self, stored: &Stored) -> Result<u32, FillError> {
        let block = match stored {
            Stored::Nowhere | Stored::InInode(_) => return Ok(0),
            Stored::TooLarge => return Err(FillError::Attributes),
            Stored::InBlock(block) => block,
        };
        let run = self.free.take(1).and_then(|runs| runs.first().copied()).ok_or(FillError::Full)?;
        let mut block = block.clone();
        attributes::seal(&mut block, u64::from(run.start), self.layout.seed());
        self.contents.write(&self.file, byte(run.start), &block)?;
        Ok(run.start)
    }

    fn put(&mut self, inode: &Inode<'_>) -> Result<(), FillError> {
        let (at, _) = self.layout.place(inode.number);
        Ok(self.inodes.write(&self.file, at, &inode.encode(self.layout.seed()))?)
    }

    /// Writes what is left to write.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(in crate::driver) fn finish(mut self) -> Result<(), FillError> {
        self.contents.flush(&self.file)?;
        self.inodes.flush(&self.file)?;
        Ok(self.layout.write(&self.file, &self.free, &self.usage)?)
    }
}

/// Where a block begins, in bytes.
fn byte(block: u32) -> u64 {
    u64::from(block) * BLOCK as u64
}

/// For those who make attributes of names and values.
pub(in crate::driver) fn extended<'a>(pairs: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<Attribute> {
    pairs.filter_map(|(name, value)| Attribute::new(name, value)).collect()
}
