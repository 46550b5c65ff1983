//! Building into the store: one build per key at a time, in a folder beside, moved into place when it is whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::seal::{Seal, Seals};
use super::{Kind, MANIFEST, Store, entries, is_built, scratch};
use crate::driver::failure::DISK_FULL_HINT;
use crate::effect::files::private_dir;
use crate::effect::{Clock as _, Command, Holder, Lock, LockError, Run, SystemClock};
use crate::exec::{Failure, Progress};
use crate::resource::ContentKey;

/// How long another process may take to build what we wait for.
const BUILD_DEADLINE: Duration = Duration::from_secs(45 * 60);

/// Name of the record of a [`scratch`] folder in a build's folder.
const SCRATCH: &str = "scratch";

/// `manifest.json`: what a folder was built from, for people and for later versions of regatta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::driver) struct Manifest<R> {
    /// Format of this file: 1.
    format_version: u32,
    /// The folder's name: digest of the recipe.
    pub(super) key: ContentKey,
    /// The recipe.
    pub(super) recipe: R,
    /// Versions of the packages inside, by name.
    pub(super) packages: BTreeMap<String, String>,
    /// What was put right in it for guests of ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) prepared: Vec<String>,
    /// What its files were when it was published.
    #[serde(default)]
    files: Seals,
}

impl<R> Manifest<R> {
    /// A manifest of the current format.
    pub(in crate::driver) const fn new(key: ContentKey, recipe: R, packages: BTreeMap<String, String>) -> Self {
        Self { format_version: 1, key, recipe, packages, prepared: Vec::new(), files: Seals::new() }
    }

    /// The same, with what was put right.
    pub(in crate::driver) fn prepared(self, prepared: Vec<String>) -> Self {
        Self { prepared, ..self }
    }
}

impl Store {
    /// Takes the key's lock, clears what killed builds left, and makes a folder to build in. `None` when it is built
    /// already, perhaps by the process that was waited for.
    ///
    /// # Errors
    /// When the folders cannot be made or used, or another process holds the lock for longer than any build may take.
    pub(in crate::driver) async fn begin(
        &self,
        run: &dyn Run,
        kind: Kind,
        key: &ContentKey,
        progress: &dyn Progress,
    ) -> Result<Option<Staging>, Failure> {
        for folder in [kind.folder(), "tmp", "locks"] {
            private_dir(&self.root.join(folder))?;
        }
        let name = format!("{}-{key}", kind.singular());
        let lock = self.lock(&name, progress).await?;
        let destination = self.folder(kind, key);
        let fail = |cause: io::Error| storage_failure(&format!("cannot read `{destination}`"), &cause);
        if is_built(&destination, key).map_err(fail)? {
            return Ok(None);
        }
        self.sweep(run, &name, progress).await?;
        let tmp = self.root.join("tmp");
        let fail = |cause: io::Error| storage_failure(&format!("cannot use `{tmp}`"), &cause);
        let dir = tempfile::Builder::new().prefix(&format!("{name}.")).tempdir_in(&tmp).map_err(fail)?;
        let path = Utf8PathBuf::try_from(dir.path().to_owned()).map_err(|error| fail(error.into_io_error()))?;
        fs::create_dir(path.join("out")).map_err(fail)?;
        let shared = Arc::new(lock.share().map_err(fail)?);
        Ok(Some(Staging { dir: Some(dir), path, destination, shared, _lock: lock }))
    }

    async fn lock(&self, name: &str, progress: &dyn Progress) -> Result<Lock, Failure> {
        let (path, holder) = self.lock_file(name);
        let outcome = match Lock::try_acquire(&path, &holder) {
            Err(LockError::Held { .. }) => {
                progress.say("waiting for another build of the same");
                Lock::acquire(&path, &holder, BUILD_DEADLINE).await
            }
            outcome => outcome,
        };
        outcome.map_err(|error| match error {
            LockError::Held { .. } => Failure::transient(error.to_string()),
            LockError::File(_) => Failure::permanent(error.to_string()),
        })
    }

    fn lock_file(&self, name: &str) -> (Utf8PathBuf, Holder) {
        let path = self.root.join("locks").join(format!("{name}.lock"));
        (path, Holder::this_process(format!("build {name}"), SystemClock.now()))
    }

