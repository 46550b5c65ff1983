//! Opening what a path names, and nothing that somebody puts in its place meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

use super::WalkError;

/// Reads one regular file at an absolute path, which may lead through links only into one of the `allowed` directories.
///
/// # Errors
/// As [`walk`](super::walk); a directory is [`WalkError::Io`], and so is a file of more than `limit` bytes.
pub fn read_file(path: &Utf8Path, allowed: &[Utf8PathBuf], limit: u64) -> Result<Vec<u8>, WalkError> {
    let failed = |cause| WalkError::Io { path: path.to_string(), cause };
    let file = open_file(&resolve(path, allowed)?, b"").map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(failed(io::Error::other(format!("it has more than {limit} bytes"))));
    }
    Ok(bytes)
}

/// Opens one regular file of a tree that was walked: `root` as [`Tree::root`](super::Tree::root) gave it, `below` as
/// [`Entry::path`](super::Entry::path).
///
/// # Errors
/// When it is gone, is no regular file, or any part of its path is a link by now.
pub fn open_file(root: &Utf8Path, below: &[u8]) -> io::Result<File> {
    let root = open(AT_FDCWD, root.as_str().as_bytes(), ResolveFlag::RESOLVE_NO_SYMLINKS)?;
    let file = File::from(if below.is_empty() { root } else { open(&root, below, BENEATH)? });
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// What every name below the root is opened with.
pub(super) const BENEATH: ResolveFlag = ResolveFlag::RESOLVE_BENEATH.union(ResolveFlag::RESOLVE_NO_SYMLINKS);

/// Without blocking on pipes, and without following a link in the last part either.
pub(super) fn open(dir: impl AsFd, path: &[u8], resolve: ResolveFlag) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let path = OsStr::from_bytes(path);
    // The kernel gives up when something is renamed meanwhile: with EAGAIN, or with EXDEV when what it had found is
    // outside by now. Neither says what is there: ask again.
    for _ in 0..RENAME_RETRIES {
        match openat2(&dir, path, OpenHow::new().flags(flags).resolve(resolve)) {
            Err(Errno::EAGAIN | Errno::EXDEV) => {}
            outcome => return outcome,
        }
    }
    Err(Errno::EAGAIN)
}

/// Times an open is tried again when the kernel asks for it.
const RENAME_RETRIES: usize = 1000;

/// Where a named path really is. It is opened again without following links, so a later swap is an error, not a leak.
pub(super) fn resolve(path: &Utf8Path, allowed: &[Utf8PathBuf]) -> Result<Utf8PathBuf, WalkError> {
    let io_error = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => WalkError::Missing(path.to_owned()),
        _ => WalkError::Io { path: path.to_string(), cause },
    };
    // First, and as it is named: where a link led a moment ago does not count when there is none by now.
    if leads_through_no_link(path) {
        return Ok(path.to_owned());
    }
    let target = path.canonicalize_utf8().map_err(io_error)?;
    let inside = |dir: &Utf8PathBuf| dir.canonicalize_utf8().is_ok_and(|dir| target.starts_with(dir));
    if allowed.iter().any(inside) {
        return Ok(target);
    }
    Err(WalkError::Outside { path: path.to_owned(), target, allowed: allowed.to_vec() })
}

/// Opens nothing for reading.
fn leads_through_no_link(path: &Utf8Path) -> bool {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path.as_str(), how).is_ok()
}
