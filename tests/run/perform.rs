//! What the steps do to the model world, move by move, as the real driver does it; and how they can go wrong.

use std::collections::BTreeMap;

use async_trait::async_trait;
use regatta::exec::{Failure, FailureKind, Perform, Progress};
use regatta::plan::{Op, Step, StepId};
use regatta::resource::{
    Address, Content, ContentKey, DesiredFile, Digest, FileKind, FileSet, GuestPath, ObservedFile, VmSpec, WrittenFile,
    merge,
};

use crate::world::{Guest, State, WorkDisk, World};

/// How a step goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does nothing and says so, in this way.
    Refuses(FailureKind),
    /// It does everything, and its answer is lost.
    LosesReply,
    /// It does nothing, and never ends.
    Hangs,
    /// It does everything, and never ends.
    ActsAndHangs,
    /// It does nothing, and says that it is done.
    Lies,
    /// It does everything twice.
    Repeats,
    /// It panics when it has done everything.
    Panics,
}

pub(crate) const FAULTS: [Fault; 9] = [
    Fault::Refuses(FailureKind::Transient),
    Fault::Refuses(FailureKind::Permanent),
    Fault::Refuses(FailureKind::Unknown),
    Fault::LosesReply,
    Fault::Hangs,
    Fault::ActsAndHangs,
    Fault::Lies,
    Fault::Repeats,
    Fault::Panics,
];

/// Changes the world; the steps in `faults` go wrong.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) world: World,
    pub(crate) faults: BTreeMap<StepId, Fault>,
}

#[async_trait]
impl Perform for Model {
    async fn perform(&self, step: &Step, progress: &dyn Progress) -> Result<(), Failure> {
        progress.say(step.op.name());
        match self.faults.get(&step.id) {
            None => self.act(step).await?,
            Some(Fault::Refuses(kind)) => return Err(Failure { kind: *kind, ..Failure::permanent("as told") }),
            Some(Fault::Hangs) => std::future::pending::<()>().await,
            Some(Fault::Lies) => {}
            Some(Fault::LosesReply) => {
                self.act(step).await?;
                return Err(Failure::unknown("the reply was lost"));
            }
            Some(Fault::ActsAndHangs) => {
                self.act(step).await?;
                std::future::pending::<()>().await;
            }
            Some(Fault::Repeats) => {
                self.act(step).await?;
                self.act(step).await?;
            }
            Some(Fault::Panics) => {
                self.act(step).await?;
                // As a panic, without the hook that prints it.
                std::panic::resume_unwind(Box::new("as told"));
            }
        }
        self.world.finish(step.id).await;
        Ok(())
    }
}

