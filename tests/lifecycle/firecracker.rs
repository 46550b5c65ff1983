//! The life of a guest on a fake of Firecracker, driven through the steps of the run.

mod jail;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use regatta::config::{Accelerator, ByteSize, Machine, NetworkMode};
use regatta::driver::microvm::{Effects, Guests, Jails, Pause};
use regatta::driver::network::Networks;
use regatta::driver::privilege::Privileged;
use regatta::driver::{LocalDriver, StateDir, Store};
use regatta::effect::{
    CommandRunner, Connect, ConnectError, Detach, Detached, Detacher, ProcFs, Shell, SshTarget, SystemClock,
};
use regatta::exec::{AuditFile, Failure, Perform, Progress};
use regatta::plan::{Op, Step, StepId};
use regatta::resource::{ContentKey, LinkName, LinkSpec, NetworkSpec, ObservedGuest, Reading, RunState, VmSpec};
use serde_json::Value;

use crate::openapi::Api;
use crate::{end, eventually, fake, keepers, processes};

/// What is done, in this order; after each, everything in [`Life::holds`] must hold.
const ACTIONS: [Action; 33] = [
    Action::Start,
    Action::StartAgain,
    Action::JoinConsole,
    Action::Pause,
    Action::PauseAgain,
    Action::Resume,
    Action::Stop,
    Action::StopAgain,
    Action::Start,
    Action::Pause,
    Action::Stop,
    Action::Start,
    Action::Suspend,
    Action::SuspendAgain,
    Action::RefusedWhileSuspended,
    Action::Wake,
    Action::Pause,
    Action::Suspend,
    Action::SnapshotWithMemory,
    Action::Wake,
    Action::Stop,
    Action::RestoreWithMemory,
    Action::Wake,
    Action::Stop,
    Action::RestoreWithMemory,
    Action::Wake,
    Action::KillKeeper,
    Action::JoinConsole,
    Action::KillVmm,
    Action::ReplaceRoot,
    Action::Start,
    Action::Stop,
    Action::Destroy,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Start,
    StartAgain,
    JoinConsole,
    Pause,
    PauseAgain,
    Resume,
    Stop,
    StopAgain,
    Suspend,
    SuspendAgain,
    /// Nothing else uses the disks of a guest whose memory is kept.
    RefusedWhileSuspended,
    Wake,
    SnapshotWithMemory,
    /// As often as one likes: the guest goes on once each time.
    RestoreWithMemory,
    KillKeeper,
    /// By a signal, which leaves its socket behind.
    KillVmm,
    /// As somebody could who came out of the guest and not out of the jail.
    PlantLinkInJail,
    ReplaceRoot,
    Destroy,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_lives_on_the_fake() {
    if !has_tools() {
        return;
    }
    let mut life = Life::new(None).await;
    life.go(&ACTIONS).await;
    let said = life.notes.lock().unwrap().clone();
    let (stops, last) = said.split_at(said.len() - 1);
    let stops: Vec<&String> = stops.iter().filter(|note| note.starts_with("stopped ")).collect();
    assert_eq!(stops, ["stopped by its power button"; 5], "LESSON 20");
    assert!(last[0].starts_with("its disks are kept until `regatta gc --delete` removes them"), "{last:?}");
    requests_are_as_published(&life.requests);
}

fn has_tools() -> bool {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let found = |tool: &&str| std::env::split_paths(&path).any(|dir| dir.join(tool).exists());
    let missing: Vec<&str> = ["debugfs", "mke2fs", "setsid"].into_iter().filter(|tool| !found(tool)).collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: not installed: {}", missing.join(", "));
    }
    missing.is_empty()
}

