//! The life of a real guest, through the real binary: on QEMU as whoever runs the tests, and on Firecracker in a network
//! namespace of the test's own, as root.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::{end, eventually, keepers, processes};

/// What is done on every VMM, after its first start and before its end; after each, everything in [`Life::holds`] must hold.
const LIFE: [Action; 15] = [
    Action::Restart,
    Action::PauseAndResume,
    Action::Suspend,
    Action::Wake,
    Action::GoBackTwice,
    Action::Stop,
    Action::Start,
    Action::KillKeeper,
    Action::JoinConsole,
    Action::KillVmm,
    Action::Start,
    Action::KillRegattaInRestart,
    Action::WipeRuntimeFiles,
    Action::Restart,
    Action::ReplaceRoot,
];

/// Before and after that on QEMU. The end of a Firecracker is its guest's reboot.
const ON_QEMU: [&[Action]; 2] =
    [&[Action::Apply("microvm"), Action::RebootInside], &[Action::Apply("q35"), Action::Destroy]];

/// The same on Firecracker. Between it and QEMU the root disk is made anew.
const ON_FIRECRACKER: [&[Action]; 2] = [
    &[Action::Apply("firecracker")],
    &[Action::ApplyAnew("microvm"), Action::ApplyAnew("firecracker"), Action::Destroy],
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// With this machine.
    Apply(&'static str),
    /// The same, where it takes another root disk.
    ApplyAnew(&'static str),
    Restart,
    /// `reboot` in the guest: the same VMM, another boot.
    RebootInside,
    PauseAndResume,
    /// Its memory goes to a file; what runs in it goes on when it is woken.
    Suspend,
    /// To a snapshot with memory.
    GoBackTwice,
    Wake,
    Stop,
    Start,
    KillKeeper,
    JoinConsole,
    KillVmm,
    /// SIGKILL of regatta itself while it restarts the guest; the next apply puts it right.
    KillRegattaInRestart,
    /// LESSON 24: sockets, pid file and logs are gone while the guest runs.
    WipeRuntimeFiles,
    ReplaceRoot,
    Destroy,
}

#[test]
#[ignore = "builds an image and boots a guest many times: needs a package archive and some minutes"]
fn a_guest_lives_on_qemu() {
    Life::new(None).go(ON_QEMU);
}

/// Also needs KVM that runs stock kernels.
#[test]
#[ignore = "builds an image and boots a guest many times: needs root, a package archive and a firecracker"]
fn a_guest_lives_on_firecracker() {
    if std::env::var_os("REGATTA_FIRECRACKER").is_none() {
        return eprintln!("SKIPPED: REGATTA_FIRECRACKER names no firecracker");
    }
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return eprintln!("SKIPPED: a network namespace and a bridge need root");
    }
    Life::new(Some(Namespace::new())).go(ON_FIRECRACKER);
}

/// A network namespace, which goes when this goes.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        let name = format!("rgtlife{}", std::process::id());
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        Self(name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}");
}

struct Life {
    dir: tempfile::TempDir,
    state: PathBuf,
    /// Where the guest has a bridge; without one it is in a user-mode network.
    namespace: Option<Namespace>,
    runs: bool,
    kept: bool,
    exists: bool,
    suspended: bool,
    /// What the guest must never lose: it is made at the first start.
    identity: Option<String>,
    root_is_new: bool,
}

