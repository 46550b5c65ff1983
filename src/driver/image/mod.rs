//! Building images: whatever they are made from becomes one ext4 file, as an ordinary user or as root.
//!
//! ```text
//! debootstrap    ─mmdebstrap─ one layer ─┐
//! oci            ─fetch─────── layers ───┼─ laid over each other, into what mke2fs made ─┐
//! tar, directory ───────────── one layer ┘                                               ├→ check, look, store
//! cloud-image    ─qemu-img─ root partition ──────────────────────────────────────────────┤
//! ext4 ──────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Declared files go into the tree before it becomes a file system: by mmdebstrap's hook, or as the highest layer.

mod debian;
pub(super) mod directory;
mod disk;
pub(super) mod download;
mod file_system;
mod files;
mod layers;
pub(super) mod oci;
mod packages;
mod partitions;
mod requirements;

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::debootstrap;
use super::store::{Kind, Manifest, Staging, Store, storage_failure};
use super::tools::{self, E2FSCK, MKE2FS, QEMU_IMG, TAR, XZ};
use crate::config::{FileForm, OciReference};
use crate::effect::{Command, Run, process};
use crate::exec::{Failure, Progress};
use crate::resource::{ImageSpec, SourceSpec};
use disk::Disk;
use layers::Owners;

pub(super) use file_system::{FileSystem, fill_file_system};
pub(super) use layers::Reader;

/// What makes a file system of layers.
const FILE_SYSTEM: [tools::Tool; 2] = [MKE2FS, E2FSCK];

/// Makes sure that an image of packages can be built here.
///
/// # Errors
/// Says what is missing, and what to do about it.
pub(super) async fn require_packages(run: &dyn Run) -> Result<(), Failure> {
    debootstrap::require(run, &FILE_SYSTEM).await
}

/// The same for an image of layers, a tar file or a directory.
pub(super) async fn require_tree(run: &dyn Run) -> Result<(), Failure> {
    tools::require(run, &[TAR, MKE2FS, E2FSCK]).await
}

/// The same for a disk, or a file system that is whole already.
pub(super) async fn require_disk(run: &dyn Run) -> Result<(), Failure> {
    tools::require(run, &[E2FSCK, MKE2FS, QEMU_IMG]).await
}

/// Builds an image into the store, unless it is there.
///
/// # Errors
/// When programs are missing, something cannot be fetched or installed, the tree does not fit, or guests could not use
/// it; the store is as before then.
pub async fn build(run: &dyn Run, store: &Store, spec: &ImageSpec, progress: &dyn Progress) -> Result<(), Failure> {
    let Some(staging) = store.begin(run, Kind::Image, &spec.key, progress).await? else { return Ok(()) };
    let building = Building { run, store, spec, progress };
    let Filled { packages, prepared } = building.fill(&staging).await?;
    progress.say("looking at the image");
    requirements::check(&staging.result("root.img"), &spec.name).await?;
    progress.say("storing the image");
    staging.publish(Manifest::new(spec.key.clone(), spec.clone(), packages).prepared(prepared)).await
}

/// What is known of a file system that was made.
#[derive(Default)]
struct Filled {
    /// Versions of its packages, where they are known.
    packages: BTreeMap<String, String>,
    /// What was put right in it.
    prepared: Vec<String>,
}

/// One build.
struct Building<'a> {
    run: &'a dyn Run,
    store: &'a Store,
    spec: &'a ImageSpec,
    progress: &'a dyn Progress,
}

