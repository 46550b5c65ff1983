//! A step that fails leaves nothing behind, whichever of its commands it fails at.

mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8Path;
use tempfile::TempDir;

use super::{Effects, Guests};
use crate::config::{Accelerator, ByteSize, Machine, NetworkMode};
use crate::driver::StateDir;
use crate::effect::testing::{lacks, scratch};
use crate::effect::{
    Command, CommandError, CommandRunner, Connect, ConnectError, Detach, Detached, Liveness, MarkedProcess, Output,
    ProcFs, ProcessError, ProcessId, Processes, Run, Shell, Signal, SshTarget, Status, Streams, SystemClock,
};
use crate::exec::{Failure, FailureKind, Progress};
use crate::resource::{
    Address, ContentKey, Declared, Desired, FileKind, GuestFiles, GuestPath, NetworkSpec, ObservedFile, ObservedGuest,
    ProcessIdentity, ROOT, Reading, Resource, Rules, RunState, VmSpec,
};

struct Silent;

impl Progress for Silent {
    fn say(&self, _text: &str) {}
}

struct NoNetwork;

#[async_trait]
impl Connect for NoNetwork {
    async fn connect(&self, _target: &SshTarget, _deadline: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        Err(ConnectError::NotUp("there is no network".into()))
    }
}

/// Starts nothing that would outlive the test.
struct Nothing;

impl Detach for Nothing {
    fn detach(&self, _detached: Detached) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// Runs real programs, but the one at `fails_at` (counted from 0) fails as soon as it has done its work.
struct FailsAt {
    fails_at: usize,
    ran: AtomicUsize,
}

#[async_trait]
impl Run for FailsAt {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let output = match command.program() {
            program if program.starts_with("qemu-system") => CommandRunner.run(&breaks()).await,
            _ => CommandRunner.run(command).await,
        };
        match self.ran.fetch_add(1, Ordering::SeqCst) {
            n if n == self.fails_at => CommandRunner.run(&breaks()).await,
            _ => output,
        }
    }
}

fn breaks() -> Command {
    Command::new("sh").args(["-c", "echo 'it broke' >&2; exit 8"])
}

struct World {
    _dir: TempDir,
    state: StateDir,
    run: Arc<FailsAt>,
    guests: Guests,
}

impl World {
    /// A state directory with an image in its store.
    fn new(fails_at: usize) -> Self {
        Self::seen(fails_at, Arc::new(NoNetwork), Arc::new(ProcFs::default()))
    }

    fn seen(fails_at: usize, connect: Arc<dyn Connect>, processes: Arc<dyn Processes>) -> Self {
        let (dir, root) = scratch();
        let state = StateDir::new(root);
        let run = Arc::new(FailsAt { fails_at, ran: AtomicUsize::new(0) });
        let effects = Effects {
            run: Arc::clone(&run) as Arc<dyn Run>,
            connect,
            processes,
            clock: Arc::new(SystemClock),
            detach: Arc::new(Nothing),
            identify: |_| uuid::Uuid::now_v7(),
        };
        let guests = Guests::new("demo", "/fleet.kdl", state.clone(), effects);
        let image = guests.store.image_path(&vm().image);
        std::fs::create_dir_all(image.parent().unwrap()).unwrap();
        std::fs::write(&image, vec![0; 1 << 20]).unwrap();
        Self { _dir: dir, state, run, guests }
    }

    /// Every file below the fleets, with its content; directories end in `/`.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        if self.state.fleets().exists() {
            walk(&self.state.fleets(), &mut found);
        }
        found
    }
}

fn walk(dir: &Utf8Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in dir.read_dir_utf8().unwrap() {
        let path = entry.unwrap().path().to_owned();
        if path.is_dir() {
            found.insert(format!("{path}/"), Vec::new());
            walk(&path, found);
        } else {
            found.insert(path.to_string(), std::fs::read(&path).unwrap());
        }
    }
}

fn vm() -> VmSpec {
    VmSpec {
        name: "web".into(),
        cpus: 1,
        memory: ByteSize::bytes(256 << 20),
        image: ContentKey::of(&"image"),
        kernel: ContentKey::of(&"kernel"),
        kernel_arguments: Vec::new(),
        network: NetworkSpec { mode: NetworkMode::User, forwards: Vec::new(), link: None },
        work_disk: ByteSize::bytes(16 << 20),
        disks: Vec::new(),
        accel: Accelerator::Tcg,
        machine: Machine::Microvm,
        jailer: None,
    }
}