    /// Removes the folders of builds that nobody is at, `own` (whose lock we hold) and others. One that cannot be
    /// removed is in nobody's way: it is named, and left for the next time.
    async fn sweep(&self, run: &dyn Run, own: &str, progress: &dyn Progress) -> Result<(), Failure> {
        let tmp = self.root.join("tmp");
        let fail = |cause: io::Error| storage_failure(&format!("cannot read `{tmp}`"), &cause);
        for leftover in entries(&tmp).map_err(fail)? {
            let Some((name, _random)) = leftover.file_name().and_then(|name| name.rsplit_once('.')) else { continue };
            let (path, holder) = self.lock_file(name);
            let _held = match name == own {
                true => None,
                false => match Lock::try_acquire(&path, &holder) {
                    Ok(lock) => Some(lock),
                    Err(_) => continue,
                },
            };
            if let Err(failure) = remove_leftover(run, &leftover).await {
                progress.say(&failure.causes.join(": "));
            }
        }
        Ok(())
    }
}

async fn remove_leftover(run: &dyn Run, leftover: &Utf8Path) -> Result<(), Failure> {
    scratch::remove(run, &leftover.join(SCRATCH)).await?;
    fs::remove_dir_all(leftover).map_err(|cause| storage_failure(&format!("cannot remove `{leftover}`"), &cause))
}

/// A build that is going on: its lock, a folder for its temporary files and one for its results. All temporary files
/// go when this is dropped.
#[derive(Debug)]
pub(in crate::driver) struct Staging {
    dir: Option<TempDir>,
    path: Utf8PathBuf,
    destination: Utf8PathBuf,
    shared: Arc<File>,
    /// Last, so dropped last: nobody else builds here while files are removed.
    _lock: Lock,
}

impl Staging {
    /// Lets a program hold the lock as well: should we be killed, the next build waits until the program has ended,
    /// and then clears what both left.
    pub(in crate::driver) fn under_lock(&self, command: Command) -> Command {
        command.stdin_file(Arc::clone(&self.shared))
    }

    /// Where a temporary file goes.
    pub(in crate::driver) fn temporary(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }

    /// Where a resulting file goes.
    pub(in crate::driver) fn result(&self, name: &str) -> Utf8PathBuf {
        self.path.join("out").join(name)
    }

    /// A folder that subordinate users can reach. There is one at a time.
    pub(in crate::driver) fn open_scratch(&self) -> Result<Utf8PathBuf, Failure> {
        scratch::make(&self.path.join(SCRATCH))
    }

    /// Removes it with all that is in it.
    pub(in crate::driver) async fn close_scratch(&self, run: &dyn Run) -> Result<(), Failure> {
        scratch::remove(run, &self.path.join(SCRATCH)).await
    }

    /// Writes the manifest, syncs everything, and moves the results to their place in the store.
    ///
    /// # Errors
    /// When the disk is full or refuses; the store is as before then.
    pub(in crate::driver) async fn publish<R>(self, manifest: Manifest<R>) -> Result<(), Failure>
    where
        R: Serialize + Send + 'static,
    {
        let what = format!("cannot store `{}`", self.destination);
        self.blocking(move |staging| staging.try_publish(manifest).map_err(|cause| storage_failure(&what, &cause)))
            .await
    }

    /// Does work that computes or waits for the disk for long beside the other steps. Ends the build: what it must
    /// keep of the staging, the work returns.
    pub(in crate::driver) async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce(Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let outcome = tokio::task::spawn_blocking(move || work(self)).await;
        outcome.unwrap_or_else(|error| Err(Failure::permanent(format!("regatta's own error: {error}"))))
    }

    fn try_publish<R: Serialize>(&self, mut manifest: Manifest<R>) -> io::Result<()> {
        let out = self.path.join("out");
        for file in entries(&out)? {
            let name = file.file_name().unwrap_or_default().to_owned();
            manifest.files.insert(name, Seal::of(&file)?);
        }
        let mut text = serde_json::to_vec_pretty(&manifest)?;
        text.push(b'\n');
        fs::write(self.result(MANIFEST), text)?;
        for file in entries(&out)? {
            File::open(file)?.sync_all()?;
        }
        File::open(&out)?.sync_all()?;
        // A folder without a manifest is in the way of the rename and no build of ours: `begin` looked, under the lock.
        match fs::remove_dir_all(&self.destination) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => fs::rename(&out, &self.destination)?,
        }
        self.destination.parent().map_or(Ok(()), |parent: &Utf8Path| File::open(parent)?.sync_all())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Dropped in the middle, as when a run is aborted: the record of the scratch folder must stay for the sweep.
        if self.path.join(SCRATCH).is_symlink() {
            self.dir.take().map(TempDir::keep);
        }
    }
}