/// Every request that was sent is one of the published description.
fn requests_are_as_published(requests: &str) {
    let requests: Vec<Value> = requests.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sent = |method: &str, path: &str| requests.iter().any(|one| one["method"] == method && one["path"] == path);
    for (method, path) in [
        ("GET", "/"),
        ("PUT", "/machine-config"),
        ("PUT", "/boot-source"),
        ("PUT", "/drives/root"),
        ("PUT", "/drives/work"),
        ("PUT", "/network-interfaces/net"),
        ("PUT", "/entropy"),
        ("PUT", "/actions"),
        ("PATCH", "/vm"),
        ("PUT", "/snapshot/create"),
        ("PUT", "/snapshot/load"),
    ] {
        assert!(sent(method, path), "{method} {path} was never sent");
    }
    let Some(api) = Api::published() else {
        return eprintln!("SKIPPED: Firecracker's API description is not beside this project");
    };
    for request in &requests {
        let body = Some(&request["body"]).filter(|body| !body.is_null());
        let mistakes = api.mistakes(request["method"].as_str().unwrap(), request["path"].as_str().unwrap(), body);
        assert_eq!(mistakes, [""; 0], "{request}");
    }
}

/// Starts our own binary for us, and the fake for Firecracker.
struct Launcher;

impl Detach for Launcher {
    fn detach(&self, mut detached: Detached) -> io::Result<()> {
        match &detached.program {
            None => detached.program = Some(env!("CARGO_BIN_EXE_regatta").into()),
            Some(_) => {
                let (fork, id, socket) = match detached.arguments.as_slice() {
                    [fork, _, _, id, _, socket] => (fork, id, socket.clone()),
                    [fork, jailer, _, id, .., base, _, _, _, socket] if jailer.ends_with("/jailer") => {
                        let socket = format!("{base}/firecracker/{id}/root{socket}");
                        std::fs::create_dir_all(Path::new(&socket).parent().unwrap())?;
                        (fork, id, socket)
                    }
                    other => return Err(io::Error::other(format!("unexpected arguments: {other:?}"))),
                };
                let fake = std::env::current_exe()?.to_str().unwrap().to_owned();
                let test = ["--exact", fake::NAME, "--ignored", "--nocapture", "--skip", id, "--skip", &socket];
                let words = [fork.as_str(), &fake].into_iter().chain(test);
                detached.arguments = words.map(str::to_owned).collect();
            }
        }
        Detacher.detach(detached)
    }
}

struct NoNetwork;

#[async_trait]
impl Connect for NoNetwork {
    async fn connect(&self, _: &SshTarget, _: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        Err(ConnectError::NotUp("there is no network".into()))
    }
}

/// Keeps what steps say is worth knowing.
struct Notes(Arc<Mutex<Vec<String>>>);

impl Progress for Notes {
    fn say(&self, _: &str) {}

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

struct Life {
    dir: tempfile::TempDir,
    root: PathBuf,
    guests: Arc<Guests>,
    driver: LocalDriver,
    vm: VmSpec,
    notes: Arc<Mutex<Vec<String>>>,
    /// Requests of all runs so far, when the program writes them down.
    requests: String,
    /// The work disk's place in the file system: data stay where they are.
    work_disk: Option<u64>,
    runs: bool,
    kept: bool,
    exists: bool,
    suspended: bool,
    /// How often a snapshot was put back.
    kept_before: u32,
}

impl Life {
    async fn new(jailer: Option<&str>) -> Self {
        let dir = tempfile::Builder::new().prefix("rgt").tempdir().unwrap();
        let state = StateDir::new(Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap());
        let vm = VmSpec {
            name: "web".into(),
            cpus: 2,
            memory: ByteSize::mib(256),
            image: ContentKey::of(&"image"),
            kernel: ContentKey::of(&"kernel"),
            kernel_arguments: Vec::new(),
            network: NetworkSpec { mode: NetworkMode::Bridge, forwards: Vec::new(), link: Some(Box::new(link())) },
            work_disk: ByteSize::mib(16),
            disks: Vec::new(),
            accel: Accelerator::Auto,
            machine: Machine::Firecracker,
            jailer: jailer.map(str::to_owned),
        };
        fill(&Store::new(state.store()), &vm);
        let effects = Effects {
            run: Arc::new(CommandRunner),
            connect: Arc::new(NoNetwork),
            processes: Arc::new(ProcFs::default()),
            clock: Arc::new(SystemClock),
            detach: Arc::new(Launcher),
            identify: |_| uuid::Uuid::now_v7(),
        };
        let root = state.guest("demo", "web").root().as_std_path().to_owned();
        let (run, clock) = (Arc::new(CommandRunner), Arc::new(SystemClock));
        let audit = Arc::new(AuditFile::new(state.audit_log()));
        let jails = Jails::new(Privileged::new(run.clone(), clock.clone(), audit.clone()));
        let networks = Arc::new(Networks::new("demo", "/fleet.kdl", run, clock, audit));
        let guests = Arc::new(Guests::new("demo", "/fleet.kdl", state, effects).jailing(jails));
        let life = Self {
            dir,
            root,
            driver: LocalDriver::new(Arc::clone(&guests), networks),
            guests,
            vm,
            notes: Arc::default(),
            requests: String::new(),
            work_disk: None,
            runs: false,
            kept: false,
            exists: true,
            suspended: false,
            kept_before: 0,
        };
        life.perform(Op::CreateGuest { vm: life.vm.clone() }).await.unwrap();
        life
    }

