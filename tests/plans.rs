//! Commands about plans, on the real binary: exit codes, saved plans, drift that writes nothing. No guest is started.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be run here is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

/// A user with a fleet file and nothing else.
struct User(tempfile::TempDir);

/// What a command did.
#[derive(Debug)]
struct Done {
    code: i32,
    out: String,
    err: String,
}

const FLEET: &str = r#"fleet "shop"
import "std/debian"
vm "web" { image "bookworm"; file-sync "motd" to="~/motd"; }
"#;

impl User {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("fleet.kdl"), FLEET).unwrap();
        fs::write(home.path().join("motd"), "welcome\n").unwrap();
        Self(home)
    }

    fn home(&self) -> &Path {
        self.0.path()
    }

    fn regatta(&self, args: &[&str]) -> Done {
        let output = Command::new(env!("CARGO_BIN_EXE_regatta"))
            .args(args)
            .env_clear()
            .envs([("HOME", self.home()), ("REGATTA_STATE_DIR", &self.home().join("state"))])
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.home())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn code(&self, args: &[&str]) -> i32 {
        self.regatta(args).code
    }

    /// Every file with its content and time of change.
    fn tree(&self) -> BTreeMap<String, (i64, Vec<u8>)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.home().to_owned()];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let about = path.symlink_metadata().unwrap();
                let content = if about.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                found.insert(path.display().to_string(), (about.ctime_nsec(), content));
                if about.is_dir() {
                    folders.push(path);
                }
            }
        }
        found
    }
}

/// The rows of the table of exit codes that need no guest; runs that fail in part or are interrupted are in `tests/run`.
#[test]
fn exit_codes_are_those_of_the_table() {
    let user = User::new();
    assert_eq!(user.code(&["plan"]), 0);
    assert_eq!(user.code(&["drift"]), 0);
    assert_eq!(user.code(&["plan", "--detailed-exitcode"]), 2);
    assert_eq!(user.code(&["plan", "--detailed-exitcode", "--exclude", "**.**"]), 0);
    assert_eq!(user.code(&["plan", "--file", "missing.kdl"]), 1);
    assert_eq!(user.code(&["plan", "-o", "plan.json"]), 0);
    fs::write(user.home().join("motd"), "changed\n").unwrap();
    assert_eq!(user.code(&["apply", "--yes", "plan.json"]), 3);
    assert_eq!(user.code(&["protect", "web"]), 1, "there is no such guest yet");
    for usage in [&["plan", "--format", "dot"][..], &["plan", "--only", "vbe"], &["plan", "--out", "x"], &["plna"]] {
        assert_eq!(user.code(usage), 64, "{usage:?}");
    }
}

