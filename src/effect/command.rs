//! Running local programs: a command is data, its output is capped, and it has a deadline.

use std::ffi::OsString;
use std::fmt;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

mod pipe;

pub use pipe::Pipe;

/// Bytes kept of each output stream; the rest is read and dropped.
const OUTPUT_LIMIT: usize = 1 << 20;

/// Environment variables passed on to programs; everything else is removed.
const PASSED_ENVIRONMENT: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"];

/// Searched after the caller's `PATH`: Debian keeps file system tools out of an ordinary user's.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One program with its arguments: run, logged, asserted on and shown as the same value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: Option<Utf8PathBuf>,
    stdin: Input,
    stdout: Option<SharedFile>,
    deadline: Duration,
    inherit: Inherit,
}

/// What of our environment a program sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inherit {
    /// [`PASSED_ENVIRONMENT`].
    Passed,
    /// All of it.
    All,
    /// Nothing: `PATH` is the system's.
    Nothing,
}

/// What a program reads on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Input {
    /// These bytes; none is end of file at once.
    Bytes(Vec<u8>),
    /// An open file, shared with us.
    Shared(SharedFile),
}

/// An open file that a program gets; it is the same as itself only.
#[derive(Debug, Clone)]
struct SharedFile(Arc<std::fs::File>);

impl PartialEq for SharedFile {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedFile {}

impl Command {
    /// A program, found on `PATH` when it is no absolute path. Default deadline: 60 s.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Input::Bytes(Vec::new()),
            stdout: None,
            deadline: Duration::from_secs(60),
            inherit: Inherit::Passed,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Passes on the caller's whole environment: for programs that the user named, which know what they need of it.
    #[must_use]
    pub const fn with_callers_environment(mut self) -> Self {
        self.inherit = Inherit::All;
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn cwd(mut self, dir: impl AsRef<Utf8Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    /// Feeds it these bytes; without, it reads end of file.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    /// Gives it an open file as its standard input. A lock held through that file lives on in the program, even when
    /// we are killed.
    #[must_use]
    pub fn stdin_file(mut self, file: Arc<std::fs::File>) -> Self {
        self.stdin = Input::Shared(SharedFile(file));
        self
    }

    /// Has it write its output to an open file: what is longer than what would be kept of it, or not worth a look.
    #[must_use]
    pub fn stdout_file(mut self, file: Arc<std::fs::File>) -> Self {
        self.stdout = Some(SharedFile(file));
        self
    }

    /// It is killed after this long.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// It sees nothing of our environment, and is found on the system's own path.
    #[must_use]
    pub const fn without_environment(mut self) -> Self {
        self.inherit = Inherit::Nothing;
        self
    }

    /// The program as named.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The environment variables that it gets beside those that every program gets.
    pub fn environment(&self) -> &[(String, String)] {
        &self.env
    }

    /// What it reads from memory on its standard input.
    pub(super) fn input(&self) -> &[u8] {
        match &self.stdin {
            Input::Bytes(bytes) => bytes,
            Input::Shared(_) => &[],
        }
    }

    /// How long it may take.
    pub(super) const fn limit(&self) -> Duration {
        self.deadline
    }

    /// The arguments.
    pub fn arguments(&self) -> &[String] {
        &self.args
    }
}

impl fmt::Display for Command {
    /// As one would type it in a POSIX shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", quoted(&self.program))?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// Quotes one word for a POSIX shell: plain words stay, everything else goes into single quotes.
pub(super) fn quoted(word: &str) -> std::borrow::Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

/// What a finished program left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// Its output, at most 1 MiB.
    pub stdout: Vec<u8>,
    /// Its error output, at most 1 MiB.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.status == Status::Code(0)
    }
}

/// A program that could not be run, or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It is not installed.
    #[error("`{program}` is not installed")]
    Missing {
        /// The program.
        program: String,
    },
    /// It could not be started or talked to.
    #[error("cannot run `{command}`: {cause}")]
    Io {
        /// The command line.
        command: String,
        /// The system's words.
        cause: std::io::Error,
    },
    /// It ran into its deadline and was killed.
    #[error("`{command}` did not end within {}s", deadline.as_secs())]
    Deadline {
        /// The command line.
        command: String,
        /// The deadline.
        deadline: Duration,
    },
    /// It was to run on another machine, and the way there failed.
    #[error("cannot run `{command}`: {cause}")]
    Remote {
        /// The command line.
        command: String,
        /// What became of it.
        cause: super::ConnectError,
    },
    /// It ended badly.
    #[error("`{command}` {}: {}", ending(output.status), last_lines(&output.stderr))]
    Failed {
        /// The command line.
        command: String,
        /// All it left.
        output: Output,
    },
}

fn ending(status: Status) -> String {
    match status {
        Status::Code(code) => format!("exited with {code}"),
        Status::Signal(signal) => match Signal::try_from(signal) {
            Ok(name) => format!("was ended by {}", name.as_str()),
            Err(_) => format!("was ended by signal {signal}"),
        },
    }
}

/// The last lines of an error output: enough for a cause, without terminal escapes.
fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let kept = lines[lines.len().saturating_sub(4)..].join("; ");
    kept.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Runs local programs.
#[async_trait]
pub trait Run: Send + Sync {
    /// Runs a command to its end. Any exit code is an [`Output`].
    ///
    /// # Errors
    /// When it is missing, cannot be started, or runs into its deadline.
    async fn run(&self, command: &Command) -> Result<Output, CommandError>;

