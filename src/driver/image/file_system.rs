//! Layers to an ext4 file system: `mke2fs` makes it, empty; it is filled in process, in one pass, and held against
//! `e2fsck -fn`.
//!
//! So owners, devices, setuid bits and capabilities are right for an ordinary user too (LESSONS 6), and no tree of files has to
//! be written to be read again.

use std::fs;
use std::io;
use std::time::Duration;

use camino::Utf8Path;

use super::layers::{self, LayError, Owners, Reader};
use crate::driver::ext4::{FEATURES, FillError, Writer};
use crate::driver::store::{Staging, storage_failure};
use crate::driver::tools::{E2FSCK, MKE2FS};
use crate::effect::{Command, Run};
use crate::exec::Failure;
use crate::resource::ImageSpec;

/// Making and checking a file system of some hundred megabytes on a slow disk.
pub(super) const DISK_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Makes the empty file system of an image.
///
/// # Errors
/// When the disk is full.
pub(super) async fn make(run: &dyn Run, staging: &Staging, spec: &ImageSpec) -> Result<(), Failure> {
    let image = staging.result("root.img");
    let fail = |cause: io::Error| storage_failure(&format!("cannot write `{image}`"), &cause);
    // The size is the file's: mke2fs' own size argument counts in surprising units (LESSONS 5).
    fs::File::create_new(&image).and_then(|file| file.set_len(spec.size.as_bytes())).map_err(fail)?;
    let format = Command::new(MKE2FS.program)
        .args(["-q", "-F", "-t", "ext4", "-L", "root", "-b", "4096", "-I", "256", "-O", FEATURES])
        .args(["-E", "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1", image.as_str()]);
    Ok(run.run_ok(&staging.under_lock(format).deadline(DISK_DEADLINE)).await.map(drop)?)
}

/// Lays layers into it, the lowest first.
///
/// # Errors
/// When a layer cannot be used, or they do not fit.
pub(super) fn fill(
    image: &Utf8Path,
    spec: &ImageSpec,
    layers: impl Iterator<Item = Result<Reader, Failure>>,
    owners: Owners,
) -> Result<(), Failure> {
    let filled = Writer::open(image).map_err(LayError::from).and_then(|writer| layers::lay(layers, owners, writer));
    filled.map_err(|error| match error {
        LayError::Failure(failure) => failure,
        LayError::Fill(error) => fill_failure(error, image, spec),
    })
}

/// Finds mistakes of ours before any guest does.
///
/// # Errors
/// When there is one.
pub(super) async fn check(run: &dyn Run, image: &Utf8Path) -> Result<(), Failure> {
    let check = Command::new(E2FSCK.program).args(["-fn", image.as_str()]).deadline(DISK_DEADLINE);
    Ok(run.run_ok(&check).await.map(drop)?)
}

/// A tree that is larger than its file system is the user's to mend.
fn fill_failure(error: FillError, image: &Utf8Path, spec: &ImageSpec) -> Failure {
    let name = &spec.name;
    match error {
        FillError::Io(cause) | FillError::Content(cause) => storage_failure(&format!("cannot write `{image}`"), &cause),
        FillError::Full | FillError::TooMany(_) => {
            let why = if matches!(error, FillError::Full) { String::new() } else { format!(": {error}") };
            Failure::permanent(format!("the files of image `{name}` do not fit into {}{why}", spec.size))
                .hint("give the image a larger `size`, or put less into it")
        }
        FillError::Attributes => Failure::permanent(format!("image `{name}` cannot be made: {error}")),
    }
}