    async fn go(&mut self, actions: &[Action]) {
        self.holds("create").await;
        for action in actions {
            self.act(*action).await;
            self.holds(&format!("{action:?}")).await;
        }
    }

    async fn perform(&self, op: Op) -> Result<(), Failure> {
        let (deadline_s, repeat) = (op.deadline_s(), op.repeat());
        let (after, rescues) = (Vec::new(), Vec::new());
        let step = Step { id: StepId(0), addresses: Vec::new(), op, after, rescues, deadline_s, repeat };
        self.driver.perform(&step, &Notes(Arc::clone(&self.notes))).await
    }

    async fn act(&mut self, action: Action) {
        let guest = || "web".to_owned();
        match action {
            Action::Start | Action::StartAgain => {
                self.perform(Op::StartGuest { vm: self.vm.clone() }).await.unwrap();
                (self.runs, self.kept) = (true, true);
            }
            Action::JoinConsole => {
                drop(self.guests.console("web").await.unwrap());
                self.kept = true;
            }
            Action::Pause | Action::PauseAgain => self.guests.pause("web", Pause::On).await.unwrap(),
            Action::Resume => self.guests.pause("web", Pause::Off).await.unwrap(),
            Action::Suspend | Action::SuspendAgain => {
                self.collect_requests();
                self.guests.suspend("web", &Notes(Arc::default())).await.unwrap();
                (self.runs, self.kept, self.suspended) = (false, false, true);
            }
            Action::RefusedWhileSuspended => self.refused_while_suspended().await,
            Action::Wake => {
                self.guests.wake("web", &Notes(Arc::default())).await.unwrap();
                for gone in ["memory", "memory.waking", "memory.devices"] {
                    assert!(!self.root.join(gone).exists(), "LESSON 31: it goes on once");
                }
                (self.runs, self.kept, self.suspended) = (true, true, false);
            }
            Action::SnapshotWithMemory => {
                let why = "asked for".to_owned();
                self.perform(Op::SnapshotGuest { guest: guest(), snapshot: "warm".into(), why }).await.unwrap();
            }
            Action::RestoreWithMemory => {
                self.kept_before += 1;
                let kept = format!("before-{}", self.kept_before);
                self.perform(Op::RestoreSnapshot { guest: guest(), snapshot: "warm".into(), kept }).await.unwrap();
                // Another file: the one that was there is the snapshot's.
                (self.suspended, self.work_disk) = (true, None);
            }
            Action::Stop | Action::StopAgain => {
                self.collect_requests();
                self.perform(Op::StopGuest { guest: guest() }).await.unwrap();
                (self.runs, self.kept) = (false, false);
            }
            Action::KillKeeper => {
                keepers(&self.root).iter().for_each(|keeper| end(keeper.pid, "-KILL"));
                self.kept = false;
            }
            Action::KillVmm => {
                self.vmms().iter().for_each(|pid| end(*pid, "-TERM"));
                assert!(self.root.join("qmp.sock").exists(), "a signal leaves the socket behind");
                (self.runs, self.kept) = (false, false);
            }
            Action::PlantLinkInJail => self.plant_links(),
            Action::ReplaceRoot => self.perform(Op::ReplaceRoot { vm: self.vm.clone() }).await.unwrap(),
            Action::Destroy => {
                self.perform(Op::DestroyGuest { guest: guest() }).await.unwrap();
                self.exists = false;
            }
        }
    }