/// A failure to read or write the store, with the hint that belongs to it.
pub(in crate::driver) fn storage_failure(what: &str, cause: &io::Error) -> Failure {
    let failure = Failure::permanent(format!("{what}: {cause}"));
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure.hint(DISK_FULL_HINT),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::CommandRunner;

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
        publish(store.begin(&CommandRunner, Kind::Image, &key(), &Silent).await.unwrap().unwrap()).await;
        assert_eq!(fs::read(store.image_path(&key())).unwrap(), vec![7; 8192]);
        let allocated = store.built().unwrap()[&key()].allocated;
        assert!((8192..65536).contains(&allocated), "{allocated}");
        assert!(store.begin(&CommandRunner, Kind::Image, &key(), &Silent).await.unwrap().is_none());
        assert_eq!(entries(&store.root.join("tmp")).unwrap(), Vec::<Utf8PathBuf>::new());
    }

    /// LESSONS 8: nothing is seen under the key before all of it is there; a failed build leaves nothing.
    #[tokio::test]
    async fn an_unfinished_build_is_invisible_and_removed() {
        let (_dir, store) = store();
        let staging = store.begin(&CommandRunner, Kind::Image, &key(), &Silent).await.unwrap().unwrap();
        fs::write(staging.result("root.img"), "half").unwrap();
        assert_eq!(store.built().unwrap(), BTreeMap::new());
        drop(staging);
        assert_eq!(entries(&store.root.join("tmp")).unwrap(), Vec::<Utf8PathBuf>::new());
    }

    /// A file that was written to since is not what its key says: it is not used, and built anew.
    #[tokio::test]
    async fn a_build_that_was_changed_is_none() {
        let (_dir, store) = store();
        publish(store.begin(&CommandRunner, Kind::Image, &key(), &Silent).await.unwrap().unwrap()).await;
        let image = store.image_path(&key());
        for wrong in [Some(vec![7; 8191]), Some(vec![8; 8192]), None] {
            match wrong {
                Some(bytes) => fs::write(&image, bytes).unwrap(),
                None => fs::remove_file(&image).unwrap(),
            }
            assert_eq!(store.built().unwrap(), BTreeMap::new());
            publish(store.begin(&CommandRunner, Kind::Image, &key(), &Silent).await.unwrap().unwrap()).await;
            assert_eq!(fs::read(&image).unwrap(), vec![7; 8192]);
            assert!(store.built().unwrap().contains_key(&key()));
        }
    }

    #[tokio::test]
    async fn what_killed_builds_left_goes_with_the_next_build_and_running_ones_stay() {
        let (_dir, store) = store();
        let left = store.root.join("tmp").join(format!("image-{}.Xy12", key()));
        let other = store.root.join("tmp").join(format!("kernel-{}.Xy12", ContentKey::of(&"other")));
        let third =
            store.begin(&CommandRunner, Kind::Image, &ContentKey::of(&"third"), &Silent).await.unwrap().unwrap();
        fs::create_dir_all(left.join("tree/etc")).unwrap();
        fs::create_dir_all(&other).unwrap();
        let broken = store.root.join("images").join(key().as_str());
        fs::create_dir_all(broken.join("no-manifest")).unwrap();
        publish(store.begin(&CommandRunner, Kind::Image, &key(), &Silent).await.unwrap().unwrap()).await;
        assert_eq!(entries(&store.root.join("tmp")).unwrap(), std::slice::from_ref(&third.path));
        assert_eq!(entries(&broken).unwrap().len(), 2);
    }

    /// LESSONS 28: who waits for the same build does not repeat it.
    #[tokio::test]
    async fn concurrent_builds_of_one_key_are_one() {
        let (_dir, store) = store();
        let first = store.begin(&CommandRunner, Kind::Image, &key(), &Silent).await.unwrap().unwrap();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.begin(&CommandRunner, Kind::Image, &key(), &Silent).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        publish(first).await;
        assert!(waiting.await.unwrap().unwrap().is_none());
    }

    #[tokio::test]
    async fn an_aborted_build_leaves_the_record_of_its_scratch_folder_to_the_next() {
        let (_dir, store) = store();
        let staging = store.begin(&CommandRunner, Kind::Image, &key(), &Silent).await.unwrap().unwrap();
        let scratch = staging.open_scratch().unwrap();
        drop(staging);
        assert!(scratch.is_dir());
        publish(store.begin(&CommandRunner, Kind::Image, &key(), &Silent).await.unwrap().unwrap()).await;
        assert!(!scratch.exists());
    }
}