impl Building<'_> {
    /// Makes the file system.
    async fn fill(&self, staging: &Staging) -> Result<Filled, Failure> {
        match &self.spec.source {
            SourceSpec::Debootstrap { suite, mirror, packages, commands } => {
                require_packages(self.run).await?;
                self.progress.say(&format!("installing {} packages", packages.len()));
                let tar = staging.temporary("root.tar");
                let (mirror, files) = (mirror.as_deref(), &self.spec.files);
                let recipe = debian::Recipe { suite, mirror, packages, files, commands };
                recipe.install(self.run, staging, &tar).await?;
                let layer = self.tar_file(staging, &tar).await?;
                self.unpack(staging, layer, Owners::default()).await?;
                Ok(Filled { packages: debian::installed(&staging.result("root.img"))?, ..Filled::default() })
            }
            SourceSpec::Oci { reference, digest } => {
                require_tree(self.run).await?;
                self.pull(staging, reference, digest).await?;
                Ok(Filled::default())
            }
            SourceSpec::File { form: FileForm::Tar, location, digest } => {
                require_tree(self.run).await?;
                let file = download::pinned(self.store, location, digest, self.progress).await?;
                let layer = self.tar_file(staging, &file).await?;
                self.unpack(staging, layer, Owners::default()).await?;
                Ok(Filled::default())
            }
            SourceSpec::Directory { path, digest } => {
                require_tree(self.run).await?;
                self.directory(staging, path, digest).await?;
                Ok(Filled::default())
            }
            SourceSpec::File { form: form @ (FileForm::Ext4 | FileForm::CloudImage), location, digest } => {
                require_disk(self.run).await?;
                let file = download::pinned(self.store, location, digest, self.progress).await?;
                let disk = Disk { run: self.run, staging, spec: self.spec, progress: self.progress };
                let prepared = match form {
                    FileForm::Ext4 => disk.ext4(&file).await.map(|()| Vec::new())?,
                    _ => disk.cloud_image(&file).await?,
                };
                Ok(Filled { prepared, ..Filled::default() })
            }
        }
    }

    /// A tar file that can be read; one that xz or bzip2 compressed is unpacked beside.
    async fn tar_file(&self, staging: &Staging, file: &Utf8Path) -> Result<Reader, Failure> {
        let name = format!("`{file}`");
        let fail = |cause: io::Error| storage_failure(&format!("cannot read {name}"), &cause);
        if let Some(reader) = Reader::of_file(&name, file).map_err(fail)? {
            return Ok(reader);
        }
        self.progress.say("decompressing");
        let compressed = staging.temporary("layer.tar.xz");
        std::os::unix::fs::symlink(file, &compressed).map_err(fail)?;
        let unpack = staging.under_lock(Command::new(XZ.program)).args(["-d", "-k", "-f", compressed.as_str()]);
        tools::require(self.run, &[XZ]).await?;
        self.run.run_ok(&unpack.deadline(file_system::DISK_DEADLINE)).await?;
        let plain = staging.temporary("layer.tar");
        let reader = Reader::of_file(&name, &plain).map_err(fail)?;
        reader.ok_or_else(|| Failure::permanent(format!("{name} is compressed twice, expected a tar file")))
    }

    /// Copies a directory by way of a tar file. An ordinary user's own files become root's.
    async fn directory(&self, staging: &Staging, path: &str, digest: &str) -> Result<(), Failure> {
        self.progress.say(&format!("copying {path}"));
        let tar = staging.temporary("directory.tar");
        let pack = staging.under_lock(Command::new(TAR.program)).args([
            "--numeric-owner",
            "--one-file-system",
            "--format=gnu",
            "-C",
            path,
            "-cf",
            tar.as_str(),
            ".",
        ]);
        self.run.run_ok(&pack.deadline(file_system::DISK_DEADLINE)).await?;
        let (root, name) = (Utf8PathBuf::from(path), format!("`{path}`"));
        let found = tokio::task::spawn_blocking(move || directory::digest(&root)).await;
        match found.map_err(|error| Failure::permanent(format!("regatta's own error: {error}")))? {
            Err(cause) => return Err(Failure::permanent(format!("cannot read {name}: {cause}"))),
            Ok(found) if found != digest => {
                return Err(Failure::permanent(format!("{name} changed since the plan was made")).hint("plan again"));
            }
            Ok(_) => {}
        }
        let user = (process::user_id(), process::group_id());
        let owners = Owners { root_for: (user.0 != 0).then_some(user) };
        let reader = self.tar_file(staging, &tar).await?;
        self.unpack(staging, reader, owners).await
    }

    /// Fetches the layers of an image; each is unpacked while those above it are still being fetched.
    async fn pull(&self, staging: &Staging, reference: &str, digest: &str) -> Result<(), Failure> {
        let reference = OciReference::parse(reference)
            .map_err(|why| Failure::permanent(format!("`{reference}` is no image: {why}")))?;
        let pull = oci::open(self.run, &reference, digest).await?;
        let (hand_on, layers): (Vec<_>, Vec<_>) = (0..pull.layers()).map(|_| oneshot::channel()).unzip();
        // What ends the fetching is told by the fetching.
        let interrupted = |_| Failure::permanent("the layers were not fetched");
        let arriving = layers.into_iter().map(move |layer: oneshot::Receiver<oci::Layer>| {
            layer.blocking_recv().map(Reader::of_layer).map_err(interrupted)
        });
        let laying = self.lay(staging, arriving, Owners::default()).await?;
        let fetched = pull.fetch(self.store, hand_on, self.progress).await;
        self.progress.say("unpacking the layers");
        let laid = finished(laying).await;
        fetched.and(laid)?;
        self.check(staging).await
    }

    /// Makes the file system of one layer.
    async fn unpack(&self, staging: &Staging, layer: Reader, owners: Owners) -> Result<(), Failure> {
        self.progress.say("making the file system");
        finished(self.lay(staging, std::iter::once(Ok(layer)), owners).await?).await?;
        self.check(staging).await
    }

    /// Begins to fill the file system, beside everything else.
    async fn lay(
        &self,
        staging: &Staging,
        layers: impl Iterator<Item = Result<Reader, Failure>> + Send + 'static,
        owners: Owners,
    ) -> Result<JoinHandle<Result<(), Failure>>, Failure> {
        let (image, spec) = (staging.result("root.img"), self.spec);
        let wanted = FileSystem { image: &image, label: "root", size: spec.size, files: None };
        file_system::make(self.run, staging, &wanted).await?;
        // Packages come with their files laid over them already.
        let has_files = matches!(self.spec.source, SourceSpec::Debootstrap { .. }) || self.spec.files.is_empty();
        let declared = if has_files { None } else { Some(Ok(self.declared_files(staging)?)) };
        let (name, size) = (format!("image `{}`", spec.name), spec.size);
        let fill = move || file_system::fill((&image, &name, size), layers.chain(declared), owners);
        Ok(tokio::task::spawn_blocking(fill))
    }

    async fn check(&self, staging: &Staging) -> Result<(), Failure> {
        self.progress.say("checking the file system");
        file_system::check(self.run, &staging.result("root.img")).await
    }

    /// The files that the fleet file declares, as the highest layer.
    fn declared_files(&self, staging: &Staging) -> Result<Reader, Failure> {
        let path = staging.temporary("files.tar");
        let fail = |cause: io::Error| storage_failure(&format!("cannot write `{path}`"), &cause);
        files::archive(&self.spec.files).and_then(|archive| std::fs::write(&path, archive)).map_err(fail)?;
        let reader = Reader::of_file("the declared files", &path).map_err(fail)?;
        reader.ok_or_else(|| Failure::permanent("regatta's own error: the declared files are no tar file"))
    }
}

/// The outcome of work on a thread of its own.
async fn finished(work: JoinHandle<Result<(), Failure>>) -> Result<(), Failure> {
    work.await.unwrap_or_else(|error| Err(Failure::permanent(format!("regatta's own error: {error}"))))
}
