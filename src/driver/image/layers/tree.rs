//! The merged tree: what stands at each path once all layers are laid over each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read;

use super::Owners;
use crate::driver::ext4::{Attributes, Content, Kind, extended};

/// Symbolic links that are followed for one path, as in Linux.
const MAX_LINKS: usize = 40;

/// Marks the name of what is removed.
const WHITEOUT: &[u8] = b".wh.";

/// Removes everything that lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What every guest must have for itself, and nobody may bring along (LESSONS 31).
const IDENTITY: [&[u8]; 2] = [b"var/lib/dbus/machine-id", b"var/lib/systemd/random-seed"];
const HOST_KEYS: &[u8] = b"etc/ssh/ssh_host_";

/// A file's content: the layer and the number of the entry that brings it.
pub(super) type Inode = (usize, usize);

/// How the records of extended attributes are called in PAX headers.
const EXTENDED: &str = "SCHILY.xattr.";

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Directory(Attributes),
    File(Inode),
    Symlink(Attributes, Vec<u8>),
    /// A device or a pipe: its kind, its numbers.
    Special(Attributes, Kind, (u32, u32)),
}

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) attributes: Attributes,
    /// Bytes.
    pub(super) length: u64,
    /// Where its content was stored.
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    layer: usize,
    what: What,
}

/// The merged tree. Paths have no leading slash; the root is the empty one and always there.
#[derive(Debug)]
pub(in crate::driver::image) struct Tree {
    owners: Owners,
    nodes: BTreeMap<Vec<u8>, Node>,
    files: BTreeMap<Inode, File>,
}

impl Tree {
    pub(super) fn new(owners: Owners) -> Self {
        let mut tree = Self { owners, nodes: BTreeMap::new(), files: BTreeMap::new() };
        tree.nodes.insert(Vec::new(), implied(0));
        tree
    }

