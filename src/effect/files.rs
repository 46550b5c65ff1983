//! Small files that are ours alone: private directories, whole-or-nothing writes, reads with a limit.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use nix::fcntl::OFlag;

/// Permission bits that let others in.
const OTHERS: u32 = 0o077;

/// Why a file of ours could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {doing} `{path}`: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// Something else than expected is there: a link, another type, or another user's.
    #[error("`{path}` is {found}, expected {expected}")]
    Unexpected {
        /// The file.
        path: Utf8PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// It is larger than anything we write there.
    #[error("`{path}` is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: Utf8PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
}

impl FileError {
    pub(super) fn io(doing: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { doing, path: path.to_owned(), cause }
    }

    pub(super) fn unexpected(path: &Utf8Path, found: impl Into<String>, expected: &'static str) -> Self {
        Self::Unexpected { path: path.to_owned(), found: found.into(), expected }
    }
}

/// Makes sure that `path` is a directory which only we can enter: creates it (and missing parents) with mode 0700,
/// and takes other people's permissions from one that is already ours.
///
/// # Errors
/// When it is a symbolic link, no directory, another user's, or cannot be made.
pub fn private_dir(path: &Utf8Path) -> Result<(), FileError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    // A link or a file in its place is told apart below, whatever `mkdir` thought of it.
    if let Err(cause) = made
        && path.symlink_metadata().is_err()
    {
        return Err(FileError::io("create", path)(cause));
    }
    let found = path.symlink_metadata().map_err(FileError::io("look at", path))?;
    expect_own(path, &found, "a directory of our own")?;
    if !found.is_dir() {
        return Err(FileError::unexpected(path, type_name(&found), "a directory of our own"));
    }
    if found.mode() & OTHERS == 0 {
        return Ok(());
    }
    // Through a descriptor: the name may have become a link since it was looked at.
    open(path, OpenOptions::new().read(true), OFlag::O_DIRECTORY)
        .and_then(|dir| dir.set_permissions(std::fs::Permissions::from_mode(0o700)))
        .map_err(FileError::io("restrict", path))
}

/// Replaces a file with `contents`, or leaves it as it was: written beside with mode 0600, synced, renamed, and the
/// directory synced. Its directory must exist.
///
/// # Errors
/// When any of that fails; the temporary file is gone then.
pub fn write_atomic(path: &Utf8Path, contents: &[u8]) -> Result<(), FileError> {
    write_with_mode(path, contents, 0o600)
}

/// As [`write_atomic`], for files that others read: reports, metrics. Mode 0644 as far as the umask lets it.
///
/// # Errors
/// As [`write_atomic`].
pub fn publish(path: &Utf8Path, contents: &[u8]) -> Result<(), FileError> {
    write_with_mode(path, contents, 0o644)
}

/// Opens a file for writing from its start, for what is written while it happens: mode 0644 as far as the umask lets it.
///
/// # Errors
/// When it cannot be made or opened.
pub fn create(path: &Utf8Path) -> Result<File, FileError> {
    File::create(path).map_err(FileError::io("create", path))
}

/// Opens an empty file of mode 0600 for writing, in place of one of that name.
///
/// # Errors
/// When it cannot be made or opened.
pub fn create_private(path: &Utf8Path) -> Result<File, FileError> {
    let fail = |cause| FileError::io("create", path)(cause);
    // One that others can read would keep its mode.
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(fail(cause)),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fail)
}

/// Makes sure that a file of somebody else's writing, and its name, are on the disk.
///
/// # Errors
/// When it is not there, or cannot be synced.
pub fn sync(path: &Utf8Path) -> Result<(), FileError> {
    let fail = |cause| FileError::io("sync", path)(cause);
    File::open(path).and_then(|file| file.sync_all()).map_err(fail)?;
    let dir = path.parent().unwrap_or(Utf8Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail)
}

