//! Folders outside the state directory, for mmdebstrap: an ordinary user's tree belongs to subordinate users
//! (`/etc/subuid`), who must be able to reach it, and the state directory is closed to them.
//!
//! Each is on record before it exists (LESSONS 22): as a symbolic link in the build's own folder. Whoever clears that
//! folder finds it, and nobody else's.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::storage_failure;
use crate::driver::namespace;
use crate::effect::{Run, process};
use crate::exec::Failure;

/// Where they are. Unlike `/tmp`, not kept in memory on any common system.
const PARENT: &str = "/var/tmp";

/// How their names start.
const PREFIX: &str = "regatta-";

/// Removing a tree.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

/// Makes one that others can pass through but not list, and records it as `link`.
pub(super) fn make(link: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    let path = Utf8Path::new(PARENT).join(format!("{PREFIX}{}", uuid::Uuid::now_v7().simple()));
    let fail = |cause: io::Error| storage_failure(&format!("cannot make `{path}`"), &cause);
    symlink(&path, link).map_err(fail)?;
    // Closed first: the caller's umask must not decide who gets in.
    fs::DirBuilder::new().mode(0o700).create(&path).map_err(fail)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).map_err(fail)?;
    Ok(path)
}

/// Removes the one recorded as `link`, if there is one, and the record.
pub(super) async fn remove(run: &dyn Run, link: &Utf8Path) -> Result<(), Failure> {
    let Ok(path) = link.read_link_utf8() else { return Ok(()) };
    let fail = |cause: io::Error| storage_failure(&format!("cannot remove `{path}`"), &cause);
    if is_ours(&path).map_err(fail)? && fs::remove_dir_all(&path).is_err() {
        // Folders of subordinate users are emptied by their own root; they themselves lie in a folder of ours.
        let trees = super::entries(&path).map_err(fail)?;
        let args: Vec<&str> =
            trees.iter().map(|tree| tree.as_str()).chain(["-xdev", "-mindepth", "1", "-delete"]).collect();
        // It may complain about folders that are ours after all: whether the whole goes, the next call tells.
        run.run(&namespace::command("find", &args).deadline(DEADLINE)).await?;
        fs::remove_dir_all(&path).map_err(fail)?;
    }
    fs::remove_file(link).map_err(fail)
}

/// Whether it is there, in the place where we make them, and belongs to us.
fn is_ours(path: &Utf8Path) -> io::Result<bool> {
    let named =
        path.parent() == Some(Utf8Path::new(PARENT)) && path.file_name().is_some_and(|name| name.starts_with(PREFIX));
    match path.symlink_metadata() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        found => Ok(named && found?.is_dir() && path.symlink_metadata()?.uid() == process::user_id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::CommandRunner;

    #[tokio::test]
    async fn what_is_recorded_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let link = dir.join("scratch");
        remove(&CommandRunner, &link).await.unwrap();

        let made = make(&link).unwrap();
        assert_eq!(made.symlink_metadata().unwrap().mode() & 0o7777, 0o711);
        fs::create_dir_all(made.join("tree/etc")).unwrap();
        remove(&CommandRunner, &link).await.unwrap();
        assert_eq!((made.exists(), link.is_symlink()), (false, false));

        // Recorded and then killed before it was made.
        symlink(&made, &link).unwrap();
        remove(&CommandRunner, &link).await.unwrap();
        assert!(!link.is_symlink());

        // A record that leads elsewhere is dropped, and what it leads to stays.
        let other = dir.join("regatta-other");
        fs::create_dir(&other).unwrap();
        symlink(&other, &link).unwrap();
        remove(&CommandRunner, &link).await.unwrap();
        assert_eq!((other.exists(), link.is_symlink()), (true, false));
    }
}
