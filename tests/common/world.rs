//! The model world: what performing the steps of a plan leaves behind, without any machine.
//!
//! It is the counterpart of the drivers: strict where they are (a running guest's disks are not written offline, a
//! started guest is not started again), so that a graph in a wrong order fails here.

#![allow(clippy::panic, clippy::expect_used, reason = "a step that the world cannot take is a failed test")]

use std::collections::BTreeMap;

use regatta::plan::{Op, Plan};
use regatta::resource::{
    Address, AppliedGuest, BridgeSpec, Built, Content, DesiredFile, Digest, FileKind, FileSet, GuestFiles, GuestPath,
    Observed, ObservedFile, ObservedGuest, ObservedNetwork, ObservedRules, ObservedSession, PortForward,
    ProcessIdentity, Reading, Record, RunState, SessionSpec, SessionState, Standing, VmSpec, WrittenFile, merge,
};

/// Fleets are made by this file.
pub const ORIGIN: &str = "/fleets/fleet.kdl";

/// A world that only we change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// The truth, as a perfect driver would report it.
    pub observed: Observed,
    fleet: String,
}

impl World {
    /// Nothing at all, ready for a fleet.
    pub fn empty(fleet: &str) -> Self {
        Self { observed: Observed::default(), fleet: fleet.into() }
    }

    /// Performs all steps of a plan in their order. Nothing fails, so nothing has to be put back.
    pub fn apply(&mut self, plan: &Plan) {
        for (step, rescue) in plan.graph.steps.iter().zip(plan.graph.rescues()) {
            assert!(step.after.iter().all(|edge| edge.step < step.id), "{step:?} comes before what it waits for");
            if rescue.is_none() {
                self.perform(&step.op);
            }
        }
    }

    /// Does one thing.
    pub fn perform(&mut self, op: &Op) {
        match op {
            Op::BuildImage { image } => {
                self.observed.built.insert(image.key.clone(), Built { allocated: image.size.as_bytes(), pinned: None });
            }
            Op::BuildKernel { kernel } => {
                self.observed.built.insert(kernel.key.clone(), Built { allocated: 1, pinned: None });
            }
            Op::EnsureNetwork { network } => self.ensure(network),
            Op::DestroyNetwork { network, .. } => {
                assert!(self.users(network).is_empty(), "`{network}` is used by {:?}", self.users(network));
                self.observed.networks.remove(network);
            }
            Op::CreateGuest { vm } => self.create(vm),
            Op::ReplaceRoot { vm } => {
                assert!(self.observed.built.contains_key(&vm.image), "the image of `{}` is not built", vm.name);
                let guest = self.stopped(&vm.name);
                let work_disk = guest.record.applied.disks.as_ref().expect("it has disks").work_disk;
                let disks = guest.record.applied.disks.as_ref().expect("it has disks").disks.clone();
                guest.record.applied.disks = Some(VmSpec { work_disk, disks, ..vm.clone() });
            }
            Op::FitDisks { vm } => {
                let guest = self.stopped(&vm.name);
                for disk in &vm.disks {
                    let had = guest.disks.insert(disk.name.clone(), disk.size);
                    assert!(had.is_none_or(|size| size <= disk.size), "a disk only grows");
                }
                guest.record.applied.disks.as_mut().expect("it has disks").disks.clone_from(&vm.disks);
            }
            Op::RemoveDisk { guest, disk } => {
                let guest = self.stopped(guest);
                assert!(guest.disks.remove(disk).is_some(), "there is no disk `{disk}`");
                guest.record.applied.disks.as_mut().expect("it has disks").disks.retain(|one| one.name != *disk);
            }
            Op::RestoreRoot { vm } => self.stopped(&vm.name).record.applied.disks = Some(vm.clone()),
            Op::GrowWorkDisk { guest, to } => {
                let guest = self.stopped(guest);
                assert!(guest.work_disk.present().is_some_and(|size| size < to), "a work disk only grows");
                guest.work_disk = Reading::Present(*to);
                guest.record.applied.disks.as_mut().expect("it has disks").work_disk = *to;
            }
            Op::WriteFiles { guest, sets, remove, .. } => write(self.files(guest), sets, remove),
            Op::StartGuest { vm } => self.start(vm),
            Op::AwaitReady { guest } => {
                assert!(matches!(self.guest(guest).state, RunState::Running(_)), "`{guest}` does not run");
            }
            Op::EnsureSessions { guest, sessions, remove, .. } => self.keep(guest, sessions, remove),
            Op::StopGuest { guest } => self.stop(guest),
            Op::DestroyGuest { guest } => {
                self.stopped(guest);
                self.observed.guests.remove(guest);
            }
            Op::RenameGuest { from, to } => self.rename(from, to),
            Op::ProtectGuest { guest, protected } => self.guest(guest).record.protected = *protected,
            Op::AutostartGuest { guest, autostart } => {
                self.guest(guest).record.autostart = *autostart;
                self.observed.starts_with_host |= autostart;
            }
            Op::ForgetGuest { guest } => {
                self.guest(guest);
                self.observed.guests.remove(guest);
            }
            Op::AdoptGuest { guest, .. } => panic!("`{guest}` is adopted, and this world has no strays"),
            other => panic!("`{}` is no step of this machine", other.name()),
        }
    }

