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
use crate::config::ByteSize;
use crate::driver::ext4::{FEATURES, FillError, Writer};
use crate::driver::store::{Staging, storage_failure};
use crate::driver::tools::{E2FSCK, MKE2FS};
use crate::effect::{Command, Run};
use crate::exec::Failure;

/// Making and checking a file system of some hundred megabytes on a slow disk.
pub(super) const DISK_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// A file system to make.
#[derive(Debug, Clone, Copy)]
pub(in crate::driver) struct FileSystem<'a> {
    /// The file.
    pub(in crate::driver) image: &'a Utf8Path,
    /// Its label.
    pub(in crate::driver) label: &'a str,
    /// How large it is.
    pub(in crate::driver) size: ByteSize,
    /// How many files it has room for, where that is known; as many as usual for its size otherwise.
    pub(in crate::driver) files: Option<u64>,
}

/// Makes one with nothing in it.
///
/// # Errors
/// When the disk is full.
pub(super) async fn make(run: &dyn Run, staging: &Staging, wanted: &FileSystem<'_>) -> Result<(), Failure> {
    let FileSystem { image, label, size, files } = wanted;
    let fail = |cause: io::Error| storage_failure(&format!("cannot write `{image}`"), &cause);
    // The size is the file's: mke2fs' own size argument counts in surprising units (LESSONS 5).
    fs::File::create_new(image).and_then(|file| file.set_len(size.as_bytes())).map_err(fail)?;
    let inodes = files.iter().flat_map(|files| ["-N".to_owned(), files.to_string()]);
    let format = Command::new(MKE2FS.program)
        .args(["-q", "-F", "-t", "ext4", "-L", *label, "-b", "4096", "-I", "256", "-O", FEATURES])
        .args(inodes)
        .args(["-E", "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1", image.as_str()]);
    Ok(run.run_ok(&staging.under_lock(format).deadline(DISK_DEADLINE)).await.map(drop)?)
}

/// Makes a file system of one layer.
///
/// # Errors
/// When the layer cannot be used, or the disk is full.
pub(in crate::driver) async fn fill_file_system(
    run: &dyn Run,
    staging: &Staging,
    wanted: &FileSystem<'_>,
    layer: Reader,
) -> Result<(), Failure> {
    make(run, staging, wanted).await?;
    let (image, name, size) = (wanted.image.to_owned(), layer.name().to_owned(), wanted.size);
    let filling =
        tokio::task::spawn_blocking(move || fill((&image, &name, size), std::iter::once(Ok(layer)), Owners::default()));
    filling.await.map_err(|error| Failure::permanent(format!("regatta's own error: {error}")))??;
    check(run, wanted.image).await
}

/// Lays layers into it, the lowest first.
///
/// # Errors
/// When a layer cannot be used, or they do not fit.
pub(super) fn fill(
    (image, name, size): (&Utf8Path, &str, ByteSize),
    layers: impl Iterator<Item = Result<Reader, Failure>>,
    owners: Owners,
) -> Result<(), Failure> {
    let filled = Writer::open(image).map_err(LayError::from).and_then(|writer| layers::lay(layers, owners, writer));
    filled.map_err(|error| match error {
        LayError::Failure(failure) => failure,
        LayError::Fill(error) => fill_failure(error, image, (name, size)),
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
fn fill_failure(error: FillError, image: &Utf8Path, (name, size): (&str, ByteSize)) -> Failure {
    match error {
        FillError::Io(cause) | FillError::Content(cause) => storage_failure(&format!("cannot write `{image}`"), &cause),
        FillError::Full | FillError::TooMany(_) => {
            let why = if matches!(error, FillError::Full) { String::new() } else { format!(": {error}") };
            Failure::permanent(format!("the files of {name} do not fit into {size}{why}"))
                .hint("give the image a larger `size`, or put less into it")
        }
        FillError::Attributes => Failure::permanent(format!("{name} cannot be made: {error}")),
    }
}