    /// Runs a command that must exit with 0.
    ///
    /// # Errors
    /// As [`Run::run`], and [`CommandError::Failed`].
    async fn run_ok(&self, command: &Command) -> Result<Output, CommandError> {
        let output = self.run(command).await?;
        if output.success() { Ok(output) } else { Err(CommandError::Failed { command: command.to_string(), output }) }
    }
}

/// Runs programs on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommandRunner;

#[async_trait]
impl Run for CommandRunner {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let io_error = |cause| CommandError::Io { command: command.to_string(), cause };
        let mut child = prepare(command).map_err(io_error)?.spawn().map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => CommandError::Missing { program: command.program.clone() },
            _ => io_error(cause),
        })?;
        let mut group = Group(child.id().and_then(|pid| pid.try_into().ok()).map(Pid::from_raw));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let (Some(mut pipe), Input::Bytes(bytes)) = (stdin, &command.stdin) {
                // A program may end without reading its input: its exit code tells, not the broken pipe.
                let _ = pipe.write_all(bytes).await;
            }
        };
        let all = async { tokio::join!(feed, capped(stdout), capped(stderr), child.wait()) };
        match tokio::time::timeout(command.deadline, all).await {
            Ok(((), stdout, stderr, status)) => {
                group.0 = None;
                Ok(Output {
                    status: status_of(status.map_err(io_error)?),
                    stdout: stdout.map_err(io_error)?,
                    stderr: stderr.map_err(io_error)?,
                })
            }
            Err(_) => {
                drop(group);
                let _ = child.kill().await;
                Err(CommandError::Deadline { command: command.to_string(), deadline: command.deadline })
            }
        }
    }
}

fn prepare(command: &Command) -> std::io::Result<tokio::process::Command> {
    let stdin = match &command.stdin {
        Input::Bytes(bytes) if bytes.is_empty() => Stdio::null(),
        Input::Bytes(_) => Stdio::piped(),
        Input::Shared(file) => file.0.try_clone()?.into(),
    };
    let stdout = match &command.stdout {
        Some(file) => file.0.try_clone()?.into(),
        None => Stdio::piped(),
    };
    let passed = |name: &&str| std::env::var_os(name).filter(|_| command.inherit != Inherit::Nothing);
    let mut prepared = tokio::process::Command::new(&command.program);
    if command.inherit != Inherit::All {
        prepared.env_clear();
    }
    prepared
        .args(&command.args)
        .envs(PASSED_ENVIRONMENT.iter().filter_map(|name| passed(name).map(|value| (name, value))))
        .env("PATH", search_path(passed(&"PATH")))
        .env("LC_ALL", "C.UTF-8")
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        // Own process group: the terminal's Ctrl-C reaches us, and we decide what running steps do about it.
        .process_group(0)
        .kill_on_drop(true);
    if let Some(dir) = &command.cwd {
        prepared.current_dir(dir);
    }
    Ok(prepared)
}

/// The caller's path, then [`SYSTEM_PATH`].
fn search_path(callers: Option<OsString>) -> OsString {
    let mut path = callers.unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(SYSTEM_PATH);
    path
}

