//! The steps of one guest, one after another: its lane through the graph.
//!
//! ```text
//! new        create → write files → start → await ready
//! running    write files                                        (nothing else differs)
//!            stop → grow → write files → start → await ready    (a setting of the VMM differs)
//!            stop → replace root → grow → …                     (the image differs)
//! stopped    the same without the stop
//! renamed    rename → any of these
//! protected  any of these → protect
//! autostart  any of these → autostart
//! sessions   any of these → ensure sessions
//! unwanted   stop → destroy
//! forgotten  forget
//! ```
//! When a step after the stop, or after the new root disk, fails, the guest is put back as it was:
//!
//! ```text
//! was running   stop → restore root (when it was replaced) → start as before → await ready
//! was stopped   stop → restore root
//! ```
//! Builds come before the stop, so that a guest is down only while something is done to it.

use super::built::Builds;
use super::disks::DiskWork;
use super::order::{Draft, Drafted};
use super::sessions;
use super::verdict::Found;
use super::{Action, Impact, Op};
use crate::config::ByteSize;
use crate::resource::{Address, FileSet, GuestPath, VmSpec};

/// What has to be written into a guest.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// By resource.
    pub(super) sets: Vec<(Address, FileSet)>,
    /// Files of ours that go.
    pub(super) remove: Vec<GuestPath>,
    /// And what is to run of it.
    pub(super) sessions: sessions::Work,
}

/// What has to be done to one declared guest.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) address: &'a Address,
    pub(super) vm: &'a VmSpec,
    pub(super) found: Found,
    pub(super) action: Action,
    pub(super) impact: Impact,
    pub(super) grow: Option<ByteSize>,
    pub(super) disks: DiskWork,
    pub(super) writes: Writes,
    pub(super) before: Option<Before<'a>>,
    /// The name it has in the world, when that is another one.
    pub(super) formerly: Option<&'a str>,
    /// Whether it is to be protected, when that differs.
    pub(super) protect: Option<bool>,
    /// Whether it is to start with its host, when that differs.
    pub(super) autostart: Option<bool>,
    /// Whether it is stopped and stays so.
    pub(super) rests: bool,
}

/// A guest as it was before anything was done to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    /// What its disks were made from.
    pub(super) disks: &'a VmSpec,
    /// What its VMM was started with.
    pub(super) started: &'a VmSpec,
}

/// The steps of a lane that others may have to wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lane {
    /// After this the guest is down and its ports are free.
    pub(super) stop: Option<Drafted>,
    /// This takes its ports.
    pub(super) start: Option<Drafted>,
    /// After this it is as declared.
    pub(super) ready: Option<Drafted>,
}

/// Drafts the lane of a declared guest.
pub(super) fn declared(draft: &mut Draft, builds: &Builds, work: Work<'_>) -> Lane {
    let Work { address, vm, found, action, impact, grow, disks, writes, before, formerly, protect, autostart, rests } =
        work;
    let guest = || vm.name.clone();
    let restart = found == Found::Up && matches!(impact, Impact::Restart | Impact::Recreate | Impact::DataLoss);
    let starts = restart || (!rests && matches!(found, Found::Absent | Found::Unfinished | Found::Down));
    let mut chain = Chain { draft, address, last: None, changing: Vec::new() };

    if let Some(from) = formerly {
        chain.step(Op::RenameGuest { from: from.into(), to: guest() });
    }
    let stop = restart.then(|| chain.step(Op::StopGuest { guest: guest() }));
    chain.changing.clear();
    let image = builds.get(&vm.image).copied();
    let kernel = builds.get(&vm.kernel).copied();
    for build in [image, kernel].into_iter().flatten() {
        if let Some(stop) = stop {
            chain.draft.after(stop, build, "it keeps running until the new one is built");
        }
    }
    let root = match action {
        Action::Create => Some(Op::CreateGuest { vm: vm.clone() }),
        Action::Replace => Some(Op::ReplaceRoot { vm: vm.clone() }),
        _ => None,
    };
    if let Some(op) = root {
        let step = chain.step(op);
        if let Some(image) = image {
            chain.draft.after(step, image, "its root disk stands on the image");
        }
    }
    if let Some(to) = grow {
        chain.step(Op::GrowWorkDisk { guest: guest(), to });
    }
    for disk in disks.remove {
        chain.step(Op::RemoveDisk { guest: guest(), disk });
    }
    if disks.fit {
        chain.step(Op::FitDisks { vm: vm.clone() });
    }
    let Writes { sets, remove, sessions } = writes;
    if !sets.is_empty() || !remove.is_empty() {
        chain.write(guest(), sets, remove);
    }
    let start = starts.then(|| chain.step(Op::StartGuest { vm: vm.clone() }));
    if let (Some(start), Some(kernel)) = (start, kernel) {
        chain.draft.after(start, kernel, "it boots the kernel");
    }
    let ready = start.map(|_| chain.step(Op::AwaitReady { guest: guest() }));
    if let Some(protected) = protect {
        chain.step(Op::ProtectGuest { guest: guest(), protected });
        // Nothing has to be put back for a mark that could not be set.
        chain.changing.pop();
    }
    if let Some(autostart) = autostart {
        chain.step(Op::AutostartGuest { guest: guest(), autostart });
        chain.changing.pop();
    }
    // A guest that rests has none.
    if let Some((addresses, op)) = sessions.step(&vm.name, starts, None).filter(|_| starts || found == Found::Up) {
        chain.link(addresses, op);
        chain.changing.pop();
    }
    if let Some(before) = before.filter(|_| restart || action == Action::Replace) {
        chain.put_back(before, action, found);
    }
    Lane { stop, start, ready }
}

