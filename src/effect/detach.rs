//! Programs that outlive us: in a group of their own, with nothing of our terminal.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use camino::Utf8PathBuf;

/// A program that runs on when we end.
#[derive(Debug, Default)]
pub struct Detached {
    /// The program: a path, or a name on `PATH`. `None` is this program itself, whatever became of its file.
    pub program: Option<Utf8PathBuf>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its standard input; nothing to read when there is none.
    pub stdin: Option<File>,
    /// Takes its standard output.
    pub stdout: Option<File>,
    /// Takes its standard error.
    pub stderr: Option<File>,
}

/// This program, also when its file was replaced (`man 5 proc_pid_exe`).
const OURSELVES: &str = "/proc/self/exe";

/// Starts programs that outlive us.
pub trait Detach: Send + Sync {
    /// Starts it. It is in a process group of its own at once, so that no signal of a terminal reaches it; a session of its
    /// own is its own affair ([`leave_session`], or the program `setsid`).
    ///
    /// # Errors
    /// When it cannot be started.
    fn detach(&self, detached: Detached) -> io::Result<()>;
}

/// Really starts them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Detacher;

impl Detach for Detacher {
    fn detach(&self, detached: Detached) -> io::Result<()> {
        start(detached)
    }
}

fn start(detached: Detached) -> io::Result<()> {
    let Detached { program, arguments, stdin, stdout, stderr } = detached;
    let mut command = Command::new(program.as_deref().map_or(OURSELVES, |program| program.as_str()));
    if program.is_none() {
        command.arg0("regatta");
    }
    let stream = |file: Option<File>| file.map_or_else(Stdio::null, Stdio::from);
    command
        .args(arguments)
        .current_dir("/")
        .stdin(stream(stdin))
        .stdout(stream(stdout))
        .stderr(stream(stderr))
        .process_group(0)
        .spawn()
        .map(drop)
}

/// Leaves the terminal and everything else of whoever started us behind.
///
/// # Errors
/// When we lead a process group: then somebody relies on it.
pub fn leave_session() -> io::Result<()> {
    nix::unistd::setsid().map(drop).map_err(io::Error::from)
}
