//! Built images and kernels, kept by the digest of their recipe.
//!
//! ```text
//! store/images/<key>/{root.img, manifest.json}
//! store/kernels/<key>/{vmlinux, initrd.img, manifest.json}
//! store/tmp/<kind>-<key>.<random>/     a build that is going on, or was killed
//! store/locks/<kind>-<key>.lock        held by that build
//! ```
//!
//! A folder with a key's name is complete: it is filled beside, synced and renamed, and never changed afterwards.
//! Builds of one key are one build: whoever waited for the lock looks again and finds it done.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::effect::files::{private_dir, read_bounded};
use crate::effect::{Clock as _, Command, Holder, Lock, LockError, SystemClock};
use crate::exec::{Failure, Progress};
use crate::resource::{Built, ContentKey};

/// Name of the file that describes a folder of the store.
const MANIFEST: &str = "manifest.json";

/// Largest manifest that is read.
const MANIFEST_LIMIT: u64 = 1 << 20;

/// How long another process may take to build what we wait for.
const BUILD_DEADLINE: Duration = Duration::from_secs(45 * 60);

/// What a folder of the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A root file system.
    Image,
    /// A kernel with its initramfs.
    Kernel,
}

impl Kind {
    const fn singular(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Kernel => "kernel",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::Kernel => "kernels",
        }
    }
}

/// `manifest.json`: what a folder was built from, for people and for later versions of regatta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest<R> {
    /// Format of this file: 1.
    pub(super) format_version: u32,
    /// The folder's name: digest of the recipe.
    pub(super) key: ContentKey,
    /// The recipe.
    pub(super) recipe: R,
    /// Versions of the packages inside, by name.
    pub(super) packages: BTreeMap<String, String>,
}

impl<R> Manifest<R> {
    /// A manifest of the current format.
    pub(super) const fn new(key: ContentKey, recipe: R, packages: BTreeMap<String, String>) -> Self {
        Self { format_version: 1, key, recipe, packages }
    }
}

/// The files of one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelPaths {
    /// Uncompressed kernel, an ELF file.
    pub vmlinux: Utf8PathBuf,
    /// Initramfs.
    pub initrd: Utf8PathBuf,
}

/// The folder of built things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: Utf8PathBuf,
}