    /// Every path with what stands there, parents first.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&[u8], &What)> {
        self.nodes.iter().map(|(path, node)| (path.as_slice(), &node.what))
    }

    /// A file that an entry brought.
    pub(super) fn file(&self, inode: Inode) -> Option<&File> {
        self.files.get(&inode)
    }

    /// The same, to say where its content is.
    pub(super) fn file_mut(&mut self, inode: Inode) -> Option<&mut File> {
        self.files.get_mut(&inode)
    }

    /// Lays one entry over what is there, at a path.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn add(&mut self, at: Inode, path: &[u8], entry: &mut tar::Entry<'_, impl Read>) -> Result<(), String> {
        self.lay(at, path, entry).map_err(|why| format!("`{}`: {why}", path.escape_ascii()))
    }

    fn lay(&mut self, at: Inode, path: &[u8], entry: &mut tar::Entry<'_, impl Read>) -> Result<(), String> {
        let layer = at.0;
        let mut parts = parts(path)?;
        let Some(name) = parts.pop() else { return self.lay_root(layer, entry) };
        let parent = self.follow(parts.into(), layer)?;
        if name == OPAQUE {
            self.remove_below(&parent, Some(layer));
            return Ok(());
        }
        if let Some(removed) = name.strip_prefix(WHITEOUT) {
            return match removed {
                // Notes of a file system that nobody uses any more.
                [b'.', b'w', b'h', b'.', ..] => Ok(()),
                b"" | b"." | b".." => Err("it removes nothing that has a name".to_owned()),
                removed => {
                    self.remove_lower(&join(&parent, removed), layer);
                    Ok(())
                }
            };
        }
        let what = self.read(at, entry)?;
        let path = join(&parent, &name);
        let is_directory = |what: &What| matches!(what, What::Directory(_));
        if !(is_directory(&what) && self.nodes.get(&path).is_some_and(|node| is_directory(&node.what))) {
            self.remove_below(&path, None);
        }
        self.nodes.insert(path, Node { layer, what });
        Ok(())
    }

    fn lay_root(&mut self, layer: usize, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), String> {
        let what = What::Directory(self.attributes(entry)?);
        self.nodes.insert(Vec::new(), Node { layer, what });
        Ok(())
    }

    fn read(&mut self, at: Inode, entry: &mut tar::Entry<'_, impl Read>) -> Result<What, String> {
        use tar::EntryType as Type;
        let attributes = self.attributes(entry)?;
        let kind = entry.header().entry_type();
        Ok(match kind {
            Type::Regular | Type::Continuous => {
                self.files.insert(at, File { attributes, length: entry.size(), content: Content::default() });
                What::File(at)
            }
            Type::Directory => What::Directory(attributes),
            Type::Symlink => {
                let target = entry.link_name_bytes().filter(|target| !target.is_empty());
                What::Symlink(attributes, target.ok_or("it is a link to nothing")?.into_owned())
            }
            Type::Link => {
                let target = entry.link_name_bytes().ok_or("it is a link to nothing")?.into_owned();
                let missing = || format!("it is a hard link to `{}`, which is not there", target.escape_ascii());
                self.linked(at.0, &target)?.ok_or_else(missing)?
            }
            Type::Char | Type::Block | Type::Fifo => {
                let number = |number: std::io::Result<Option<u32>>| number.ok().flatten().unwrap_or_default();
                let numbers = (number(entry.header().device_major()), number(entry.header().device_minor()));
                let kind = match kind {
                    Type::Char => Kind::CharDevice,
                    Type::Block => Kind::BlockDevice,
                    _ => Kind::Fifo,
                };
                What::Special(attributes, kind, numbers)
            }
            other => {
                return Err(format!("it is of the tar type {:?}, which is not supported", other.as_byte() as char));
            }
        })
    }

    /// What a hard link names; `None` when that is nothing, or a directory.
    fn linked(&mut self, layer: usize, target: &[u8]) -> Result<Option<What>, String> {
        let mut parts = parts(target)?;
        let Some(name) = parts.pop() else { return Ok(None) };
        let parent = self.follow(parts.into(), layer)?;
        let what = self.nodes.get(&join(&parent, &name)).map(|node| node.what.clone());
        Ok(what.filter(|what| !matches!(what, What::Directory(_))))
    }

    fn attributes(&self, entry: &mut tar::Entry<'_, impl Read>) -> Result<Attributes, String> {
        let bad = |field: &str| format!("its {field} is no number");
        let extended = extended_attributes(entry)?;
        let header = entry.header();
        let owner = (header.uid().map_err(|_| bad("owner"))?, header.gid().map_err(|_| bad("group"))?);
        let owner = self.owners.map(owner);
        let (Ok(uid), Ok(gid)) = (u32::try_from(owner.0), u32::try_from(owner.1)) else { return Err(bad("owner")) };
        let mode = u16::try_from(header.mode().map_err(|_| bad("mode"))? & 0o7777).unwrap_or_default();
        Ok(Attributes { mode, owner: (uid, gid), mtime: header.mtime().unwrap_or_default(), extended })
    }

    /// The directory that a path leads to, links of the image followed inside of its root; made where it is missing.
    fn follow(&mut self, mut parts: VecDeque<Vec<u8>>, layer: usize) -> Result<Vec<u8>, String> {
        let (mut at, mut links) = (Vec::new(), 0);
        while let Some(part) = parts.pop_front() {
            if part == b".." {
                // Only links bring these. The root is its own parent.
                at.truncate(at.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            let next = join(&at, &part);
            match self.nodes.get(&next).map(|node| &node.what) {
                Some(What::Directory(_)) => at = next,
                Some(What::Symlink(_, target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err("it lies behind too many symbolic links".to_owned());
                    }
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    for part in raw_parts(target).rev() {
                        parts.push_front(part.to_vec());
                    }
                }
                Some(What::File(_) | What::Special(..)) | None => {
                    self.remove_below(&next, None);
                    self.nodes.insert(next.clone(), implied(layer));
                    at = next;
                }
            }
        }
        Ok(at)
    }

    /// Removes what lower layers have at a path; what this layer brought stays, with the directories that lead to it.
    fn remove_lower(&mut self, path: &[u8], layer: usize) {
        self.remove_below(path, Some(layer));
        let kept = self.below(path).next().is_some();
        if !kept && self.nodes.get(path).is_some_and(|node| node.layer < layer) {
            self.nodes.remove(path);
        }
    }

    /// Removes everything below a path, or what layers under this one brought.
    fn remove_below(&mut self, path: &[u8], under: Option<usize>) {
        let gone = |node: &Node| under.is_none_or(|layer| node.layer < layer);
        let doomed: Vec<Vec<u8>> =
            self.below(path).filter(|(_, node)| gone(node)).map(|(path, _)| path.clone()).collect();
        for path in doomed {
            self.nodes.remove(&path);
        }
        if under.is_some() {
            self.restore_parents(path);
        }
    }

    /// A lower layer's directory that holds something of this layer stays, as it was implied.
    fn restore_parents(&mut self, path: &[u8]) {
        let orphans: Vec<(Vec<u8>, usize)> = self
            .below(path)
            .filter_map(|(path, node)| Some((parent(path)?.to_vec(), node.layer)))
            .filter(|(parent, _)| !self.nodes.contains_key(parent))
            .collect();
        for (mut missing, layer) in orphans {
            while !self.nodes.contains_key(&missing) {
                self.nodes.insert(missing.clone(), implied(layer));
                missing = parent(&missing).unwrap_or_default().to_vec();
            }
        }
    }

    fn below(&self, path: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Node)> {
        let mut prefix = path.to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        let start = prefix.clone();
        self.nodes
            .range(start..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            // The root is below nothing.
            .filter(|(path, _)| !path.is_empty())
    }

    /// Forgets what belongs to one machine only, and content that nothing names any more: that is returned.
    pub(super) fn end_layer(&mut self) -> Vec<Content> {
        self.nodes.retain(|path, _| !(IDENTITY.contains(&path.as_slice()) || path.starts_with(HOST_KEYS)));
        let named: BTreeSet<Inode> = self
            .nodes
            .values()
            .filter_map(|node| if let What::File(inode) = node.what { Some(inode) } else { None })
            .collect();
        let unnamed = self.files.extract_if(.., |inode, _| !named.contains(inode));
        unnamed.map(|(_, file)| file.content).collect()
    }
}

/// The extended attributes of an entry, as PAX headers have them.
fn extended_attributes(entry: &mut tar::Entry<'_, impl Read>) -> Result<Vec<crate::driver::ext4::Attribute>, String> {
    let unreadable = || "its PAX header cannot be read".to_owned();
    let Some(records) = entry.pax_extensions().map_err(|_| unreadable())? else { return Ok(Vec::new()) };
    let mut pairs = Vec::new();
    for record in records {
        let record = record.map_err(|_| unreadable())?;
        if let Some(name) = record.key().ok().and_then(|key| key.strip_prefix(EXTENDED)) {
            pairs.push((name, record.value_bytes()));
        }
    }
    Ok(extended(pairs.into_iter()))
}

/// A directory that no entry describes.
fn implied(layer: usize) -> Node {
    Node { layer, what: What::Directory(Attributes { mode: 0o755, ..Attributes::default() }) }
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

fn parent(path: &[u8]) -> Option<&[u8]> {
    if path.is_empty() {
        return None;
    }
    Some(&path[..path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)])
}

/// The names of a path; empty ones and `.` mean nothing.
fn raw_parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."))
}

/// The names of an entry's path, which must not lead upwards.
fn parts(path: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let parts: Vec<Vec<u8>> = raw_parts(path).map(<[u8]>::to_vec).collect();
    if parts.iter().any(|part| part == b"..") {
        return Err("it leads out of its directory".to_owned());
    }
    if parts.iter().any(|part| part.len() > 255 || part.contains(&0)) {
        return Err("it has a name that no file can have".to_owned());
    }
    Ok(parts)
}
