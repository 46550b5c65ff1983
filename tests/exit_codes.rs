//! The table of exit codes, on the real binary: one test per row. No guest is started; the programs that would build an
//! image or start a guest are small scripts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be run here is a failed test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// A user with a fleet file, and programs that come before the machine's own.
struct User(tempfile::TempDir);

const FLEET: &str = r#"fleet "shop"
image "bookworm" { debootstrap suite="bookworm" mirror="http://127.0.0.1:9/debian"; }
vm "web" { image "bookworm"; work-disk size="64MiB"; }
"#;

/// A guest that no fleet file declares any more, of which nothing but the mark exists.
const LEFT: &str = "old";

impl User {
    fn new(fleet: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("fleet.kdl"), fleet).unwrap();
        fs::create_dir(home.path().join("bin")).unwrap();
        Self(home)
    }

    fn home(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regatta"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home())
            .env("REGATTA_STATE_DIR", self.home().join("state"))
            .env("REGATTA_ACCEL", "tcg")
            .env("PATH", format!("{}:/usr/bin:/bin", self.home().join("bin").display()))
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    fn code(&self, args: &[&str]) -> i32 {
        let output = self.command(args).output().unwrap();
        let code = output.status.code().unwrap();
        assert!(
            code == 0 || !output.stderr.is_empty() || args[0] == "drift" || args[0] == "plan",
            "{args:?} is silent"
        );
        code
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.home().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn guest(&self, name: &str) -> PathBuf {
        self.home().join("state/fleets/shop/vms").join(name)
    }

    /// A guest as an apply left it: its disks made of `disks`, or not made yet.
    fn record(&self, name: &str, disks: &Value) {
        fs::create_dir_all(self.guest(name)).unwrap();
        let record = json!({
            "format_version": 1, "fleet": "shop", "origin": self.home().join("fleet.kdl"), "name": name,
            "uuid": "01900000-0000-7000-8000-0000000000ab", "ssh_port": 40_000, "host_key": "ssh-ed25519 AAAA",
            "applied": {"disks": disks, "started": disks}, "process": null,
        });
        fs::write(self.guest(name).join("record.json"), record.to_string()).unwrap();
    }

    /// What the guest `web` is declared as.
    fn declared(&self) -> Value {
        assert_eq!(self.code(&["plan", "-o", "declared.json"]), 0);
        let saved: Value =
            serde_json::from_str(&fs::read_to_string(self.home().join("declared.json")).unwrap()).unwrap();
        let steps = saved["body"]["plan"]["graph"]["steps"].as_array().unwrap();
        steps.iter().find(|step| step["op"]["op"] == "create-guest").unwrap()["op"]["vm"].clone()
    }

    /// The store as if an image and a kernel had been built.
    fn built(&self, folder: &str, key: &Value) {
        let folder = self.home().join("state/store").join(folder).join(key.as_str().unwrap());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("manifest.json"), json!({"key": key, "recipe": {}}).to_string()).unwrap();
        for file in ["root.img", "vmlinux", "initrd.img"] {
            fs::write(folder.join(file), "").unwrap();
        }
    }

    /// A stopped guest made of another image than is declared, which is built.
    fn with_another_image(&self) {
        let declared = self.declared();
        self.built("images", &declared["image"]);
        self.built("kernels", &declared["kernel"]);
        let mut before = declared;
        before["image"] = "0123456789abcdef".into();
        self.record("web", &before);
        fs::File::create(self.guest("web").join("work.img")).unwrap().set_len(64 << 20).unwrap();
        fs::write(self.guest("web").join("root.qcow2"), "the root disk").unwrap();
    }
}

/// What only guests of this machine have is refused for those of clusters, and no cluster is asked for it.
#[test]
fn consoles_and_memory_of_guests_on_clusters_are_refused() {
    let user = User::new(
        "fleet \"shop\"\ncluster \"pve\" { endpoint \"https://127.0.0.1:9\"; token env=\"T\"; }\n\
         container \"web\" { cluster \"pve\"; vmid 105; template \"local:vztmpl/debian.tar.zst\"; root-disk storage=\"local\" size=\"4GiB\"; }\n",
    );
    for (args, expected) in [
        (&["logs", "web"][..], "`web` is on a cluster: its console is not on this machine"),
        (&["console", "web"], "`web` is on a cluster: its console is not on this machine"),
        (&["pause", "w*"], "`w*` names a guest on a cluster: only those of this machine can be paused and suspended"),
        (
            &["suspend", "web"],
            "`web` names a guest on a cluster: only those of this machine can be paused and suspended",
        ),
    ] {
        let output = user.command(args).env("T", "u@pam!t=00000000-0000-0000-0000-000000000000").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.contains(expected)), (Some(1), true), "{args:?}: {said}");
    }
}

#[test]
fn success_is_0() {
    let user = User::new(FLEET);
    assert_eq!(user.code(&["plan"]), 0);
    assert_eq!(user.code(&["drift"]), 0);
    let nothing = User::new("fleet \"shop\"\n");
    assert_eq!(nothing.code(&["plan", "--detailed-exitcode"]), 0);
    assert_eq!(nothing.code(&["apply", "--yes"]), 0);
}

#[test]
fn an_error_is_1() {
    let user = User::new("vm \"web\" { imag \"bookworm\"; }\n");
    assert_eq!(user.code(&["plan"]), 1);
    let unbuildable = User::new(FLEET);
    unbuildable.program("mmdebstrap", "exit 1");
    assert_eq!(unbuildable.code(&["apply", "--yes"]), 1, "nothing could be done");
}