impl Store {
    /// The store at an absolute path, which need not exist yet.
    pub fn new(root: impl Into<Utf8PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root file system of an image: raw ext4.
    pub fn image_path(&self, key: &ContentKey) -> Utf8PathBuf {
        self.folder(Kind::Image, key).join("root.img")
    }

    /// The files of a kernel.
    pub fn kernel_paths(&self, key: &ContentKey) -> KernelPaths {
        let folder = self.folder(Kind::Kernel, key);
        KernelPaths { vmlinux: folder.join("vmlinux"), initrd: folder.join("initrd.img") }
    }

    /// Everything that is built. A folder without a readable manifest of its own key is not ours and is left out.
    ///
    /// # Errors
    /// When the store is there and cannot be read: that is not an empty store.
    pub fn built(&self) -> io::Result<BTreeMap<ContentKey, Built>> {
        let mut built = BTreeMap::new();
        for kind in [Kind::Image, Kind::Kernel] {
            for path in entries(&self.root.join(kind.folder()))? {
                if let Some(key) = manifest_key(&path) {
                    built.insert(key, Built { allocated: allocated(&path)? });
                }
            }
        }
        Ok(built)
    }

    fn folder(&self, kind: Kind, key: &ContentKey) -> Utf8PathBuf {
        self.root.join(kind.folder()).join(key.as_str())
    }

    /// Takes the key's lock, clears what a killed build left, and makes a folder to build in. `None` when it is built
    /// already, perhaps by the process that was waited for.
    ///
    /// # Errors
    /// When the folders cannot be made or used, or another process holds the lock for longer than any build may take.
    pub(super) async fn begin(
        &self,
        kind: Kind,
        key: &ContentKey,
        progress: &dyn Progress,
    ) -> Result<Option<Staging>, Failure> {
        for folder in [kind.folder(), "tmp", "locks"] {
            private_dir(&self.root.join(folder)).map_err(|error| Failure::permanent(error.to_string()))?;
        }
        let lock = self.lock(kind, key, progress).await?;
        let destination = self.folder(kind, key);
        if manifest_key(&destination).as_ref() == Some(key) {
            return Ok(None);
        }
        let prefix = format!("{}-{key}.", kind.singular());
        let tmp = self.root.join("tmp");
        let fail = |cause: io::Error| storage_failure(&format!("cannot use `{tmp}`"), &cause);
        for leftover in entries(&tmp).map_err(fail)? {
            if leftover.file_name().is_some_and(|name| name.starts_with(&prefix)) {
                fs::remove_dir_all(&leftover).map_err(fail)?;
            }
        }
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir_in(&tmp).map_err(fail)?;
        let path = Utf8PathBuf::try_from(dir.path().to_owned()).map_err(|error| fail(error.into_io_error()))?;
        let out = path.join("out");
        fs::create_dir(&out).map_err(fail)?;
        let shared = Arc::new(lock.share().map_err(fail)?);
        let name = format!("{}-{key}", kind.singular());
        Ok(Some(Staging { _dir: dir, _lock: lock, shared, name, path, out, destination }))
    }

    async fn lock(&self, kind: Kind, key: &ContentKey, progress: &dyn Progress) -> Result<Lock, Failure> {
        let what = kind.singular();
        let path = self.root.join("locks").join(format!("{what}-{key}.lock"));
        let holder = Holder::this_process(format!("build {what} {key}"), SystemClock.now());
        match Lock::try_acquire(&path, &holder) {
            Err(LockError::Held { .. }) => {
                progress.say(&format!("waiting for another build of this {what}"));
                Lock::acquire(&path, &holder, BUILD_DEADLINE)
                    .await
                    .map_err(|error| Failure::transient(error.to_string()))
            }
            outcome => outcome.map_err(|error| Failure::permanent(error.to_string())),
        }
    }
}

/// A build that is going on: its lock, a folder for its temporary files and one for its results. All temporary files
/// go when this is dropped.
#[derive(Debug)]
pub(super) struct Staging {
    /// Declared before `_lock`, so dropped before it: nobody else builds here while files are removed.
    _dir: TempDir,
    _lock: Lock,
    shared: Arc<File>,
    name: String,
    path: Utf8PathBuf,
    out: Utf8PathBuf,
    destination: Utf8PathBuf,
}

impl Staging {
    /// Names the build among all builds of this store: kind and key.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Lets a program hold the lock as well: should we be killed, the next build waits until the program has ended,
    /// and then clears what both left.
    pub(super) fn under_lock(&self, command: Command) -> Command {
        command.stdin_file(Arc::clone(&self.shared))
    }

    /// Where a temporary file goes.
    pub(super) fn temporary(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }

    /// Where a resulting file goes.
    pub(super) fn result(&self, name: &str) -> Utf8PathBuf {
        self.out.join(name)
    }

    /// Writes the manifest, syncs everything, and moves the results to their place in the store.
    ///
    /// # Errors
    /// When the disk is full or refuses; the store is as before then.
    pub(super) async fn publish<R: Serialize + Send + 'static>(self, manifest: Manifest<R>) -> Result<(), Failure> {
        let what = format!("cannot store `{}`", self.destination);
        blocking(move || self.try_publish(&manifest).map_err(|cause| storage_failure(&what, &cause))).await
    }

    fn try_publish<R: Serialize>(&self, manifest: &Manifest<R>) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(manifest)?;
        text.push(b'\n');
        fs::write(self.result(MANIFEST), text)?;
        for file in entries(&self.out)? {
            File::open(file)?.sync_all()?;
        }
        File::open(&self.out)?.sync_all()?;
        // A folder without a manifest is in the way of the rename and no build of ours: `begin` looked, under the lock.
        match fs::remove_dir_all(&self.destination) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => fs::rename(&self.out, &self.destination)?,
        }
        self.destination.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

/// Runs work that computes or waits for the disk for long beside the other steps.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.unwrap_or_else(|error| Err(Failure::permanent(format!("regatta's own error: {error}"))))
}

/// A failure to read or write the store, with the hint that belongs to it.
pub(super) fn storage_failure(what: &str, cause: &io::Error) -> Failure {
    let failure = Failure::permanent(format!("{what}: {cause}"));
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure.hint(super::tools::DISK_FULL_HINT),
        _ => failure,
    }
}

/// The entries of a folder, none when it does not exist. Names that are not UTF-8 are none of ours.
fn entries(folder: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let listing = match folder.read_dir_utf8() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing?,
    };
    listing.map(|entry| entry.map(camino::Utf8DirEntry::into_path)).filter(|path| !is_foreign_name(path)).collect()
}

