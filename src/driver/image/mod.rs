//! Building images: a Debian tree from mmdebstrap becomes one ext4 file, as an ordinary user or as root.
//!
//! `mmdebstrap → tar → fakeroot {tar -x, mke2fs -d} → e2fsck -fn → store`. The detour over fakeroot keeps owners, device
//! nodes and setuid bits right for an ordinary user (LESSONS 6); mke2fs 1.47.0 cannot read a tar itself.

mod packages;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

use camino::Utf8Path;

use super::debootstrap::{self, Debootstrap};
use super::store::{Kind, Manifest, Staging, Store, storage_failure};
use super::tools::{E2FSCK, FAKEROOT, MKE2FS, TAR};
use crate::effect::{Command, CommandError, Run};
use crate::exec::{Failure, Progress};
use crate::resource::ImageSpec;

/// Unpacking, making and checking a file system of some hundred megabytes on a slow disk.
const DISK_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Removes what every guest must have for itself (LESSONS 31). `$1` is the root of the tree.
const CLEAN_SCRIPT: &str =
    r#"rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/dbus/machine-id "$1"/var/lib/systemd/random-seed"#;

/// Builds an image into the store, unless it is there.
///
/// # Errors
/// When programs are missing, packages cannot be installed, or the tree does not fit; the store is as before then.
pub async fn build(run: &dyn Run, store: &Store, spec: &ImageSpec, progress: &dyn Progress) -> Result<(), Failure> {
    let Some(staging) = store.begin(run, Kind::Image, &spec.key, progress).await? else { return Ok(()) };
    debootstrap::require(run, &[FAKEROOT, TAR, MKE2FS, E2FSCK]).await?;
    progress.say(&format!("installing {} packages", spec.packages.len()));
    let tar = staging.temporary("root.tar");
    install(run, &staging, spec, &tar).await?;
    progress.say("making the file system");
    make_file_system(run, &staging, spec, &tar).await?;
    let packages = installed_packages(&staging.temporary("root"))?;
    progress.say("storing the image");
    staging.publish(Manifest::new(spec.key.clone(), spec.clone(), packages)).await
}

fn installed_packages(tree: &Utf8Path) -> Result<BTreeMap<String, String>, Failure> {
    let status = tree.join("var/lib/dpkg/status");
    let text = fs::read(&status).map_err(|cause| storage_failure(&format!("cannot read `{status}`"), &cause))?;
    Ok(packages::installed(&String::from_utf8_lossy(&text)))
}

async fn install(run: &dyn Run, staging: &Staging, spec: &ImageSpec, tar: &Utf8Path) -> Result<(), Failure> {
    let mut options = vec!["--variant=minbase".to_owned(), format!("--customize-hook={CLEAN_SCRIPT}")];
    if !spec.packages.is_empty() {
        options.push(format!("--include={}", spec.packages.join(",")));
    }
    let debootstrap =
        Debootstrap { staging, suite: &spec.suite, mirror: spec.mirror.as_deref(), options, env: None, target: tar };
    debootstrap.make(run).await
}

async fn make_file_system(run: &dyn Run, staging: &Staging, spec: &ImageSpec, tar: &Utf8Path) -> Result<(), Failure> {
    let (tree, owners, image) = (staging.temporary("root"), staging.temporary("owners"), staging.result("root.img"));
    let fail = |cause: io::Error| storage_failure(&format!("cannot write `{image}`"), &cause);
    fs::create_dir(&tree).map_err(fail)?;
    let fakeroot = || staging.under_lock(Command::new(FAKEROOT.program)).deadline(DISK_DEADLINE);
    let unpack = fakeroot().args([
        "-s",
        owners.as_str(),
        "--",
        TAR.program,
        "--numeric-owner",
        "-C",
        tree.as_str(),
        "-xpf",
        tar.as_str(),
    ]);
    run.run_ok(&unpack).await?;
    fs::remove_file(tar).map_err(fail)?;
    // The size is the file's: mke2fs' own size argument counts in surprising units (LESSONS 5).
    fs::File::create_new(&image).and_then(|file| file.set_len(spec.size.as_bytes())).map_err(fail)?;
    let format = fakeroot()
        .args(["-i", owners.as_str(), "--", MKE2FS.program, "-q", "-F", "-t", "ext4", "-L", "root"])
        .args(["-E", "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1", "-d", tree.as_str(), image.as_str()]);
    run.run_ok(&format).await.map_err(|error| format_failure(error, spec))?;
    let check = Command::new(E2FSCK.program).args(["-fn", image.as_str()]).deadline(DISK_DEADLINE);
    run.run_ok(&check).await.map(drop).map_err(Failure::from)
}

/// A tree that is larger than its file system is the user's to mend; mke2fs says so in words of its own.
fn format_failure(error: CommandError, spec: &ImageSpec) -> Failure {
    let too_small = match &error {
        CommandError::Failed { output, .. } => {
            let text = String::from_utf8_lossy(&output.stderr);
            ["Could not allocate", "too small", "No free space"].iter().any(|words| text.contains(words))
        }
        _ => false,
    };
    if !too_small {
        return Failure::from(error);
    }
    Failure::permanent(format!("the packages of image `{}` do not fit into {}", spec.name, spec.size))
        .hint("give the image a larger `size`, or fewer packages")
}
