//! Suspending a guest: its memory goes to a file and its VMM ends; waking it lets it go on where it was.
//!
//! ```text
//! runs ── stands still ── memory.new written and synced ── memory ── VMM ended          suspended
//! suspended ── memory.waking ── VMM with it, standing still ── file removed ── goes on   runs
//! ```
//! Memory and disks belong together: while there is a `memory`, nothing else uses the disks. And it goes on once: before the
//! guest can change anything, the file is gone, so that there are never two guests of one memory (LESSON 31). What makes
//! the guest itself (MAC, machine id, host keys) is in that memory and on its disks, and stays. A snapshot may have the same
//! memory for another time: then the guest is what it was, once more, but for its random numbers.

use std::time::Duration;

use uuid::Uuid;

use super::guests::{Guests, process_id};
use super::vmm::{Memory, Wish};
use crate::config::ByteSize;
use crate::driver::undo::Undo;
use crate::effect::{Liveness, Signal, files, paths, process};
use crate::exec::{Failure, FailureKind, Progress};
use crate::resource::{Record, RunState, VmSpec};

/// A VMM that has nothing left to do is gone in milliseconds.
const END: Duration = Duration::from_secs(10);

/// How long a guest that goes on may take to answer.
const ANSWER_S: u64 = 60;

/// How long setting its clock may take.
const CLOCK: Duration = Duration::from_secs(20);

/// Mixes what comes in into the kernel's pool, and has its generator take up the pool at once where there is a Perl to ask for it
/// (`RNDRESEEDCRNG`, random(4)): without, that takes up to a minute.
const STIR: &str = r#"cat >/dev/urandom || exit 1
command -v perl >/dev/null || exit 0
exec perl -e 'open(my $pool, ">", "/dev/urandom") or exit 1; ioctl($pool, 0x5207, 0) or exit 1'"#;

impl Guests {
    /// Keeps the memory of a running guest in a file and ends its VMM. Who calls this holds the host's lock. Fine when it is
    /// suspended already.
    ///
    /// # Errors
    /// When the guest does not run, or its memory cannot be kept: then it runs on.
    pub async fn suspend(&self, guest: &str, progress: &dyn Progress) -> Result<(), Failure> {
        if self.run_state(&self.record(guest)?) == RunState::Suspended {
            return Ok(());
        }
        let record = self.running(guest)?;
        if started(&record)?.jailer.is_some() {
            let why = format!("guest `{guest}` is in a jail, from which its VMM reaches no file that outlives it");
            return Err(Failure::permanent(why).hint("stop it instead, or run it without `jailer`"));
        }
        let memory = self.memory(&record)?;
        self.forget_memory(guest)?;
        self.has_room(&record)?;
        progress.say("keeping its memory");
        let control = self.dir(guest).control_socket().map_err(Failure::permanent)?;
        let saved = self.vmm(&record).save(&control, &memory).await;
        if let Err(why) = saved {
            let mut failure = Failure::permanent(why).context(format!("the memory of guest `{guest}` cannot be kept"));
            failure
                .causes
                .extend(self.ask(&record, Wish::Resume).await.err().map(|why| format!("it stands still: {why}")));
            paths::remove_if_there(&memory.file)?;
            return Err(failure);
        }
        paths::rename(&memory.file, &self.dir(guest).memory())?;
        files::sync(&self.dir(guest).memory())?;
        self.end(&record).await
    }

    /// Lets a suspended guest go on. Who calls this holds the host's lock. Fine when it runs.
    ///
    /// # Errors
    /// When it is not suspended, or its VMM cannot take its memory up: then it stays suspended.
    pub async fn wake(&self, guest: &str, progress: &dyn Progress) -> Result<(), Failure> {
        let record = self.record(guest)?;
        match self.run_state(&record) {
            RunState::Suspended => self.must_be_whole(guest)?,
            // It runs, or says why nothing is done.
            _ => return self.running(guest).map(drop),
        }
        let vm = started(&record)?;
        let mut undo = Undo::default();
        let woken = self.take_up(&vm, record, &mut undo, progress).await;
        undo.settle(woken).await
    }

