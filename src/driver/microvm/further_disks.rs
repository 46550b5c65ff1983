//! Disks of a guest beside root and work disk: sparse files below `disks/`, with an ext4 file system or without one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::guests::Guests;
use crate::config::{ByteSize, Disk};
use crate::driver::kept;
use crate::driver::store::storage_failure;
use crate::effect::{Command, files, paths};
use crate::exec::{Failure, Progress};
use crate::resource::VmSpec;

/// How their files end.
const ENDING: &str = ".img";

impl Guests {
    /// The sizes of the disks that are there, by name.
    pub(super) fn disk_sizes(&self, guest: &str) -> Result<BTreeMap<String, ByteSize>, Failure> {
        let folder = self.dir(guest).disks();
        let mut sizes = BTreeMap::new();
        for file in paths::names_in(&folder)? {
            // What is being made has another ending.
            let Some(name) = file.strip_suffix(ENDING) else { continue };
            if let Some(size) = paths::size(&folder.join(&file))? {
                sizes.insert(name.to_owned(), ByteSize::bytes(size));
            }
        }
        Ok(sizes)
    }

    /// Makes the disks of a stopped guest that are missing, and grows those that are too small. Repeating it is harmless.
    pub(in crate::driver) async fn fit_disks(&self, vm: &VmSpec, progress: &dyn Progress) -> Result<(), Failure> {
        let mut record = self.record(&vm.name)?;
        self.must_be_stopped(&record)?;
        self.must_be_whole(&vm.name)?;
        for disk in &vm.disks {
            progress.say(&format!("making the disk {} fit", disk.name));
            let path = self.dir(&vm.name).disk(&disk.name);
            match paths::size(&path)?.map(ByteSize::bytes) {
                None => self.make_disk(&vm.name, disk).await?,
                Some(size) if size < disk.size && disk.at.is_some() => {
                    self.disk(&path, &|| self.must_be_stopped(&record)).grow(disk.size).await?;
                }
                Some(size) if size < disk.size => {
                    let fail = |cause: io::Error| storage_failure(&format!("cannot grow `{path}`"), &cause);
                    let file = File::options().write(true).open(&path).map_err(fail)?;
                    file.set_len(disk.size.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
                }
                Some(_) => {}
            }
        }
        if let Some(disks) = &mut record.applied.disks {
            disks.disks.clone_from(&vm.disks);
        }
        self.write_record(&record)
    }

    /// Makes the disks of a new guest.
    pub(super) async fn make_disks(&self, vm: &VmSpec) -> Result<(), Failure> {
        for disk in &vm.disks {
            paths::remove_if_there(&self.dir(&vm.name).disk(&disk.name))?;
            self.make_disk(&vm.name, disk).await?;
        }
        Ok(())
    }

    /// Makes one aside and moves it into place.
    async fn make_disk(&self, guest: &str, disk: &Disk) -> Result<(), Failure> {
        files::private_dir(&self.dir(guest).disks())?;
        let path = self.dir(guest).disk(&disk.name);
        let aside = Utf8PathBuf::from(format!("{path}.new"));
        paths::remove_if_there(&aside)?;
        let fail = |cause: io::Error| storage_failure(&format!("cannot make `{aside}`"), &cause);
        let file = File::create_new(&aside).map_err(fail)?;
        file.set_len(disk.size.as_bytes()).map_err(fail)?;
        if disk.at.is_some() {
            self.run.run_ok(&format(&aside, &disk.name)).await?;
        }
        file.sync_all().map_err(fail)?;
        Ok(paths::rename(&aside, &path)?)
    }

    /// Takes a disk from a stopped guest; fine when it is gone.
    pub(in crate::driver) fn remove_disk(
        &self,
        guest: &str,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let mut record = self.record(guest)?;
        self.must_be_stopped(&record)?;
        self.must_be_whole(guest)?;
        progress.say(&format!("removing the disk {name}"));
        kept::put_disk_aside(&self.state.guests(&self.fleet), (guest, name), &self.dir(guest).disk(name))?;
        progress.note(&format!("the disk {name} is kept until `regatta gc --delete` removes it"));
        if let Some(disks) = &mut record.applied.disks {
            disks.disks.retain(|disk| disk.name != name);
        }
        self.write_record(&record)
    }
}

/// LESSON 5: no positional size, its unit is a trap.
fn format(image: &Utf8Path, label: &str) -> Command {
    let options = "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1";
    Command::new("mkfs.ext4").args(["-q", "-F", "-L", label, "-E", options, image.as_str()])
}
