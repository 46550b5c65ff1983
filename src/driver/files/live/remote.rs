//! One command in the guest: a constant script, arguments beside it, and data on its input.

use std::time::Duration;

use tokio::io::AsyncRead;

use super::collect::Collected;
use crate::effect::{ConnectError, Shell, Status, Streams};
use crate::exec::Failure;
use crate::resource::GuestPath;

/// Bytes of a command's output that are taken.
const OUTPUT_MAX: usize = 64 << 20;

/// Bytes of a command's complaints that are kept.
const COMPLAINTS_MAX: usize = 64 << 10;

/// Characters of them that an error shows.
const SHOWN_MAX: usize = 300;

/// A guest's work directory and the shell in it.
pub(super) struct Remote<'a> {
    pub(super) shell: &'a dyn Shell,
    pub(super) root: &'a str,
    pub(super) deadline: Duration,
}

impl Remote<'_> {
    /// Runs a script in the work directory, its arguments as `$1`, `$2`…; it must exit with 0. Gives its output.
    ///
    /// # Errors
    /// With `doing` as context; unknown when the connection broke.
    pub(super) async fn run(&self, doing: &str, script: &str, args: &[&str], stdin: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut stdin = stdin;
        self.feed(doing, script, args, &mut stdin).await
    }

    /// As [`Remote::run`] with paths on its input; where there are none, there is nothing to run.
    pub(super) async fn each<'p>(
        &self,
        doing: &str,
        script: &str,
        args: &[&str],
        paths: impl IntoIterator<Item = &'p GuestPath>,
    ) -> Result<Vec<u8>, Failure> {
        let list = listed(paths);
        if list.is_empty() { Ok(Vec::new()) } else { self.run(doing, script, args, &list).await }
    }

    /// As [`Remote::run`], fed from a stream.
    pub(super) async fn feed(
        &self,
        doing: &str,
        script: &str,
        args: &[&str],
        stdin: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Vec<u8>, Failure> {
        let in_place = format!("cd -- \"$0\" || exit 1\n{script}");
        let mut argv = vec!["env", "LC_ALL=C", "sh", "-c", &in_place, self.root];
        argv.extend_from_slice(args);
        let (mut stdout, mut stderr) = (Collected::new(OUTPUT_MAX), Collected::new(COMPLAINTS_MAX));
        let streams = Streams { stdin, stdout: &mut stdout, stderr: &mut stderr };
        let ended = self.shell.stream(&argv, streams, self.deadline).await;
        let failure = match ended {
            Ok(Status::Code(0)) if !stdout.overflowed() => return Ok(stdout.bytes),
            Ok(Status::Code(0)) => Failure::permanent(format!("its answer is longer than {OUTPUT_MAX} bytes")),
            Ok(status) => Failure::permanent(format!("the guest says: {} ({status:?})", shown(&stderr.bytes))),
            Err(error @ (ConnectError::Lost(_) | ConnectError::Overdue { .. })) => Failure::unknown(error.to_string()),
            Err(error) => Failure::transient(error.to_string()),
        };
        Err(failure.context(format!("cannot {doing} in the guest")))
    }
}

/// A guest's words on one line, without control characters.
fn shown(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    line.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

/// Paths as the guest's programs get them: below the work directory, never looking like an option, NUL after each.
fn listed<'a>(paths: impl IntoIterator<Item = &'a GuestPath>) -> Vec<u8> {
    let mut list = Vec::new();
    for path in paths {
        list.extend_from_slice(b"./");
        list.extend_from_slice(path.as_bytes());
        list.push(0);
    }
    list
}