/// What a command left.
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Life {
    fn new(namespace: Option<Namespace>) -> Self {
        let dir = tempfile::Builder::new().prefix("rgt").tempdir().unwrap();
        // A state directory that already has an image saves building one.
        let given = std::env::var_os("REGATTA_SCENARIO_STATE").map(PathBuf::from);
        let state = given.unwrap_or_else(|| dir.path().join("state"));
        Self {
            dir,
            state,
            namespace,
            runs: false,
            kept: false,
            exists: false,
            suspended: false,
            identity: None,
            root_is_new: true,
        }
    }

    fn go(&mut self, [first, last]: [&[Action]; 2]) {
        if self.namespace.is_some() {
            // Packages are fetched where there is a way out.
            self.declare("microvm");
            let build = ["apply", "--yes", "--only", "image.*", "--only", "kernel.*"];
            assert!(self.outside(&build).status().unwrap().success());
        }
        for action in first.iter().chain(&LIFE).chain(last) {
            let start = std::time::Instant::now();
            self.act(*action);
            self.holds(*action);
            eprintln!("{action:?}: {:.1} s", start.elapsed().as_secs_f32());
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let Some(Namespace(name)) = &self.namespace else { return self.outside(args) };
        let inner = self.outside(args);
        let mut command = self.clean("ip");
        command.args(["netns", "exec", name]).arg(inner.get_program()).args(inner.get_args());
        command
    }

    /// Where the tests run, whether or not the guest has a namespace.
    fn outside(&self, args: &[&str]) -> Command {
        let mut command = self.clean(env!("CARGO_BIN_EXE_regatta"));
        command.args(args);
        command
    }

    /// A program in an environment of ours.
    fn clean(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("REGATTA_STATE_DIR", &self.state)
            .envs(std::env::var_os("REGATTA_FIRECRACKER").map(|program| ("REGATTA_FIRECRACKER", program)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        let output = self.command(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Done { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn ok(&self, args: &[&str]) -> Done {
        let done = self.run(args);
        assert_eq!(done.code, 0, "{args:?}\n{}\n{}", done.stdout, done.stderr);
        done
    }

    /// What a command prints in the guest.
    fn inside(&self, argv: &[&str]) -> String {
        let args: Vec<&str> = ["ssh", "one", "--"].into_iter().chain(argv.iter().copied()).collect();
        self.ok(&args).stdout
    }

    fn guest(&self, file: &str) -> PathBuf {
        self.state.join("fleets/lifecycle/vms/one").join(file)
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Apply(machine) | Action::ApplyAnew(machine) => {
                self.declare(machine);
                self.ok(&["apply", "--yes"]);
                (self.runs, self.kept, self.exists) = (true, true, true);
                self.root_is_new |= matches!(action, Action::ApplyAnew(_));
            }
            Action::Restart => {
                let report = self.ok(&["restart", "one", "--format", "json"]).stdout;
                assert!(report.contains("stopped from inside the guest"), "LESSON 20: {report}");
                (self.runs, self.kept) = (true, true);
            }
            Action::RebootInside => self.reboot_inside(),
            Action::PauseAndResume => {
                self.ok(&["pause", "one"]);
                let plan = self.run(&["plan"]);
                assert!(plan.stdout.contains("`regatta resume one`"), "{}", plan.stdout);
                self.ok(&["resume", "one"]);
            }
            Action::Suspend => self.suspend(),
            Action::GoBackTwice => self.go_back_twice(),
            Action::Wake => self.wake(),
            Action::Stop => {
                self.ok(&["stop", "o*"]);
                (self.runs, self.kept) = (false, false);
            }
            Action::Start => {
                self.ok(&["start", "one"]);
                (self.runs, self.kept) = (true, true);
            }
            Action::KillKeeper => {
                keepers(&self.guest("")).iter().for_each(|keeper| end(keeper.pid, "-KILL"));
                self.kept = false;
            }
            Action::JoinConsole => {
                // Standard input is at its end, so that this joins and leaves.
                self.ok(&["console", "one"]);
                self.kept = true;
            }
            Action::KillVmm => {
                self.vmms().iter().for_each(|pid| end(*pid, "-KILL"));
                (self.runs, self.kept) = (false, false);
            }
            Action::KillRegattaInRestart => {
                let mut child = self.command(&["restart", "one"]).stderr(Stdio::null()).spawn().unwrap();
                eventually("the guest is stopped", || self.vmms().is_empty());
                child.kill().unwrap();
                child.wait().unwrap();
                self.ok(&["apply", "--yes"]);
                (self.runs, self.kept) = (true, true);
            }
            Action::WipeRuntimeFiles => {
                // Firecracker has no file of its pid, and pipes for a console.
                let qemus: &[&str] = if self.namespace.is_none() { &["tty.sock", "pid"] } else { &[] };
                for file in ["qmp.sock", "con.sock", "console.log"].iter().chain(qemus) {
                    std::fs::remove_file(self.guest(file)).unwrap();
                }
            }
            Action::ReplaceRoot => {
                self.ok(&["apply", "--yes", "--replace", "one"]);
                self.root_is_new = true;
            }
            Action::Destroy => {
                self.ok(&["destroy", "--yes"]);
                (self.runs, self.kept, self.exists) = (false, false, false);
            }
        }
    }

    fn suspend(&mut self) {
        self.inside(&["sh", "-c", "echo kept >/run/only-in-memory"]);
        self.ok(&["suspend", "one"]);
        assert!(self.run(&["plan"]).stdout.contains("`regatta wake one`"), "nothing is planned for it");
        assert_eq!(self.run(&["start", "one"]).code, 1, "a second VMM on its disks");
        (self.runs, self.kept, self.suspended) = (false, false, true);
    }

    fn wake(&mut self) {
        self.ok(&["wake", "one"]);
        assert_eq!(self.inside(&["cat", "/run/only-in-memory"]), "kept\n");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let theirs: u64 = self.inside(&["date", "+%s"]).trim().parse().unwrap();
        assert!(now.abs_diff(theirs) < 30, "its clock is {theirs}, ours {now}");
        assert!(!self.guest("memory").exists() && !self.guest("memory.waking").exists(), "LESSON 31");
        (self.runs, self.kept, self.suspended) = (true, true, false);
    }

    /// Twice from one memory: the guest knows nothing of what came after, and its random numbers are others.
    fn go_back_twice(&mut self) {
        self.suspend();
        self.ok(&["snapshot", "create", "one", "--name", "warm"]);
        let mut numbers = Vec::new();
        for _ in 0..2 {
            self.wake();
            numbers.push(self.inside(&["sh", "-c", "head -c 16 /dev/urandom | od -An -tx1"]));
            self.inside(&["sh", "-c", "echo later >/run/only-in-memory"]);
            self.ok(&["stop", "one"]);
            self.ok(&["snapshot", "restore", "one", "warm", "--yes"]);
            self.suspended = true;
        }
        self.wake();
        assert_ne!(numbers[0], numbers[1], "LESSON 31");
    }

    fn declare(&self, machine: &str) {
        let (lan, plug) = match self.namespace {
            Some(_) => {
                ("network \"lan\" { mode \"bridge\"; subnet \"172.31.9.0/24\"; nat #false; }", "network \"lan\";")
            }
            None => ("", ""),
        };
        let vm =
            format!("image \"bookworm\"; memory \"256MiB\"; work-disk size=\"256MiB\"; machine \"{machine}\"; {plug}");
        let fleet = format!("fleet \"lifecycle\"\nimport \"std/debian\"\n{lan}\nvm \"one\" {{ {vm} }}\n");
        std::fs::write(self.dir.path().join("fleet.kdl"), fleet).unwrap();
    }

    fn reboot_inside(&self) {
        let boot = |life: &Self| life.run(&["ssh", "one", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
        let (before, vmm) = (boot(self).stdout, self.vmms());
        // The connection may end before the command does.
        self.run(&["ssh", "one", "--", "reboot"]);
        let end = std::time::Instant::now() + Duration::from_secs(240);
        loop {
            let now = boot(self);
            if now.code == 0 && now.stdout != before {
                break;
            }
            assert!(std::time::Instant::now() < end, "it did not come back: {}", now.stderr);
            std::thread::sleep(Duration::from_secs(1));
        }
        assert_eq!(self.vmms(), vmm, "a guest's reboot is its own affair");
    }

    fn record(&self) -> Option<Value> {
        Some(serde_json::from_slice(&std::fs::read(self.guest("record.json")).ok()?).unwrap())
    }

    fn vmms(&self) -> Vec<i32> {
        let Some(record) = self.record() else { return Vec::new() };
        let uuid = record["uuid"].as_str().unwrap().to_owned();
        processes().into_iter().filter(|one| one.arguments.contains(&uuid)).map(|one| one.pid).collect()
    }

    /// What is always true.
    fn holds(&mut self, action: Action) {
        let wanted = usize::from(self.runs);
        eventually(&format!("one VMM when it runs, after {action:?}"), || self.vmms().len() == wanted);
        let wanted = usize::from(self.kept);
        eventually(&format!("one keeper when it runs, after {action:?}"), || keepers(&self.guest("")).len() == wanted);
        if !self.exists {
            return assert!(!self.guest("").exists(), "nothing is left");
        }
        let status: Value = serde_json::from_str(&self.ok(&["status", "--format", "json"]).stdout).unwrap();
        let state = match (self.runs, self.suspended) {
            (true, _) => "running",
            (false, true) => "suspended",
            (false, false) => "stopped",
        };
        assert_eq!(status["guests"][0]["state"], state, "after {action:?}");
        if !self.runs {
            return;
        }
        assert_eq!(self.record().unwrap()["process"]["pid"], self.vmms()[0], "after {action:?}");
        let plan = self.run(&["plan", "--detailed-exitcode"]);
        assert_eq!(plan.code, 0, "after {action:?}: {}\n{}", plan.stdout, plan.stderr);
        self.is_itself(action);
    }

    /// Its name, its machine id, its data; and what is only on its root disk as long as that is the same.
    fn is_itself(&mut self, action: Action) {
        let look = "hostname; cat /etc/machine-id ~/mine 2>/dev/null || true";
        if self.identity.is_none() {
            self.inside(&["sh", "-c", "head -c 16 /dev/urandom | od -An -tx1 >~/mine && sync"]);
        }
        let identity = self.inside(&["sh", "-c", look]);
        assert_eq!(identity.lines().count(), 3, "after {action:?}: {identity}");
        assert_eq!(self.identity.get_or_insert_with(|| identity.clone()), &identity, "after {action:?}");
        let mark = self.inside(&["sh", "-c", "test -e /var/mark && echo kept; touch /var/mark && sync"]);
        assert_eq!(mark.is_empty(), self.root_is_new, "after {action:?}");
        self.root_is_new = false;
    }
}

impl Drop for Life {
    /// Whatever happened, nothing is left running.
    fn drop(&mut self) {
        let done = self.run(&["destroy", "--yes"]);
        if done.code != 0 {
            eprintln!("cleaning up failed: {}", done.stderr);
            self.vmms().iter().for_each(|pid| end(*pid, "-KILL"));
        }
    }
}