    /// Nothing else uses the disks of a guest whose memory is kept.
    async fn refused_while_suspended(&self) {
        let expected = Failure::permanent("guest `web` is suspended").hint("`regatta wake web` lets it go on");
        for op in [
            Op::StartGuest { vm: self.vm.clone() },
            Op::StopGuest { guest: "web".into() },
            Op::ReplaceRoot { vm: self.vm.clone() },
            Op::GrowWorkDisk { guest: "web".into(), to: ByteSize::mib(32) },
            Op::DestroyGuest { guest: "web".into() },
        ] {
            let name = op.name();
            let refused = self.perform(op).await.unwrap_err();
            assert_eq!(refused.causes.last(), expected.causes.last(), "{name}");
        }
    }

    fn collect_requests(&mut self) {
        let log = self.root.join("qmp.sock.requests");
        self.requests.push_str(&std::fs::read_to_string(&log).unwrap_or_default());
        let _ = std::fs::remove_file(log);
    }

    fn uuid(&self) -> Option<String> {
        let record = std::fs::read(self.root.join("record.json")).ok()?;
        let record: Value = serde_json::from_slice(&record).unwrap();
        Some(record["uuid"].as_str().unwrap().to_owned())
    }

    /// Pids of this guest's VMMs.
    fn vmms(&self) -> Vec<i32> {
        let Some(uuid) = self.uuid() else { return Vec::new() };
        processes().into_iter().filter(|one| one.arguments.contains(&uuid)).map(|one| one.pid).collect()
    }

    fn seen(&self) -> Option<ObservedGuest> {
        match self.guests.glance().unwrap().guests.remove("web") {
            Some(Reading::Present(guest)) => Some(guest),
            None | Some(Reading::Absent) => None,
            Some(Reading::Unreadable(why)) => panic!("{why}"),
        }
    }

    /// What is always true.
    async fn holds(&mut self, after: &str) {
        let wanted = usize::from(self.runs);
        eventually(&format!("one VMM when it runs, after {after}"), || self.vmms().len() == wanted);
        let wanted = usize::from(self.kept);
        eventually(&format!("one keeper when it runs, after {after}"), || keepers(&self.root).len() == wanted);
        let seen = self.seen();
        assert_eq!(seen.is_some(), self.exists, "after {after}");
        let Some(guest) = seen else {
            return assert!(!self.root.exists(), "nothing is left after {after}");
        };
        match guest.state {
            RunState::Running(process) => {
                assert_eq!((self.runs, self.vmms()), (true, vec![process.pid]), "after {after}");
            }
            RunState::Stopped => assert_eq!((self.runs, self.suspended), (false, false), "after {after}"),
            RunState::Suspended => assert!(self.suspended, "after {after}"),
            RunState::Unknown(why) => panic!("after {after}: {why}"),
        }
        let work_disk = inode(&self.root.join("work.img"));
        assert_eq!(*self.work_disk.get_or_insert(work_disk), work_disk, "after {after}");
        assert!(self.root.join("root.img").is_file() && !self.root.join("root.qcow2").exists(), "after {after}");
        if self.runs && self.vm.jailer.is_some() {
            self.jail_is_right(after);
        }
        if self.runs {
            let log = || std::fs::read_to_string(self.root.join("console.log")).unwrap_or_default();
            eventually(&format!("the console is kept after {after}"), || log().contains("starting the guest's init"));
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.vmms().iter().for_each(|pid| end(*pid, "-KILL"));
    }
}

fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().unwrap().ino()
}

/// Plugged to a tap that the fake does not open.
fn link() -> LinkSpec {
    LinkSpec {
        network: "lan".into(),
        tap: LinkName::tap("demo", "lan", "web"),
        mac: "02:00:00:00:00:0a".parse().unwrap(),
        address: "172.31.7.10".parse().unwrap(),
        subnet: "172.31.7.0/24".parse().unwrap(),
        ipv6: None,
        nameservers: Vec::new(),
    }
}

/// An image and a kernel that nothing boots.
fn fill(store: &Store, vm: &VmSpec) {
    let kernel = store.kernel_paths(&vm.kernel);
    for (path, size) in [(store.image_path(&vm.image), 4 << 20), (kernel.vmlinux, 4096), (kernel.initrd, 4096)] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().set_len(size).unwrap();
    }
}
