//! A tar file to an ext4 file system: `fakeroot {tar -x, mke2fs -d} → e2fsck -fn`; without fakeroot for the machine's root,
//! because remembering owners takes longer than setting them.
//!
//! The detour over fakeroot keeps owners, device nodes and setuid bits right for an ordinary user (LESSONS 6); mke2fs
//! 1.47.0 cannot read a tar itself.

use std::fs;
use std::io;
use std::time::Duration;

use camino::Utf8Path;

use crate::driver::namespace;
use crate::driver::store::{Staging, storage_failure};
use crate::driver::tools::{E2FSCK, FAKEROOT, MKE2FS, TAR};
use crate::effect::{Command, CommandError, Run};
use crate::exec::Failure;
use crate::resource::ImageSpec;

/// Unpacking, making and checking a file system of some hundred megabytes on a slow disk.
pub(super) const DISK_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Makes the file system of an image out of a tar file.
///
/// # Errors
/// When the disk is full, or the tree does not fit.
pub(super) async fn make(run: &dyn Run, staging: &Staging, spec: &ImageSpec, tar: &Utf8Path) -> Result<(), Failure> {
    let (tree, owners, image) = (staging.temporary("root"), staging.temporary("owners"), staging.result("root.img"));
    let fail = |cause: io::Error| storage_failure(&format!("cannot write `{image}`"), &cause);
    fs::create_dir(&tree).map_err(fail)?;
    let real = namespace::keeps_owners();
    // Remembers owners in a file (`-s`), and tells them from it (`-i`).
    let program = |program: &str, memory: &str| {
        let command = match real {
            true => Command::new(program),
            false => Command::new(FAKEROOT.program).args([memory, owners.as_str(), "--", program]),
        };
        staging.under_lock(command).deadline(DISK_DEADLINE)
    };
    let unpack = program(TAR.program, "-s").args([
        "--numeric-owner",
        "--delay-directory-restore",
        "-C",
        tree.as_str(),
        "-xpf",
        tar.as_str(),
    ]);
    run.run_ok(&unpack).await?;
    fs::remove_file(tar).map_err(fail)?;
    // The size is the file's: mke2fs' own size argument counts in surprising units (LESSONS 5).
    fs::File::create_new(&image).and_then(|file| file.set_len(spec.size.as_bytes())).map_err(fail)?;
    let format = program(MKE2FS.program, "-i").args(["-q", "-F", "-t", "ext4", "-L", "root"]).args([
        "-E",
        "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1",
        "-d",
        tree.as_str(),
        image.as_str(),
    ]);
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
    Failure::permanent(format!("the files of image `{}` do not fit into {}", spec.name, spec.size))
        .hint("give the image a larger `size`, or put less into it")
}
