//! Taking a snapshot: of a stopped guest as it is, of a running one while it stands still, of a suspended one with its memory.

use std::fs::File;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::{FORMAT_VERSION, UNFINISHED};
use crate::driver::GuestDir;
use crate::driver::microvm::Pause;
use crate::driver::microvm::guests::{Guests, cannot_tell};
use crate::driver::store::storage_failure;
use crate::effect::{copy_sparse, files, paths};
use crate::exec::{Failure, Progress};
use crate::resource::{Record, RunState, Snapshot, VmSpec};

/// How long a running guest may take to write what it has in memory.
const SYNC_DEADLINE: Duration = Duration::from_secs(20);

/// The folder of a snapshot's further disks.
pub(super) const DISKS: &str = "disks";

/// A file in an unfinished snapshot: the guest stands still because of it.
const PAUSED: &str = "paused";

impl Guests {
    /// Copies both disks of a guest. Does nothing when there is a snapshot of that name. A guest that runs stands still
    /// meanwhile, having been asked to write what it has in memory; of one that is suspended its memory is copied as well.
    pub(in crate::driver) async fn take_snapshot(
        &self,
        guest: &str,
        name: &str,
        why: &str,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let record = self.record(guest)?;
        let dir = self.dir(guest);
        if super::describe(&dir.snapshot(name))?.is_some() {
            return Ok(());
        }
        self.must_be_whole(guest)?;
        let disks = made_disks(&record)?;
        let aside = dir.snapshots().join(format!("{}{name}", UNFINISHED[0]));
        // A snapshot of that name that was cut short may have left the guest standing still.
        let paused_by_us = paths::exists(&aside.join(PAUSED))?;
        paths::remove_tree(&aside)?;
        files::private_dir(&aside)?;
        let state = self.run_state(&record);
        let (while_running, started) = match &state {
            RunState::Stopped => (false, None),
            RunState::Running(_) => (true, None),
            RunState::Suspended => (false, record.applied.started.clone().or_else(|| Some(disks.clone()))),
            RunState::Unknown(why) => return Err(cannot_tell(guest, why.clone())),
        };
        let snapshot = Snapshot {
            format_version: FORMAT_VERSION,
            name: name.to_owned(),
            taken_s: self.clock.now().as_second(),
            while_running,
            why: why.to_owned(),
            disks,
            started,
        };
        let copied = match while_running {
            false => {
                progress.say("copying the disks");
                let copied = self.copy_disks(&snapshot, &aside).await;
                copied.and_then(|()| self.must_be(&state, &record))
            }
            true => self.copy_standing_still(&record, (&snapshot, &aside), paused_by_us, progress).await,
        };
        if let Err(failure) = copied.and_then(|()| self.publish_snapshot(guest, &snapshot, &aside)) {
            // What cannot be removed now, the next one sweeps.
            let _ = paths::remove_tree(&aside);
            return Err(failure);
        }
        Ok(())
    }

    /// Copies the disks of a running guest while its processors stand still, and lets it go on whatever happens.
    async fn copy_standing_still(
        &self,
        record: &Record,
        (snapshot, aside): (&Snapshot, &Utf8Path),
        paused_by_us: bool,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let guest = &record.name;
        let stays_paused = !paused_by_us && self.is_paused(record).await;
        if !stays_paused {
            progress.say("asking the guest to write what it has in memory");
            if let Err(failure) = self.sync(record).await {
                progress.note(&format!("the guest did not write what it had in memory: {}", failure.causes.join(": ")));
            }
            files::write_atomic(&aside.join(PAUSED), b"")?;
            self.pause(guest, Pause::On).await?;
        }
        progress.say("copying the disks, the guest stands still");
        let copied = self.copy_disks(snapshot, aside).await;
        if stays_paused {
            return copied;
        }
        let resumed = self.pause(guest, Pause::Off).await;
        paths::remove_if_there(&aside.join(PAUSED))?;
        copied.and(resumed)
    }

    /// Succeeds when a guest is what it was: nobody woke or started it meanwhile.
    fn must_be(&self, state: &RunState, record: &Record) -> Result<(), Failure> {
        if self.run_state(record) == *state {
            return Ok(());
        }
        Err(Failure::permanent(format!("guest `{}` was started while its disks were copied", record.name)))
    }

    async fn sync(&self, record: &Record) -> Result<(), Failure> {
        let shell = self.connect.connect(&self.ssh_target(record), SYNC_DEADLINE).await?;
        shell.exec(&["sync"], &[], SYNC_DEADLINE).await?;
        Ok(())
    }