    /// Waits until a guest that was woken answers, sets its clock, which stood still, and stirs its random numbers: of one
    /// memory it may go on several times, and must not give out the same ones again (LESSON 31).
    ///
    /// # Errors
    /// When it does not answer, or keeps its clock or its random numbers.
    pub async fn greet(&self, guest: &str, progress: &dyn Progress) -> Result<(), Failure> {
        self.await_ready(guest, ANSWER_S, progress).await?;
        let record = self.record(guest)?;
        let shell = self.connect.connect(&self.ssh_target(&record), CLOCK).await?;
        let now = format!("@{}", self.clock.now().as_second());
        let set = shell.exec(&["date", "-u", "-s", &now], &[], CLOCK).await?;
        if !set.success() {
            return Err(Failure::permanent(format!("guest `{guest}` goes on, but its clock could not be set")));
        }
        // More than half of each is random.
        let seed: Vec<u8> = (0..8).flat_map(|_| Uuid::now_v7().into_bytes()).collect();
        let stirred = shell.exec(&["sh", "-c", STIR], &seed, CLOCK).await?;
        if !stirred.success() {
            let message = format!("guest `{guest}` goes on, but its random numbers are those of its memory");
            return Err(Failure::permanent(message).hint("restart what makes keys in it"));
        }
        Ok(())
    }

    /// Gives up the memory of a suspended guest: it is stopped then, as after a power cut.
    ///
    /// # Errors
    /// When the guest is not suspended, or the file cannot be removed.
    pub fn discard_memory(&self, guest: &str) -> Result<(), Failure> {
        let record = self.record(guest)?;
        if self.run_state(&record) != RunState::Suspended {
            return Err(Failure::permanent(format!("guest `{guest}` is not suspended")));
        }
        self.forget_memory(guest)
    }

    /// Removes what is kept of a guest that goes on without it.
    pub(super) fn forget_memory(&self, guest: &str) -> Result<(), Failure> {
        let dir = self.dir(guest);
        let files = [dir.memory(), dir.waking_memory(), dir.devices()];
        Ok(files.iter().try_for_each(|file| paths::remove_if_there(file))?)
    }

    async fn take_up<'a>(
        &'a self,
        vm: &VmSpec,
        record: Record,
        undo: &mut Undo<'a>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let dir = self.dir(&vm.name);
        let memory = Memory { file: dir.waking_memory(), ..self.memory(&record)? };
        let (kept, waking) = (dir.memory(), dir.waking_memory());
        undo.note("keep its memory", {
            let (kept, waking) = (kept.clone(), waking.clone());
            async move { Ok(paths::rename_if_there(&waking, &kept)?) }
        });
        paths::rename(&kept, &waking)?;
        self.launch(vm, record.clone(), Some(&memory), undo, progress).await?;
        // From here on it may change its disks.
        self.forget_memory(&vm.name).map_err(Failure::into_unknown)?;
        let resumed = self.ask(&record, Wish::Resume).await;
        resumed.map_err(|why| Failure::unknown(why).context(format!("guest `{}` does not go on", vm.name)))
    }

    /// Ends the VMM of a guest that stands still and whose memory is kept.
    async fn end(&self, record: &Record) -> Result<(), Failure> {
        let RunState::Running(identity) = self.run_state(record) else { return Ok(()) };
        let id = process_id(&identity);
        // QEMU leaves its disks whole either way: they were flushed when it stood still.
        if self.ask(record, Wish::Quit).await.is_err()
            || process::wait_for_exit(&*self.processes, &id, END).await != Liveness::Dead
        {
            let sent = self.processes.signal(&id, Signal::SIGKILL);
            sent.map_err(|error| Failure { kind: FailureKind::Unknown, ..Failure::permanent(error.to_string()) })?;
        }
        match process::wait_for_exit(&*self.processes, &id, END).await {
            Liveness::Dead => {
                self.console_is_written(&record.name).await;
                Ok(())
            }
            Liveness::Alive | Liveness::Unknown(_) => {
                Err(Failure::unknown(format!("the VMM of guest `{}` does not end", record.name)))
            }
        }
    }

    fn memory(&self, record: &Record) -> Result<Memory, Failure> {
        let dir = self.dir(&record.name);
        // Twenty MiB a second is a slow disk.
        let deadline = Duration::from_secs(30 + started(record)?.memory.as_mib() / 20);
        let socket = dir.memory_socket().map_err(Failure::permanent)?;
        Ok(Memory { file: dir.root().join("memory.new"), devices: dir.devices(), socket, deadline })
    }

    fn has_room(&self, record: &Record) -> Result<(), Failure> {
        let (free, needed) = (paths::free(self.dir(&record.name).root())?, started(record)?.memory);
        if free > needed.as_bytes() {
            return Ok(());
        }
        let free = ByteSize::bytes(free);
        let message = format!("{free} are free where guest `{}` is, its memory may take {needed}", record.name);
        Err(Failure::permanent(message).hint(crate::driver::failure::DISK_FULL_HINT))
    }
}

/// What its VMM was started with.
fn started(record: &Record) -> Result<VmSpec, Failure> {
    let started = record.applied.started.as_ref().or(record.applied.disks.as_ref());
    started.cloned().ok_or_else(|| Failure::permanent(format!("guest `{}` was never started", record.name)))
}
