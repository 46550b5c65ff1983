//! e2fsprogs, run on one disk under its lock.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;

use crate::effect::{Command, Output, Run, Status};
use crate::exec::Failure;

/// A program that takes longer on a disk has hung.
const DEADLINE: Duration = Duration::from_secs(600);

/// The tools for one disk. Each gets the lock's file as its input: should we be killed, the disk stays locked until
/// the program we started is done.
pub(super) struct Tool<'a> {
    pub(super) disk: &'a Utf8Path,
    pub(super) run: &'a dyn Run,
    pub(super) lock: Arc<File>,
}

impl Tool<'_> {
    /// The same for a copy of the disk.
    pub(super) fn on<'b>(&'b self, copy: &'b Utf8Path) -> Tool<'b> {
        Tool { disk: copy, run: self.run, lock: self.lock.clone() }
    }

    /// Runs a program; any exit code is fine here.
    pub(super) async fn run(&self, program: &str, args: &[&str]) -> Result<Output, Failure> {
        self.command(Command::new(program).args(args.iter().copied())).await
    }

    /// Runs a command under the lock; any exit code is fine here.
    pub(super) async fn command(&self, command: Command) -> Result<Output, Failure> {
        let command = command.stdin_file(self.lock.clone()).deadline(DEADLINE);
        self.run.run(&command).await.map_err(|error| {
            let failure = Failure::permanent(error.to_string());
            failure.hint("install e2fsprogs 1.46 or later if it is missing")
        })
    }

    /// Replays the journal and mends what can be mended without a question; says whether anything was mended.
    pub(super) async fn repair(&self) -> Result<bool, Failure> {
        let output = self.run("e2fsck", &["-fp", self.disk.as_str()]).await?;
        match output.status {
            // e2fsck(8): 0 no errors, 1 errors corrected.
            Status::Code(code @ (0 | 1)) => Ok(code == 1),
            _ => Err(self.failed("e2fsck -fp", &output).hint(format!("repair it by hand: e2fsck -f {}", self.disk))),
        }
    }

    /// Changes nothing and wants no complaint.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let output = self.run("e2fsck", &["-fn", self.disk.as_str()]).await?;
        if output.success() { Ok(()) } else { Err(self.failed("e2fsck -fn", &output)) }
    }

    /// A failure with the program's own words.
    pub(super) fn failed(&self, program: &str, output: &Output) -> Failure {
        let ended = match output.status {
            Status::Code(code) => format!("exited with {code}"),
            Status::Signal(signal) => format!("was ended by signal {signal}"),
        };
        let words =
            Some(said(&output.stderr)).filter(|words| !words.is_empty()).unwrap_or_else(|| said(&output.stdout));
        Failure::permanent(format!("`{program}` on `{}` {ended}: {words}", self.disk))
    }
}

/// Bytes of a program's words that an error shows.
const WORDS_MAX: usize = 500;

/// What a program said, for people: without its version line, control characters and length.
pub(super) fn said(stream: &[u8]) -> String {
    let text = String::from_utf8_lossy(stream);
    let lines = text.lines().filter(|line| !is_version(line) && !line.trim().is_empty());
    let joined = lines.collect::<Vec<_>>().join("; ");
    joined.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

/// `debugfs 1.47.0 (5-Feb-2023)`
fn is_version(line: &str) -> bool {
    ["debugfs ", "e2fsck ", "e2undo "].iter().any(|name| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && rest.ends_with(')'))
    })
}

/// A failed system call on a file of ours.
pub(super) fn io_failure(doing: &str, path: &Utf8Path, cause: &std::io::Error) -> Failure {
    Failure::permanent(format!("cannot {doing} `{path}`: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_is_not_a_complaint() {
        assert_eq!(said(b"debugfs 1.47.0 (5-Feb-2023)\n"), "");
        assert_eq!(said(b"debugfs 1.47.0 (5-Feb-2023)\nrm: \x1b[1mno\n\nx\n"), "rm: [1mno; x");
    }
}