/// Drafts the lane of a guest that goes.
pub(super) fn unwanted(draft: &mut Draft, address: &Address, guest: &str, found: Found) -> Lane {
    let mut chain = Chain { draft, address, last: None, changing: Vec::new() };
    let stop = (found == Found::Up).then(|| chain.step(Op::StopGuest { guest: guest.into() }));
    chain.step(Op::DestroyGuest { guest: guest.into() });
    Lane { stop, ..Lane::default() }
}

/// Drafts the lane of a guest that is let go of.
pub(super) fn released(draft: &mut Draft, address: &Address, guest: &str) {
    Chain { draft, address, last: None, changing: Vec::new() }.step(Op::ForgetGuest { guest: guest.into() });
}

/// Steps of which each waits for the one before.
struct Chain<'a> {
    draft: &'a mut Draft,
    address: &'a Address,
    last: Option<(Drafted, &'static str)>,
    /// The steps that a rescue would have to watch.
    changing: Vec<Drafted>,
}

impl Chain<'_> {
    fn step(&mut self, op: Op) -> Drafted {
        self.link(vec![self.address.clone()], op)
    }

    /// Drafts what is done when a step of this chain fails.
    fn put_back(&mut self, before: Before<'_>, action: Action, found: Found) {
        let guest = || before.disks.name.clone();
        self.last = None;
        let watched = std::mem::take(&mut self.changing);
        let rescue = self.step(Op::StopGuest { guest: guest() });
        for step in watched {
            self.draft.rescues(rescue, step);
        }
        if action == Action::Replace {
            self.step(Op::RestoreRoot { vm: before.disks.clone() });
        }
        if found == Found::Up {
            self.step(Op::StartGuest { vm: before.started.clone() });
            self.step(Op::AwaitReady { guest: guest() });
        }
    }

    /// Files are reported under what declared them.
    fn write(&mut self, guest: String, sets: Vec<(Address, FileSet)>, remove: Vec<GuestPath>) -> Drafted {
        let addresses = sets.iter().map(|(address, _)| address.clone()).collect();
        self.link(addresses, Op::WriteFiles { guest, sets, remove, reach: None })
    }

    fn link(&mut self, addresses: Vec<Address>, op: Op) -> Drafted {
        let reason = frees(&op);
        let step = self.draft.follow(self.last, addresses, op);
        self.last = Some((step, reason));
        self.changing.push(step);
        step
    }
}

/// Why the next step of a guest waits for this one.
const fn frees(op: &Op) -> &'static str {
    match op {
        Op::StopGuest { .. } => "nothing else may use its disks",
        Op::CreateGuest { .. } => "its disks must be there",
        Op::ReplaceRoot { .. } | Op::RestoreRoot { .. } => "its root disk must be whole",
        Op::GrowWorkDisk { .. } => "its work disk must be whole",
        Op::FitDisks { .. } | Op::RemoveDisk { .. } => "its disks must be there",
        Op::WriteFiles { .. } => "its files must be in place",
        Op::StartGuest { .. } => "it must have been started",
        Op::RenameGuest { .. } => "it is found under its new name",
        Op::AwaitReady { .. } => "it must answer",
        _ => "it must be done",
    }
}