    /// What ran in a guest does not any more.
    fn stop(&mut self, name: &str) {
        self.guest(name).state = RunState::Stopped;
        if let Reading::Present(GuestFiles { sessions: Reading::Present(sessions), .. }) = &mut self.guest(name).files {
            for session in sessions.values_mut().filter(|session| session.state == SessionState::Running) {
                session.state = SessionState::Failed("the guest was restarted".into());
            }
        }
    }

    fn keep(&mut self, name: &str, declared: &[SessionSpec], remove: &[String]) {
        assert!(matches!(self.guest(name).state, RunState::Running(_)), "`{name}` does not run");
        let Reading::Present(sessions) = &mut self.files(name).sessions else { panic!("its sessions are not known") };
        for name in remove {
            sessions.remove(name);
        }
        for spec in declared {
            let standing = spec.judge(sessions.get(&spec.name));
            assert_ne!(standing, Standing::Foreign, "`{}` was started by hand", spec.name);
            if standing != Standing::Right {
                let session = ObservedSession { state: SessionState::Running, declared: Some(spec.digest()) };
                sessions.insert(spec.name.clone(), session);
            }
        }
    }

    /// Guests that run on a network.
    fn users(&self, network: &str) -> Vec<&String> {
        let runs_on_it = |reading: &Reading<ObservedGuest>| {
            let Reading::Present(ObservedGuest { state: RunState::Running(_), record, .. }) = reading else {
                return false;
            };
            let link = record.applied.started.as_ref().and_then(|vm| vm.network.link.as_ref());
            link.is_some_and(|link| link.network == network)
        };
        self.observed.guests.iter().filter(|(_, reading)| runs_on_it(reading)).map(|(name, _)| name).collect()
    }

    /// A cable that is pulled while its guest runs was in use, unless the network is gone already.
    fn ensure(&mut self, spec: &BridgeSpec) {
        let is_there = self.observed.networks.get(&spec.name).is_some_and(|network| network.present().is_some());
        for guest in self.users(&spec.name).into_iter().filter(|_| is_there) {
            assert!(spec.taps.contains_key(guest), "the cable of `{guest}` is in use");
        }
        let forwards = spec.forwards.iter().map(|forward| PortForward { address6: None, ..*forward });
        let network = ObservedNetwork {
            bridge: spec.bridge.clone(),
            foreign: None,
            applied: Some(spec.digest()),
            up: true,
            addresses: spec.addresses(),
            taps: spec.taps.values().map(|tap| (tap.link.clone(), spec.isolate)).collect(),
            resolving: if spec.dns || spec.dhcp {
                regatta::resource::Resolving::AsDeclared
            } else {
                regatta::resource::Resolving::Off
            },
            rules: Reading::Present(ObservedRules { as_applied: true, nat: spec.nat, forwards: forwards.collect() }),
        };
        self.observed.networks.insert(spec.name.clone(), Reading::Present(network));
    }

    /// A guest that is there.
    pub fn guest(&mut self, name: &str) -> &mut ObservedGuest {
        match self.observed.guests.get_mut(name) {
            Some(Reading::Present(guest)) => guest,
            other => panic!("`{name}` is {other:?}"),
        }
    }

    /// The files of a guest.
    pub fn files(&mut self, name: &str) -> &mut GuestFiles {
        match &mut self.guest(name).files {
            Reading::Present(files) => files,
            other => panic!("the files of `{name}` are {other:?}"),
        }
    }

    fn stopped(&mut self, name: &str) -> &mut ObservedGuest {
        let guest = self.guest(name);
        assert_eq!(guest.state, RunState::Stopped, "`{name}` is not stopped");
        guest
    }

    /// The directory, unless it was renamed before; then everything that carries the name.
    fn rename(&mut self, from: &str, to: &str) {
        if let Some(guest) = self.observed.guests.remove(from) {
            let before = self.observed.guests.insert(to.into(), guest);
            assert!(matches!(before, None | Some(Reading::Absent)), "`{to}` is there already");
        }
        let guest = self.guest(to);
        guest.record.name = to.into();
        guest.record.formerly = None;
        let specs = [&mut guest.record.applied.disks, &mut guest.record.applied.started];
        specs.into_iter().flatten().for_each(|vm| vm.name = to.into());
        if let Reading::Present(files) = &mut guest.files {
            let entries = std::mem::take(&mut files.manifest).into_iter();
            files.manifest = entries.map(|(address, written)| (address.of_guest(to), written)).collect();
        }
    }

