//! Building kernels: Debian's kernel package, fetched with mmdebstrap's apt, becomes an uncompressed kernel and an
//! initramfs of ours. Works as an ordinary user on any machine with mmdebstrap, whatever release it runs.

mod arguments;
mod bzimage;
mod initramfs;
mod modules;
mod packages;

use std::fs;

use camino::Utf8Path;

use super::debootstrap::{self, Debootstrap};
use super::store::{Kind, Manifest, Staging, Store, storage_failure};
use super::tools::DPKG_DEB;
use crate::effect::Run;
use crate::exec::{Failure, Progress};
use crate::resource::KernelSpec;

pub(super) use arguments::{PROBE_PASSED, probe_arguments};
pub use arguments::{Tsc, host_tsc, kernel_arguments};

/// Run by mmdebstrap: fetches and unpacks the packages.
const FETCH: &str = include_str!("fetch.sh");

/// Drivers without which no guest reaches its disks and its network.
const REQUIRED: [&str; 5] = ["ext4", "virtio_blk", "virtio_mmio", "virtio_net", "virtio_pci"];

/// Drivers that make guests better where the kernel has them: entropy, checksums of ext4 in hardware.
const USEFUL: [&str; 3] = ["virtio_rng", "crc32c_intel", "crc32c_generic"];

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
    debootstrap::require(run, &[DPKG_DEB]).await?;
    progress.say(&format!("fetching {}", spec.package));
    let tar = staging.temporary("packages.tar");
    fetch(run, &staging, spec, &tar).await?;
    progress.say("making the initramfs");
    let recipe = spec.clone();
    let assembled = staging.blocking(move |staging| assemble(&staging, &recipe, &tar).map(|made| (staging, made)));
    let (staging, manifest) = assembled.await?;
    staging.publish(manifest).await
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

fn assemble(staging: &Staging, spec: &KernelSpec, tar: &Utf8Path) -> Result<Manifest<KernelSpec>, Failure> {
    let unusable = |what: String| Failure::permanent(format!("package `{}`: {what}", spec.package));
    let file = fs::File::open(tar).map_err(|cause| storage_failure(&format!("cannot read `{tar}`"), &cause))?;
    let packages = packages::read(std::io::BufReader::new(file)).map_err(|error| unusable(error.to_string()))?;
    let bzimage = packages.bzimage.ok_or_else(|| unusable("has no kernel".into()))?;
    let busybox = packages.busybox.ok_or_else(|| Failure::permanent("package `busybox-static` has no busybox"))?;
    let vmlinux = bzimage::vmlinux(&bzimage).map_err(|error| unusable(error.to_string()))?;
    let order = modules::load_order(&REQUIRED, &USEFUL, &packages.modules, &packages.builtin).map_err(unusable)?;
    let initrd = initramfs::build(&busybox, &order, &packages.modules);
    for (name, content) in [("vmlinux", vmlinux), ("initrd.img", initrd)] {
        let path = staging.result(name);
        fs::write(&path, content).map_err(|cause| storage_failure(&format!("cannot write `{path}`"), &cause))?;
    }
    Ok(Manifest::new(spec.key.clone(), spec.clone(), packages.versions))
}
