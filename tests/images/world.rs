//! A user's home with a fleet file, a state directory, and the real binary.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A home and a state directory of the test's own. Its guests go with it.
pub(crate) struct World {
    dir: tempfile::TempDir,
    binary: PathBuf,
}

/// What a command left.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let binary =
            std::env::var_os("REGATTA_BIN").map_or_else(|| env!("CARGO_BIN_EXE_regatta").into(), PathBuf::from);
        let world = Self { dir: tempfile::tempdir().unwrap(), binary };
        std::fs::create_dir_all(world.path("home")).unwrap();
        world
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn fleet(&self, text: &str) {
        std::fs::write(self.path("home/fleet.kdl"), text).unwrap();
    }

    /// A program that gets nothing of the tester's environment but the search path.
    pub(crate) fn hermetic(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("REGATTA_STATE_DIR", self.path("state"))
            .current_dir(self.path("home"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn binary(&self) -> &PathBuf {
        &self.binary
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        let Output { status, stdout, stderr } = self.hermetic(&self.binary).args(args).output().unwrap();
        Done { code: status.code().unwrap(), stdout, stderr: String::from_utf8(stderr).unwrap() }
    }

    pub(crate) fn ok(&self, args: &[&str]) -> Done {
        let done = self.run(args);
        assert_eq!(done.code, 0, "{args:?}\n{}\n{}", done.text(), done.stderr);
        done
    }

    /// Law: apply, then plan, is empty.
    pub(crate) fn is_as_declared(&self) {
        let done = self.run(&["plan", "--detailed-exitcode"]);
        assert_eq!(done.code, 0, "{}\n{}", done.text(), done.stderr);
    }
}

impl Drop for World {
    /// Whatever happened, nothing is left running.
    fn drop(&mut self) {
        let records = self.path("state/fleets");
        if records.exists() && self.run(&["destroy", "--yes"]).code != 0 {
            eprintln!("cleaning up failed");
        }
    }
}