    fn create(&mut self, vm: &VmSpec) {
        assert!(self.observed.built.contains_key(&vm.image), "the image of `{}` is not built", vm.name);
        let number = self.observed.guests.len() as u16;
        let record = Record {
            format_version: 1,
            fleet: self.fleet.clone(),
            origin: ORIGIN.into(),
            name: vm.name.clone(),
            formerly: None,
            uuid: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, vm.name.as_bytes()),
            ssh_port: 40_000 + number,
            host_key: "ssh-ed25519 AAAA".into(),
            applied: AppliedGuest { disks: Some(vm.clone()), started: None },
            process: None,
            protected: false,
            autostart: false,
        };
        let guest = ObservedGuest {
            record,
            state: RunState::Stopped,
            work_disk: Reading::Present(vm.work_disk),
            disks: vm.disks.iter().map(|disk| (disk.name.clone(), disk.size)).collect(),
            files: Reading::Present(GuestFiles {
                sessions: Reading::Present(BTreeMap::new()),
                ..GuestFiles::default()
            }),
        };
        self.observed.guests.insert(vm.name.clone(), Reading::Present(guest));
    }

    fn start(&mut self, vm: &VmSpec) {
        assert!(self.observed.built.contains_key(&vm.kernel), "the kernel of `{}` is not built", vm.name);
        for (name, other) in &self.observed.guests {
            let Reading::Present(ObservedGuest { state: RunState::Running(_), record, .. }) = other else { continue };
            let held = record.applied.started.iter().flat_map(|vm| &vm.network.forwards);
            let taken = held.filter(|held| vm.network.forwards.iter().any(|port| port.host == held.host)).count();
            assert_eq!(taken, 0, "`{}` takes a port that `{name}` holds", vm.name);
        }
        if let Some(link) = &vm.network.link {
            let network = self.observed.networks.get(&link.network).and_then(Reading::present);
            let plugged = network.is_some_and(|network| network.taps.contains_key(&link.tap));
            assert!(plugged, "the cable of `{}` is not plugged to `{}`", vm.name, link.network);
        }
        let guest = self.stopped(&vm.name);
        let process = process();
        guest.record.applied.started = Some(vm.clone());
        guest.record.process = Some(process.clone());
        guest.state = RunState::Running(process);
    }
}

/// A process that lives.
pub fn process() -> ProcessIdentity {
    ProcessIdentity { pid: 4711, start_time: 1_000, boot_id: "b00t".into() }
}

fn write(files: &mut GuestFiles, sets: &[(Address, FileSet)], remove: &[GuestPath]) {
    for path in remove {
        files.files.remove(path);
    }
    for (address, set) in sets {
        let mut written = BTreeMap::new();
        for (path, desired) in &set.files {
            for parent in path.ancestors() {
                files.files.entry(parent).or_insert_with(|| directory(0o755));
            }
            let file = make(desired, files.files.get(path));
            let (digest, mode, owner) = (file.digest.clone(), Some(desired.mode), Some(desired.owner));
            written.insert(path.clone(), WrittenFile { digest, mode, owner });
            files.files.insert(path.clone(), file);
        }
        files.manifest.insert(address.clone(), written);
    }
}

fn make(desired: &DesiredFile, current: Option<&ObservedFile>) -> ObservedFile {
    let bytes = current.and_then(|file| file.text.clone()).unwrap_or_default().into_bytes();
    let text = merge::merged(&desired.content, &bytes)
        .map(|merged| String::from_utf8(merged.expect("it can be merged")).expect("it is text"));
    match (&desired.content, text) {
        (Content::Directory, _) => directory(desired.mode),
        (_, Some(text)) => file(&text, desired.mode),
        (Content::Host(host), None) => ObservedFile {
            kind: FileKind::File,
            mode: desired.mode,
            owner: (0, 0),
            size: host.size,
            digest: Some(host.digest.clone()),
            text: host.text.clone(),
        },
        (Content::Text(text), None) => file(text, desired.mode),
        // The text of a secret is never read back.
        (Content::Secret(secret), None) => {
            ObservedFile { digest: secret.digest.clone(), text: None, ..file("secret", desired.mode) }
        }
        (content, None) => panic!("{content:?} was not merged"),
    }
}

/// A directory of root's.
pub fn directory(mode: u32) -> ObservedFile {
    ObservedFile { kind: FileKind::Directory, mode, owner: (0, 0), size: 4096, digest: None, text: None }
}

/// A text file of root's.
pub fn file(text: &str, mode: u32) -> ObservedFile {
    ObservedFile {
        kind: FileKind::File,
        mode,
        owner: (0, 0),
        size: text.len() as u64,
        digest: Some(Digest::of(text.as_bytes())),
        text: Some(text.into()),
    }
}