impl Model {
    async fn act(&self, step: &Step) -> Result<(), Failure> {
        match &step.op {
            Op::BuildImage { image } => self.build(step.id, &image.key).await,
            Op::BuildKernel { kernel } => self.build(step.id, &kernel.key).await,
            // The kernel's networks are no concern of the journal's: their step is one act here.
            Op::EnsureNetwork { .. } | Op::DestroyNetwork { .. } => {
                self.world.act(step.id, |_| ()).await;
                Ok(())
            }
            Op::CreateGuest { vm } => self.create(step.id, vm).await,
            Op::ReplaceRoot { vm } => self.replace_root(step.id, vm).await,
            Op::RestoreRoot { vm } => self.restore_root(step.id, vm).await,
            Op::GrowWorkDisk { guest, to } => {
                let to = *to;
                self.stopped(step.id, guest, move |guest| {
                    if let Some(work) = &mut guest.work {
                        work.size = work.size.max(to);
                    }
                    if let Some(disks) = &mut guest.record.applied.disks {
                        disks.work_disk = disks.work_disk.max(to);
                    }
                })
                .await
            }
            Op::FitDisks { vm } => {
                panic!("the fleets of these tests have no further disks, and `{}` has {:?}", vm.name, vm.disks)
            }
            Op::RemoveDisk { guest, disk } => panic!("`{guest}` has no disk `{disk}`"),
            Op::EnsureSessions { guest, sessions, .. } => {
                panic!("the fleets of these tests have no sessions, and `{guest}` has {sessions:?}")
            }
            Op::WriteFiles { guest, sets, remove, .. } => self.write_files(step.id, guest, sets, remove).await,
            Op::StartGuest { vm } => self.start(step.id, vm).await,
            Op::AwaitReady { guest } => {
                let confirm = |state: &mut State| {
                    let guest = state.guest(guest)?;
                    expect(guest.vmm.is_some(), "it does not run")?;
                    guest.previous_root = None;
                    Ok(())
                };
                self.world.act(step.id, confirm).await
            }
            Op::StopGuest { guest } => {
                self.world.act(step.id, |state| state.guest(guest).map(|guest| guest.vmm = None)).await
            }
            Op::DestroyGuest { guest } => self.destroy(step.id, guest).await,
            Op::RenameGuest { from, to } => self.rename(step.id, from, to).await,
            Op::ProtectGuest { guest, protected } => {
                let protect = |guest: &mut Guest| guest.record.protected = *protected;
                self.world.act(step.id, |state| state.guest(guest).map(protect)).await
            }
            Op::AutostartGuest { guest, autostart } => {
                let mark = |guest: &mut Guest| guest.record.autostart = *autostart;
                self.world.act(step.id, |state| state.guest(guest).map(mark)).await
            }
            Op::ForgetGuest { guest } => {
                self.world.act(step.id, |state| _ = state.guests.remove(guest)).await;
                Ok(())
            }
            Op::AdoptGuest { guest, .. } => {
                let ours = |guest: &mut Guest| guest.record.origin = "/fleet.kdl".into();
                self.world.act(step.id, |state| state.guest(guest).map(ours)).await
            }
            other => Err(Failure::permanent(format!("`{}` is no step of this machine", other.name()))),
        }
    }

    async fn build(&self, step: StepId, key: &ContentKey) -> Result<(), Failure> {
        self.world.act(step, |state| state.built.insert(key.clone())).await;
        Ok(())
    }

    /// The mark comes first, and says that the rest is unfinished until it is whole.
    async fn create(&self, step: StepId, vm: &VmSpec) -> Result<(), Failure> {
        let name = &vm.name;
        let ready = self.world.act(step, |state| state.begin_guest(vm)).await?;
        if ready {
            return Ok(());
        }
        for part in ["root", "work"] {
            self.world.act(step, |state| state.guest(name).map(|guest| guest.aside.insert(part))).await?;
        }
        self.world.act(step, |state| state.guest(name).map(|guest| guest.place_root(vm))).await?;
        self.world.act(step, |state| state.guest(name).map(|guest| guest.place_work(vm))).await?;
        self.world.act(step, |state| state.guest(name).map(|guest| guest.record.applied.disks = Some(vm.clone()))).await
    }

    async fn replace_root(&self, step: StepId, vm: &VmSpec) -> Result<(), Failure> {
        expect(self.world.act(step, |state| state.built.contains(&vm.image)).await, "the image is not built")?;
        self.stopped(step, &vm.name, |guest| _ = guest.aside.insert("root")).await?;
        self.stopped(step, &vm.name, |guest| guest.previous_root = guest.root.clone()).await?;
        self.stopped(step, &vm.name, |guest| guest.place_root(vm)).await?;
        self.stopped(step, &vm.name, |guest| guest.note_disks(vm)).await
    }

    async fn restore_root(&self, step: StepId, vm: &VmSpec) -> Result<(), Failure> {
        let put_back = |guest: &mut Guest| {
            if let Some(previous) = guest.previous_root.take() {
                guest.root = Some(previous);
            }
        };
        self.stopped(step, &vm.name, put_back).await?;
        self.stopped(step, &vm.name, |guest| guest.note_disks(vm)).await
    }

