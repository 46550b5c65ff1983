//! Layers of an image to one tar file: merged as lists of entries, so that an ordinary user loses nothing (LESSONS 29).
//!
//! First every layer is read for its entries, from the lowest up; a whiteout removes what *lower* layers brought. What is
//! left is written: directories, each file's content once, streamed from its layer, its other names as hard links, then
//! links and devices. Memory holds names and attributes, never content.

mod read;
mod tree;
mod write;

use std::io;

use crate::config::ByteSize;
use crate::exec::Failure;

pub(super) use read::Reader;
pub(super) use tree::Tree;

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

/// Merges layers, the lowest first.
///
/// # Errors
/// When a layer cannot be read, has a name that leads out of the root, or the files are more than `limit`.
pub(super) fn merge(layers: &[Reader], owners: Owners, limit: ByteSize) -> Result<Tree, Failure> {
    let mut tree = Tree::new(owners);
    let mut entries = 0;
    for (index, layer) in layers.iter().enumerate() {
        let unusable = |cause: &io::Error| Failure::permanent(format!("cannot read {}: {cause}", layer.name()));
        let mut archive = tar::Archive::new(layer.open().map_err(|cause| unusable(&cause))?);
        for (number, entry) in archive.entries().map_err(|cause| unusable(&cause))?.enumerate() {
            let mut entry = entry.map_err(|cause| unusable(&cause))?;
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(Failure::permanent(format!("the image has more than {MAX_ENTRIES} files")));
            }
            tree.add((index, number), &mut entry).map_err(|why| {
                Failure::permanent(format!("{} has an entry that cannot be used: {why}", layer.name()))
            })?;
        }
        tree.end_layer();
    }
    match tree.content() {
        content if content > limit.as_bytes() => {
            let message = format!("the image's files have {content} bytes and do not fit into {limit}");
            Err(Failure::permanent(message).hint("give the image a larger `size`"))
        }
        _ => Ok(tree),
    }
}

#[cfg(test)]
mod tests;
