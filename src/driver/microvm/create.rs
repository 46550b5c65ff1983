//! Making a guest: its mark first, then its disks, each aside and renamed, then the mark again.

use std::collections::BTreeSet;

use camino::Utf8Path;

use super::guests::Guests;
use super::{identity, port};
use crate::config::Machine;
use crate::driver::files::{Request, offline};
use crate::driver::record;
use crate::driver::undo::Undo;
use crate::effect::{Command, KeyPair, copy_sparse, files, known_hosts_line, paths, port_is_free};
use crate::exec::{Failure, Progress};
use crate::resource::{AppliedGuest, Reading, Record, VmSpec};

impl Guests {
    /// Makes a guest's disks. Does nothing when they were made already; starts over when making them was interrupted;
    /// leaves nothing when it fails.
    pub(in crate::driver) async fn create(&self, vm: &VmSpec, progress: &dyn Progress) -> Result<(), Failure> {
        let mut undo = Undo::default();
        let made = self.make(vm, &mut undo, progress).await;
        undo.settle(made).await
    }

    async fn make(&self, vm: &VmSpec, undo: &mut Undo<'_>, progress: &dyn Progress) -> Result<(), Failure> {
        let dir = self.dir(&vm.name);
        let unfinished = match record::read(&dir.record()) {
            Reading::Present(record) if record.applied.disks.is_some() => return Ok(()),
            Reading::Present(record) => Some(record),
            Reading::Absent => None,
            Reading::Unreadable(why) => return Err(Failure::permanent(why)),
        };
        if let Some(record) = &unfinished {
            self.must_be_stopped(record)?;
        }
        if unfinished.is_none() && paths::exists(&dir.work_disk())? {
            let message =
                format!("found `{}` without a record beside it: it is not known whose it is", dir.work_disk());
            return Err(Failure::permanent(message).hint("move the directory away, or put its `record.json` back"));
        }
        let host_key = KeyPair::generate(&format!("{}.{}", vm.name, self.fleet))?;
        let root = dir.root().to_owned();
        // Nothing in it was ever used by anybody.
        undo.note(format!("remove `{root}`"), async move { Ok(paths::remove_tree(&root)?) });
        files::private_dir(dir.root())?;
        let mut record = self.mark(vm, unfinished, &host_key.public_line()?).await?;
        progress.say("making disks");
        self.make_root_disk(vm).await?;
        self.make_work_disk(&record, vm, &host_key).await?;
        self.make_disks(vm).await?;
        record.applied.disks = Some(vm.clone());
        self.write_pin(&record)?;
        self.write_record(&record)
    }

    /// Pins the host key where the guest answers, for the `ssh` program.
    pub(super) fn write_pin(&self, record: &Record) -> Result<(), Failure> {
        let target = self.ssh_target(record);
        let line = known_hosts_line(&target.host, target.port, &target.host_key)?;
        Ok(files::write_atomic(&self.dir(&record.name).known_hosts(), line.as_bytes())?)
    }

    /// Writes the record of a guest whose disks are still to be made: from here on, whatever happens, it is ours.
    async fn mark(&self, vm: &VmSpec, unfinished: Option<Record>, host_key: &str) -> Result<Record, Failure> {
        let _one_at_a_time = self.ports.lock().await;
        let record = match unfinished {
            Some(record) => Record { host_key: host_key.into(), ..record },
            None => Record {
                format_version: record::FORMAT_VERSION,
                fleet: self.fleet.clone(),
                origin: self.origin.clone(),
                name: vm.name.clone(),
                formerly: None,
                uuid: (self.identify)(&vm.name),
                ssh_port: self.choose_port(vm)?,
                host_key: host_key.into(),
                applied: AppliedGuest { disks: None, started: None },
                process: None,
                protected: false,
                autostart: false,
            },
        };
        self.write_record(&record)?;
        Ok(record)
    }

    /// A free loopback port that no other guest of ours has, running or not.
    fn choose_port(&self, vm: &VmSpec) -> Result<u16, Failure> {
        let mut taken: BTreeSet<u16> = vm.network.forwards.iter().map(|forward| forward.host).collect();
        for fleet in paths::names_in(&self.state.fleets())? {
            for guest in paths::names_in(&self.state.guests(&fleet))? {
                if let Reading::Present(record) = record::read(&self.state.guest(&fleet, &guest).record()) {
                    taken.insert(record.ssh_port);
                }
            }
        }
        port::choose(&self.fleet, &vm.name, &taken, port_is_free)
            .ok_or_else(|| Failure::permanent("no free loopback port is left for SSH to the guest"))
    }

    /// A root disk of the image. For QEMU copy-on-write over it, its path written relative so that the state directory can
    /// be moved; for Firecracker a sparse copy.
    pub(super) async fn make_root_disk(&self, vm: &VmSpec) -> Result<(), Failure> {
        let (dir, image) = (self.dir(&vm.name), &vm.image);
        let base = self.store.image_path(image);
        if !paths::exists(&base)? {
            return Err(Failure::permanent(format!("image {image} is not in the store, expected it at `{base}`")));
        }
        let disk = dir.root_disk(vm.machine);
        let aside = camino::Utf8PathBuf::from(format!("{disk}.new"));
        if vm.machine == Machine::Firecracker {
            copy(base, aside.clone()).await?;
        } else {
            let create = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"];
            let backing = relative(dir.root(), &base);
            let command = Command::new("qemu-img").args(create).args([backing.as_str(), aside.as_str()]);
            self.run.run_ok(&command).await?;
        }
        paths::rename(&aside, &disk)?;
        Ok(())
    }

    /// A work disk with the guest's identity on it.
    async fn make_work_disk(&self, record: &Record, vm: &VmSpec, host_key: &KeyPair) -> Result<(), Failure> {
        let dir = self.dir(&record.name);
        let aside = dir.root().join("work.img.new");
        paths::remove_if_there(&aside)?;
        offline::create_disk(&aside, vm.work_disk, &*self.run).await?;
        let mut seeds = identity::seeds(record, host_key)?;
        seeds.extend(identity::network_seeds(&vm.network)?);
        // Nobody can use a disk that no guest has yet.
        self.disk(&aside, &|| Ok(())).write(&Request { seeds: &seeds, ..Request::default() }).await?;
        paths::rename(&aside, &dir.work_disk())?;
        // The lock that the write above was done under; nobody else knows that name.
        Ok(paths::remove_if_there(&dir.root().join("work.img.new.lock"))?)
    }
}

/// Copies an image: reading and writing hundreds of megabytes is nothing for a thread that others wait for.
async fn copy(from: camino::Utf8PathBuf, to: camino::Utf8PathBuf) -> Result<(), Failure> {
    let copied = tokio::task::spawn_blocking(move || {
        copy_sparse(&from, &to).map_err(|cause| Failure::permanent(format!("cannot copy `{from}` to `{to}`: {cause}")))
    });
    copied.await.map_err(|error| Failure::unknown(format!("copying an image failed: {error}")))?
}

/// `to` as seen from the directory `from`; both absolute and without `.` or `..`.
fn relative(from: &Utf8Path, to: &Utf8Path) -> camino::Utf8PathBuf {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| "..");
    up.chain(to.components().skip(common).map(|part| part.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_lead_from_the_guest_to_the_store() {
        let path = relative("/s/fleets/demo/vms/web".into(), "/s/store/images/k/root.img".into());
        assert_eq!(path, "../../../../store/images/k/root.img");
    }
}