    async fn copy_disks(&self, snapshot: &Snapshot, aside: &Utf8Path) -> Result<(), Failure> {
        let dir = self.dir(&snapshot.disks.name);
        copy(dir.root_disk(snapshot.disks.machine), aside).await?;
        copy(dir.work_disk(), aside).await?;
        let disks = further(&dir, &aside.join(DISKS))?;
        for (disk, target) in disks {
            copy_to(disk, target).await?;
        }
        let kept = [dir.memory(), dir.devices()].into_iter().filter(|_| snapshot.started.is_some());
        for file in kept {
            // Only Firecracker keeps its devices apart.
            if paths::exists(&file)? {
                copy(file, aside).await?;
            }
        }
        Ok(())
    }

    /// Keeps the disks of a stopped guest as a snapshot without copying them: under further names. They must be replaced
    /// before the guest starts again.
    pub(in crate::driver::microvm) fn keep_disks(&self, record: &Record, name: &str, why: &str) -> Result<(), Failure> {
        let dir = self.dir(&record.name);
        if super::describe(&dir.snapshot(name))?.is_some() {
            return Ok(());
        }
        let (disks, taken_s) = (made_disks(record)?, self.clock.now().as_second());
        let (name, why) = (name.to_owned(), why.to_owned());
        let aside = dir.snapshots().join(format!("{}{name}", UNFINISHED[0]));
        if !paths::exists(&dir.work_disk())? || !paths::exists(&dir.root_disk(disks.machine))? {
            // A guest that lost a disk has nothing that could be put back.
            return Ok(());
        }
        paths::remove_tree(&aside)?;
        files::private_dir(&aside)?;
        for disk in [dir.root_disk(disks.machine), dir.work_disk()] {
            paths::link(&disk, &aside.join(disk.file_name().unwrap_or_default()))?;
        }
        for (disk, target) in further(&dir, &aside.join(DISKS))? {
            paths::link(&disk, &target)?;
        }
        let (while_running, started) = (false, None);
        let snapshot = Snapshot { format_version: FORMAT_VERSION, name, taken_s, while_running, why, disks, started };
        self.publish_snapshot(&record.name, &snapshot, &aside)
    }

    /// Gives a whole snapshot its name.
    fn publish_snapshot(&self, guest: &str, snapshot: &Snapshot, aside: &Utf8Path) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(snapshot)
            .map_err(|error| Failure::permanent(format!("cannot describe a snapshot of `{guest}`: {error}")))?;
        text.push(b'\n');
        files::write_atomic(&aside.join("snapshot.json"), &text)?;
        Ok(paths::rename(aside, &self.dir(guest).snapshot(&snapshot.name))?)
    }
}

/// What a guest's disks were made with, under the name it has now.
fn made_disks(record: &Record) -> Result<VmSpec, Failure> {
    let unfinished = || Failure::permanent(format!("the disks of guest `{}` are not made yet", record.name));
    record.applied.disks.clone().map(|disks| VmSpec { name: record.name.clone(), ..disks }).ok_or_else(unfinished)
}

/// The further disks of a guest, each with its place in a snapshot, whose folder is made.
fn further(dir: &GuestDir, folder: &Utf8Path) -> Result<Vec<(Utf8PathBuf, Utf8PathBuf)>, Failure> {
    let names = paths::names_in(&dir.disks())?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    files::private_dir(folder)?;
    let whole = names.into_iter().filter(|name| !name.ends_with(".new"));
    Ok(whole.map(|name| (dir.disks().join(&name), folder.join(name))).collect())
}

/// Copies a disk into a folder, under its own name: on disk before this returns.
pub(super) async fn copy(from: Utf8PathBuf, folder: &Utf8Path) -> Result<(), Failure> {
    let to = folder.join(from.file_name().unwrap_or_default());
    copy_to(from, to).await
}

/// Copies a disk: on disk before this returns. Hundreds of megabytes are nothing for a thread that others wait for.
pub(super) async fn copy_to(from: Utf8PathBuf, to: Utf8PathBuf) -> Result<(), Failure> {
    let copied = tokio::task::spawn_blocking(move || {
        let copied = copy_sparse(&from, &to).and_then(|()| File::open(&to)?.sync_all());
        copied.map_err(|cause| storage_failure(&format!("cannot copy `{from}` to `{to}`"), &cause))
    });
    copied.await.map_err(|error| Failure::unknown(format!("copying a disk failed: {error}")))?
}
