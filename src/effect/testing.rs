//! What the tests of this layer share.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use tokio::io::AsyncWriteExt as _;

use super::{ConnectError, Shell, Status, Streams};

/// Whether a program is missing; says loudly that the test which asks is skipped then.
pub(crate) fn lacks(program: &str) -> bool {
    let started = std::process::Command::new("sh").args(["-c", "command -v \"$1\" >&2", "sh", program]).output();
    if started.unwrap().status.success() {
        return false;
    }
    // Past the test harness, which would swallow it.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}, because `{program}` is not installed");
    true
}

/// A directory of the test's own with its path, links resolved; it goes with the guard.
pub(crate) fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
    (dir, path)
}

/// Runs commands on this machine, as a guest would.
#[derive(Debug)]
pub(crate) struct LocalShell {
    /// Their home; the tester's own when there is none.
    home: Option<Utf8PathBuf>,
}

impl LocalShell {
    /// With the tester's home.
    pub(crate) const fn new() -> Self {
        Self { home: None }
    }

    /// With a home of the test's own.
    pub(crate) fn with_home(home: impl Into<Utf8PathBuf>) -> Self {
        Self { home: Some(home.into()) }
    }
}

#[async_trait]
impl Shell for LocalShell {
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, deadline: Duration) -> Result<Status, ConnectError> {
        let mut command = tokio::process::Command::new(argv[0]);
        if let Some(home) = &self.home {
            command.env("HOME", home);
        }
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.args(&argv[1..]).spawn().unwrap();
        let (mut stdin, mut stdout, mut stderr) =
            (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let feed = async {
            // A command that does not read its input closes it.
            let _ = tokio::io::copy(streams.stdin, &mut stdin).await;
            let _ = stdin.shutdown().await;
            drop(stdin);
        };
        let work = async {
            let (_, out, err) = tokio::join!(
                feed,
                tokio::io::copy(&mut stdout, streams.stdout),
                tokio::io::copy(&mut stderr, streams.stderr)
            );
            out.and(err).unwrap();
            child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(deadline, work).await.unwrap();
        Ok(Status::Code(status.code().unwrap()))
    }
}
