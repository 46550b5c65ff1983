//! Changing the disks of a stopped guest: a new root over another image, a larger work disk.

use std::time::Duration;

use super::guests::Guests;
use crate::config::ByteSize;
use crate::driver::undo::Undo;
use crate::effect::{Command, Status, paths};
use crate::exec::{Failure, Progress};
use crate::resource::VmSpec;

/// Checking and resizing walk the whole file system.
const CHECK_DEADLINE: Duration = Duration::from_secs(600);

impl Guests {
    /// Gives a stopped guest a new root disk; its work disk, identity and port stay. The old one is kept beside it, under
    /// both names until the new one takes its place: whatever happens, there is a root disk.
    pub(in crate::driver) async fn replace_root(&self, vm: &VmSpec, progress: &dyn Progress) -> Result<(), Failure> {
        let mut record = self.record(&vm.name)?;
        self.must_be_stopped(&record)?;
        progress.say("making a new root disk");
        let dir = self.dir(&vm.name);
        paths::remove_if_there(&dir.previous_root_disk())?;
        let mut undo = Undo::default();
        undo.file(&dir.previous_root_disk());
        paths::link(&dir.root_disk(), &dir.previous_root_disk())?;
        let made = self.make_root_disk(&vm.name, &vm.image).await;
        undo.settle(made).await?;
        record.applied.disks = Some(VmSpec { work_disk: applied_work_disk(&record, vm), ..vm.clone() });
        self.write_record(&record)
    }

    /// Gives a stopped guest the root disk back that was replaced. When none was, there is nothing to do.
    pub(in crate::driver) async fn restore_root(&self, vm: &VmSpec, progress: &dyn Progress) -> Result<(), Failure> {
        let mut record = self.record(&vm.name)?;
        self.must_be_stopped(&record)?;
        progress.say("putting the previous root disk back");
        let dir = self.dir(&vm.name);
        paths::rename_if_there(&dir.previous_root_disk(), &dir.root_disk())?;
        record.applied.disks = Some(VmSpec { work_disk: applied_work_disk(&record, vm), ..vm.clone() });
        self.write_record(&record)
    }

    /// Grows the work disk of a stopped guest: the file first, then the file system in it. Repeating it is harmless.
    pub(in crate::driver) async fn grow(
        &self,
        guest: &str,
        to: ByteSize,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let mut record = self.record(guest)?;
        self.must_be_stopped(&record)?;
        let disk = self.dir(guest).work_disk();
        let size = paths::size(&disk)?.unwrap_or_default();
        if size > to.as_bytes() {
            let message = format!(
                "the work disk of `{guest}` has {}, expected at most {to}: disks never shrink",
                ByteSize::bytes(size)
            );
            return Err(Failure::permanent(message));
        }
        progress.say(&format!("growing the work disk to {to}"));
        self.check_file_system(&disk).await?;
        paths::grow(&disk, to.as_bytes())?;
        self.run.run_ok(&Command::new("resize2fs").arg(disk.as_str()).deadline(CHECK_DEADLINE)).await?;
        if let Some(disks) = &mut record.applied.disks {
            disks.work_disk = to;
        }
        self.write_record(&record)
    }

    /// Replays the journal and mends what can be mended without losing anything; resize2fs asks for it.
    async fn check_file_system(&self, disk: &camino::Utf8Path) -> Result<(), Failure> {
        let command = Command::new("e2fsck").args(["-f", "-p", disk.as_str()]).deadline(CHECK_DEADLINE);
        let output = self.run.run(&command).await?;
        match output.status {
            // 1: errors were corrected (e2fsck(8)).
            Status::Code(0 | 1) => Ok(()),
            _ => Err(crate::effect::CommandError::Failed { command: command.to_string(), output }.into()),
        }
    }
}

fn applied_work_disk(record: &crate::resource::Record, vm: &VmSpec) -> ByteSize {
    record.applied.disks.as_ref().map_or(vm.work_disk, |disks| disks.work_disk)
}
