//! A directory of this host as the source of an image.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;
use sha2::{Digest as _, Sha256};

use crate::resource::Digest;

/// Entries of one tree.
const MAX_ENTRIES: u64 = 4_000_000;

/// What the entries of a tree say of themselves, as one digest: names, types, modes, owners, sizes, times and the targets
/// of links. Contents are not read: this is done at every plan. File systems that the tree has mounted are part of it.
///
/// # Errors
/// When something in it cannot be looked at.
pub(in crate::driver) fn digest(root: &Utf8Path) -> io::Result<String> {
    if !root.metadata()?.is_dir() {
        return Err(io::Error::other("it is no directory"));
    }
    let mut hash = Sha256::new();
    let mut entries = 0;
    let mut waiting = vec![root.as_std_path().to_owned()];
    while let Some(directory) = waiting.pop() {
        let mut names =
            std::fs::read_dir(&directory)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(io::Error::other(format!("it has more than {MAX_ENTRIES} files")));
            }
            let path = directory.join(&name);
            let found = path.symlink_metadata()?;
            let below = path.strip_prefix(root).unwrap_or(&path).as_os_str();
            let target = if found.is_symlink() { path.read_link()?.into_os_string() } else { Default::default() };
            for text in [below.as_bytes(), target.as_bytes()] {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
            for number in numbers(&found) {
                hash.update(number.to_le_bytes());
            }
            if found.is_dir() {
                waiting.push(path);
            }
        }
    }
    Ok(format!("sha256:{}", Digest::from_hash(&hash.finalize()).as_str()))
}

/// A directory's own size and times tell nothing that its entries do not.
fn numbers(found: &Metadata) -> [i128; 7] {
    let of_file = |value: i128| if found.is_dir() { 0 } else { value };
    [
        found.mode().into(),
        found.uid().into(),
        found.gid().into(),
        found.rdev().into(),
        of_file(found.size().into()),
        of_file(found.mtime().into()),
        of_file(found.mtime_nsec().into()),
    ]
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn every_change_of_a_tree_is_another_digest() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let now = || digest(root).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        let mut seen = vec![now()];
        assert_eq!(now(), seen[0]);
        let mut changed = |change: &dyn Fn()| {
            change();
            let digest = now();
            assert!(!seen.contains(&digest));
            seen.push(digest);
        };
        changed(&|| fs::write(root.join("etc/a"), "1").unwrap());
        changed(&|| fs::write(root.join("etc/a"), "22").unwrap());
        changed(&|| fs::set_permissions(root.join("etc/a"), fs::Permissions::from_mode(0o4755)).unwrap());
        changed(&|| symlink("a", root.join("etc/b")).unwrap());
        changed(&|| fs::rename(root.join("etc/b"), root.join("etc/c")).unwrap());
        changed(&|| fs::create_dir(root.join("empty")).unwrap());
        assert!(digest(&root.join("etc/a")).is_err());
    }
}
