//! Reads an ext4 image in process: no root, no mount, no program per file.

use std::collections::BTreeMap;

use camino::Utf8Path;
use ext4_view::{Ext4, Ext4Error, Metadata};
use sha2::{Digest as _, Sha256};

use super::pour;
use crate::driver::ext4::{self, Checksums};
use crate::driver::files::current::{Interest, TEXT_LIMIT, Wanted};
use crate::driver::files::manifest;
use crate::effect::walk::as_text;
use crate::exec::Failure;
use crate::resource::{Digest, FileKind, GuestFiles, GuestPath, Manifest, ObservedFile};

/// A file and when it was last modified, in seconds since 1970.
pub(super) type Dated = (ObservedFile, i64);

/// Runs `look` on a disk; see [`ext4::look_with`].
///
/// # Errors
/// Why the disk cannot be read.
pub(super) fn with_disk<T>(
    disk: &Utf8Path,
    checksums: Checksums,
    look: impl FnOnce(&mut Reader) -> Result<T, String>,
) -> Result<T, Failure> {
    ext4::look_with(disk, checksums, |fs| look(&mut Reader { fs, seen: BTreeMap::new() }))
}

/// Runs `look` on parts of `items` at the same time, each with a reader of its own: hashing is what takes time, and
/// files do not depend on each other. Gives what it says, in the order of the items.
///
/// # Errors
/// As [`with_disk`].
pub(super) fn in_parallel<I: Sync, T: Send>(
    disk: &Utf8Path,
    checksums: Checksums,
    items: &[I],
    look: impl Fn(&mut Reader, &I) -> Result<T, String> + Sync,
) -> Result<Vec<T>, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(THREADS_MAX));
    let part = items.len().div_ceil(threads).max(1);
    let read = |items: &[I]| {
        with_disk(disk, checksums, |disk| items.iter().map(|item| look(disk, item)).collect::<Result<Vec<T>, String>>())
    };
    let parts: Vec<Result<Vec<T>, Failure>> = std::thread::scope(|scope| {
        let running: Vec<_> = items.chunks(part).map(|items| scope.spawn(move || read(items))).collect();
        running.into_iter().map(|part| part.join().unwrap_or_else(|_| Err(stopped(disk)))).collect()
    });
    let parts: Vec<Vec<T>> = parts.into_iter().collect::<Result<_, _>>()?;
    Ok(parts.into_iter().flatten().collect())
}

fn stopped(disk: &Utf8Path) -> Failure {
    Failure::permanent(format!("reading `{disk}` was stopped"))
}

/// Everything wanted, and the manifest.
///
/// # Errors
/// Why the disk cannot be read.
pub(super) fn files(disk: &Utf8Path, checksums: Checksums, mut wanted: Wanted) -> Result<GuestFiles, Failure> {
    let read = |disk: &mut Reader| Ok((disk.manifest(manifest::PATH)?, disk.manifest(manifest::INTENT)?));
    let (manifest, intent) = with_disk(disk, checksums, read)?;
    wanted.complete(&manifest, &intent);
    let wanted: Vec<(&GuestPath, &Interest)> = wanted.iter().collect();
    let found = in_parallel(disk, checksums, &wanted, |disk, (path, interest)| disk.file(path, interest))?;
    let there = wanted.iter().zip(found).filter_map(|((path, _), found)| Some(((*path).clone(), found?.0)));
    let mut found = GuestFiles { files: there.collect(), manifest, ..GuestFiles::default() };
    manifest::settle(&mut found, intent);
    Ok(found)
}

/// Readers at the same time, at most.
const THREADS_MAX: usize = 8;

/// An opened image; what was looked up is remembered.
pub(super) struct Reader {
    fs: Ext4,
    seen: BTreeMap<GuestPath, Option<(Metadata, FileKind)>>,
}

impl Reader {
    /// The manifest at a path; an empty one when there is none.
    fn manifest(&mut self, path: &str) -> Result<Manifest, String> {
        let path = GuestPath::new(path)?;
        match self.look(&path)? {
            Some((metadata, FileKind::File)) => {
                manifest::decode(&self.bytes(&path, metadata.len().min(manifest::LIMIT))?)
            }
            _ => Ok(Manifest::new()),
        }
    }