#[test]
fn pending_changes_and_drift_are_2() {
    let user = User::new(FLEET);
    assert_eq!(user.code(&["plan", "--detailed-exitcode"]), 2);
    user.record("web", &user.declared());
    fs::File::create(user.guest("web").join("work.img")).unwrap().set_len(64 << 20).unwrap();
    assert_eq!(user.code(&["drift"]), 2, "it was started, and is stopped");
}

#[test]
fn a_refusal_is_3() {
    let user = User::new(FLEET);
    assert_eq!(user.code(&["plan", "-o", "plan.json"]), 0);
    fs::write(user.home().join("fleet.kdl"), FLEET.replace("64MiB", "65MiB")).unwrap();
    assert_eq!(user.code(&["apply", "--yes", "plan.json"]), 3, "stale");
    user.record(LEFT, &Value::Null);
    fs::write(user.home().join("fleet.kdl"), "fleet \"shop\"\n").unwrap();
    assert_eq!(user.code(&["apply", "--yes"]), 3, "it would remove every guest");
    assert_eq!(user.code(&["protect", LEFT]), 0);
    assert_eq!(user.code(&["destroy", "--yes"]), 3, "protected");
}

#[test]
fn a_run_of_which_some_failed_is_4() {
    let user = User::new(FLEET);
    user.program("mmdebstrap", "exit 1");
    user.record(LEFT, &Value::Null);
    assert_eq!(user.code(&["apply", "--yes"]), 4);
    assert!(!user.guest(LEFT).exists(), "what does not need the image was done");
}

#[test]
fn a_run_that_put_back_what_failed_is_5() {
    let user = User::new(FLEET);
    user.with_another_image();
    user.program("qemu-img", "for last; do :; done; echo new > \"$last\"");
    user.program("qemu-system-x86_64", "echo 'no such machine' >&2; exit 1");
    assert_eq!(user.code(&["apply", "--yes", "--skip-unreachable"]), 5);
    assert_eq!(fs::read_to_string(user.guest("web").join("root.qcow2")).unwrap(), "the root disk");
}

#[test]
fn wrong_usage_is_64() {
    let user = User::new(FLEET);
    for usage in
        [&["plna"][..], &["plan", "--format", "dot"], &["plan", "--only", "vbe"], &["apply", "--parallel", "0"]]
    {
        assert_eq!(user.code(usage), 64, "{usage:?}");
    }
}

#[test]
fn an_interrupted_run_is_130() {
    let user = User::new(FLEET);
    let fifo = user.home().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for name in ["mmdebstrap", "newuidmap"] {
        // Ends when it is killed: nobody ever writes.
        user.program(name, &format!("exec cat {}", fifo.display()));
    }
    let mut apply = user.command(&["apply", "--yes"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(apply.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.by_ref().any(|line| line.contains("build-image") && line.contains("started")), "nothing started");
    let interrupt = || {
        let sent = Command::new("kill").args(["-INT", &apply.id().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    interrupt();
    assert!(said.by_ref().any(|line| is_about_stopping(&line)), "it did not hear the first");
    interrupt();
    let rest: Vec<String> = said.collect();
    assert_eq!(apply.wait().unwrap().code(), Some(130), "{rest:#?}");
}

fn is_about_stopping(line: &str) -> bool {
    line.contains("stopping")
}

/// The table that people read has a row for every code that is tested here, and no other.
#[test]
fn the_table_in_the_documents_has_these_rows() {
    let commands = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md")).unwrap();
    let (_, table) = commands.split_once("## Exit codes").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<i32>().ok());
    assert_eq!(rows.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 64, 130]);
}

/// Commands that read the fleet file alone need neither its secrets nor what its images stand for.
#[test]
fn what_a_fleet_needs_is_told_without_its_secrets_and_images() {
    let user = User::new(
        r#"fleet "shop"
cluster "pve" {
    endpoint "https://127.0.0.1:9"; token env="T"
    fence { node "pve1" host="10.0.0.1" user="ops" { host-key "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII/aKIo6IK7fXDThW53pFSOQxIiIqyqNPQvvdUSa7Ozi"; }; }
}
container "inner" {
    cluster "pve"; vmid 105; template "local:vztmpl/a.tar.zst"; root-disk storage="local" size="8GiB"
    ssh via="node"
    file "~/s" { secret env="UNSET"; }
}
image "alpine" { oci "127.0.0.1:9/alpine:3"; }
network "lan" { mode "bridge"; subnet "172.31.7.0/24"; }
vm "web" { image "alpine"; network "lan"; file "~/s" { secret env="UNSET"; }; file-sync "~/gone" to="~/x"; }
"#,
    );
    let told = |args: &[&str]| {
        let output = user.command(args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let (code, checked) = told(&["check"]);
    assert_eq!(code, 0, "{checked}");
    let (code, hosts) = told(&["hosts"]);
    assert!(code == 0 && hosts.contains("web.shop"), "{hosts}");
    let (code, rules) = told(&["sudoers", "--user", "daemon", "--node", "pve1"]);
    assert!(code == 0 && rules.contains("/usr/sbin/pct exec 105"), "{rules}");
    let (_, findings) = told(&["doctor"]);
    let finding = findings.lines().find(|line| line.contains("image.alpine"));
    assert!(finding.is_some_and(|line| line.contains("`regatta plan` tells whether it is built")), "{findings}");
    for words in [["exec", "web", "--", "true"], ["session", "list", "web", "--format=json"]] {
        let (_, said) = told(&words);
        assert!(!said.contains("secret") && !said.contains("stands for"), "{said}");
        assert!(said.contains("`web`"), "{said}");
    }
}
