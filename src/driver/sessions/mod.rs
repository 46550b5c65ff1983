//! Sessions: commands in a guest that outlive the connection which started them.
//!
//! The guest needs no agent. A constant POSIX script is given to its shell for each call; everything about a session is
//! in a directory of its own below `~/.regatta/sessions`, and what is said about a session is worked out from that and
//! from the guest's process table. `docs/design/sessions.md` has the files and the states.
//!
//! ```text
//! start ─▶ starting ─▶ running ─▶ exited          the job ended, its exit code is known
//!              │          │  ▲
//!              │          ▼  │ TERM did not end it
//!              │       stopping ─▶ exited
//!              └──────────┴──────▶ failed          it did not start, the guest was restarted, or nobody saw its end
//! ```

mod job;
mod keep;
mod listing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::io::AsyncWrite;

pub use job::{Input, Job, SessionName};
pub(in crate::driver) use keep::{keep, seen};
pub use listing::{Session, SessionStatus, Why};

use crate::effect::{ConnectError, Output, Shell, Status, Streams};
use crate::resource::Digest;

/// What the guest's shell runs.
const SCRIPT: &str = include_str!("session.sh");

/// What runs and watches a job in the guest.
const RUNNER: &str = include_str!("runner.sh");

/// The first argument of the script.
const NAME: &str = "regatta-session";

/// Exit code of the script when it refuses, with a word that says why.
const REFUSED: i32 = 65;

/// Bytes of each log that are kept, and once more while it is begun anew.
const LOG_LIMIT: u64 = 16 << 20;

/// A call that starts or lists takes at most this long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Logs are followed for at most this long.
const FOLLOW_DEADLINE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why something was not done with a session.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SessionError {
    /// Its working directory is not there.
    #[error("the guest has no directory `{0}` that can be entered")]
    WorkingDirectory(String),
    /// A command that it requires is not there.
    #[error("the guest has no command `{0}`")]
    MissingCommand(String),
    /// There is one of that name.
    #[error("the guest has a session `{0}` already")]
    Exists(SessionName),
    /// There is none of that name.
    #[error("the guest has no session `{0}`")]
    Missing(SessionName),
    /// It did not start in time. What was started is ended.
    #[error("session `{name}` was not ready within 5s; its log: {log}")]
    NotReady {
        /// Its name.
        name: SessionName,
        /// What was said meanwhile.
        log: String,
    },
    /// The connection broke while it was sent. Nothing was started.
    #[error("session `{0}` did not arrive whole in the guest; nothing was started")]
    Incomplete(SessionName),
    /// It has to end first.
    #[error("session `{0}` is running")]
    Running(SessionName),
    /// It did not end of a signal in time.
    #[error("session `{0}` did not end in time, and is still running")]
    StillRunning(SessionName),
    /// The connection failed; what was asked for may have happened.
    #[error(transparent)]
    Connection(#[from] ConnectError),
    /// The guest's answer makes no sense.
    #[error("the guest's answer cannot be understood: {0}")]
    Answer(String),
}

/// How a session is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is asked to (`TERM`).
    Asked,
    /// It has no say (`KILL`).
    Forced,
}

/// Whether logs end where they are, or go on until the session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Now.
    Now,
    /// The session's end.
    Ended,
}

/// The sessions of one guest.
pub struct Sessions<'a> {
    shell: &'a dyn Shell,
    home: Option<String>,
}

impl<'a> Sessions<'a> {
    /// Those of the guest behind a root shell.
    pub const fn behind(shell: &'a dyn Shell) -> Self {
        Self { shell, home: None }
    }

    /// The same in another home than the shell's.
    #[must_use]
    pub fn in_home(self, home: &str) -> Self {
        Self { home: Some(format!("HOME={home}")), ..self }
    }

    /// Starts a job and waits until it runs, at most five seconds.
    ///
    /// # Errors
    /// When the guest lacks what it needs, the name is taken, or it did not start.
    pub async fn start(&self, job: &Job) -> Result<(), SessionError> {
        let (limit, meta) = (LOG_LIMIT.to_string(), job.meta());
        let stdin = if job.input == Input::Pipe { "pipe" } else { "none" };
        let cwd = job.directory.as_deref().unwrap_or_default();
        let declared = job.declared.as_ref().map_or("", Digest::as_str);
        let mut args = vec!["start", job.name.as_str(), RUNNER, &limit, stdin, cwd, &meta, declared];
        args.extend(job.require.iter().map(String::as_str));
        let output = self.call(&args, job.encoded().as_bytes(), DEADLINE).await?;
        match refusal(&output) {
            None => accepted(&output),
            Some(("cwd", _)) => Err(SessionError::WorkingDirectory(if cwd.is_empty() { "~" } else { cwd }.to_owned())),
            Some(("require", command)) => Err(SessionError::MissingCommand(command.to_owned())),
            Some(("exists", _)) => Err(SessionError::Exists(job.name.clone())),
            Some(("incomplete", _)) => Err(SessionError::Incomplete(job.name.clone())),
            Some(("not-ready", _)) => Err(SessionError::NotReady { name: job.name.clone(), log: said(&output.stdout) }),
            Some(_) => Err(unknown(&output)),
        }
    }

