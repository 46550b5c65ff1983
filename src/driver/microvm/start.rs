//! Starting a guest, and waiting until it can be used.

use std::time::Duration;

use super::guests::{Guests, cannot_tell, is_suspended, process_id};
use super::ready::{Guest, Pace, wait_until_ready};
use super::vmm::{Attached, Host, Launch, Memory, vmm};
use super::{accel, identity};
use crate::config::{Accelerator, Disk, Machine};
use crate::driver::KernelPaths;
use crate::driver::files::Request;
use crate::driver::kernel::{self, MODULES};
use crate::driver::undo::Undo;
use crate::effect::{Liveness, Signal, files, paths};
use crate::exec::{Failure, Progress};
use crate::resource::{Record, RunState, VmSpec};

/// Bytes read of a console's end.
const CONSOLE_LIMIT: u64 = 16 << 10;

impl Guests {
    /// Starts the VMM unless it runs already. The VMM outlives us: it is in a session of its own. A guest that cannot be
    /// started is left as it was.
    pub(in crate::driver) async fn start(&self, vm: &VmSpec, progress: &dyn Progress) -> Result<(), Failure> {
        let record = self.record(&vm.name)?;
        match self.run_state(&record) {
            RunState::Running(_) => return Ok(()),
            RunState::Suspended => return Err(is_suspended(&vm.name)),
            RunState::Unknown(why) => return Err(cannot_tell(&vm.name, why)),
            RunState::Stopped => self.must_be_whole(&vm.name)?,
        }
        let mut undo = Undo::default();
        let started = self.launch(vm, record, None, &mut undo, progress).await;
        undo.settle(started).await
    }

    /// Runs the VMM: with `memory` the guest stands still where that was kept, else it boots.
    pub(super) async fn launch<'a>(
        &'a self,
        vm: &VmSpec,
        mut record: Record,
        memory: Option<&Memory>,
        undo: &mut Undo<'a>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let dir = self.dir(&vm.name);
        let vmm = vmm(vm.machine);
        let control_socket = dir.control_socket().map_err(Failure::permanent)?;
        let console_socket = dir.console_socket().map_err(Failure::permanent)?;
        let line = vmm.line(&dir).map_err(Failure::permanent)?;
        let sockets = [Some(&control_socket), Some(&console_socket), line.socket()];
        for socket in sockets.into_iter().flatten() {
            undo.file(socket);
            paths::remove_if_there(socket)?;
        }
        self.leave_jail(&record)?;
        undo.file(&dir.pid_file());
        paths::remove_if_there(&dir.pid_file())?;
        paths::rename_if_there(&dir.console(), &dir.previous_console())?;
        self.disk(&dir.work_disk(), &|| self.must_be_stopped(&record)).settle().await?;
        self.connect_to_network(&record, vm).await?;

        let paths = self.store.kernel_paths(&vm.kernel);
        if !paths::exists(&paths.vmlinux)? {
            let message = format!("kernel {} is not in the store, expected it at `{}`", vm.kernel, paths.vmlinux);
            return Err(Failure::permanent(message).hint("`regatta apply` builds what is missing"));
        }
        let accel = match vm.machine {
            Machine::Firecracker => Accelerator::Kvm,
            _ => accel::choose(&*self.run, &self.state, &paths, vm.accel, progress).await?,
        };

        // Written before the act: after a crash between the two, the running VMM is found by its uuid, and what it
        // was started with is already on record.
        let before = record.clone();
        undo.note("put the record back", async move { self.write_record(&before) });
        record.applied.started = Some(vm.clone());
        record.process = None;
        self.write_record(&record)?;
        self.write_pin(&record)?;

