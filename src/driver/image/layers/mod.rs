//! Layers of an image into one file system: merged as lists of entries, so that an ordinary user loses nothing (LESSONS 29).
//!
//! Each layer is read once, from the lowest up. Contents go into the file system as they come; names and attributes stay in
//! memory, where a whiteout removes what *lower* layers brought, whose room is given back. What is left in the end is written.

mod read;
mod tree;
mod write;

use std::io;

use crate::driver::ext4::{FillError, Writer};
use crate::exec::Failure;

pub(in crate::driver) use read::Reader;
use tree::Tree;

/// Entries of all layers of an image. The largest images people run have some hundred thousand.
const MAX_ENTRIES: u64 = 4_000_000;

/// Whose files belong to root in the image: those of the user who copies a directory of his own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Owners {
    /// This user and this group become 0.
    pub(super) root_for: Option<(u32, u32)>,
}

impl Owners {
    fn map(self, (uid, gid): (u64, u64)) -> (u64, u64) {
        let map = |id: u64, ours: Option<u32>| if ours.map(u64::from) == Some(id) { 0 } else { id };
        (map(uid, self.root_for.map(|(uid, _)| uid)), map(gid, self.root_for.map(|(_, gid)| gid)))
    }
}

/// Why layers did not become an image.
#[derive(Debug)]
pub(super) enum LayError {
    /// What comes is at fault, or cannot be read.
    Failure(Failure),
    /// The file system.
    Fill(FillError),
}

impl From<FillError> for LayError {
    fn from(error: FillError) -> Self {
        Self::Fill(error)
    }
}

/// Lays layers over each other, the lowest first, into a file system that is empty.
///
/// # Errors
/// When a layer cannot be read, has a name that leads out of the root, or there is no room.
pub(super) fn lay(
    layers: impl Iterator<Item = Result<Reader, Failure>>,
    owners: Owners,
    mut writer: Writer,
) -> Result<(), LayError> {
    let mut tree = Tree::new(owners);
    let mut entries = 0;
    for (index, layer) in layers.enumerate() {
        let layer = layer.map_err(LayError::Failure)?;
        lay_one(&mut tree, &mut writer, (index, &layer), &mut entries)?;
        for content in tree.end_layer() {
            writer.release(&content)?;
        }
    }
    tree.write(&mut writer)?;
    Ok(writer.finish()?)
}

fn lay_one(
    tree: &mut Tree,
    writer: &mut Writer,
    (index, layer): (usize, &Reader),
    entries: &mut u64,
) -> Result<(), LayError> {
    let refused = |text: String| LayError::Failure(Failure::permanent(text));
    let unusable = |cause: &io::Error| refused(format!("cannot read {}: {cause}", layer.name()));
    let mut archive = tar::Archive::new(layer.open().map_err(|cause| unusable(&cause))?);
    for (number, entry) in archive.entries().map_err(|cause| unusable(&cause))?.enumerate() {
        let mut entry = entry.map_err(|cause| unusable(&cause))?;
        *entries += 1;
        if *entries > MAX_ENTRIES {
            return Err(refused(format!("the image has more than {MAX_ENTRIES} files")));
        }
        let (at, path) = ((index, number), entry.path_bytes().into_owned());
        let Some(path) = layer.inside(&path) else { continue };
        tree.add(at, path, &mut entry)
            .map_err(|why| refused(format!("{} has an entry that cannot be used: {why}", layer.name())))?;
        let Some(file) = tree.file_mut(at) else { continue };
        file.content = match writer.content(&mut entry, file.length) {
            Err(FillError::Content(cause)) => return Err(unusable(&cause)),
            content => content?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests;
