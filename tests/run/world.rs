//! A world in memory: images, guests, disks and processes, changed in atomic moves between which a process can die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use regatta::config::ByteSize;
use regatta::plan::StepId;
use regatta::resource::{
    AppliedGuest, Built, ContentKey, GuestFiles, GuestPath, Manifest, Observed, ObservedFile, ObservedGuest,
    ProcessIdentity, Reading, Record, RunState, VmSpec,
};

use crate::fate::Fate;

/// A guest's work disk, with what its user keeps there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WorkDisk {
    pub(crate) size: ByteSize,
    pub(crate) data: u64,
    pub(crate) files: BTreeMap<GuestPath, ObservedFile>,
    pub(crate) manifest: Manifest,
}

/// A guest: its record, and whatever of it exists. Disks that are being made stand aside until they are whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Guest {
    pub(crate) record: Record,
    pub(crate) root: Option<ContentKey>,
    pub(crate) previous_root: Option<ContentKey>,
    pub(crate) aside: BTreeSet<&'static str>,
    pub(crate) work: Option<WorkDisk>,
    pub(crate) vmm: Option<VmSpec>,
}

/// Everything there is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) built: BTreeSet<ContentKey>,
    pub(crate) guests: BTreeMap<String, Guest>,
}

/// What was done to the world by whom: the truth that a journal is held against.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deeds {
    /// Steps that touched the world in this run.
    pub(crate) begun: BTreeSet<StepId>,
    /// Steps that told the run they were done.
    pub(crate) done: BTreeSet<StepId>,
    /// Atomic moves made.
    pub(crate) moves: u64,
}

/// The world, shared with the steps that change it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    inner: Arc<Mutex<(State, Deeds)>>,
    pub(crate) fate: Fate,
}

impl World {
    pub(crate) fn new(state: State, fate: Fate) -> Self {
        Self { inner: Arc::new(Mutex::new((state, Deeds::default()))), fate }
    }

    fn lock(&self) -> MutexGuard<'_, (State, Deeds)> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn state(&self) -> State {
        self.lock().0.clone()
    }

    pub(crate) fn deeds(&self) -> Deeds {
        self.lock().1.clone()
    }

    /// One atomic move of a step: all of it or nothing. The dead make no moves.
    pub(crate) async fn act<T>(&self, step: StepId, change: impl FnOnce(&mut State) -> T) -> T {
        // Steps take turns, as they do in the world.
        tokio::task::yield_now().await;
        if self.fate.dies_at_move(self.lock().1.moves) {
            return std::future::pending().await;
        }
        let mut world = self.lock();
        world.1.begun.insert(step);
        world.1.moves += 1;
        change(&mut world.0)
    }

    /// A step says it is done.
    pub(crate) async fn finish(&self, step: StepId) {
        if self.fate.is_dead() {
            std::future::pending::<()>().await;
        }
        self.lock().1.done.insert(step);
    }
}

impl State {
    /// What a driver would see.
    pub(crate) fn observe(&self, declared: impl IntoIterator<Item = String>) -> Observed {
        let absent = declared.into_iter().map(|name| (name, Reading::Absent));
        let present = self.guests.iter().map(|(name, guest)| (name.clone(), Reading::Present(guest.observe(name))));
        Observed {
            networks: BTreeMap::new(),
            obstacles: BTreeMap::new(),
            built: self.built.iter().map(|key| (key.clone(), Built { allocated: 0, pinned: None })).collect(),
            guests: absent.chain(present).collect(),
            ..Observed::default()
        }
    }
}

impl State {
    /// Without what a death may leave behind and nobody can notice: a record that does not know its process, which is
    /// found by its uuid, a root disk that nothing has to be put back to, and manifest entries of files that are gone.
    pub(crate) fn settled(mut self) -> Self {
        for guest in self.guests.values_mut() {
            guest.previous_root = None;
            guest.record.process = guest.vmm.is_some().then(|| guest.process());
            let Some(WorkDisk { files, manifest, size, .. }) = &mut guest.work else { continue };
            // A VMM takes the disk as large as it is.
            let started = [&mut guest.record.applied.started, &mut guest.vmm];
            started.into_iter().flatten().for_each(|vm| vm.work_disk = *size);
            manifest.values_mut().for_each(|written| written.retain(|path, _| files.contains_key(path)));
            manifest.retain(|_, written| !written.is_empty());
        }
        self
    }
}

impl Guest {
    /// A guest of which nothing but the mark exists.
    pub(crate) fn marked(name: &str) -> Self {
        let record = Record {
            format_version: 1,
            fleet: "model".into(),
            origin: "/fleet.kdl".into(),
            name: name.into(),
            formerly: None,
            uuid: uuid_of(name),
            ssh_port: 2200,
            host_key: format!("ssh-ed25519 {name}"),
            applied: AppliedGuest { disks: None, started: None },
            process: None,
            protected: false,
            autostart: false,
        };
        Self { record, root: None, previous_root: None, aside: BTreeSet::new(), work: None, vmm: None }
    }

    /// Names its VMM the same way every time: worlds are compared whole.
    pub(crate) fn process(&self) -> ProcessIdentity {
        ProcessIdentity { pid: 1, start_time: 1, boot_id: self.record.name.clone() }
    }

    /// As it is found in the directory of this name: where its record has another, a rename was cut short.
    fn observe(&self, name: &str) -> ObservedGuest {
        let files = |work: &WorkDisk| GuestFiles {
            files: work.files.clone(),
            manifest: work.manifest.clone(),
            ..GuestFiles::default()
        };
        ObservedGuest {
            record: Record {
                formerly: (self.record.name != name).then(|| self.record.name.clone()),
                name: name.into(),
                ..self.record.clone()
            },
            state: if self.vmm.is_some() { RunState::Running(self.process()) } else { RunState::Stopped },
            work_disk: self.work.as_ref().map_or(Reading::Absent, |work| Reading::Present(work.size)),
            disks: BTreeMap::new(),
            files: self.work.as_ref().map_or(Reading::Absent, |work| Reading::Present(files(work))),
        }
    }
}

fn uuid_of(name: &str) -> uuid::Uuid {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_DNS, name.as_bytes())
}