        progress.say(&format!("starting {}", vm.machine.vmm()));
        // The user's come last: of two that contradict each other the kernel takes the last.
        let own = kernel::kernel_arguments(accel, kernel::host_tsc()) + vmm.habits().arguments;
        let disks = self.attached(vm, &record, &paths)?;
        let own =
            own + &kernel::disk_arguments(&disks.iter().map(|disk| disk.name.as_str()).collect::<Vec<_>>(), &vm.disks);
        let arguments = std::iter::once(own).chain(vm.kernel_arguments.iter().cloned()).collect::<Vec<_>>().join(" ");
        let launch = Launch {
            fleet: &self.fleet,
            vm,
            uuid: record.uuid,
            ssh_port: record.ssh_port,
            accel,
            kernel: &paths.vmlinux,
            initrd: &paths.initrd,
            arguments: &arguments,
            root_disk: &dir.root_disk(vm.machine),
            work_disk: &dir.work_disk(),
            disks: &disks,
            line: &line,
            control_socket: &control_socket,
            pid_file: &dir.pid_file(),
            memory,
        };
        let _console = self.keep_console(&vm.name, line.clone()).await?;
        let host = Host { run: &*self.run, detach: &*self.detach, jails: self.jails.as_ref() };
        if let Err(failure) = vmm.start(&launch, host).await {
            self.end_half_started(&record);
            return Err(failure);
        }
        // From here on it runs, and a failure says nothing about it.
        record.process = self.started_process(&record)?;
        self.write_record(&record).map_err(Failure::into_unknown)
    }

    /// The further disks that a guest starts with: its kernel's modules, and its own that are there.
    fn attached(&self, vm: &VmSpec, record: &Record, kernel: &KernelPaths) -> Result<Vec<Attached>, Failure> {
        let mut attached = Vec::new();
        if paths::exists(&kernel.modules)? {
            let path = kernel.modules.clone();
            attached.push(Attached { name: MODULES.into(), path, writable: false });
        }
        let made = record.applied.disks.iter().flat_map(|disks| &disks.disks);
        let made: Vec<&str> = made.map(|disk| disk.name.as_str()).collect();
        for Disk { name, .. } in &vm.disks {
            let path = self.dir(&vm.name).disk(name);
            match (paths::exists(&path)?, made.contains(&name.as_str())) {
                (true, _) => attached.push(Attached { name: name.clone(), path, writable: true }),
                (false, true) => {
                    let message = format!("the disk `{name}` of guest `{}` is gone, expected it at `{path}`", vm.name);
                    return Err(Failure::permanent(message));
                }
                // It was removed before the guest was put back as it was.
                (false, false) => {}
            }
        }
        Ok(attached)
    }

    /// Ends what a start left that did not succeed: the VMM may have gone into the background and wait there. It has run no
    /// guest yet, so that nothing is lost.
    fn end_half_started(&self, record: &Record) {
        if let Ok(Some(process)) = self.started_process(record) {
            // A process that stays is found by the next start, which then says so.
            let _ = self.processes.signal(&process_id(&process), Signal::SIGKILL);
        }
    }

    /// Tells the guest how it is connected, unless its work disk says so already.
    async fn connect_to_network(&self, record: &Record, vm: &VmSpec) -> Result<(), Failure> {
        let told = match (&record.applied.started, &record.applied.disks) {
            (Some(started), _) => started.network == vm.network,
            (None, Some(disks)) => disks.network.link.is_none() && vm.network.link.is_none(),
            (None, None) => false,
        };
        if told {
            return Ok(());
        }
        let seeds = identity::network_seeds(&vm.network)?;
        let request = Request { seeds: &seeds, ..Request::default() };
        let disk = self.dir(&vm.name).work_disk();
        self.disk(&disk, &|| self.must_be_stopped(record)).write(&request).await
    }

    /// Waits until the guest can be logged in to.
    pub(in crate::driver) async fn await_ready(
        &self,
        guest: &str,
        deadline_s: u64,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let record = self.record(guest)?;
        progress.say("waiting for SSH");
        let starting = Starting { guests: self, record: &record };
        // The step's own deadline comes a little later: this one knows what it was waiting for.
        let deadline = Duration::from_secs(deadline_s.saturating_sub(5).max(1));
        let target = self.ssh_target(&record);
        let ready = wait_until_ready(&*self.connect, &target, &starting, deadline, Pace::default()).await;
        ready.map(drop).map_err(|why| Failure::from(why).context(format!("guest `{guest}` does not answer")))?;
        // Nothing has to be put back any more.
        record.applied.disks.as_ref().map_or(Ok(()), |disks| self.drop_other_disks(disks))
    }
}

/// A guest that was just started.
pub(super) struct Starting<'a> {
    pub(super) guests: &'a Guests,
    pub(super) record: &'a Record,
}

impl Guest for Starting<'_> {
    fn vmm(&self) -> Liveness {
        match self.guests.run_state(self.record) {
            RunState::Running(_) => Liveness::Alive,
            RunState::Stopped | RunState::Suspended => Liveness::Dead,
            RunState::Unknown(why) => Liveness::Unknown(why),
        }
    }

    fn console(&self) -> Vec<u8> {
        files::read_tail(&self.guests.dir(&self.record.name).console(), CONSOLE_LIMIT).unwrap_or_default()
    }
}
