//! Building kernels: Debian's kernel package, fetched with mmdebstrap's apt, or a file becomes an uncompressed kernel and an
//! initramfs of ours. Works as an ordinary user on any machine with mmdebstrap, whatever release it runs.

mod arguments;
mod bzimage;
mod from_image;
mod initramfs;
mod modules;
mod modules_image;
mod packages;

use std::fs;
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::debootstrap::{self, Debootstrap};
use super::image::download;
use super::store::{Kind, Manifest, Staging, Store, storage_failure};
use super::tools::{self, DEPMOD, DPKG_DEB, E2FSCK, MKE2FS, XZ};
use crate::effect::{Command, Run, files};
use crate::exec::{Failure, Progress};
use crate::resource::{KernelFile, KernelSpec};
use bzimage::Found;
use packages::Packages;

pub(super) use arguments::{MODULES, PROBE_PASSED, disk_arguments, probe_arguments};
pub use arguments::{Tsc, host_tsc, kernel_arguments};

/// Run by mmdebstrap: fetches and unpacks the packages.
const FETCH: &str = include_str!("fetch.sh");

/// Drivers without which no guest reaches its disks and its network.
const REQUIRED: [&str; 5] = ["ext4", "virtio_blk", "virtio_mmio", "virtio_net", "virtio_pci"];

/// Drivers that make guests better where the kernel has them: entropy, checksums of ext4 in hardware.
const USEFUL: [&str; 3] = ["virtio_rng", "crc32c_intel", "crc32c_generic"];

/// Decompressing a kernel of some ten megabytes on a busy machine.
const XZ_DEADLINE: Duration = Duration::from_secs(120);

/// Makes sure that a kernel can be built here.
///
/// # Errors
/// Says what is missing, and what to do about it.
pub(super) async fn require(run: &dyn Run) -> Result<(), Failure> {
    debootstrap::require(run, &[DPKG_DEB, DEPMOD, MKE2FS, E2FSCK]).await
}

/// Builds a kernel into the store, unless it is there.
///
/// # Errors
/// When programs are missing, the package cannot be fetched, or is no kernel we can boot; the store is as before then.
pub async fn build(run: &dyn Run, store: &Store, spec: &KernelSpec, progress: &dyn Progress) -> Result<(), Failure> {
    if std::env::consts::ARCH != "x86_64" {
        let found = std::env::consts::ARCH;
        return Err(Failure::permanent(format!("this machine is {found}, kernels are built for x86_64 only")));
    }
    let Some(staging) = store.begin(run, Kind::Kernel, &spec.key, progress).await? else { return Ok(()) };
    require(run).await?;
    progress.say(&format!("fetching {}", spec.package));
    let tar = staging.temporary("packages.tar");
    fetch(run, &staging, spec, &tar).await?;
    let own = match (&spec.file, &spec.image) {
        (Some(KernelFile { location, digest }), _) => {
            Some(Own::File(download::pinned(store, location, digest, progress).await?))
        }
        (None, Some(image)) => Some(Own::Image(store.image_path(image))),
        (None, None) => None,
    };
    progress.say("making the initramfs");
    let (recipe, archive) = (spec.clone(), tar.clone());
    let mut kernel = staging.blocking(move |staging| unpack(staging, recipe, &archive, own.as_ref())).await?;
    if let Some(tree) = kernel.packages.tree.take() {
        progress.say("making the file system of the modules");
        modules_image::make(run, &kernel.staging, &tar, &tree).await?;
    }
    let xz = std::mem::take(&mut kernel.xz);
    if !xz.is_empty() {
        let unpacked = decompress_modules(run, &kernel.staging, xz).await?;
        kernel.packages.modules.extend(unpacked);
    }
    let kernel = match kernel.found {
        Found::Elf(_) => kernel,
        Found::Xz { ref compressed, size } => {
            let elf = decompress_xz(run, &kernel.staging, compressed).await?;
            let elf = bzimage::whole(elf, size).map_err(|error| unusable(spec, &error.to_string()))?;
            Unpacked { found: Found::Elf(elf), ..kernel }
        }
    };
    let (staging, manifest) = kernel.assemble().await?;
    staging.publish(manifest).await
}

/// What has to do with a kernel that cannot be used.
fn unusable(spec: &KernelSpec, what: &str) -> Failure {
    Failure::permanent(match (&spec.file, &spec.image) {
        (Some(file), _) => format!("`{}`: {what}", file.location),
        (None, Some(image)) => format!("image {image}: {what}"),
        (None, None) => format!("package `{}`: {what}", spec.package),
    })
}

/// Decompresses with the program, which knows every filter that kernels are compressed with.
async fn decompress_xz(run: &dyn Run, staging: &Staging, compressed: &[u8]) -> Result<Vec<u8>, Failure> {
    tools::require(run, &[XZ]).await?;
    let path = staging.temporary("vmlinux.xz");
    let fail = |cause: io::Error| storage_failure(&format!("cannot write `{path}`"), &cause);
    fs::write(&path, compressed).map_err(fail)?;
    let unpack = staging.under_lock(Command::new(XZ.program)).args(["-d", "-k", "-f", path.as_str()]);
    run.run_ok(&unpack.deadline(XZ_DEADLINE)).await?;
    fs::read(staging.temporary("vmlinux")).map_err(fail)
}

