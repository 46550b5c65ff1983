//! Snapshots of guests: copies of both disks as they were at one moment, and of the memory of a guest that was suspended.
//!
//! ```text
//! vms/GUEST/snapshots/NAME/{snapshot.json, root disk, work.img, disks/, memory}     whole
//! vms/GUEST/snapshots/.new-NAME/                                    being made
//! vms/GUEST/restoring.json                                          a restore that is going on
//! ```
//!
//! They lie beside the disks, so that they follow their guest to another name or fleet, and go with it. Files are copied as
//! the file system copies best: shared blocks where it can (btrfs, XFS), else what is allocated.

mod restore;
mod take;

use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::guests::Guests;
use crate::driver::state::GuestDir;
use crate::effect::{files, paths};
use crate::exec::{Failure, Progress};
use crate::resource::Snapshot;

/// The format this version writes, and the only one it reads.
const FORMAT_VERSION: u32 = 1;

/// A description has some hundred bytes.
const SIZE_LIMIT: u64 = 64 << 10;

/// How the names of folders begin that are no snapshots yet, or any more.
const UNFINISHED: [&str; 2] = [".new-", ".removed-"];

/// A snapshot that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSnapshot {
    /// What is known of it.
    pub snapshot: Snapshot,
    /// Bytes on disk; with shared blocks it takes less.
    pub allocated: u64,
}

/// Reads the description in a snapshot's folder.
///
/// # Errors
/// When it cannot be read, or is in no format of ours.
pub(in crate::driver) fn describe(folder: &Utf8Path) -> Result<Option<Snapshot>, Failure> {
    let path = folder.join("snapshot.json");
    let Some(bytes) = files::read_bounded(&path, SIZE_LIMIT)? else { return Ok(None) };
    match serde_json::from_slice::<Snapshot>(&bytes) {
        Ok(snapshot) if snapshot.format_version == FORMAT_VERSION => Ok(Some(snapshot)),
        Ok(snapshot) => {
            let found = snapshot.format_version;
            Err(Failure::permanent(format!(
                "`{path}` has format {found}, this version of regatta reads {FORMAT_VERSION}"
            )))
        }
        Err(error) => Err(Failure::permanent(format!("`{path}` describes no snapshot: {error}"))),
    }
}

/// The folders of a guest's snapshots.
///
/// # Errors
/// When they cannot be listed.
pub(in crate::driver) fn folders(dir: &GuestDir) -> Result<Vec<Utf8PathBuf>, Failure> {
    let names = paths::names_in(&dir.snapshots())?;
    Ok(names.into_iter().filter(|name| !name.starts_with('.')).map(|name| dir.snapshot(&name)).collect())
}

impl Guests {
    /// The snapshots of a guest, the oldest first.
    ///
    /// # Errors
    /// When there is no such guest, or one of them cannot be read.
    pub fn snapshots(&self, guest: &str) -> Result<Vec<KeptSnapshot>, Failure> {
        self.record(guest)?;
        let mut kept = Vec::new();
        for folder in folders(&self.dir(guest))? {
            let Some(snapshot) = describe(&folder)? else { continue };
            let files = paths::names_in(&folder)?.into_iter().map(|name| folder.join(name));
            let further = paths::names_in(&folder.join(take::DISKS))?.into_iter();
            let disks = files.chain(further.map(|name| folder.join(take::DISKS).join(name)));
            let allocated = disks.filter_map(|disk| disk.metadata().ok()).map(|found| found.blocks() * 512).sum();
            kept.push(KeptSnapshot { snapshot, allocated });
        }
        kept.sort_by(|a, b| (a.snapshot.taken_s, &a.snapshot.name).cmp(&(b.snapshot.taken_s, &b.snapshot.name)));
        Ok(kept)
    }

    /// Removes a snapshot; fine when it is gone. Its folder first gets a name that is no snapshot's.
    pub(in crate::driver) fn delete_snapshot(
        &self,
        guest: &str,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let dir = self.dir(guest);
        if let Some(restoring) = self.restoring(guest)?.filter(|restoring| restoring.names(name)) {
            return Err(restoring.refusal(guest));
        }
        progress.say("removing a snapshot");
        paths::rename_if_there(&dir.snapshot(name), &dir.snapshots().join(format!(".removed-{name}")))?;
        self.sweep_snapshots(guest)
    }

    /// Removes what interrupted snapshots and removals left.
    fn sweep_snapshots(&self, guest: &str) -> Result<(), Failure> {
        let folder = self.dir(guest).snapshots();
        for name in paths::names_in(&folder)? {
            if UNFINISHED.iter().any(|prefix| name.starts_with(prefix)) {
                paths::remove_tree(&folder.join(name))?;
            }
        }
        Ok(())
    }
}
