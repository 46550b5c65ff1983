//! Names, sizes and moves of files below the state directory: what is done to paths rather than to contents.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use nix::fcntl::OFlag;

use super::files::{self, FileError};

/// Entries read of one directory: far more than a fleet has guests.
const ENTRY_LIMIT: usize = 100_000;

/// Names in a directory; none when there is no such directory.
///
/// # Errors
/// When it cannot be read, holds a name that is no UTF-8 (so not one of ours), or more than 100,000 entries.
pub fn names_in(dir: &Utf8Path) -> Result<BTreeSet<String>, FileError> {
    let entries = match dir.read_dir_utf8() {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(FileError::io("list", dir))?,
    };
    let names: BTreeSet<String> = entries
        .take(ENTRY_LIMIT + 1)
        .map(|entry| entry.map(|entry| entry.file_name().to_owned()))
        .collect::<Result<_, _>>()
        .map_err(FileError::io("list", dir))?;
    if names.len() > ENTRY_LIMIT {
        return Err(FileError::unexpected(dir, "a directory of too many entries", "at most 100000"));
    }
    Ok(names)
}

/// Whether something is there, a dangling link included.
///
/// # Errors
/// When it cannot be told.
pub fn exists(path: &Utf8Path) -> Result<bool, FileError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(FileError::io("look at", path)(cause)),
    }
}

/// Bytes a file has; `None` when it is not there.
///
/// # Errors
/// When it cannot be told.
pub fn size(path: &Utf8Path) -> Result<Option<u64>, FileError> {
    match path.symlink_metadata() {
        Ok(found) => Ok(Some(found.len())),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(FileError::io("look at", path)(cause)),
    }
}

/// Makes a file longer, with a hole; never shorter.
///
/// # Errors
/// When it is not there, a link, longer already, or cannot be grown.
pub fn grow(path: &Utf8Path, to: u64) -> Result<(), FileError> {
    let fail = |cause| FileError::io("grow", path)(cause);
    let file = files::open(path, OpenOptions::new().write(true), OFlag::empty()).map_err(fail)?;
    let now = file.metadata().map_err(fail)?.len();
    if now > to {
        return Err(FileError::unexpected(path, format!("{now} bytes long"), "at most the new size"));
    }
    file.set_len(to).and_then(|()| file.sync_all()).map_err(fail)
}

/// Bytes that an ordinary user can still write to the file system that a path is on.
///
/// # Errors
/// When it cannot be asked.
pub fn free(path: &Utf8Path) -> Result<u64, FileError> {
    let stat = nix::sys::statvfs::statvfs(path.as_std_path())
        .map_err(|errno| FileError::io("read the free space of", path)(errno.into()))?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// Moves within one file system, replacing what was there; on disk when this returns.
///
/// # Errors
/// When the system refuses.
pub fn rename(from: &Utf8Path, to: &Utf8Path) -> Result<(), FileError> {
    std::fs::rename(from, to).map_err(FileError::io("rename", from))?;
    sync_parent(to)
}

/// As [`rename`], when there is something to move.
///
/// # Errors
/// When the system refuses.
pub fn rename_if_there(from: &Utf8Path, to: &Utf8Path) -> Result<(), FileError> {
    if exists(from)? { rename(from, to) } else { Ok(()) }
}

/// How long ago a file was last written, by the machine's clock; nothing when it is not there, and no time when the clock
/// was set back since.
///
/// # Errors
/// When the system refuses.
pub fn age(path: &Utf8Path) -> Result<Option<Duration>, FileError> {
    let failed = FileError::io("read", path);
    match path.metadata().and_then(|metadata| metadata.modified()) {
        Ok(written) => Ok(Some(written.elapsed().unwrap_or_default())),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed(cause)),
    }
}

/// Gives a file one more name on the same file system; whatever has that name already stays.
///
/// # Errors
/// When the name is taken, or the system refuses.
pub fn link(file: &Utf8Path, name: &Utf8Path) -> Result<(), FileError> {
    std::fs::hard_link(file, name).map_err(FileError::io("link", name))
}

