//! Digests of files that were read before: what nobody has touched since is not read again.
//!
//! A file is known by its inode, its size and when its bytes and its inode were last changed, the last of which only the
//! kernel sets. The digests are those of one boot: what a power cut did to a file is in none of these. Like any cache, this
//! one may be deleted at any time, and whatever is wrong with it makes it an empty one.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::files::{self, FileError};

/// How long ago a file must have been changed to be remembered, in seconds: what is changed twice between two ticks of a
/// file system's clock looks the same both times. FAT's ticks are the longest.
const SETTLED: i64 = 2;

/// Files remembered, at most; and bytes read of the cache.
const FILES_MAX: usize = 500_000;
const BYTES_MAX: u64 = 256 << 20;

/// The form that is written.
const VERSION: u32 = 1;

/// What a file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    /// Bytes.
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of an opened file.
    pub(super) fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// SHA-256 of files.
type Digests = BTreeMap<Stamp, [u8; 32]>;

/// Digests by what files are known by.
#[derive(Debug, Default)]
pub struct DigestCache {
    boot: String,
    /// Files changed after this are not remembered; seconds since 1970.
    settled: i64,
    earlier: Digests,
    now: Mutex<Digests>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    boot: String,
    files: Vec<(Stamp, [u8; 32])>,
}

impl DigestCache {
    /// What was saved at a path, in the same boot.
    pub fn load(path: &Utf8Path, boot: &str, now: jiff::Timestamp) -> Self {
        let bytes = files::read_bounded(path, BYTES_MAX).ok().flatten().unwrap_or_default();
        let stored = serde_json::from_slice::<Stored>(&bytes).ok();
        let stored = stored.filter(|stored| stored.version == VERSION && stored.boot == boot);
        Self {
            boot: boot.to_owned(),
            settled: now.as_second() - SETTLED,
            earlier: stored.map(|stored| stored.files.into_iter().collect()).unwrap_or_default(),
            now: Mutex::default(),
        }
    }

    /// Saves what was used, and of the rest what there is room for; nothing when nothing is new.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Utf8Path) -> Result<(), FileError> {
        let mut all = self.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if all.keys().all(|stamp| self.earlier.contains_key(stamp)) {
            return Ok(());
        }
        let room = FILES_MAX.saturating_sub(all.len());
        all.extend(self.earlier.iter().take(room).map(|(stamp, digest)| (*stamp, *digest)));
        let stored = Stored { version: VERSION, boot: self.boot.clone(), files: all.into_iter().collect() };
        // Numbers and text are always JSON.
        files::write_atomic(path, &serde_json::to_vec(&stored).unwrap_or_default())
    }

    /// The digest of a file, when it is known.
    pub(super) fn get(&self, stamp: &Stamp) -> Option<[u8; 32]> {
        let digest = *self.earlier.get(stamp)?;
        self.remember(*stamp, digest);
        Some(digest)
    }

    /// Takes the digest of a file whose stamp was taken before it was read.
    pub(super) fn put(&self, stamp: Stamp, digest: [u8; 32]) {
        if stamp.changed.0 < self.settled && stamp.modified.0 < self.settled {
            self.remember(stamp, digest);
        }
    }

    /// How many files it was asked for that it knew.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.keys().filter(|stamp| self.earlier.contains_key(stamp)).count()
    }

    fn remember(&self, stamp: Stamp, digest: [u8; 32]) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).insert(stamp, digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { device: 1, inode: 2, size: 3, modified: (50, 5), changed: (60, 6) };

    fn at(seconds: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn what_was_saved_is_known_in_the_same_boot_as_long_as_nothing_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("digests");
        let first = DigestCache::load(&path, "one", at(100));
        assert_eq!(first.get(&STAMP), None);
        first.put(STAMP, [7; 32]);
        first.save(&path).unwrap();
        let later = DigestCache::load(&path, "one", at(100));
        assert_eq!(later.get(&STAMP), Some([7; 32]));
        for other in [
            Stamp { device: 9, ..STAMP },
            Stamp { inode: 9, ..STAMP },
            Stamp { size: 9, ..STAMP },
            Stamp { modified: (50, 9), ..STAMP },
            Stamp { changed: (60, 9), ..STAMP },
        ] {
            assert_eq!(later.get(&other), None);
        }
        assert_eq!(DigestCache::load(&path, "two", at(100)).get(&STAMP), None);
        for damaged in [&b""[..], b"{}", b"[1", br#"{"version":2,"boot":"one","files":[]}"#] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(DigestCache::load(&path, "one", at(100)).get(&STAMP), None);
        }
    }

    #[test]
    fn what_was_changed_a_moment_ago_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("digests");
        let cache = DigestCache::load(&path, "one", at(62));
        cache.put(STAMP, [7; 32]);
        cache.save(&path).unwrap();
        assert!(!path.exists(), "there is nothing to save");
    }
}