fn is_foreign_name(path: &io::Result<Utf8PathBuf>) -> bool {
    matches!(path, Err(error) if error.kind() == io::ErrorKind::InvalidData)
}

/// The key a folder's manifest gives it, when that is also its name.
fn manifest_key(folder: &Utf8Path) -> Option<ContentKey> {
    #[derive(Deserialize)]
    struct Head {
        key: ContentKey,
    }
    let text = read_bounded(&folder.join(MANIFEST), MANIFEST_LIMIT).ok()??;
    let head: Head = serde_json::from_slice(&text).ok()?;
    (folder.file_name() == Some(head.key.as_str())).then_some(head.key)
}

/// Bytes that the files of a folder take on disk: less than their lengths, because images are sparse.
fn allocated(folder: &Utf8Path) -> io::Result<u64> {
    entries(folder)?.iter().map(|file| Ok(file.symlink_metadata()?.blocks() * 512)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Progress for Silent {
        fn say(&self, _: &str) {}
    }

    fn store() -> (TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::try_from(dir.path().join("store")).unwrap();
        (dir, Store::new(root))
    }

    fn key() -> ContentKey {
        ContentKey::of(&"recipe")
    }

    async fn publish(staging: Staging) {
        fs::write(staging.result("root.img"), vec![7; 8192]).unwrap();
        staging.publish(Manifest::new(key(), "recipe", BTreeMap::new())).await.unwrap();
    }

    #[tokio::test]
    async fn a_published_build_is_found_and_not_built_again() {
        let (_dir, store) = store();
        assert_eq!(store.built().unwrap(), BTreeMap::new());
        publish(store.begin(Kind::Image, &key(), &Silent).await.unwrap().unwrap()).await;
        assert_eq!(fs::read(store.image_path(&key())).unwrap(), vec![7; 8192]);
        let allocated = store.built().unwrap()[&key()].allocated;
        assert!((8192..65536).contains(&allocated), "{allocated}");
        assert!(store.begin(Kind::Image, &key(), &Silent).await.unwrap().is_none());
        assert_eq!(entries(&store.root.join("tmp")).unwrap(), Vec::<Utf8PathBuf>::new());
    }

    /// LESSONS 8: nothing is seen under the key before all of it is there; a failed build leaves nothing.
    #[tokio::test]
    async fn an_unfinished_build_is_invisible_and_removed() {
        let (_dir, store) = store();
        let staging = store.begin(Kind::Image, &key(), &Silent).await.unwrap().unwrap();
        fs::write(staging.result("root.img"), "half").unwrap();
        assert_eq!(store.built().unwrap(), BTreeMap::new());
        drop(staging);
        assert_eq!(entries(&store.root.join("tmp")).unwrap(), Vec::<Utf8PathBuf>::new());
    }

    #[tokio::test]
    async fn what_a_killed_build_left_goes_with_the_next_build_of_that_key() {
        let (_dir, store) = store();
        let left = store.root.join("tmp").join(format!("image-{}.Xy12", key()));
        let others = store.root.join("tmp").join(format!("image-{}.Xy12", ContentKey::of(&"other")));
        fs::create_dir_all(left.join("tree/etc")).unwrap();
        fs::create_dir_all(&others).unwrap();
        let broken = store.root.join("images").join(key().as_str());
        fs::create_dir_all(broken.join("no-manifest")).unwrap();
        publish(store.begin(Kind::Image, &key(), &Silent).await.unwrap().unwrap()).await;
        assert_eq!(entries(&store.root.join("tmp")).unwrap(), [others]);
        assert_eq!(entries(&broken).unwrap().len(), 2);
    }

    /// LESSONS 28: who waits for the same build does not repeat it.
    #[tokio::test]
    async fn concurrent_builds_of_one_key_are_one() {
        let (_dir, store) = store();
        let first = store.begin(Kind::Image, &key(), &Silent).await.unwrap().unwrap();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.begin(Kind::Image, &key(), &Silent).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        publish(first).await;
        assert!(waiting.await.unwrap().unwrap().is_none());
    }

    #[test]
    fn a_folder_under_another_name_is_not_that_build() {
        let (_dir, store) = store();
        let folder = store.root.join("images/0123456789abcdef");
        fs::create_dir_all(&folder).unwrap();
        let manifest = Manifest::new(key(), "recipe", BTreeMap::new());
        fs::write(folder.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
        assert_eq!(store.built().unwrap(), BTreeMap::new());
    }
}
