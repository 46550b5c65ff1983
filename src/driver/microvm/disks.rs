//! Changing the disks of a stopped guest: a new root over another image, a larger work disk.

use super::guests::Guests;
use crate::config::{ByteSize, Machine};
use crate::driver::undo::Undo;
use crate::effect::paths;
use crate::exec::{Failure, Progress};
use crate::resource::VmSpec;

impl Guests {
    /// Gives a stopped guest a new root disk; its work disk, identity and port stay. The old one is kept beside it, under
    /// both names until the new one takes its place: whatever happens, there is a root disk.
    pub(in crate::driver) async fn replace_root(&self, vm: &VmSpec, progress: &dyn Progress) -> Result<(), Failure> {
        let mut record = self.record(&vm.name)?;
        self.must_be_stopped(&record)?;
        self.must_be_whole(&vm.name)?;
        progress.say("making a new root disk");
        let dir = self.dir(&vm.name);
        let was = record.applied.disks.as_ref().map_or(vm.machine, |disks| disks.machine);
        let (old, kept) = (dir.root_disk(was), dir.previous_root_disk(was));
        paths::remove_if_there(&kept)?;
        let mut undo = Undo::default();
        undo.file(&kept);
        paths::link(&old, &kept)?;
        let made = self.make_root_disk(vm).await;
        undo.settle(made).await?;
        record.applied.disks = Some(with_applied_disks(&record, vm));
        self.write_record(&record)
    }

    /// Gives a stopped guest the root disk back that was replaced. When none was, there is nothing to do.
    pub(in crate::driver) async fn restore_root(&self, vm: &VmSpec, progress: &dyn Progress) -> Result<(), Failure> {
        let mut record = self.record(&vm.name)?;
        self.must_be_stopped(&record)?;
        progress.say("putting the previous root disk back");
        let dir = self.dir(&vm.name);
        paths::rename_if_there(&dir.previous_root_disk(vm.machine), &dir.root_disk(vm.machine))?;
        record.applied.disks = Some(with_applied_disks(&record, vm));
        self.write_record(&record)?;
        self.drop_other_disks(vm)
    }

    /// Removes root disks that the guest has no use for any more: replaced ones, and those in the form of another VMM.
    pub(super) fn drop_other_disks(&self, vm: &VmSpec) -> Result<(), Failure> {
        let dir = self.dir(&vm.name);
        for machine in [Machine::Microvm, Machine::Firecracker] {
            paths::remove_if_there(&dir.previous_root_disk(machine))?;
            if machine.vmm() != vm.machine.vmm() {
                paths::remove_if_there(&dir.root_disk(machine))?;
            }
        }
        Ok(())
    }

    /// Grows the work disk of a stopped guest. Repeating it is harmless.
    pub(in crate::driver) async fn grow(
        &self,
        guest: &str,
        to: ByteSize,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let mut record = self.record(guest)?;
        self.must_be_whole(guest)?;
        progress.say(&format!("growing the work disk to {to}"));
        let disk = self.dir(guest).work_disk();
        self.disk(&disk, &|| self.must_be_stopped(&record)).grow(to).await?;
        if let Some(disks) = &mut record.applied.disks {
            disks.work_disk = to;
        }
        self.write_record(&record)
    }
}

/// What a guest's disks are made from once its root disk is that of `vm`: the others stay as they are.
fn with_applied_disks(record: &crate::resource::Record, vm: &VmSpec) -> VmSpec {
    let applied = record.applied.disks.as_ref().unwrap_or(vm);
    VmSpec { work_disk: applied.work_disk, disks: applied.disks.clone(), ..vm.clone() }
}