    /// All sessions, by name.
    ///
    /// # Errors
    /// When the guest does not answer, or not in the form that was asked for.
    pub async fn list(&self) -> Result<Vec<Session>, SessionError> {
        let output = self.call(&["list"], b"", DEADLINE).await?;
        accepted(&output)?;
        listing::parse(&output.stdout).map_err(SessionError::Answer)
    }

    /// Ends a session, and all it started, and waits for its end. One that has ended is left as it is.
    ///
    /// # Errors
    /// [`SessionError::StillRunning`] when it does not end within `patience`.
    pub async fn stop(&self, name: &SessionName, ending: Ending, patience: Duration) -> Result<(), SessionError> {
        let signal = if ending == Ending::Asked { "TERM" } else { "KILL" };
        let seconds = patience.as_secs().to_string();
        let output = self.call(&["stop", name.as_str(), signal, &seconds], b"", DEADLINE + patience).await?;
        self.answered(name, &output)
    }

    /// Forgets a session that has ended, its logs included.
    ///
    /// # Errors
    /// [`SessionError::Running`] when it has not.
    pub async fn remove(&self, name: &SessionName) -> Result<(), SessionError> {
        let output = self.call(&["remove", name.as_str()], b"", DEADLINE).await?;
        self.answered(name, &output)
    }

    /// Passes on what a session wrote: what is kept of it, and then what comes.
    ///
    /// # Errors
    /// When there is none, or the connection ends before the session does.
    pub async fn logs(
        &self,
        name: &SessionName,
        until: Until,
        stdout: &mut (dyn AsyncWrite + Send + Unpin),
        stderr: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), SessionError> {
        let (follow, deadline) = match until {
            Until::Now => ("", DEADLINE),
            Until::Ended => ("follow", FOLLOW_DEADLINE),
        };
        let mut stdin = tokio::io::empty();
        let argv = self.argv(&["logs", name.as_str(), follow]);
        let streams = Streams { stdin: &mut stdin, stdout, stderr };
        match self.shell.stream(&argv, streams, deadline).await? {
            Status::Code(0) => Ok(()),
            Status::Code(REFUSED) => Err(SessionError::Missing(name.clone())),
            status => Err(SessionError::Answer(format!("reading logs ended with {status:?}"))),
        }
    }

    async fn call(&self, args: &[&str], stdin: &[u8], deadline: Duration) -> Result<Output, SessionError> {
        Ok(self.shell.exec(&self.argv(args), stdin, deadline).await?)
    }

    fn argv<'b>(&'b self, args: &[&'b str]) -> Vec<&'b str> {
        let script = argv(args);
        self.home.iter().flat_map(|home| ["env", home]).chain(script).collect()
    }

    fn answered(&self, name: &SessionName, output: &Output) -> Result<(), SessionError> {
        match refusal(output) {
            None => accepted(output),
            Some(("missing", _)) => Err(SessionError::Missing(name.clone())),
            Some(("running", _)) => Err(SessionError::Running(name.clone())),
            Some(("still-running", _)) => Err(SessionError::StillRunning(name.clone())),
            Some(_) => Err(unknown(output)),
        }
    }
}

/// The command that connects a terminal with a session's input and output, for the program `ssh`.
pub fn attach_command(name: &SessionName, take_over: Option<TakeOver>) -> Vec<String> {
    let word = if take_over.is_some() { "take-over" } else { "" };
    argv(&["attach", name.as_str(), word]).into_iter().map(str::to_owned).collect()
}

/// Whoever is attached is sent away first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeOver;

fn argv<'b>(args: &[&'b str]) -> Vec<&'b str> {
    [&["sh", "-c", SCRIPT, NAME], args].concat()
}

/// The word of a refusal and what it is about.
fn refusal(output: &Output) -> Option<(&str, &str)> {
    if output.status != Status::Code(REFUSED) {
        return None;
    }
    let text = std::str::from_utf8(&output.stderr).ok()?;
    text.lines().last()?.split_once(": ")
}

fn accepted(output: &Output) -> Result<(), SessionError> {
    if output.success() { Ok(()) } else { Err(unknown(output)) }
}

fn unknown(output: &Output) -> SessionError {
    SessionError::Answer(format!("{} ({:?})", said(&output.stderr), output.status))
}

/// A guest's words on one line, without control characters.
fn said(words: &[u8]) -> String {
    const SHOWN_MAX: usize = 2000;
    let text = String::from_utf8_lossy(words);
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    line.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}