fn write_with_mode(path: &Utf8Path, contents: &[u8], mode: u32) -> Result<(), FileError> {
    let fail = |cause| FileError::io("write", path)(cause);
    let dir = path.parent().filter(|dir| !dir.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    let permissions = std::fs::Permissions::from_mode(mode);
    let mut beside =
        tempfile::Builder::new().prefix(".regatta-").permissions(permissions).tempfile_in(dir).map_err(fail)?;
    beside.write_all(contents).and_then(|()| beside.as_file().sync_all()).map_err(fail)?;
    beside.persist(path).map_err(|error| fail(error.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail)
}

/// Replaces the user's own file with `contents`, or leaves it as it was. A link is followed and stays, and the file keeps
/// its permission bits.
///
/// # Errors
/// When it is not there, or any of that fails.
pub fn rewrite(path: &Utf8Path, contents: &[u8]) -> Result<(), FileError> {
    let fail = |cause| FileError::io("write", path)(cause);
    let target = path.canonicalize_utf8().map_err(fail)?;
    let mode = std::fs::metadata(&target).map_err(fail)?.permissions();
    let dir = target.parent().unwrap_or(Utf8Path::new("/"));
    let mut beside = tempfile::Builder::new().prefix(".regatta-").tempfile_in(dir).map_err(fail)?;
    beside.write_all(contents).map_err(fail)?;
    beside.as_file().set_permissions(mode).and_then(|()| beside.as_file().sync_all()).map_err(fail)?;
    beside.persist(&target).map_err(|error| fail(error.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail)
}

/// Makes a file of the user's with `contents`; false, and nothing changed, when something is there already.
///
/// # Errors
/// When the system refuses.
pub fn create_new(path: &Utf8Path, contents: &[u8]) -> Result<bool, FileError> {
    let fail = |cause| FileError::io("write", path)(cause);
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(contents).map(|()| true).map_err(fail),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(fail(error)),
    }
}

/// Reads a whole file of at most `limit` bytes; `None` when there is none.
///
/// # Errors
/// When it is a symbolic link or no regular file, larger than the limit, or unreadable: never taken for absent.
pub fn read_bounded(path: &Utf8Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    let fail = |cause| FileError::io("read", path)(cause);
    let Some(file) = open_regular(path)? else { return Ok(None) };
    let mut contents = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut contents).map_err(fail)?;
    if contents.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(Some(contents))
}

/// As [`read_bounded`], for secrets: only their owner may be let in, and that is us or root.
///
/// # Errors
/// As [`read_bounded`], and when somebody else could read or write it.
pub fn read_secret(path: &Utf8Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    let Some(file) = open_regular(path)? else { return Ok(None) };
    let found = file.metadata().map_err(FileError::io("look at", path))?;
    if found.mode() & OTHERS != 0 {
        let mode = format!("open to others: its mode is {:04o}", found.mode() & 0o7777);
        return Err(FileError::unexpected(path, mode, "a file that only its owner may read (`chmod 600`)"));
    }
    if found.uid() != nix::unistd::geteuid().as_raw() && found.uid() != 0 {
        return Err(FileError::unexpected(path, format!("a file of user {}", found.uid()), "one of our own"));
    }
    read_bounded(path, limit)
}

/// Reads the last `limit` bytes of a file that may grow: a log. Empty when there is none.
///
/// # Errors
/// As [`read_bounded`], but for the limit.
pub fn read_tail(path: &Utf8Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let fail = |cause| FileError::io("read", path)(cause);
    let Some(mut file) = open_regular(path)? else { return Ok(Vec::new()) };
    let length = file.metadata().map_err(fail)?.len();
    file.seek(io::SeekFrom::Start(length.saturating_sub(limit))).map_err(fail)?;
    let mut contents = Vec::new();
    file.take(limit).read_to_end(&mut contents).map_err(fail)?;
    Ok(contents)
}

/// Makes sure that only root can have written a file: it and every directory above it are root's, no link, and writable by nobody
/// else.
///
/// # Errors
/// When one of them is not, or cannot be looked at.
pub fn expect_root_owned(path: &Utf8Path) -> Result<(), FileError> {
    for part in path.ancestors().filter(|part| !part.as_str().is_empty()) {
        let found = part.symlink_metadata().map_err(FileError::io("look at", part))?;
        let expected = "root's, and writable by nobody else";
        if found.is_symlink() {
            return Err(FileError::unexpected(part, "a link", expected));
        }
        if found.uid() != 0 {
            return Err(FileError::unexpected(part, format!("of user {}", found.uid()), expected));
        }
        if found.mode() & 0o022 != 0 {
            return Err(FileError::unexpected(part, format!("of mode {:04o}", found.mode() & 0o7777), expected));
        }
    }
    Ok(())
}

/// Opens a regular file to read it piece by piece, and tells its size in bytes; `None` when there is none.
///
/// # Errors
/// It is something else, or the system refuses.
pub fn open_to_read(path: &Utf8Path) -> Result<Option<(File, u64)>, FileError> {
    let Some(file) = open_regular(path)? else { return Ok(None) };
    let size = file.metadata().map_err(FileError::io("look at", path))?.len();
    Ok(Some((file, size)))
}

/// Opens a regular file to read it; `None` when there is none.
fn open_regular(path: &Utf8Path) -> Result<Option<File>, FileError> {
    let fail = |cause| FileError::io("read", path)(cause);
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            return Err(FileError::unexpected(path, type_name(&found), "a regular file"));
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(_) => {}
        Err(cause) => return Err(fail(cause)),
    }
    // Without blocking: what was a file a moment ago may be a pipe that nobody writes.
    match open(path, OpenOptions::new().read(true), OFlag::O_NONBLOCK) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some).map_err(fail),
    }
}