/// Decompresses modules with the program, all of them at once.
async fn decompress_modules(
    run: &dyn Run,
    staging: &Staging,
    compressed: Vec<(String, Vec<u8>)>,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    tools::require(run, &[XZ]).await?;
    let folder = staging.temporary("modules");
    let fail = |cause: io::Error| storage_failure(&format!("cannot write `{folder}`"), &cause);
    fs::create_dir(&folder).map_err(fail)?;
    for (name, bytes) in &compressed {
        fs::write(folder.join(format!("{name}.xz")), bytes).map_err(fail)?;
    }
    let files = compressed.iter().map(|(name, _)| format!("{name}.xz"));
    let unpack = staging.under_lock(Command::new(XZ.program)).args(["-d", "-f"]).args(files).cwd(&folder);
    run.run_ok(&unpack.deadline(XZ_DEADLINE)).await?;
    compressed.into_iter().map(|(name, _)| Ok((name.clone(), fs::read(folder.join(name)).map_err(fail)?))).collect()
}

async fn fetch(run: &dyn Run, staging: &Staging, spec: &KernelSpec, tar: &Utf8Path) -> Result<(), Failure> {
    let debootstrap = Debootstrap {
        staging,
        suite: &spec.suite,
        mirror: spec.mirror.as_deref(),
        options: vec!["--variant=custom".into(), format!("--customize-hook={FETCH}")],
        inputs: Vec::new(),
        env: Some(("REGATTA_KERNEL", &spec.package)),
        target: tar,
    };
    debootstrap.make(run).await
}

/// Where a kernel comes from that is not of the packages.
enum Own {
    File(Utf8PathBuf),
    Image(Utf8PathBuf),
}

/// A kernel whose parts are there.
struct Unpacked {
    staging: Staging,
    spec: KernelSpec,
    found: Found,
    packages: Packages,
    /// Modules that are still compressed, by name.
    xz: Vec<(String, Vec<u8>)>,
}

/// Reads the packages, and finds the kernel.
fn unpack(staging: Staging, spec: KernelSpec, tar: &Utf8Path, own: Option<&Own>) -> Result<Unpacked, Failure> {
    let read = |path: &Utf8Path, cause: io::Error| storage_failure(&format!("cannot read `{path}`"), &cause);
    let file = fs::File::open(tar).map_err(|cause| read(tar, cause))?;
    let mut packages = packages::read(io::BufReader::new(file)).map_err(|error| unusable(&spec, &error.to_string()))?;
    let mut xz = Vec::new();
    let image = match own {
        Some(Own::Image(image)) => {
            let found = from_image::read(image)?;
            (packages.modules, packages.builtin, xz) = (found.packages.modules, found.packages.builtin, found.xz);
            found.packages.bzimage.ok_or_else(|| unusable(&spec, "has no kernel"))?
        }
        Some(Own::File(own)) => {
            let limit = packages::FILE_LIMIT;
            files::read_bounded(own, limit)?.ok_or_else(|| unusable(&spec, "it is gone"))?
        }
        None => packages.bzimage.take().ok_or_else(|| unusable(&spec, "has no kernel"))?,
    };
    let found = bzimage::open(image).map_err(|error| unusable(&spec, &error.to_string()))?;
    Ok(Unpacked { staging, spec, found, packages, xz })
}

impl Unpacked {
    /// Writes the kernel and its initramfs.
    async fn assemble(self) -> Result<(Staging, Manifest<KernelSpec>), Failure> {
        let Self { staging, spec, found, packages, .. } = self;
        staging
            .blocking(move |staging| {
                let manifest = assemble(&staging, &spec, found, packages)?;
                Ok((staging, manifest))
            })
            .await
    }
}

fn assemble(
    staging: &Staging,
    spec: &KernelSpec,
    found: Found,
    packages: Packages,
) -> Result<Manifest<KernelSpec>, Failure> {
    let Found::Elf(vmlinux) = found else { return Err(unusable(spec, "it is still compressed")) };
    let busybox = packages.busybox.ok_or_else(|| Failure::permanent("package `busybox-static` has no busybox"))?;
    let order = match &spec.file {
        // What it has built in, the file does not say.
        Some(_) => Vec::new(),
        None => modules::load_order(&REQUIRED, &USEFUL, &packages.modules, &packages.builtin)
            .map_err(|why| unusable(spec, &why))?,
    };
    let initrd = initramfs::build(&busybox, &order, &packages.modules);
    for (name, content) in [("vmlinux", vmlinux), ("initrd.img", initrd)] {
        let path = staging.result(name);
        fs::write(&path, content).map_err(|cause| storage_failure(&format!("cannot write `{path}`"), &cause))?;
    }
    Ok(Manifest::new(spec.key.clone(), spec.clone(), packages.versions))
}