/// Removes a file, a link or a socket, when it is there.
///
/// # Errors
/// When the system refuses.
pub fn remove_if_there(path: &Utf8Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(FileError::io("remove", path)(cause)),
        _ => Ok(()),
    }
}

/// Removes a directory with everything below it, following no link; nothing there is fine.
///
/// # Errors
/// When the system refuses.
pub fn remove_tree(path: &Utf8Path) -> Result<(), FileError> {
    match std::fs::remove_dir_all(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(FileError::io("remove", path)(cause)),
        _ => Ok(()),
    }
}

/// The path with every link resolved.
///
/// # Errors
/// When it does not exist, or is no UTF-8.
pub fn canonical(path: &Utf8Path) -> Result<Utf8PathBuf, FileError> {
    path.canonicalize_utf8().map_err(FileError::io("find", path))
}

/// Gives a file to a user and a group.
///
/// # Errors
/// When it is not there, or we may not.
pub fn give(path: &Utf8Path, user: u32, group: u32) -> Result<(), FileError> {
    std::os::unix::fs::lchown(path, Some(user), Some(group)).map_err(FileError::io("give away", path))
}

/// Makes a name that stands for another path; what has that name already stays.
///
/// # Errors
/// When the name is taken, or the system refuses.
pub fn point(name: &Utf8Path, to: &Utf8Path) -> Result<(), FileError> {
    std::os::unix::fs::symlink(to, name).map_err(FileError::io("link", name))
}

/// The number of the file system that a path is on; of its nearest directory that exists.
pub fn file_system(path: &Utf8Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    path.ancestors().find_map(|part| part.metadata().ok()).map(|found| found.dev())
}

fn sync_parent(path: &Utf8Path) -> Result<(), FileError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(FileError::io("sync", parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::testing::scratch;

    #[test]
    fn what_is_not_there_is_empty_absent_and_removed() {
        let (_guard, dir) = scratch();
        let path = dir.join("nothing");
        assert_eq!(names_in(&path).unwrap(), BTreeSet::new());
        assert!(!exists(&path).unwrap());
        assert_eq!(size(&path).unwrap(), None);
        remove_if_there(&path).unwrap();
        remove_tree(&path).unwrap();
        rename_if_there(&path, &dir.join("other")).unwrap();
        assert!(rename(&path, &dir.join("other")).is_err());
    }

    #[test]
    fn a_file_has_an_age_and_may_have_two_names() {
        let (_guard, dir) = scratch();
        let path = dir.join("disk");
        assert_eq!(age(&path).unwrap(), None);
        std::fs::write(&path, "data").unwrap();
        let hour = Duration::from_secs(3600);
        assert!(age(&path).unwrap().unwrap() < hour);
        let past = std::time::SystemTime::now() - 2 * hour;
        File::options().write(true).open(&path).unwrap().set_modified(past).unwrap();
        assert!(age(&path).unwrap().unwrap() > hour);
        link(&path, &dir.join("other")).unwrap();
        assert_eq!(std::fs::read(dir.join("other")).unwrap(), b"data");
        assert!(link(&path, &dir.join("other")).is_err(), "a name that is taken stays");
    }

    #[test]
    fn a_file_grows_and_never_shrinks() {
        let (_guard, dir) = scratch();
        let path = dir.join("disk");
        std::fs::write(&path, "data").unwrap();
        grow(&path, 4096).unwrap();
        assert_eq!(size(&path).unwrap(), Some(4096));
        assert!(grow(&path, 100).is_err());
        assert_eq!(size(&path).unwrap(), Some(4096));
        assert_eq!(names_in(&dir).unwrap(), BTreeSet::from(["disk".to_owned()]));
    }

    /// A tree is removed without following a link out of it.
    #[test]
    fn removing_a_tree_leaves_what_links_point_to() {
        let (_guard, dir) = scratch();
        let (tree, outside) = (dir.join("tree"), dir.join("outside"));
        std::fs::create_dir_all(tree.join("below")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "").unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(exists(&outside.join("kept")).unwrap());
        assert!(!exists(&tree).unwrap());
    }
}