/// Opens a file, but no symbolic link, for our process alone.
pub(super) fn open(path: &Utf8Path, options: &mut OpenOptions, flags: OFlag) -> io::Result<File> {
    options.custom_flags((flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits()).open(path)
}

/// Refuses what belongs to somebody else.
pub(super) fn expect_own(path: &Utf8Path, found: &std::fs::Metadata, expected: &'static str) -> Result<(), FileError> {
    match found.uid() {
        uid if uid == nix::unistd::geteuid().as_raw() => Ok(()),
        uid => Err(FileError::unexpected(path, format!("owned by user {uid}"), expected)),
    }
}

fn type_name(found: &std::fs::Metadata) -> &'static str {
    match found.file_type() {
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_dir() => "a directory",
        kind if kind.is_file() => "a file",
        _ => "a special file",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::effect::testing::scratch;

    fn mode(path: &Utf8Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn a_private_directory_is_made_with_its_parents_and_tightened_when_it_is_open() {
        let (_guard, root) = scratch();
        let dir = root.join("a/b/c");
        private_dir(&dir).unwrap();
        assert_eq!((mode(&root.join("a")), mode(&dir)), (0o700, 0o700));
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        private_dir(&dir).unwrap();
        assert_eq!(mode(&dir), 0o700);
    }

    /// LESSON 25: lstat, not stat. A link to a directory of ours is not a directory of ours.
    #[test]
    fn a_link_a_file_and_a_foreign_directory_are_refused_and_left_alone() {
        let (_guard, root) = scratch();
        let (real, link, file, dangling) = (root.join("real"), root.join("link"), root.join("file"), root.join("gone"));
        private_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        symlink(root.join("nowhere"), &dangling).unwrap();
        std::fs::write(&file, "").unwrap();
        let refusal = |path| private_dir(path).unwrap_err().to_string();
        assert_eq!(refusal(&link), format!("`{link}` is a symbolic link, expected a directory of our own"));
        assert_eq!(refusal(&dangling), format!("`{dangling}` is a symbolic link, expected a directory of our own"));
        assert_eq!(refusal(&file), format!("`{file}` is a file, expected a directory of our own"));
        assert!(!root.join("nowhere").exists());
        if nix::unistd::geteuid().is_root() {
            let foreign = root.join("foreign");
            std::fs::create_dir(&foreign).unwrap();
            std::os::unix::fs::chown(&foreign, Some(65534), None).unwrap();
            assert_eq!(
                refusal(&foreign),
                format!("`{foreign}` is owned by user 65534, expected a directory of our own")
            );
        }
    }

    #[test]
    fn a_write_replaces_the_whole_file_privately_and_leaves_nothing_beside_it() {
        let (_guard, root) = scratch();
        let file = root.join("file");
        std::fs::write(&file, "a longer old text").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_atomic(&file, b"new").unwrap();
        assert_eq!((std::fs::read(&file).unwrap(), mode(&file)), (b"new".to_vec(), 0o600));
        std::fs::create_dir(root.join("dir")).unwrap();
        assert!(write_atomic(&root.join("dir"), b"x").is_err());
        assert_eq!(root.read_dir_utf8().unwrap().count(), 2);
    }

    /// LESSON 8: a link in place of the target is replaced, never written through.
    #[test]
    fn a_write_replaces_a_link_instead_of_following_it() {
        let (_guard, root) = scratch();
        let (victim, link) = (root.join("victim"), root.join("link"));
        std::fs::write(&victim, "kept").unwrap();
        symlink(&victim, &link).unwrap();
        write_atomic(&link, b"new").unwrap();
        assert_eq!(
            (std::fs::read(&victim).unwrap(), std::fs::read(&link).unwrap()),
            (b"kept".to_vec(), b"new".to_vec())
        );
    }

    #[test]
    fn a_read_knows_absent_from_unreadable_and_has_a_limit() {
        let (_guard, root) = scratch();
        let file = root.join("file");
        assert_eq!(read_bounded(&file, 3).unwrap(), None);
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(read_bounded(&file, 3).unwrap(), Some(b"abc".to_vec()));
        assert_eq!(read_bounded(&file, 2).unwrap_err().to_string(), format!("`{file}` is larger than 2 bytes"));
        assert_eq!(
            read_bounded(&root, 9).unwrap_err().to_string(),
            format!("`{root}` is a directory, expected a regular file")
        );
        let under_a_file = file.join("x");
        assert!(matches!(read_bounded(&under_a_file, 9), Err(FileError::Io { .. })));
        let pipe = root.join("pipe");
        nix::unistd::mkfifo(pipe.as_std_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(read_bounded(&pipe, 9), Err(FileError::Unexpected { .. })));
    }

    #[test]
    fn the_tail_of_a_log_is_read_and_a_missing_one_is_empty() {
        let (_guard, root) = scratch();
        let file = root.join("log");
        assert_eq!(read_tail(&file, 3).unwrap(), b"");
        std::fs::write(&file, "abcdef").unwrap();
        assert_eq!(read_tail(&file, 3).unwrap(), b"def");
        assert_eq!(read_tail(&file, 100).unwrap(), b"abcdef");
        assert!(read_tail(&root, 3).is_err());
    }
}
