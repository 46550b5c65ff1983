//! Makes a prepared change, whole or not at all.
//!
//! A disk on which there is little is copied, changed beside its place, and moved there: that is whole whatever
//! happens, a power cut included. A fuller one is changed in place, and debugfs saves each block before it changes it
//! (see [`undo`]).

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use camino::Utf8Path;

use super::copy::DiskCopy;
use super::staging::{self, Handing, Staging};
use super::superblock::Superblock;
use super::tool::{Tool, io_failure, said};
use super::{blocking, fill, undo, verify};
use crate::driver::files::edits::Edit;
use crate::effect::Command;
use crate::exec::Failure;

/// Suffix of the copy that is changed.
const ASIDE: &str = "aside";

/// Allocated bytes up to which a disk is always copied.
const COPY_MAX: u64 = 64 << 20;

/// A change that is ready to be made.
pub(super) struct Prepared {
    pub(super) edits: Vec<Edit>,
    pub(super) staging: Staging,
    pub(super) way: Way,
    /// Dates files that have no date of their own, in seconds since 1970.
    pub(super) now: i64,
}

/// What is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A copy, which then takes the disk's place.
    Aside,
    /// The disk, whose blocks are saved before.
    InPlace,
}

impl Way {
    /// How host files reach a disk of this kind.
    pub(super) const fn handing(self, disk: Superblock) -> Handing {
        match self {
            Self::Aside if disk.can_fill => Handing::Filled,
            Self::Aside | Self::InPlace => Handing::Copies,
        }
    }
}

/// What is written to for these edits: copying a disk must not cost more than they do, or next to nothing.
pub(super) fn way(disk: &Utf8Path, edits: &[Edit]) -> Result<Way, Failure> {
    let found = disk.metadata().map_err(|cause| io_failure("look at", disk, &cause))?;
    let sizes = edits.iter().map(|edit| match edit {
        Edit::Write(file) => file.source.size(),
        _ => 0,
    });
    let written: u64 = sizes.sum();
    Ok(if found.blocks() * 512 <= written.max(COPY_MAX) { Way::Aside } else { Way::InPlace })
}

/// Makes the change; `still_stopped` is asked again before a changed copy takes the disk's place.
///
/// # Errors
/// When anything goes wrong: the disk is then as it was, unless the failure says that this is unknown.
pub(super) async fn make(
    tool: &Tool<'_>,
    prepared: Prepared,
    still_stopped: &(dyn Fn() -> Result<(), Failure> + Sync),
) -> Result<(), Failure> {
    match prepared.way {
        Way::Aside => aside(tool, prepared, still_stopped).await.map_err(|failure| failure.context(UNCHANGED)),
        Way::InPlace => in_place(tool, prepared).await,
    }
}

const UNCHANGED: &str = "the guest's work disk is unchanged";

/// Whether a killed process left a changed copy.
pub(super) fn has_left(disk: &Utf8Path) -> bool {
    DiskCopy::path(disk, ASIDE).exists()
}

/// Removes what a killed process left of a changed copy.
pub(super) fn clear(disk: &Utf8Path) -> Result<(), Failure> {
    let aside = DiskCopy::path(disk, ASIDE);
    match std::fs::remove_file(&aside) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(io_failure("remove", &aside, &cause)),
        _ => Ok(()),
    }
}

async fn aside(
    tool: &Tool<'_>,
    prepared: Prepared,
    still_stopped: &(dyn Fn() -> Result<(), Failure> + Sync),
) -> Result<(), Failure> {
    let copy = DiskCopy::of(tool.disk, ASIDE).await?;
    carry_out(&tool.on(copy.image()), prepared, None).await?;
    still_stopped()?;
    std::fs::rename(copy.image(), tool.disk).map_err(|cause| io_failure("replace", tool.disk, &cause))?;
    undo::sync_directory(tool.disk)
}

async fn in_place(tool: &Tool<'_>, prepared: Prepared) -> Result<(), Failure> {
    let undo = undo::path(tool.disk);
    match carry_out(tool, prepared, Some(&undo)).await {
        Ok(()) => undo::forget(tool.disk),
        Err(failure) => match undo::roll_back(tool).await {
            Ok(()) => Err(failure.context(UNCHANGED)),
            Err(worse) => Err(Failure::unknown(worse.causes.join(": ")).context(failure.causes.join(": "))),
        },
    }
}

/// Lets debugfs write, and makes sure of what it wrote: it is sound, as it should be, and on the disk for good.
async fn carry_out(tool: &Tool<'_>, prepared: Prepared, undo: Option<&Utf8Path>) -> Result<(), Failure> {
    let prepared = Arc::new(prepared);
    let staging = &prepared.staging;
    let [before, after] = &staging.requests;
    for request in before {
        debugfs(tool, staging, undo, ["-R", request]).await?;
    }
    debugfs(tool, staging, undo, ["-f", staging::SCRIPT]).await?;
    let (image, written) = (tool.disk.to_owned(), prepared.clone());
    let filled = blocking(move || match written.staging.to_fill(&written.edits).as_slice() {
        [] => Ok(Vec::new()),
        files => fill::fill(&image, files, written.now),
    });
    let filled = filled.await?;
    for request in after {
        debugfs(tool, staging, undo, ["-R", request]).await?;
    }
    let (image, written) = (tool.disk.to_owned(), prepared.clone());
    let read_back = blocking(move || verify::written(&image, &written.edits, written.staging.arrived(&filled)));
    let image = tool.disk.to_owned();
    let synced = blocking(move || {
        File::open(&image).and_then(|file| file.sync_all()).map_err(|cause| io_failure("sync", &image, &cause))
    });
    // All three only read: none waits for another.
    let (checked, read_back, synced) = tokio::join!(tool.check(), read_back, synced);
    checked.and(read_back).and(synced)
}

/// Carries out a script (`-f`) or one request (`-R`).
async fn debugfs(
    tool: &Tool<'_>,
    staging: &Staging,
    undo: Option<&Utf8Path>,
    instructions: [&str; 2],
) -> Result<(), Failure> {
    let undo = undo.map(|undo| ["-z", undo.as_str()]);
    let debugfs = Command::new("debugfs")
        .arg("-w")
        .args(undo.into_iter().flatten())
        .args(instructions)
        .arg(tool.disk.as_str())
        .cwd(&staging.directory);
    let output = tool.command(debugfs).await?;
    // LESSON 3: debugfs exits with 0 whatever happens, its complaints are the signal.
    if output.success() && said(&output.stderr).is_empty() { Ok(()) } else { Err(tool.failed("debugfs", &output)) }
}
