//! What of the store nobody needs any more. Whoever asks holds the host's lock: nothing begins to use an image meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::{Head, Kind, Store, allocated, entries, manifest_head, storage_failure};
use crate::effect::{Clock as _, Holder, Lock, SystemClock, paths};
use crate::exec::Failure;
use crate::resource::ContentKey;

/// What may be removed from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// `image web 1f2e…`, for people.
    pub name: String,
    /// The folder or file.
    pub path: Utf8PathBuf,
    /// Bytes on disk.
    pub allocated: u64,
    /// Since it was made.
    pub age: Duration,
    /// Held by whoever makes or uses it: the name of its lock.
    lock: String,
}

impl Store {
    /// Images and kernels that are not in `used`, downloads, and parts of downloads, when they are at least this old.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn garbage(&self, used: &BTreeSet<ContentKey>, at_least: Duration) -> Result<Vec<Garbage>, Failure> {
        let fail = |cause: io::Error| storage_failure(&format!("cannot read `{}`", self.root), &cause);
        let mut found = Vec::new();
        for kind in [Kind::Image, Kind::Kernel] {
            for path in entries(&self.root.join(kind.folder())).map_err(fail)? {
                // A folder that is not complete is none of ours, or one that the next build clears.
                let Some(head) = manifest_head(&path).filter(|head| !used.contains(&head.key)) else { continue };
                let Head { key, pinned, .. } = head;
                let word = kind.singular();
                let name = pinned.map_or_else(|| format!("{word} {key}"), |(name, _)| format!("{word} {name} {key}"));
                let bytes = allocated(&path).map_err(fail)?;
                found.push(garbage(name, &path, bytes, format!("{word}-{key}"))?);
            }
        }
        for (folder, word) in [("blobs", "download"), ("partial", "part of a download")] {
            for path in entries(&self.root.join(folder)).map_err(fail)? {
                let digits = path.file_name().unwrap_or_default().to_owned();
                let short: String = digits.chars().take(12).collect();
                let bytes = paths::size(&path)?.unwrap_or_default();
                found.push(garbage(format!("{word} {short}"), &path, bytes, format!("blob-{digits}"))?);
            }
        }
        found.retain(|garbage| garbage.age >= at_least);
        Ok(found)
    }

    /// Removes it; false, and nothing done, when somebody is at it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, garbage: &Garbage) -> Result<bool, Failure> {
        let lock = self.root.join("locks").join(format!("{}.lock", garbage.lock));
        let Ok(_lock) = Lock::try_acquire(&lock, &Holder::this_process("regatta gc", SystemClock.now())) else {
            return Ok(false);
        };
        let path = &garbage.path;
        let fail = |cause: io::Error| storage_failure(&format!("cannot remove `{path}`"), &cause);
        if path.is_dir() {
            // Without its manifest it is no image any more, wherever this is interrupted.
            fs::remove_file(path.join(super::MANIFEST)).map_err(fail)?;
            fs::remove_dir_all(path).map_err(fail)?;
        } else {
            fs::remove_file(path).map_err(fail)?;
        }
        Ok(true)
    }
}

fn garbage(name: String, path: &Utf8Path, allocated: u64, lock: String) -> Result<Garbage, Failure> {
    let age = paths::age(path)?.unwrap_or_default();
    Ok(Garbage { name, path: path.to_owned(), allocated, age, lock })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::driver::store::Manifest;

    fn put(store: &Store, folder: &str, what: &str) -> ContentKey {
        let key = ContentKey::of(&what);
        let path = store.root.join(folder).join(key.as_str());
        fs::create_dir_all(&path).unwrap();
        let manifest = Manifest::new(key.clone(), what, BTreeMap::new());
        fs::write(path.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        key
    }

    #[test]
    fn what_is_used_or_young_or_being_made_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(Utf8PathBuf::try_from(dir.path().to_owned()).unwrap());
        assert_eq!(store.garbage(&BTreeSet::new(), Duration::ZERO).unwrap(), []);
        let (used, unused) = (put(&store, "images", "used"), put(&store, "images", "unused"));
        let kernel = put(&store, "kernels", "kernel");
        for folder in ["blobs", "partial", "locks", "images/not-ours"] {
            fs::create_dir_all(store.root.join(folder)).unwrap();
        }
        fs::write(store.root.join("blobs/0123456789abcdef"), "blob").unwrap();
        let used = BTreeSet::from([used]);
        assert_eq!(store.garbage(&used, Duration::from_secs(3600)).unwrap(), []);
        let found = store.garbage(&used, Duration::ZERO).unwrap();
        let names: Vec<&str> = found.iter().map(|garbage| garbage.name.as_str()).collect();
        let (image, kernel_name) = (format!("image {unused}"), format!("kernel {kernel}"));
        assert_eq!(names, [image.as_str(), kernel_name.as_str(), "download 0123456789ab"]);

        let holder = Holder::this_process("build", SystemClock.now());
        let busy = Lock::try_acquire(&store.root.join("locks").join(format!("{}.lock", found[0].lock)), &holder);
        assert_eq!(store.remove(&found[0]), Ok(false));
        drop(busy);
        for garbage in &found {
            assert_eq!(store.remove(garbage), Ok(true));
        }
        assert_eq!(store.garbage(&used, Duration::ZERO).unwrap(), []);
        assert_eq!(store.built().unwrap().into_keys().collect::<BTreeSet<_>>(), used);
    }
}