    /// One path, as closely as asked for; `None` when it is not there or below something that is no directory.
    pub(super) fn file(&mut self, path: &GuestPath, interest: &Interest) -> Result<Option<Dated>, String> {
        let Some((metadata, kind)) = self.look(path)? else { return Ok(None) };
        let mut file = ObservedFile {
            kind,
            mode: u32::from(metadata.mode()),
            owner: (metadata.uid(), metadata.gid()),
            // A directory's size says how a file system stores names.
            size: if kind == FileKind::Directory { 0 } else { metadata.len() },
            digest: None,
            text: None,
        };
        if kind == FileKind::File && *interest != Interest::Metadata {
            let (digest, text) = self.content(path)?;
            let hidden =
                *interest == Interest::Digest || matches!(interest, Interest::TextUnless(known) if *known == digest);
            file.digest = Some(digest);
            file.text = text.filter(|_| !hidden);
        }
        if kind == FileKind::Symlink && *interest != Interest::Metadata {
            let target = self.fs.read_link(absolute(path).as_slice()).map_err(|error| said(path, &error))?;
            file.describe_link(target.as_ref());
            file.text = file.text.filter(|_| *interest != Interest::Digest);
        }
        Ok(Some((file, metadata.modified().seconds())))
    }

    /// Names in a directory, without `.` and `..`.
    pub(super) fn names(&self, path: &GuestPath) -> Result<Vec<Vec<u8>>, String> {
        let absolute = absolute(path);
        let entries = self.fs.read_dir(absolute.as_slice()).map_err(|error| said(path, &error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| said(path, &error))?;
            let name = entry.file_name();
            if name != *b"." && name != *b".." {
                names.push(name.as_ref().to_vec());
            }
        }
        Ok(names)
    }

    /// Looks a path up without following a link in any part of it.
    fn look(&mut self, path: &GuestPath) -> Result<Option<(Metadata, FileKind)>, String> {
        if let Some(known) = self.seen.get(path) {
            return Ok(known.clone());
        }
        let parent = path.parent().map(|parent| self.look(&parent)).transpose()?;
        let reachable = parent.is_none_or(|parent| matches!(parent, Some((_, FileKind::Directory))));
        let found = if reachable { self.metadata(path)? } else { None };
        self.seen.insert(path.clone(), found.clone());
        Ok(found)
    }

    fn metadata(&self, path: &GuestPath) -> Result<Option<(Metadata, FileKind)>, String> {
        let metadata = match self.fs.symlink_metadata(absolute(path).as_slice()) {
            Ok(metadata) => metadata,
            Err(Ext4Error::NotFound) => return Ok(None),
            Err(error) => return Err(said(path, &error)),
        };
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => FileKind::Directory,
            kind if kind.is_regular_file() => FileKind::File,
            kind if kind.is_symlink() => FileKind::Symlink,
            _ => FileKind::Other,
        };
        Ok(Some((metadata, kind)))
    }

    /// Streams a file: its digest, and its text when that is short.
    fn content(&self, path: &GuestPath) -> Result<(Digest, Option<String>), String> {
        let mut hash = Sha256::new();
        let mut text = Some(Vec::new());
        let mut size = 0;
        self.stream(
            path,
            |bytes| {
                hash.update(bytes);
                size += bytes.len() as u64;
                text = text.take().filter(|_| size <= TEXT_LIMIT);
                if let Some(text) = &mut text {
                    text.extend_from_slice(bytes);
                }
                size
            },
            u64::MAX,
        )?;
        Ok((Digest::from_hash(&hash.finalize()), text.and_then(as_text)))
    }

    /// Digest of the [tail](pour::tail) of a file of this size.
    pub(super) fn tail(&self, path: &GuestPath, size: u64) -> Result<[u8; 32], String> {
        let mut file = self.fs.open(absolute(path).as_slice()).map_err(|error| said(path, &error))?;
        file.seek_to(pour::tail(size)).map_err(|error| said(path, &error))?;
        let (mut hash, mut buffer, mut left) = (Sha256::new(), vec![0; 4096], pour::TAIL);
        while left > 0 {
            match file.read_bytes(&mut buffer).map_err(|error| said(path, &error))? {
                0 => break,
                read => {
                    hash.update(&buffer[..read]);
                    left = left.saturating_sub(read as u64);
                }
            }
        }
        Ok(hash.finalize().into())
    }

    fn bytes(&self, path: &GuestPath, limit: u64) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        self.stream(
            path,
            |bytes| {
                all.extend_from_slice(bytes);
                all.len() as u64
            },
            limit,
        )?;
        Ok(all)
    }

    /// Feeds a file to `take`, which says how much it has; stops once that reaches the limit.
    fn stream(&self, path: &GuestPath, mut take: impl FnMut(&[u8]) -> u64, limit: u64) -> Result<(), String> {
        let mut file = self.fs.open(absolute(path).as_slice()).map_err(|error| said(path, &error))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read_bytes(&mut buffer).map_err(|error| said(path, &error))? {
                0 => return Ok(()),
                read if take(&buffer[..read]) >= limit => return Ok(()),
                _ => {}
            }
        }
    }
}

fn said(path: &GuestPath, error: &Ext4Error) -> String {
    format!("`{path}`: {error}")
}

fn absolute(path: &GuestPath) -> Vec<u8> {
    [b"/", path.as_bytes()].concat()
}
