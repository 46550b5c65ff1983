//! The program that runs a guest, behind one small trait: QEMU and Firecracker.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use uuid::Uuid;

use super::console::Line;
use super::firecracker::{Firecracker, Jails};
use super::qemu::Qemu;
use crate::config::{Accelerator, Machine};
use crate::driver::GuestDir;
use crate::effect::{Detach, Run};
use crate::exec::Failure;
use crate::resource::VmSpec;

/// Everything outside the declaration that a start needs.
#[derive(Debug, Clone)]
pub(super) struct Launch<'a> {
    /// The fleet, for the process' name.
    pub fleet: &'a str,
    /// What to start.
    pub vm: &'a VmSpec,
    /// The guest's identity: an argument of its own on the command line, so that the process can be found by it.
    pub uuid: Uuid,
    /// Loopback port forwarded to the guest's port 22, in user-mode networks.
    pub ssh_port: u16,
    /// KVM or TCG, already decided.
    pub accel: Accelerator,
    /// Uncompressed kernel.
    pub kernel: &'a Utf8Path,
    /// Initramfs.
    pub initrd: &'a Utf8Path,
    /// Kernel arguments.
    pub arguments: &'a str,
    /// Root disk, in the VMM's form.
    pub root_disk: &'a Utf8Path,
    /// Raw work disk.
    pub work_disk: &'a Utf8Path,
    /// Further raw disks, in this order.
    pub disks: &'a [Attached],
    /// The VMM's side of the serial line, whose other side is kept already.
    pub line: &'a Line,
    /// Socket to listen on for [`Wish`]es.
    pub control_socket: &'a Utf8Path,
    /// File that takes the pid, where the VMM writes one.
    pub pid_file: &'a Utf8Path,
    /// What the guest goes on with; without it, it boots.
    pub memory: Option<&'a Memory>,
}

/// A further disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attached {
    /// Its name: its serial number where the VMM can give it one.
    pub name: String,
    /// Its file.
    pub path: Utf8PathBuf,
    /// Whether the guest may write to it.
    pub writable: bool,
}

/// Where the memory of a guest is kept while nothing runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Memory {
    /// What it held, and where its devices stood where the VMM keeps both in one.
    pub file: Utf8PathBuf,
    /// Where its devices stood, where the VMM keeps that apart.
    pub devices: Utf8PathBuf,
    /// Socket over which the VMM is handed it, where it opens no file.
    pub socket: Utf8PathBuf,
    /// How long writing or reading it may take.
    pub deadline: Duration,
}

/// What a VMM may do while it starts a guest.
#[derive(Clone, Copy)]
pub(super) struct Host<'a> {
    /// Runs programs.
    pub run: &'a dyn Run,
    /// Starts what outlives us.
    pub detach: &'a dyn Detach,
    /// Makes jails.
    pub jails: Option<&'a Jails>,
}

/// What a running VMM can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Tell the guest to shut down, as a button would.
    PowerButton,
    /// End, the guest's disks flushed as far as the VMM has them.
    Quit,
    /// Stand still.
    Pause,
    /// Go on. Fine when it does already.
    Resume,
}

/// Whether the processors of a running VMM run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// They do.
    Running,
    /// They stand still.
    Paused,
}

/// What a VMM's guests have to do differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Habits {
    /// Further kernel arguments, each after a space.
    pub arguments: &'static str,
    /// The program in the guest after which its VMM ends.
    pub down: &'static str,
}

/// A program that runs one guest per process. Its process has the guest's uuid as an argument, is in a session of its own,
/// and ends with the guest.
#[async_trait]
pub(super) trait Vmm: Send + Sync {
    /// Starts the guest in the background; returns when its devices are up. One that goes on with kept memory stands still
    /// there until it is asked to [`Wish::Resume`].
    ///
    /// # Errors
    /// In the VMM's own words. A process may be left: whoever calls this ends it.
    async fn start(&self, launch: &Launch<'_>, host: Host<'_>) -> Result<(), Failure>;

    /// Asks a running VMM for something, over its control socket.
    ///
    /// # Errors
    /// In the VMM's own words.
    async fn ask(&self, control: &Utf8Path, wish: Wish) -> Result<(), String>;

    /// Writes the memory of a running or paused guest to new files, and leaves it standing still.
    ///
    /// # Errors
    /// In the VMM's own words. It stands still then, too.
    async fn save(&self, control: &Utf8Path, memory: &Memory) -> Result<(), String>;

    /// Whether its processors run.
    ///
    /// # Errors
    /// When it does not say.
    async fn pace(&self, control: &Utf8Path) -> Result<Pace, String>;

    /// The serial line of a guest.
    ///
    /// # Errors
    /// When the state directory's path is too long for sockets.
    fn line(&self, dir: &GuestDir) -> Result<Line, String>;

    /// What its guests have to do differently.
    fn habits(&self) -> Habits;
}

/// The VMM of a guest. It has no state of its own.
pub(super) fn vmm(machine: Machine) -> &'static dyn Vmm {
    match machine {
        Machine::Microvm | Machine::Q35 => &Qemu,
        Machine::Firecracker => &Firecracker,
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PowerButton => "press the power button",
            Self::Quit => "end",
            Self::Pause => "pause",
            Self::Resume => "go on",
        })
    }
}
