//! A user with a fleet file and stopped guests that have disks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// What a command left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct World {
    dir: tempfile::TempDir,
    state: PathBuf,
}

/// No guest is declared.
pub(crate) const EMPTY: &str = "fleet \"shop\"\n";

impl World {
    /// A fleet file, and guests that it does not declare any more.
    pub(crate) fn new(fleet: &str, guests: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().canonicalize().unwrap().join("state");
        let world = Self { dir, state };
        world.write("fleet.kdl", fleet);
        guests.iter().for_each(|guest| world.make_guest(guest));
        world
    }

    /// The same, with images that other scenarios made, where `REGATTA_SCENARIO_STATE` says so.
    pub(crate) fn with_images(mut self) -> Self {
        if let Some(state) = std::env::var_os("REGATTA_SCENARIO_STATE") {
            self.state = state.into();
        }
        self
    }

    /// Where regatta keeps its state.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn guest(&self, name: &str) -> PathBuf {
        self.state.join("fleets/shop/vms").join(name)
    }

    pub(crate) fn has_guest(&self, name: &str) -> bool {
        self.guest(name).exists()
    }

    /// A stopped guest with whole disks, made from the fleet file.
    pub(crate) fn make_guest(&self, name: &str) {
        self.make_guest_of(name, &self.path("fleet.kdl"));
    }

    /// The same, made from another file.
    pub(crate) fn make_guest_of(&self, name: &str, origin: &Path) {
        fs::create_dir_all(self.guest(name)).unwrap();
        let disks = json!({
            "name": name, "cpus": 1, "memory": 268_435_456_u64, "image": "0123456789abcdef", "kernel": "0123456789abcdef",
            "network": {"mode": "user", "forwards": []}, "work_disk": 67_108_864_u64, "accel": "tcg",
        });
        let record = json!({
            "format_version": 1, "fleet": "shop", "origin": origin, "name": name,
            "uuid": uuid::Uuid::now_v7(), "ssh_port": 40_000, "host_key": "ssh-ed25519 AAAA",
            "applied": {"disks": disks, "started": disks}, "process": null,
        });
        fs::write(self.guest(name).join("record.json"), record.to_string()).unwrap();
        fs::File::create(self.guest(name).join("work.img")).unwrap().set_len(64 << 20).unwrap();
        fs::write(self.guest(name).join("root.qcow2"), "the root disk").unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regatta"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home())
            .env("REGATTA_STATE_DIR", &self.state)
            .env("REGATTA_ACCEL", "tcg")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        finish(&mut self.command(args))
    }

    /// Runs a command that must exit with this code.
    pub(crate) fn code(&self, expected: i32, args: &[&str]) -> Done {
        let done = self.run(args);
        assert_eq!(done.code, expected, "{args:?}\n{}\n{}", done.stdout, done.stderr);
        done
    }

    /// The facts of the audit log, each with its name.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.state.join("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone()).collect()
    }
}

pub(crate) fn finish(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
/// Runs a program that must succeed; its standard output.
pub(crate) fn program(program: &str, args: &[&str], dir: &Path) -> String {
    let output = Command::new(program).args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