    async fn write_files(
        &self,
        step: StepId,
        guest: &str,
        sets: &[(Address, FileSet)],
        remove: &[GuestPath],
    ) -> Result<(), Failure> {
        for path in remove {
            self.world.act(step, |state| state.work(guest).map(|work| work.files.remove(path))).await?;
        }
        for (address, set) in sets {
            self.world.act(step, |state| state.work(guest).map(|work| work.claim(address, set))).await?;
            for (path, desired) in &set.files {
                self.world.act(step, |state| state.work(guest).map(|work| work.write(path, desired))).await?;
            }
        }
        Ok(())
    }

    /// What it is started with is recorded before, what process that became after: a process whose record is behind is
    /// found by its uuid.
    async fn start(&self, step: StepId, vm: &VmSpec) -> Result<(), Failure> {
        let name = &vm.name;
        if self.world.act(step, |state| state.may_launch(vm)).await? {
            return Ok(());
        }
        let started = |guest: &mut Guest| guest.record.applied.started = Some(vm.clone());
        self.world.act(step, |state| state.guest(name).map(started)).await?;
        self.world.act(step, |state| state.guest(name).map(|guest| guest.vmm = Some(vm.clone()))).await?;
        let record = |guest: &mut Guest| guest.record.process = Some(guest.process());
        self.world.act(step, |state| state.guest(name).map(record)).await
    }

    /// The directory first, the record last; in between, the record's name is not the directory's.
    async fn rename(&self, step: StepId, from: &str, to: &str) -> Result<(), Failure> {
        self.world.act(step, |state| state.rename_directory(from, to)).await?;
        if self.world.act(step, |state| state.guest(to).map(|guest| guest.record.name == to)).await? {
            return Ok(());
        }
        let inside = |work: &mut WorkDisk| {
            let entries = std::mem::take(&mut work.manifest).into_iter();
            work.manifest = entries.map(|(address, written)| (address.of_guest(to), written)).collect();
        };
        self.world.act(step, |state| state.guest(to).map(|guest| guest.work.iter_mut().for_each(inside))).await?;
        self.world.act(step, |state| state.guest(to).map(|guest| guest.take_name(to))).await
    }

    /// The mark goes last, and says from the first move on that the rest is unfinished.
    async fn destroy(&self, step: StepId, guest: &str) -> Result<(), Failure> {
        if self.world.act(step, |state| !state.guests.contains_key(guest)).await {
            return Ok(());
        }
        self.stopped(step, guest, |guest| guest.record.applied.disks = None).await?;
        self.stopped(step, guest, |guest| (guest.root, guest.work) = (None, None)).await?;
        self.world.act(step, |state| _ = state.guests.remove(guest)).await;
        Ok(())
    }

    /// One move that needs the guest to be down.
    async fn stopped(&self, step: StepId, guest: &str, change: impl FnOnce(&mut Guest)) -> Result<(), Failure> {
        let change = |state: &mut State| {
            let guest = state.guest(guest)?;
            expect(guest.vmm.is_none(), "it runs")?;
            change(guest);
            Ok(())
        };
        self.world.act(step, change).await
    }
}

fn expect(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::permanent(otherwise)) }
}

impl State {
    fn guest(&mut self, name: &str) -> Result<&mut Guest, Failure> {
        self.guests.get_mut(name).ok_or_else(|| Failure::permanent("there is no such guest"))
    }

    fn work(&mut self, name: &str) -> Result<&mut WorkDisk, Failure> {
        self.guest(name)?.work.as_mut().ok_or_else(|| Failure::permanent("it has no work disk"))
    }

    /// Puts the mark down; true when the guest is there already.
    fn begin_guest(&mut self, vm: &VmSpec) -> Result<bool, Failure> {
        expect(self.built.contains(&vm.image), "the image is not built")?;
        let guest = self.guests.entry(vm.name.clone()).or_insert_with(|| Guest::marked(&vm.name));
        Ok(guest.record.applied.disks.is_some())
    }

