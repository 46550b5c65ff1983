//! Reading a file or a tree of the host without ever leaving it.
//!
//! Every name is opened once, relative to the directory descriptor it was listed from, with openat2 and
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`; type, mode and content come from that descriptor. There is no moment
//! between looking and reading in which a name could become a link to somewhere else.
//!
//! Only the path the user named may pass through links, and then it must end in a directory that was allowed.

mod open;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, ResolveFlag, readlinkat};
use sha2::{Digest as _, Sha256};

use open::{BENEATH, open, resolve};
pub use open::{open_file, read_file};

use super::digests::{DigestCache, Stamp};

/// How much is read before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files and directories.
    pub entries: usize,
    /// Directories below one another.
    pub depth: usize,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes of a file up to which its text is kept.
    pub text: u64,
}

impl Default for Limits {
    /// 100,000 entries, 64 levels, 4 GiB, text of 64 KiB.
    fn default() -> Self {
        Self { entries: 100_000, depth: 64, bytes: 4 << 30, text: 64 << 10 }
    }
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Where it really is: absolute and free of links.
    pub root: Utf8PathBuf,
    /// In order of path; the first is the root, at the empty path.
    pub entries: Vec<Entry>,
    /// What was left out, and why.
    pub skipped: Vec<(Vec<u8>, String)>,
}

/// One file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the root, `/` between names.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, setuid, setgid and sticky included.
    pub mode: u32,
}

/// A file with what was read of it, or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A symbolic link that is kept.
    Link {
        /// Where it leads; below the root, as far as its words go.
        target: String,
    },
    /// A regular file.
    File {
        /// Bytes read.
        size: u64,
        /// SHA-256 of them.
        sha256: [u8; 32],
        /// They themselves, when they are few and text: UTF-8 without NUL.
        text: Option<String>,
    },
}

/// Why a path was not read. Nothing of it is returned then: half a tree would look like a tree with files deleted.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// There is nothing at the path.
    #[error("`{0}` does not exist")]
    Missing(Utf8PathBuf),
    /// The path leads through a link to a place that was not allowed.
    #[error("`{path}` leads through a symbolic link to `{target}`, outside {}", allowed_names(allowed))]
    Outside {
        /// As named.
        path: Utf8PathBuf,
        /// Where it leads.
        target: Utf8PathBuf,
        /// Where it may lead.
        allowed: Vec<Utf8PathBuf>,
    },
    /// It is neither a file nor a directory.
    #[error("`{0}` is neither a file nor a directory")]
    Special(Utf8PathBuf),
    /// There is too much of it.
    #[error("`{path}` {excess}")]
    Excess {
        /// As named.
        path: Utf8PathBuf,
        /// What there is too much of.
        excess: String,
    },
    /// The system refused.
    #[error("cannot read `{path}`: {cause}")]
    Io {
        /// What was being read.
        path: String,
        /// The system's words.
        cause: io::Error,
    },
}

fn allowed_names(allowed: &[Utf8PathBuf]) -> String {
    allowed.iter().map(|dir| format!("`{dir}`")).collect::<Vec<_>>().join(" and ")
}

/// Reads the file or the whole tree at an absolute path, in one pass. The path may lead through links only into one of
/// the `allowed` directories; below it, links and special files are skipped.
///
/// # Errors
/// See [`WalkError`]; one unreadable file refuses the tree.
pub fn walk(path: &Utf8Path, allowed: &[Utf8PathBuf], limits: &Limits) -> Result<Tree, WalkError> {
    let manner = Manner { excludes: &|_, _| false, links: Links::Skip, digests: &DigestCache::default() };
    walk_as(path, allowed, limits, &manner)
}

/// What a name stands for, as far as leaving it out is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A directory: with it goes all that is below.
    Directory,
    /// Anything else.
    Other,
}

/// How a tree is read.
#[derive(Clone, Copy)]
pub struct Manner<'a> {
    /// What it says so about (by its path below the root) is not opened, read or counted.
    pub excludes: &'a dyn Fn(&[u8], Named) -> bool,
    /// What becomes of links.
    pub links: Links,
    /// Files whose digests are known, and that have no text to be shown, are not read.
    pub digests: &'a DigestCache,
}

/// What becomes of links. None is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They are skipped.
    Skip,
    /// Those that stay below the root are entries.
    Keep,
}

/// As [`walk`], in another manner.
///
/// # Errors
/// As [`walk`].
pub fn walk_as(
    path: &Utf8Path,
    allowed: &[Utf8PathBuf],
    limits: &Limits,
    manner: &Manner<'_>,
) -> Result<Tree, WalkError> {
    let root = resolve(path, allowed)?;
    let tree = Tree { root, entries: vec![], skipped: vec![] };
    let mut walk = Walk { named: path, limits, manner, tree, bytes: 0 };
    let opened = open(AT_FDCWD, walk.tree.root.as_str().as_bytes(), ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = File::from(opened.map_err(|errno| walk.error(&[], errno.into()))?);
    let found = file.metadata().map_err(|cause| walk.error(&[], cause))?;
    if !found.is_dir() && !found.is_file() {
        return Err(WalkError::Special(path.to_owned()));
    }
    walk.visit(file, Vec::new(), 0)?;
    walk.tree.entries.sort_by(|one, other| one.path.cmp(&other.path));
    walk.tree.skipped.sort();
    Ok(walk.tree)
}

struct Walk<'a> {
    named: &'a Utf8Path,
    limits: &'a Limits,
    manner: &'a Manner<'a>,
    tree: Tree,
    bytes: u64,
}

impl Walk<'_> {
    fn visit(&mut self, file: File, path: Vec<u8>, depth: usize) -> Result<(), WalkError> {
        let found = file.metadata().map_err(|cause| self.error(&path, cause))?;
        // Asked again: not every file system lists what a name stands for.
        if !path.is_empty() && self.leaves_out(&path, found.is_dir()) {
            return Ok(());
        }
        if self.tree.entries.len() >= self.limits.entries {
            return Err(self.excess(format!("holds more than {} files and directories", self.limits.entries)));
        }
        let mode = found.mode() & 0o7777;
        if found.is_dir() {
            self.tree.entries.push(Entry { path: path.clone(), kind: EntryKind::Directory, mode });
            return self.descend(file.into(), &path, depth);
        }
        if !found.is_file() {
            self.tree.skipped.push((path, "it is no regular file".into()));
            return Ok(());
        }
        let stamp = Stamp::of(&found);
        let kind = match self.manner.digests.get(&stamp) {
            Some(sha256) => {
                self.count(stamp.size)?;
                EntryKind::File { size: stamp.size, sha256, text: None }
            }
            None => self.read(file, &path, stamp)?,
        };
        self.tree.entries.push(Entry { path, kind, mode });
        Ok(())
    }

    fn descend(&mut self, dir: OwnedFd, path: &[u8], depth: usize) -> Result<(), WalkError> {
        if depth >= self.limits.depth {
            return Err(self.excess(format!("is nested more than {} levels deep", self.limits.depth)));
        }
        let mut dir = Dir::from_fd(dir).map_err(|errno| self.error(path, errno.into()))?;
        let names = self.list(&mut dir, path)?;
        for (name, kind) in names {
            let below = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
            if kind.is_some_and(|kind| self.leaves_out(&below, kind == Type::Directory)) {
                continue;
            }
            match kind {
                Some(Type::Symlink) => self.link(&dir, &name, below)?,
                Some(Type::File | Type::Directory) | None => match open(&dir, &name, BENEATH) {
                    Ok(fd) => self.visit(fd.into(), below, depth + 1)?,
                    Err(Errno::ELOOP) => self.link(&dir, &name, below)?,
                    Err(Errno::ENXIO) => self.tree.skipped.push((below, "it is no regular file".into())),
                    // Deleted since it was listed: the tree without it is just as true.
                    Err(Errno::ENOENT) => {}
                    Err(errno) => return Err(self.error(&below, errno.into())),
                },
                Some(_) => self.tree.skipped.push((below, "it is no regular file".into())),
            }
        }
        Ok(())
    }

    /// Takes a link as it is, or leaves it out.
    fn link(&mut self, dir: &Dir, name: &[u8], below: Vec<u8>) -> Result<(), WalkError> {
        let why = match self.manner.links {
            Links::Skip => LINK,
            Links::Keep => match readlinkat(dir, OsStr::from_bytes(name)) {
                Ok(target) => match target.into_string().ok().filter(|target| stays_inside(&below, target)) {
                    Some(target) => {
                        self.tree.entries.push(Entry { path: below, kind: EntryKind::Link { target }, mode: 0o777 });
                        return self.expect_room();
                    }
                    None => OUTSIDE,
                },
                // Deleted, or something else by now: what was listed is left out.
                Err(Errno::ENOENT | Errno::EINVAL) => return Ok(()),
                Err(errno) => return Err(self.error(&below, errno.into())),
            },
        };
        self.tree.skipped.push((below, why.into()));
        Ok(())
    }

    fn expect_room(&self) -> Result<(), WalkError> {
        if self.tree.entries.len() <= self.limits.entries {
            return Ok(());
        }
        Err(self.excess(format!("holds more than {} files and directories", self.limits.entries)))
    }

    fn leaves_out(&self, below: &[u8], is_directory: bool) -> bool {
        (self.manner.excludes)(below, if is_directory { Named::Directory } else { Named::Other })
    }

    /// All names of a directory, so that order does not depend on the file system.
    fn list(&self, dir: &mut Dir, path: &[u8]) -> Result<Vec<Listed>, WalkError> {
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(|errno| self.error(path, errno.into()))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() >= self.limits.entries {
                return Err(self.excess(format!("holds more than {} files and directories", self.limits.entries)));
            }
            names.push((name.to_vec(), entry.file_type()));
        }
        names.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(names)
    }

    /// Streams a file through the hash; its text is kept as long as it is short.
    fn read(&mut self, mut file: File, path: &[u8], stamp: Stamp) -> Result<EntryKind, WalkError> {
        let mut hash = Sha256::new();
        let mut text = Some(Vec::new());
        let mut buffer = vec![0; 64 << 10];
        let mut size = 0;
        loop {
            let read = file.read(&mut buffer).map_err(|cause| self.error(path, cause))?;
            if read == 0 {
                break;
            }
            size += read as u64;
            if self.bytes + size > self.limits.bytes {
                return Err(self.too_large());
            }
            hash.update(&buffer[..read]);
            text = text.filter(|_| size <= self.limits.text);
            if let Some(text) = &mut text {
                text.extend_from_slice(&buffer[..read]);
            }
        }
        self.bytes += size;
        let (sha256, text) = (hash.finalize().into(), text.and_then(as_text));
        // A text may have to be shown: it is read each time, and hashing it costs nothing more.
        if text.is_none() && size == stamp.size {
            self.manner.digests.put(stamp, sha256);
        }
        Ok(EntryKind::File { size, sha256, text })
    }

    fn count(&mut self, size: u64) -> Result<(), WalkError> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.bytes { Err(self.too_large()) } else { Ok(()) }
    }

    fn too_large(&self) -> WalkError {
        self.excess(format!("holds more than {} bytes", self.limits.bytes))
    }

    fn error(&self, below: &[u8], cause: io::Error) -> WalkError {
        let below = String::from_utf8_lossy(below).escape_debug().to_string();
        let path = if below.is_empty() { self.named.to_string() } else { format!("{}/{below}", self.named) };
        WalkError::Io { path, cause }
    }

    fn excess(&self, excess: String) -> WalkError {
        WalkError::Excess { path: self.named.to_owned(), excess }
    }
}

/// A name in a directory, and its type as far as the directory knows.
type Listed = (Vec<u8>, Option<Type>);

const LINK: &str = "symbolic links are not followed";
const OUTSIDE: &str = "it is a symbolic link that does not stay within the tree, or whose target is no plain text";

/// Whether a link leads to a place below the root, by its words alone: as many steps up as it is deep at most, and all of
/// them first, because a name in front of them may be a link itself.
fn stays_inside(link: &[u8], target: &str) -> bool {
    let depth = link.iter().filter(|byte| **byte == b'/').count();
    let up = target.split('/').take_while(|part| *part == "..").count();
    let plain = !target.is_empty() && !target.starts_with('/') && !target.contains(char::is_control);
    plain && up <= depth && target.split('/').skip(up).all(|part| part != "..")
}

/// The bytes as text, unless they are binary.
pub fn as_text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests;
