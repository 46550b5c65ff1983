//! Writing the merged tree: every name, once all contents are in the file system.

use std::collections::BTreeMap;

use super::tree::{File, Inode, Tree, What};
use crate::driver::ext4::{Attributes, Child, FillError, Kind, Number, Writer};

/// What stands in each directory, by the directory's path.
type Children<'a> = BTreeMap<&'a [u8], Vec<Child<'a>>>;

impl Tree {
    /// Writes all names, and what they name.
    ///
    /// # Errors
    /// When there is no room for them.
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), FillError> {
        let mut children: Children<'_> = BTreeMap::new();
        let mut directories: BTreeMap<&[u8], (Number, &Attributes)> = BTreeMap::new();
        let mut files: BTreeMap<Inode, (Number, u32)> = BTreeMap::new();
        for (path, what) in self.paths() {
            let (number, kind) = match what {
                What::Directory(attributes) => {
                    let number = if path.is_empty() { Number::ROOT } else { writer.number(Kind::Directory)? };
                    directories.insert(path, (number, attributes));
                    (number, Kind::Directory)
                }
                What::File(inode) => {
                    let (number, names) = match files.get(inode) {
                        Some((number, names)) => (*number, *names),
                        None => (writer.number(Kind::File)?, 0),
                    };
                    files.insert(*inode, (number, names + 1));
                    (number, Kind::File)
                }
                What::Symlink(attributes, target) => {
                    let number = writer.number(Kind::Symlink)?;
                    writer.add_link(number, attributes, target)?;
                    (number, Kind::Symlink)
                }
                What::Special(attributes, kind, numbers) => {
                    let number = writer.number(*kind)?;
                    writer.add_special(number, *kind, attributes, *numbers)?;
                    (number, *kind)
                }
            };
            if let Some((parent, name)) = split(path) {
                children.entry(parent).or_default().push(Child { name, number, kind });
            }
        }
        for (inode, (number, names)) in files {
            let Some(File { attributes, content, .. }) = self.file(inode) else { continue };
            writer.add_file(number, (attributes, names), content)?;
        }
        for (path, (number, attributes)) in &directories {
            let parent = split(path).and_then(|(parent, _)| directories.get(parent));
            let parent = parent.map_or(Number::ROOT, |(number, _)| *number);
            let inside = children.get(path).map(Vec::as_slice).unwrap_or_default();
            writer.add_directory((*number, parent), attributes, inside)?;
        }
        Ok(())
    }
}

/// The directory of a path and its name in it; `None` for the root.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    })
}