    fn rename_directory(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        match (self.guests.contains_key(from), self.guests.get(to)) {
            (true, Some(there)) if there.record.name == to => Err(Failure::permanent("both are there")),
            (true, None) => {
                let guest = self.guests.remove(from).into_iter();
                self.guests.extend(guest.map(|guest| (to.to_owned(), guest)));
                Ok(())
            }
            (_, there) => expect(there.is_some(), "there is no such guest"),
        }
    }

    /// Whether it runs already as it should.
    fn may_launch(&mut self, vm: &VmSpec) -> Result<bool, Failure> {
        expect(self.built.contains(&vm.kernel), "the kernel is not built")?;
        let guest = self.guest(&vm.name)?;
        expect(guest.record.applied.disks.is_some(), "its disks are unfinished")?;
        expect(guest.vmm.as_ref().is_none_or(|running| running == vm), "it runs with other settings")?;
        Ok(guest.vmm.is_some())
    }
}

impl Guest {
    fn place_root(&mut self, vm: &VmSpec) {
        self.aside.remove("root");
        self.root = Some(vm.image.clone());
    }

    pub(crate) fn take_name(&mut self, name: &str) {
        self.record.name = name.into();
        let specs = [&mut self.record.applied.disks, &mut self.record.applied.started];
        specs.into_iter().flatten().chain(&mut self.vmm).for_each(|vm| vm.name = name.into());
    }

    fn note_disks(&mut self, vm: &VmSpec) {
        let work_disk = self.work.as_ref().map_or(vm.work_disk, |work| work.size);
        self.record.applied.disks = Some(VmSpec { work_disk, ..vm.clone() });
    }

    fn place_work(&mut self, vm: &VmSpec) {
        self.aside.remove("work");
        let (files, manifest) = (BTreeMap::new(), BTreeMap::new());
        self.work.get_or_insert(WorkDisk { size: vm.work_disk, data: 0, files, manifest });
    }
}

impl WorkDisk {
    fn write(&mut self, path: &GuestPath, desired: &DesiredFile) {
        for parent in path.ancestors() {
            self.files.entry(parent).or_insert_with(|| file(FileKind::Directory, 0o755, None));
        }
        let current = self.files.get(path).and_then(|file| file.text.clone()).unwrap_or_default();
        let text = text_of(&desired.content, &current);
        let kind = if text.is_some() { FileKind::File } else { FileKind::Directory };
        self.files.insert(path.clone(), file(kind, desired.mode, text));
    }

    /// The manifest comes before the files it names: what is written and not in it would stay for ever.
    fn claim(&mut self, address: &Address, set: &FileSet) {
        let text = |path: &GuestPath| self.files.get(path).and_then(|file| file.text.clone()).unwrap_or_default();
        let digest = |(path, desired): (&GuestPath, &DesiredFile)| {
            let digest = text_of(&desired.content, &text(path)).map(|text| Digest::of(text.as_bytes()));
            (path.clone(), WrittenFile { digest, mode: Some(desired.mode), owner: Some(desired.owner) })
        };
        let written = set.files.iter().map(digest).collect();
        self.manifest.insert(address.clone(), written);
    }
}

fn text_of(content: &Content, current: &str) -> Option<String> {
    match merge::merged(content, current.as_bytes()) {
        Some(merged) => Some(String::from_utf8(merged.unwrap()).unwrap()),
        None => match content {
            Content::Host(host) => Some(host.text.clone().unwrap()),
            _ => None,
        },
    }
}

fn file(kind: FileKind, mode: u32, text: Option<String>) -> ObservedFile {
    let digest = text.as_ref().map(|text| Digest::of(text.as_bytes()));
    let size = text.as_ref().map_or(0, |text| text.len() as u64);
    ObservedFile { kind, mode, owner: (0, 0), size, digest, text }
}
