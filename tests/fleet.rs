//! Scenario: the real binary makes two real guests from a fleet file, keeps them as declared through everything that
//! happens to them, and removes them. Needs a package archive, so it is asked for by name:
//!
//! ```text
//! cargo test --test fleet -- --ignored --nocapture --test-threads=1
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here is the test")]
#![allow(clippy::print_stderr, reason = "a scenario says what it skips and how long it took")]

#[path = "common/user.rs"]
mod user;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

const FLEET: &str = r#"
fleet "scenario"
import "std/debian"
git-identity from="host"

vm "web" count=2 {
    image "bookworm"
    work-disk size="1GiB"
    file-sync "files/a b" to="~/.config/a b"
    file-sync "files/tree" to="~/tree"
    session "ticker" cwd="~/tree" { command "sh" "-c" "echo up $WHO; exec sleep 1000000"; env "WHO" "me"; require "sleep"; }
}
"#;

#[test]
#[ignore = "builds an image and boots two guests: needs a package archive and some minutes"]
fn a_fleet_is_made_kept_and_removed() {
    let world = World::new();
    let mut clock = Clock(Instant::now());

    assert_eq!(world.plan_changes(), CREATED, "nothing is there yet");
    world.killed_at(&["apply", "--yes"], "create-guest vm.web-1: started");
    clock.lap("apply, killed while it made the guests");
    world.apply_with_a_full_disk_for_journals();
    clock.lap("apply again, until the journal's disk was full");
    world.ok(&["apply", "--yes"]);
    clock.lap("apply again, from images to SSH");
    world.is_as_declared();

    let ssh =
        world.run(&["ssh", "web-1", "--", "sh", "-c", "git config --global user.email; cat '.config/a b'; exit 42"]);
    assert_eq!((ssh.code, ssh.stdout.as_str()), (42, "me@example.org\nfirst\n"), "{}", ssh.stderr);
    clock.lap("a command in a guest");

    world.ok(&["ssh", "web-1", "--", "sh", "-c", "echo edited >>'.config/a b'; echo kept >mine; sync"]);
    assert_eq!(world.plan_changes(), ["file-sync.web-1/~/.config/a b update drift live"]);
    world.ok(&["apply", "--yes"]);
    assert_eq!(world.ok(&["ssh", "web-1", "--", "cat", ".config/a b"]).stdout, "first\n");
    world.is_as_declared();
    clock.lap("drift, shown and repaired");

    world.ok(&["session", "stop", "web-1", "ticker"]);
    assert_eq!(world.plan_changes(), ["session.web-1/ticker update drift live"]);
    world.ok(&["apply", "--yes"]);
    assert_eq!(world.ok(&["session", "logs", "web-1", "ticker"]).stdout, "up me\nup me\n", "its logs stay");
    world.is_as_declared();
    clock.lap("a session that had ended, started again");

    std::fs::write(world.home("files/tree/new"), "new\n").unwrap();
    let expected = ["file-sync.web-1/~/tree update pending live", "file-sync.web-2/~/tree update pending live"];
    assert_eq!(world.plan_changes(), expected);
    world.ok(&["apply", "--yes"]);
    assert_eq!(world.ok(&["ssh", "web-2", "--", "cat", "tree/new"]).stdout, "new\n");
    clock.lap("a new file, to both running guests");

    world.kill_guest("web-1");
    assert_eq!(world.plan_changes(), ["vm.web-1 update stopped none"]);
    world.ok(&["apply", "--yes"]);
    assert_eq!(world.ok(&["ssh", "web-1", "--", "cat", "mine"]).stdout, "kept\n");
    world.is_as_declared();
    assert_eq!(world.ok(&["session", "logs", "web-1", "ticker"]).stdout.lines().last(), Some("up me"));
    clock.lap("a guest that was killed, started again with its session");

    world.killed_at(&["destroy", "--yes"], "stop-guest vm.web-1: started");
    world.ok(&["destroy", "--yes"]);
    assert_eq!(world.processes(), 0, "no guest is left");
    assert_eq!(world.plan_changes(), CREATED[2..], "image and kernel stay");
    clock.lap("destroyed");
}

/// The same as an ordinary user, when the tests run as root.
#[test]
#[ignore = "builds an image and boots two guests: needs a package archive and some minutes"]
fn an_ordinary_user_can_do_the_same() {
    user::run_as_ordinary_user("a_fleet_is_made_kept_and_removed");
}

const CREATED: [&str; 14] = [
    "image.bookworm create missing none",
    "kernel.default-bookworm create missing none",
    "authorized-key.web-1 create missing none",
    "authorized-key.web-2 create missing none",
    "file-sync.web-1/~/.config/a b create missing none",
    "file-sync.web-1/~/tree create missing none",
    "file-sync.web-2/~/.config/a b create missing none",
    "file-sync.web-2/~/tree create missing none",
    "git-identity.web-1 create missing none",
    "git-identity.web-2 create missing none",
    "session.web-1/ticker create missing none",
    "session.web-2/ticker create missing none",
    "vm.web-1 create missing none",
    "vm.web-2 create missing none",
];

