//! Puts host files onto an ext4 image in process: names into directories that debugfs has just made, inodes, blocks, and
//! the bytes themselves, several files at the same time. debugfs takes as long for a few names as this takes for all, and
//! copies bytes block by block.
//!
//! Only ever on a copy of a disk, which takes the disk's place after e2fsck and another reader have agreed with it: what
//! is wrong by then goes with the copy. File systems of other kinds than mkfs.ext4 makes are left to debugfs.

mod bytes;
mod directory;
mod groups;
mod image;
mod inode;
mod layout;

use std::collections::BTreeMap;

use camino::Utf8Path;

use self::directory::Directory;
use self::groups::Groups;
use self::image::Image;
use self::inode::Inode;
use self::layout::Layout;
use super::extent::Extent;
use super::pour::{self, Arrived, Poured};
use crate::driver::files::edits::NewFile;
use crate::exec::Failure;
use crate::resource::GuestPath;

/// The inode of the root directory.
const ROOT: u32 = 2;

/// Whether a file system with this superblock can be filled here.
pub(super) fn can_fill(superblock: &[u8; 1024]) -> bool {
    Layout::of(superblock).is_some()
}

/// A file to put onto a disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToFill<'a> {
    pub(super) file: &'a NewFile,
    pub(super) name: Name,
}

/// Whether a file's name is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// debugfs made an empty file.
    Made,
    /// debugfs made the directory, and the name is added here.
    Missing,
}

/// Puts the files onto a disk, and says what is known of each; `now`, in seconds since 1970, dates what has no date.
///
/// # Errors
/// When a host file is not what was planned, or the disk is full, damaged, or cannot be written to. It is unsound then.
pub(super) fn fill(disk: &Utf8Path, files: &[ToFill<'_>], now: i64) -> Result<Vec<Arrived>, Failure> {
    let image = Image::open(disk)?;
    let superblock = image.read(1024, 1024)?;
    let layout = superblock.as_array().and_then(Layout::of);
    let layout = layout.ok_or_else(|| image.damaged("it is no file system that can be filled"))?;
    let mut volume = Volume { groups: Groups::read(&image, layout)?, image: &image, layout, open: BTreeMap::new() };
    let mut inodes = Vec::with_capacity(files.len());
    let mut places = Vec::with_capacity(files.len());
    for ToFill { file, name } in files {
        let mut inode = volume.inode_of(file, *name, now)?;
        let size = file.source.size();
        let extents = volume.groups.take(size.div_ceil(layout.block_size))?;
        map(&image, &layout, &mut volume.groups, &mut inode, size, &extents)?;
        inode.permit(file.mode, file.owner);
        inodes.push(inode);
        places.push(Poured { file, extents });
    }
    volume.finish()?;
    let arrived = pour::pour(disk, &places, layout.block_size, now)?;
    for (inode, arrived) in inodes.iter_mut().zip(&arrived) {
        inode.modified(arrived.modified);
        inode.write(&image, &layout)?;
    }
    Ok(arrived)
}

/// Says in an inode where its bytes are.
fn map(
    image: &Image<'_>,
    layout: &Layout,
    groups: &mut Groups<'_>,
    inode: &mut Inode,
    size: u64,
    extents: &[Extent],
) -> Result<(), Failure> {
    let nodes = inode::nodes(layout, extents.len())
        .ok_or_else(|| Failure::permanent("what is free on the guest's work disk is scattered over too many places"))?;
    let taken = if nodes == 0 { Vec::new() } else { groups.take(nodes)? };
    let taken: Vec<u64> = taken.iter().flat_map(|extent| extent.place..extent.place + extent.length).collect();
    for (place, node) in inode.map(layout, size, extents, &taken) {
        image.write(place * layout.block_size, &node)?;
    }
    Ok(())
}

/// A file system that is being filled.
struct Volume<'a> {
    image: &'a Image<'a>,
    layout: Layout,
    groups: Groups<'a>,
    open: BTreeMap<GuestPath, Directory>,
}

impl Volume<'_> {
    /// The inode of a file: the one that is there, or a new one that its directory names.
    fn inode_of(&mut self, file: &NewFile, name: Name, now: i64) -> Result<Inode, Failure> {
        let parent = file.path.parent().unwrap_or_else(GuestPath::root);
        self.enter(&parent)?;
        let (image, layout) = (self.image, self.layout);
        let missing = || image.damaged("a file that was just made is not there");
        let directory = self.open.get_mut(&parent).ok_or_else(missing)?;
        match name {
            Name::Made => {
                let number = directory.find(file.path.name()).ok_or_else(missing)?;
                let inode = Inode::read(image, &layout, &self.groups, number)?;
                if inode.is_empty_file() { Ok(inode) } else { Err(missing()) }
            }
            Name::Missing => {
                let number = self.groups.take_inode()?;
                directory.add(image, file.path.name(), number)?;
                Inode::new(&layout, &self.groups, number, now)
            }
        }
    }

    /// Opens a directory and those above it.
    fn enter(&mut self, path: &GuestPath) -> Result<(), Failure> {
        if self.open.contains_key(path) {
            return Ok(());
        }
        let number = match path.parent() {
            None => ROOT,
            Some(above) => {
                self.enter(&above)?;
                let found = self.open.get(&above).and_then(|above| above.find(path.name()));
                found.ok_or_else(|| self.image.damaged("a directory that was just made is not there"))?
            }
        };
        let inode = Inode::read(self.image, &self.layout, &self.groups, number)?;
        self.open.insert(path.clone(), Directory::read(self.image, &self.layout, inode)?);
        Ok(())
    }

    /// Writes down names, and what was taken.
    fn finish(mut self) -> Result<(), Failure> {
        for directory in self.open.into_values() {
            directory.write(self.image, &self.layout, &mut self.groups)?;
        }
        self.groups.finish()
    }
}