/// Ends a command that is given up on together with the programs it started: they are all in its process group.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // A group's number is not given to another process while one of its members lives.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

fn status_of(status: std::process::ExitStatus) -> Status {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Status::Code(code),
        (None, signal) => Status::Signal(signal.unwrap_or_default()),
    }
}

/// Reads a stream to its end and keeps the first [`OUTPUT_LIMIT`] bytes.
async fn capped(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut kept = CappedOutput::default();
    if let Some(mut stream) = stream {
        tokio::io::copy(&mut stream, &mut kept).await?;
    }
    Ok(kept.into_bytes())
}

/// Takes any output and keeps its first [`OUTPUT_LIMIT`] bytes.
#[derive(Debug, Default)]
pub(super) struct CappedOutput(Vec<u8>);

impl CappedOutput {
    /// What was kept.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl AsyncWrite for CappedOutput {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let room = OUTPUT_LIMIT - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn exit_code_output_and_input_come_through() {
        let cat = Command::new("sh").args(["-c", "cat; echo err >&2; exit 42"]).stdin("in");
        let output = CommandRunner.run(&cat).await.unwrap();
        assert_eq!(output, Output { status: Status::Code(42), stdout: b"in".to_vec(), stderr: b"err\n".to_vec() });
        let error = CommandRunner.run_ok(&cat).await.unwrap_err().to_string();
        assert_eq!(error, "`sh -c 'cat; echo err >&2; exit 42'` exited with 42: err");
    }

    #[tokio::test]
    async fn a_missing_program_a_signal_and_a_deadline_have_their_own_errors() {
        let missing = CommandRunner.run(&Command::new("regatta-no-such-program")).await.unwrap_err();
        assert_eq!(missing.to_string(), "`regatta-no-such-program` is not installed");
        let killed = CommandRunner.run_ok(&Command::new("sh").args(["-c", "kill -9 $$"])).await.unwrap_err();
        assert_eq!(killed.to_string(), "`sh -c 'kill -9 $$'` was ended by SIGKILL: ");
        let slow = Command::new("sleep").arg("60").deadline(Duration::from_millis(50));
        assert!(matches!(CommandRunner.run(&slow).await, Err(CommandError::Deadline { .. })));
    }

    #[tokio::test]
    async fn a_deadline_ends_the_programs_that_the_command_started() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // The grandchild holds the fifo open for writing: reading it ends when the grandchild does.
        let script = "sleep 60 >\"$1\" & wait";
        let command = Command::new("sh").args(["-c", script, "sh", fifo.to_str().unwrap()]);
        let reader = tokio::spawn(async move { tokio::fs::read(fifo).await });
        let ran = CommandRunner.run(&command.deadline(Duration::from_millis(300))).await;
        assert!(matches!(ran, Err(CommandError::Deadline { .. })));
        let read = tokio::time::timeout(Duration::from_secs(10), reader).await;
        assert_eq!(read.unwrap().unwrap().unwrap(), b"");
    }

    #[test]
    fn system_directories_are_searched_last() {
        assert_eq!(search_path(Some("/opt/bin".into())), format!("/opt/bin:{SYSTEM_PATH}").as_str());
        assert_eq!(search_path(None), SYSTEM_PATH);
    }

    #[tokio::test]
    async fn an_open_file_can_be_the_input() {
        use std::io::{Seek as _, Write as _};
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"shared").unwrap();
        file.rewind().unwrap();
        let output = CommandRunner.run(&Command::new("cat").stdin_file(Arc::new(file))).await.unwrap();
        assert_eq!(output.stdout, b"shared");
    }

    #[tokio::test]
    async fn an_open_file_can_take_the_output() {
        use std::io::{Read as _, Seek as _};
        let file = Arc::new(tempfile::tempfile().unwrap());
        let output = CommandRunner.run(&Command::new("echo").arg("long").stdout_file(file.clone())).await.unwrap();
        assert_eq!((output.status, output.stdout), (Status::Code(0), Vec::new()));
        let mut text = String::new();
        (&*file).rewind().unwrap();
        (&*file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "long\n");
    }

    #[tokio::test]
    async fn output_is_capped_and_still_consumed() {
        let flood = Command::new("head").args(["-c", "3000000", "/dev/zero"]);
        assert_eq!(CommandRunner.run(&flood).await.unwrap().stdout.len(), OUTPUT_LIMIT);
    }
}