#[test]
fn a_saved_plan_shows_what_was_shown_and_is_private() {
    let user = User::new();
    let live = user.regatta(&["plan", "-o", "plan.json"]);
    let saved = user.home().join("plan.json");
    assert_eq!(fs::metadata(&saved).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(user.regatta(&["plan", "plan.json"]).out, live.out);
    let edited = fs::read_to_string(&saved).unwrap().replace("welcome", "WELCOME");
    fs::write(&saved, edited).unwrap();
    let refused = user.regatta(&["plan", "plan.json"]);
    assert_eq!((refused.code, refused.out.as_str()), (3, ""));
    assert_eq!(
        refused.err,
        "error: `plan.json` cannot be used\n  caused by: it was changed after it was saved: its seal does not match\n"
    );
}

#[test]
fn several_outputs_come_from_one_plan() {
    let user = User::new();
    let done =
        user.regatta(&["plan", "--out", "json=plan.json", "--out", "markdown=plan.md", "--out", "gitlab=gitlab.json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let read = |name: &str| fs::read_to_string(user.home().join(name)).unwrap();
    assert_eq!(read("plan.json"), user.regatta(&["plan", "--format", "json"]).out);
    assert!(read("plan.md").starts_with("<!-- regatta plan shop -->\n"));
    assert_eq!(read("gitlab.json"), "{\"create\":5,\"update\":0,\"delete\":0}\n");
    let wrong = user.regatta(&["plan", "--out", "markdown=other.md", "--out", "dot=plan.dot"]);
    assert_eq!((wrong.code, user.home().join("other.md").exists()), (64, false), "{wrong:?}");
}

#[test]
fn mistakes_are_written_for_code_scanning() {
    let user = User::new();
    fs::write(user.home().join("fleet.kdl"), "vm \"web\" {\n    imag \"bookworm\"\n}\n").unwrap();
    let done = user.regatta(&["check", "--out", "sarif=mistakes.sarif"]);
    assert_eq!(done.code, 1, "{done:?}");
    let log = fs::read_to_string(user.home().join("mistakes.sarif")).unwrap();
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    let first = &log["runs"][0]["results"][0];
    assert_eq!(first["locations"][0]["physicalLocation"]["region"]["startLine"], 2, "{log:#}");
    assert_eq!(user.code(&["apply", "--yes", "--out", "dot=x"]), 64);
}

/// Drift is given nothing to perform steps with; so that it needs neither rights nor room, it writes no file either.
#[test]
fn drift_writes_nothing() {
    let user = User::new();
    assert_eq!(user.code(&["plan"]), 0);
    let before = user.tree();
    let done = user.regatta(&["drift"]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "", ""));
    assert_eq!(user.tree(), before);
}

/// Every step is there in its order, each command with whose rights it runs, and nothing was run or written for it.
#[test]
fn commands_are_printed_and_not_run() {
    let user = User::new();
    let plan = user.regatta(&["plan", "-o", "plan.json", "--format", "json"]);
    let before = user.tree();
    let printed = user.regatta(&["plan", "--print-commands"]);
    assert_eq!(printed.code, 0, "{printed:?}\n{plan:?}");
    let steps: Vec<&str> = printed.out.lines().filter(|line| line.starts_with('[')).collect();
    let graph = user.regatta(&["graph"]).out;
    let known: Vec<&str> = graph.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(steps.len(), known.len());
    for (step, known) in steps.iter().zip(known) {
        assert!(known.starts_with(step), "{step} is not {known}");
    }
    let command = |program: &str| printed.out.lines().any(|line| line.starts_with(&format!("  as you  {program} ")));
    for program in ["mmdebstrap", "mke2fs", "e2fsck", "qemu-img", "mkfs.ext4", "debugfs", "qemu-system-x86_64"] {
        assert!(command(program) || command(&format!("REGATTA_KERNEL=linux-image-cloud-amd64 {program}")), "{program}");
    }
    assert_eq!(user.regatta(&["plan", "plan.json", "--print-commands"]).out, printed.out, "a saved plan has the same");
    assert_eq!(user.tree(), before);
    let json = user.regatta(&["plan", "--print-commands", "--format", "json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["steps"].as_array().unwrap().len(), steps.len());
}

/// Hyperlinks and colours are for terminals; colours can be forced into a pipe, links cannot.
#[test]
fn a_pipe_gets_no_hyperlinks() {
    let user = User::new();
    let done = user.regatta(&["plan", "--color", "always"]);
    assert!(done.out.contains("\x1b[") && !done.out.contains("\x1b]8;"), "{}", done.out);
}

#[test]
fn selections_say_what_comes_along() {
    let user = User::new();
    let done = user.regatta(&["plan", "--only", "file-sync.web/**"]);
    assert!(done.out.contains("\n  vm.web comes along, because file-sync.web/~/motd needs it\n"), "{}", done.out);
}

#[test]
fn the_graph_is_drawn() {
    let user = User::new();
    assert!(user.regatta(&["graph"]).out.starts_with("[0] build-kernel kernel.default-bookworm"));
    assert!(user.regatta(&["graph", "--format", "dot"]).out.starts_with("digraph plan {\n"));
    assert!(user.regatta(&["graph", "--format", "mermaid"]).out.starts_with("flowchart LR\n"));
    let json: serde_json::Value = serde_json::from_str(&user.regatta(&["graph", "--format", "json"]).out).unwrap();
    assert_eq!(json["steps"].as_array().unwrap().len(), 6);
}

/// No form of a plan, no saved plan and no explanation has a secret or what it could be found from.
#[test]
fn a_secret_is_in_no_output_and_bound_to_the_plan() {
    let user = User::new();
    let secret = "hunter2-and-more";
    let write = |text: &str| fs::write(user.home().join("token"), text).unwrap();
    write(secret);
    let fleet = r#"import "std/debian"
vm "web" { image "bookworm"; file "~/.token" { secret command="cat" "token"; }; }
"#;
    fs::write(user.home().join("fleet.kdl"), fleet).unwrap();
    let plain = regatta::resource::Digest::of(secret.as_bytes());
    let outputs: [&[&str]; 7] = [
        &["plan", "-o", "plan.json", "--out", "markdown=plan.md"],
        &["plan", "--full"],
        &["plan", "--format", "json"],
        &["plan", "plan.json"],
        &["graph", "--format", "json"],
        &["explain", "secret.web/~/.token"],
        &["status", "--format", "json"],
    ];
    for args in outputs {
        let done = user.regatta(args);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(!done.out.contains(secret) && !done.out.contains(plain.short()), "{args:?}: {}", done.out);
    }
    assert!(user.regatta(&["plan"]).out.contains("+ ~/.token  secret hmac:"));
    fs::remove_file(user.home().join("token")).unwrap();
    let failed = user.regatta(&["plan"]);
    assert_eq!(failed.code, 1);
    assert!(
        failed.err.contains("× cannot fetch a secret: `cat token` exited with 1: cat: token: No such"),
        "{failed:?}"
    );
    assert_eq!(user.code(&["drift"]), 0, "nothing is fetched for it");
    write("another secret");
    assert_eq!(user.code(&["apply", "--yes", "plan.json"]), 3);
    for (path, (_, content)) in user.tree() {
        let text = String::from_utf8_lossy(&content).into_owned();
        assert!(!text.contains(secret) && !text.contains(plain.short()), "{path}");
    }
}

/// A record as an apply from `origin` would have left it, of a guest whose disks were not made yet.
fn record(user: &User, fleet: &str, guest: &str, origin: &str) -> std::path::PathBuf {
    let directory = user.home().join("state/fleets").join(fleet).join("vms").join(guest);
    fs::create_dir_all(&directory).unwrap();
    let record = serde_json::json!({
        "format_version": 1, "fleet": fleet, "origin": origin, "name": guest,
        "uuid": "01900000-0000-7000-8000-0000000000ab", "ssh_port": 40_000, "host_key": "ssh-ed25519 AAAA",
        "applied": {"disks": null, "started": null}, "process": null,
    });
    fs::write(directory.join("record.json"), record.to_string()).unwrap();
    directory
}

fn written(directory: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(directory.join("record.json")).unwrap()).unwrap()
}

/// «I moved my checkout»: the guests are refused, adopted, and planned as ever.
#[test]
fn a_moved_fleet_file_adopts_its_guests() {
    let user = User::new();
    let directory = record(&user, "shop", "web", "/elsewhere/fleet.kdl");
    let refused = user.regatta(&["plan"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("`regatta adopt` takes its guests over"), "{}", refused.err);
    let adopted = user.regatta(&["adopt", "--yes"]);
    assert_eq!(adopted.code, 0, "{adopted:?}");
    assert!(adopted.out.contains("origin  /elsewhere/fleet.kdl → "), "{}", adopted.out);
    let home = user.home().canonicalize().unwrap();
    assert_eq!(written(&directory)["origin"], home.join("fleet.kdl").to_str().unwrap());
    assert!(user.regatta(&["plan", "--detailed-exitcode"]).out.contains("vm.web  create · unfinished"));
    assert_eq!(user.regatta(&["adopt", "--yes"]).code, 0, "adopting twice is adopting once");
}

/// A fleet without a name is called by its directory, which was another one before it was moved.
#[test]
fn guests_are_adopted_from_the_name_the_fleet_had() {
    let user = User::new();
    let old = record(&user, "old-shop", "web", "/elsewhere/fleet.kdl");
    assert_eq!(user.code(&["adopt", "--yes", "--from-fleet", "old-shop"]), 0);
    assert!(!old.exists());
    let new = written(&user.home().join("state/fleets/shop/vms/web"));
    assert_eq!(new["fleet"], "shop");
}

/// Two files that manage one guest undo each other's work.
#[test]
fn guests_of_a_file_that_still_exists_are_not_adopted_by_accident() {
    let user = User::new();
    fs::create_dir(user.home().join("other")).unwrap();
    fs::copy(user.home().join("fleet.kdl"), user.home().join("other/fleet.kdl")).unwrap();
    let origin = user.home().canonicalize().unwrap().join("other/fleet.kdl");
    let directory = record(&user, "shop", "web", origin.to_str().unwrap());
    assert_eq!(user.code(&["adopt", "--yes"]), 3);
    assert_eq!(written(&directory)["origin"], origin.to_str().unwrap());
    assert_eq!(user.code(&["adopt", "--yes", "--take-over"]), 0);
}

#[test]
fn a_forgotten_guest_is_nobodys_and_can_be_taken_back() {
    let user = User::new();
    let home = user.home().canonicalize().unwrap();
    let directory = record(&user, "shop", "web", home.join("fleet.kdl").to_str().unwrap());
    assert_eq!(user.code(&["forget", "vbe", "--yes"]), 1);
    let done = user.regatta(&["forget", "web", "--yes"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("it is still declared"), "{}", done.out);
    assert!(!directory.exists());
    assert!(user.regatta(&["plan"]).out.contains("vm.web  create · missing"));
    assert_eq!(user.code(&["adopt", "--forgotten", "--yes"]), 0);
    assert!(directory.join("record.json").exists());
    assert!(user.regatta(&["plan"]).out.contains("vm.web  create · unfinished"));
}

/// Neither a lock file that does not fit nor a registry that is away keeps anybody from removing a guest.
#[test]
fn what_images_stand_for_does_not_matter_to_a_removal() {
    let user = User::new();
    fs::write(
        user.home().join("fleet.kdl"),
        "fleet \"shop\"\nimage \"app\" { oci \"127.0.0.1:9/app:1\"; }\nvm \"web\" { image \"app\"; }\n",
    )
    .unwrap();
    let home = user.home().canonicalize().unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    let lock = format!("lock-version 1\nimage \"app\" source=\"127.0.0.1:9/app:2\" digest=\"{digest}\"\n");
    for lock in [None, Some(&lock)] {
        if let Some(lock) = lock {
            fs::write(user.home().join("fleet.lock.kdl"), lock).unwrap();
        }
        let directory = record(&user, "shop", "web", home.join("fleet.kdl").to_str().unwrap());
        assert_eq!(user.code(&["plan"]), 1);
        let removed = user.regatta(&["destroy", "--yes"]);
        assert_eq!(removed.code, 0, "{removed:?}");
        assert!(!directory.exists());
    }
}

/// The directory goes first and the record last: a rename that was cut short is finished by the next apply.
#[test]
fn a_rename_that_was_cut_short_is_planned_again() {
    let user = User::new();
    let home = user.home().canonicalize().unwrap();
    let directory = record(&user, "shop", "www", home.join("fleet.kdl").to_str().unwrap());
    fs::write(user.home().join("fleet.kdl"), format!("{FLEET}moved \"www\" to=\"web\"\n")).unwrap();
    let planned = user.regatta(&["plan"]).out;
    fs::rename(&directory, directory.with_file_name("web")).unwrap();
    assert_eq!(user.regatta(&["plan"]).out, planned, "the crash changed what is planned");
    assert!(planned.contains("name       www → web"), "{planned}");
}

/// Whoever only looks needs no place to write: a state directory on a read-only file system is as good.
#[test]
fn a_read_only_state_directory_is_enough_to_look() {
    let user = User::new();
    let before = ["plan", "drift", "status", "graph"].map(|command| user.regatta(&[command]).out);
    let read_only = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    for (command, before) in ["plan", "drift", "status", "graph"].into_iter().zip(before) {
        let mut inside = Command::new("unshare");
        inside.args(["--user", "--map-root-user", "--mount", "sh", "-c", read_only, "sh"]).arg(user.home());
        inside.arg(env!("CARGO_BIN_EXE_regatta")).arg(command).current_dir(user.home()).env_clear();
        inside.envs([("HOME", user.home()), ("REGATTA_STATE_DIR", &user.home().join("state"))]);
        let output = inside.env("PATH", "/usr/bin:/bin").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if ["unshare:", "mount:"].iter().any(|program| said.starts_with(program)) {
            skipped(&format!("no file system can be made read-only here: {said}"));
            return;
        }
        assert_eq!(
            (output.status.code(), String::from_utf8(output.stdout).unwrap()),
            (Some(0), before),
            "{command}: {said}"
        );
    }
}

#[allow(clippy::print_stderr, reason = "a test that does not run says so")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