/// Tells how long things took.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self, what: &str) {
        eprintln!("[{:6.2}s] {what}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

/// A user's home with a fleet file, and a state directory.
struct World {
    dir: tempfile::TempDir,
    binary: PathBuf,
}

/// What a command left.
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let binary =
            std::env::var_os("REGATTA_BIN").map_or_else(|| env!("CARGO_BIN_EXE_regatta").into(), PathBuf::from);
        let world = Self { dir, binary };
        std::fs::create_dir_all(world.home("files/tree/below")).unwrap();
        for (path, content) in [
            ("fleet.kdl", FLEET),
            (".gitconfig", "[user]\n\tname = Me\n\temail = me@example.org\n"),
            ("files/a b", "first\n"),
            ("files/tree/one", "1\n"),
            ("files/tree/below/two", "2\n"),
        ] {
            std::fs::write(world.home(path), content).unwrap();
        }
        world
    }

    fn home(&self, path: &str) -> PathBuf {
        self.dir.path().join("home").join(path)
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.hermetic(&self.binary);
        command.args(args);
        command
    }

    /// A program that gets nothing of the tester's environment but the search path.
    fn hermetic(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home(""))
            .env("REGATTA_STATE_DIR", self.state())
            .current_dir(self.home(""))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Done { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) }
    }

    fn ok(&self, args: &[&str]) -> Done {
        let done = self.run(args);
        assert_eq!(done.code, 0, "{args:?}\n{}\n{}", done.stdout, done.stderr);
        done
    }

    /// Every change of the plan that is one, as `ADDRESS ACTION REASON IMPACT`, sorted.
    fn plan_changes(&self) -> Vec<String> {
        let done = self.ok(&["plan", "--format", "json"]);
        let plan: Value = serde_json::from_str(&done.stdout).unwrap();
        let word = |change: &Value, key: &str| change[key].as_str().unwrap().to_owned();
        let mut changes: Vec<String> = plan["changes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|change| change["action"] != "none")
            .map(|change| ["address", "action", "reason", "impact"].map(|key| word(change, key)).join(" "))
            .collect();
        changes.sort_by_key(|change| (!change.starts_with("image") && !change.starts_with("kernel"), change.clone()));
        changes
    }

    /// Law: apply, then plan, is empty.
    fn is_as_declared(&self) {
        let done = self.run(&["plan", "--detailed-exitcode"]);
        assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
    }

    /// Starts a command and ends it with SIGKILL when it says `wanted`.
    fn killed_at(&self, args: &[&str], wanted: &str) {
        let mut child = self.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut heard = Vec::new();
        let reached = said.by_ref().inspect(|line| heard.push(line.clone())).any(|line| line.contains(wanted));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(reached, "never said `{wanted}`:\n{}", heard.join("\n"));
    }

    /// Applies in a mount namespace in which journals are on a file system of one page: it is full in the middle of the
    /// run, and gone with the run.
    fn apply_with_a_full_disk_for_journals(&self) {
        let mounted = "mount -t tmpfs -o size=4k,mode=700 tmpfs \"$1\" && shift && exec \"$@\"";
        let runs = self.state().join("fleets/scenario/runs");
        let mut apply = self.hermetic("unshare");
        apply.args(["--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh"]).arg(runs);
        apply.arg(&self.binary).args(["apply", "--yes"]);
        let Output { status, stderr, .. } = apply.output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        for part in ["No space left on device", "create-guest vm.web-1: done"] {
            assert!(said.contains(part), "did not say `{part}`:\n{said}");
        }
    }

    /// Ends a guest's VMM with SIGKILL: by the pid in its record, and only if it is one of this world.
    fn kill_guest(&self, name: &str) {
        let record = self.state().join("fleets/scenario/vms").join(name).join("record.json");
        let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        let pid = record["process"]["pid"].as_i64().unwrap();
        assert!(command_line(&Path::new("/proc").join(pid.to_string())).contains(record["uuid"].as_str().unwrap()));
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    }

    /// How many processes of this world run.
    fn processes(&self) -> usize {
        let state = self.state();
        let ours = |line: &String| line.contains(state.to_str().unwrap());
        std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|p| command_line(&p.path())).filter(ours).count()
    }
}

impl Drop for World {
    /// Whatever happened, nothing is left running.
    fn drop(&mut self) {
        let done = self.run(&["destroy", "--yes"]);
        if done.code != 0 {
            eprintln!("cleaning up failed: {}", done.stderr);
        }
    }
}

fn command_line(process: &Path) -> String {
    let bytes = std::fs::read(process.join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}
