//! Putting a snapshot back. What the guest has now becomes a snapshot itself, so nothing is lost. With memory, the guest is
//! suspended afterwards.
//!
//! Two disks and a record cannot be replaced at once: `restoring.json` is written first and removed last, and nothing uses
//! the disks while it is there. Doing all of it again finishes it.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::SIZE_LIMIT;
use super::take::{DISKS, copy_to};
use crate::driver::files::Request;
use crate::driver::microvm::guests::Guests;
use crate::driver::microvm::identity;
use crate::effect::{files, paths};
use crate::exec::{Failure, Progress};
use crate::resource::{RunState, VmSpec};

/// A restore that is going on, or was cut short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::driver::microvm) struct Restoring {
    /// The snapshot that is put back.
    snapshot: String,
    /// The snapshot that what was there before becomes.
    kept: String,
}

impl Restoring {
    pub(super) fn names(&self, snapshot: &str) -> bool {
        self.snapshot == snapshot || self.kept == snapshot
    }

    pub(super) fn refusal(&self, guest: &str) -> Failure {
        let name = &self.snapshot;
        Failure::permanent(format!("putting snapshot `{name}` of guest `{guest}` back was cut short"))
            .hint(format!("`regatta snapshot restore {guest} {name}` finishes it"))
    }
}

impl Guests {
    /// The restore of a guest that was cut short, if there is one.
    pub(super) fn restoring(&self, guest: &str) -> Result<Option<Restoring>, Failure> {
        let path = self.dir(guest).restoring();
        let Some(bytes) = files::read_bounded(&path, SIZE_LIMIT)? else { return Ok(None) };
        let restoring = serde_json::from_slice(&bytes);
        restoring.map(Some).map_err(|error| Failure::permanent(format!("`{path}` names no snapshot: {error}")))
    }

    /// Succeeds when both disks of a guest are of one moment.
    pub(in crate::driver::microvm) fn must_be_whole(&self, guest: &str) -> Result<(), Failure> {
        self.restoring(guest)?.map_or(Ok(()), |restoring| Err(restoring.refusal(guest)))
    }

    /// Gives a stopped guest the disks of a snapshot; those that it has become the snapshot `kept`. Its identity, its port
    /// and everything else that its record says stay.
    pub(in crate::driver) async fn restore_snapshot(
        &self,
        guest: &str,
        name: &str,
        kept: &str,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let mut record = self.record(guest)?;
        let earlier = self.restoring(guest)?;
        if earlier.is_some() && self.run_state(&record) == RunState::Suspended {
            // The memory that the attempt put there which was cut short.
            self.forget_memory(guest)?;
        }
        self.must_be_stopped(&record)?;
        let dir = self.dir(guest);
        let folder = dir.snapshot(name);
        let snapshot = super::describe(&folder)?
            .ok_or_else(|| Failure::permanent(format!("guest `{guest}` has no snapshot `{name}`")))?;
        if snapshot.started.is_some() && snapshot.disks.name != guest {
            // Its work disk cannot be told another name: the memory knows what is on it.
            let name_then = &snapshot.disks.name;
            let message =
                format!("snapshot `{name}` has the memory of guest `{guest}` when it was called `{name_then}`");
            return Err(Failure::permanent(message).hint("only disks follow a guest to another name"));
        }
        // What was kept before an earlier attempt is what was there before.
        let kept = earlier.map_or_else(|| kept.to_owned(), |earlier| earlier.kept);
        let restoring = Restoring { snapshot: name.to_owned(), kept: kept.clone() };
        let text = serde_json::to_vec(&restoring)
            .map_err(|error| Failure::permanent(format!("cannot write down what is restored: {error}")))?;
        files::write_atomic(&dir.restoring(), &text)?;
        progress.say("keeping the disks that are there");
        self.keep_disks(&record, &kept, &format!("before snapshot {name} was put back"))?;
        progress.say("copying the disks of the snapshot");
        let disks = VmSpec { name: guest.to_owned(), ..snapshot.disks.clone() };
        for disk in [dir.root_disk(disks.machine), dir.work_disk()] {
            let aside = Utf8PathBuf::from(format!("{disk}.new"));
            paths::remove_if_there(&aside)?;
            copy_to(folder.join(disk.file_name().unwrap_or_default()), aside.clone()).await?;
            paths::rename(&aside, &disk)?;
        }
        for name in paths::names_in(&folder.join(DISKS))? {
            files::private_dir(&dir.disks())?;
            let disk = dir.disks().join(&name);
            let aside = Utf8PathBuf::from(format!("{disk}.new"));
            paths::remove_if_there(&aside)?;
            copy_to(folder.join(DISKS).join(&name), aside.clone()).await?;
            paths::rename(&aside, &disk)?;
        }
        if snapshot.disks.name != guest {
            // It had another name then, and so has its work disk.
            let seeds = [identity::host_name(guest)?];
            let request = Request { seeds: &seeds, renamed: Some(guest), ..Request::default() };
            self.disk(&dir.work_disk(), &|| self.must_be_stopped(&record)).write(&request).await?;
        }
        self.drop_other_disks(&disks)?;
        record.applied.disks = Some(disks);
        if snapshot.started.is_some() {
            record.applied.started.clone_from(&snapshot.started);
        }
        self.write_record(&record)?;
        if snapshot.started.is_some() {
            progress.say("copying the memory of the snapshot");
            self.put_memory_back(guest, &folder).await?;
            progress.note(&format!("it is suspended: `regatta wake {guest}` lets it go on"));
        }
        paths::remove_if_there(&dir.restoring())?;
        progress.note(&format!("what was there is kept as snapshot {kept}"));
        Ok(())
    }

    /// Copies memory, because it goes on once and is kept for another time. With the last name the guest is suspended.
    async fn put_memory_back(&self, guest: &str, folder: &Utf8Path) -> Result<(), Failure> {
        let dir = self.dir(guest);
        for target in [dir.devices(), dir.memory()] {
            let from = folder.join(target.file_name().unwrap_or_default());
            if !paths::exists(&from)? {
                continue;
            }
            let aside = Utf8PathBuf::from(format!("{target}.new"));
            paths::remove_if_there(&aside)?;
            copy_to(from, aside.clone()).await?;
            paths::rename(&aside, &target)?;
        }
        Ok(())
    }
}
