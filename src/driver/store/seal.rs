//! What the files of a build were when it was published, so that one that was changed since is not used as if it were whole.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::effect::sparse_digest;

/// The seals of one build, by file name.
pub(super) type Seals = BTreeMap<String, Seal>;

/// One file as it was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    /// Bytes, holes included.
    size: u64,
    /// When it was last written to: seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// SHA-256 of what is in it, holes left out.
    sha256: String,
}

impl Seal {
    /// Reads all of a file.
    pub(super) fn of(path: &Utf8Path) -> io::Result<Self> {
        let found = path.symlink_metadata()?;
        Ok(Self { size: found.len(), modified: modified(&found), sha256: sparse_digest(path)? })
    }

    /// Whether it is still that file. It is read only when its date is another one, as after a copy of the whole store.
    fn holds(&self, path: &Utf8Path) -> io::Result<bool> {
        let found = match path.symlink_metadata() {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
            found => found?,
        };
        if !found.is_file() || found.len() != self.size {
            return Ok(false);
        }
        if modified(&found) == self.modified {
            return Ok(true);
        }
        let same = sparse_digest(path)? == self.sha256;
        if same {
            self.date_again(path);
        }
        Ok(same)
    }

    /// Gives a file that was proven to be the same its date back, so that it need not be read again. Where that is not
    /// allowed, it will be.
    fn date_again(&self, path: &Utf8Path) {
        let (seconds, nanoseconds) = self.modified;
        let since = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        let date = since.map(|(seconds, nanoseconds)| {
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(seconds, nanoseconds)
        });
        if let (Some(date), Ok(file)) = (date, File::open(path)) {
            let _ = file.set_modified(date);
        }
    }
}

fn modified(found: &Metadata) -> (i64, i64) {
    (found.mtime(), found.mtime_nsec())
}

/// Whether everything that was published is still what it was. Builds of before there were seals have none.
pub(super) fn unbroken(folder: &Utf8Path, seals: &Seals) -> io::Result<bool> {
    for (name, seal) in seals {
        if !seal.holds(&folder.join(name))? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::effect::testing::scratch;

    #[test]
    fn a_copy_is_the_same_and_a_changed_file_is_not() {
        let (_guard, dir) = scratch();
        let path = dir.join("root.img");
        fs::write(&path, vec![7; 10_000]).unwrap();
        let seal = Seal::of(&path).unwrap();
        assert!(seal.holds(&path).unwrap());

        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert!(seal.holds(&path).unwrap());
        assert_eq!(modified(&path.metadata().unwrap()), seal.modified, "it need not be read again");

        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[9_999] = 8;
        for wrong in [changed, whole[..9_999].to_vec(), [&whole[..], &[7]].concat()] {
            fs::write(&path, wrong).unwrap();
            // A clock that ticks too slowly to tell.
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
            assert!(!seal.holds(&path).unwrap());
        }
        fs::remove_file(&path).unwrap();
        assert!(!seal.holds(&path).unwrap());
        fs::create_dir(&path).unwrap();
        assert!(!seal.holds(&path).unwrap());
    }
}
