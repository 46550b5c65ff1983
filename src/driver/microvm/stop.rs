//! Stopping a guest by ever stronger means (a guest that is killed loses what it had not written), and removing it.
//!
//! ```text
//! poweroff in the guest → power button → quit → SIGKILL
//! ```

use std::time::Duration;

use super::guests::{Guests, cannot_tell, is_suspended, process_id};
use super::vmm::{Vmm, Wish, vmm};
use crate::config::Machine;
use crate::driver::kept;
use crate::effect::{Liveness, paths, process};
use crate::exec::{Failure, Progress};
use crate::resource::{ProcessIdentity, Record, RunState};

/// How a running guest was brought down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    /// `sync` and `poweroff` inside the guest, over SSH.
    Poweroff,
    /// The virtual power button.
    PowerButton,
    /// The VMM was told to quit: its own buffers are flushed, the guest's are lost.
    Quit,
    /// SIGKILL.
    Kill,
}

impl Rung {
    /// From the gentlest to the hardest.
    const LADDER: [Self; 4] = [Self::Poweroff, Self::PowerButton, Self::Quit, Self::Kill];

    /// How long a guest gets to go down after this.
    const fn patience(self) -> Duration {
        match self {
            Self::Poweroff => Duration::from_secs(60),
            Self::PowerButton => Duration::from_secs(20),
            Self::Quit | Self::Kill => Duration::from_secs(10),
        }
    }

    /// How a guest went down that needed this.
    const fn told(self) -> &'static str {
        match self {
            Self::Poweroff => "stopped from inside the guest",
            Self::PowerButton => "stopped by its power button",
            Self::Quit => "stopped by ending its virtual machine: what it had not written is lost",
            Self::Kill => "stopped by SIGKILL: what it had not written is lost",
        }
    }

    const fn says(self) -> &'static str {
        match self {
            Self::Poweroff => "powering off",
            Self::PowerButton => "pressing the power button",
            Self::Quit => "ending the virtual machine",
            Self::Kill => "killing the virtual machine",
        }
    }
}

impl Guests {
    /// Stops a guest; one that is stopped already is fine.
    pub(in crate::driver) async fn stop(&self, guest: &str, progress: &dyn Progress) -> Result<(), Failure> {
        let record = self.record(guest)?;
        let process = match self.run_state(&record) {
            RunState::Stopped => return Ok(()),
            RunState::Suspended => return Err(is_suspended(guest)),
            RunState::Unknown(why) => return Err(cannot_tell(guest, why)),
            RunState::Running(process) => process,
        };
        // What it goes on with is not what was kept.
        self.forget_memory(guest)?;
        // One that was paused can do nothing of what follows. Most were not: whatever the answer, the ladder tells.
        let _ = self.ask(&record, Wish::Resume).await;
        let mut tried = Vec::new();
        for rung in Rung::LADDER {
            progress.say(rung.says());
            match self.step_down(rung, &record, &process).await {
                Ok(()) if self.is_down(&process, rung).await => {
                    progress.note(rung.told());
                    self.console_is_written(guest).await;
                    return self.leave_jail(&record);
                }
                Ok(()) => tried.push(format!("{}: still running after {}s", rung.says(), rung.patience().as_secs())),
                Err(why) => tried.push(format!("{}: {why}", rung.says())),
            }
        }
        Err(Failure { causes: tried, ..Failure::permanent("") }.context(format!("guest `{guest}` does not stop")))
    }

    /// Takes one rung; the guest may need a moment afterwards.
    async fn step_down(&self, rung: Rung, record: &Record, process: &ProcessIdentity) -> Result<(), String> {
        match rung {
            Rung::Poweroff => {
                let deadline = Duration::from_secs(10);
                let target = self.ssh_target(record);
                let shell = self.connect.connect(&target, deadline).await.map_err(|error| error.to_string())?;
                // The connection may go down before the exit status arrives: only the process' end counts.
                let down = self.vmm(record).habits().down;
                let _ = shell.exec(&["sh", "-c", "sync; exec \"$0\"", down], &[], deadline).await;
                Ok(())
            }
            Rung::PowerButton => self.ask(record, Wish::PowerButton).await,
            Rung::Quit => self.ask(record, Wish::Quit).await,
            Rung::Kill => self.kill(process),
        }
    }

    async fn is_down(&self, process: &ProcessIdentity, rung: Rung) -> bool {
        process::wait_for_exit(&*self.processes, &process_id(process), rung.patience()).await == Liveness::Dead
    }

    fn kill(&self, process: &ProcessIdentity) -> Result<(), String> {
        let sent = self.processes.signal(&process_id(process), crate::effect::Signal::SIGKILL);
        sent.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Asks the VMM of a guest for something.
    pub(super) async fn ask(&self, record: &Record, wish: Wish) -> Result<(), String> {
        self.vmm(record).ask(&self.dir(&record.name).control_socket()?, wish).await
    }

    /// The VMM that a guest was last started with.
    pub(super) fn vmm(&self, record: &Record) -> &'static dyn Vmm {
        let started = record.applied.started.as_ref().or(record.applied.disks.as_ref());
        vmm(started.map_or_else(Machine::default, |vm| vm.machine))
    }

    /// Removes a stopped guest. Its directory gets a dot name first, so that a removal that is cut short leaves nothing
    /// that looks like a guest; the next one sweeps it.
    pub(in crate::driver) async fn destroy(&self, guest: &str, progress: &dyn Progress) -> Result<(), Failure> {
        self.sweep()?;
        let dir = self.dir(guest);
        if !paths::exists(dir.root())? {
            return Ok(());
        }
        let record = self.record(guest)?;
        self.must_be_stopped(&record)?;
        self.leave_jail(&record)?;
        let guests = self.state.guests(&self.fleet);
        if record.applied.disks.is_some() {
            progress.say("putting disks aside");
            kept::put_aside(&guests, guest, dir.root(), &record.uuid)?;
            progress.note(&format!(
                "its disks are kept until `regatta gc --delete` removes them: `regatta adopt --destroyed {guest}` takes it back"
            ));
            return Ok(());
        }
        progress.say("removing what was made of it");
        paths::rename(dir.root(), &guests.join(format!(".removed-{guest}")))?;
        self.sweep()
    }

    /// Deletes what interrupted removals left.
    fn sweep(&self) -> Result<(), Failure> {
        let guests = self.state.guests(&self.fleet);
        for name in paths::names_in(&guests)?.into_iter().filter(|name| name.starts_with(".removed-")) {
            paths::remove_tree(&guests.join(name))?;
        }
        Ok(())
    }
}