/// LESSON 22: covers commands that `create` does not run yet.
#[tokio::test]
async fn a_guest_whose_making_fails_leaves_nothing_behind() {
    if lacks("qemu-img") || lacks("debugfs") {
        return;
    }
    let mut fails_at = 0;
    loop {
        let world = World::new(fails_at);
        let made = world.guests.create(&vm(), &Silent).await;
        if world.run.ran.load(Ordering::SeqCst) <= fails_at {
            assert_eq!(made, Ok(()));
            let names: Vec<String> = world.files().into_keys().collect();
            let dir = world.guests.dir("web");
            let expected = [dir.known_hosts(), dir.record(), dir.root_disk(Machine::Microvm), dir.work_disk()];
            let files: Vec<&String> = names.iter().filter(|name| !name.ends_with('/')).collect();
            assert_eq!(files, expected.iter().map(|path| path.as_str()).collect::<Vec<_>>());
            break;
        }
        assert_eq!(made.map_err(|failure| failure.kind), Err(FailureKind::Permanent), "command {fails_at}");
        let guests = format!("{}/", world.state.guests("demo"));
        let left: Vec<String> = world.files().into_keys().filter(|name| name.starts_with(&guests)).collect();
        assert_eq!(left, [guests], "command {fails_at}");
        fails_at += 1;
    }
    assert!(fails_at >= 4, "making a guest takes some commands, found {fails_at}");
}

#[tokio::test]
async fn a_guest_that_cannot_be_started_is_as_it_was() {
    if lacks("qemu-img") || lacks("debugfs") {
        return;
    }
    let world = World::new(usize::MAX);
    world.guests.create(&vm(), &Silent).await.unwrap();
    let before = world.files();
    let started = world.guests.start(&vm(), &Silent).await;
    assert_eq!(started.map_err(|failure| failure.kind), Err(FailureKind::Permanent));
    assert!(world.files() == before, "the guest's files changed");
}

/// A lost record does not make a guest's data ours to overwrite.
#[tokio::test]
async fn a_work_disk_without_a_record_is_refused() {
    let world = World::new(usize::MAX);
    let disk = world.guests.dir("web").work_disk();
    std::fs::create_dir_all(disk.parent().unwrap()).unwrap();
    std::fs::write(&disk, "somebody's data").unwrap();
    let refused = world.guests.create(&vm(), &Silent).await;
    let expected =
        Failure::permanent(format!("found `{disk}` without a record beside it: it is not known whose it is"))
            .hint("move the directory away, or put its `record.json` back");
    assert_eq!(refused, Err(expected));
    assert_eq!(std::fs::read_to_string(&disk).unwrap(), "somebody's data");
}

/// A guest that an apply told to stop before it died: it lets us in, hangs up at the first command, and is gone.
#[derive(Clone, Default)]
struct GoingDown {
    gone: Arc<AtomicBool>,
}

#[async_trait]
impl Connect for GoingDown {
    async fn connect(&self, _target: &SshTarget, _deadline: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        match self.gone.load(Ordering::SeqCst) {
            false => Ok(Box::new(self.clone())),
            true => Err(ConnectError::NotUp("connection refused".into())),
        }
    }
}

#[async_trait]
impl Shell for GoingDown {
    async fn stream(&self, _: &[&str], _: Streams<'_>, _: Duration) -> Result<Status, ConnectError> {
        self.gone.store(true, Ordering::SeqCst);
        Err(ConnectError::Lost("it left no exit status".into()))
    }
}

impl Processes for GoingDown {
    fn liveness(&self, _id: &ProcessId) -> Liveness {
        if self.gone.load(Ordering::SeqCst) { Liveness::Dead } else { Liveness::Alive }
    }

    fn find(&self, _marks: &[&str]) -> Result<BTreeMap<String, Vec<MarkedProcess>>, ProcessError> {
        Ok(BTreeMap::new())
    }

    fn signal(&self, _id: &ProcessId, _signal: Signal) -> Result<bool, ProcessError> {
        Ok(false)
    }
}

#[tokio::test]
async fn a_guest_on_its_way_down_is_read_as_a_stopped_one() {
    if lacks("qemu-img") || lacks("debugfs") {
        return;
    }
    let guest = GoingDown::default();
    let world = World::seen(usize::MAX, Arc::new(guest.clone()), Arc::new(guest));
    world.guests.create(&vm(), &Silent).await.unwrap();
    let Reading::Present(mut record) = world.guests.reading("web") else { panic!("it was made") };
    record.process = Some(ProcessIdentity { pid: 1, start_time: 1, boot_id: "boot".into() });
    world.guests.write_record(&record).unwrap();
    let declared = Declared {
        resource: Resource::Vm(vm()),
        source: None,
        needs: BTreeSet::new(),
        tags: BTreeSet::new(),
        rules: Rules::default(),
    };
    let desired = Desired { resources: [(Address::vm("web"), declared)].into(), ..Desired::default() };
    let mut observed = Arc::new(world.guests).observe(&desired).await.unwrap();
    let root = ObservedFile { kind: FileKind::Directory, mode: 0o755, owner: ROOT, size: 0, digest: None, text: None };
    let files = GuestFiles { files: [(GuestPath::root(), root)].into(), ..GuestFiles::default() };
    let expected = ObservedGuest {
        record,
        state: RunState::Stopped,
        work_disk: Reading::Present(vm().work_disk),
        disks: BTreeMap::new(),
        files: Reading::Present(files),
    };
    assert_eq!(observed.guests.remove("web"), Some(Reading::Present(expected)));
}
