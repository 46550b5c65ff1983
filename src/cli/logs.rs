//! `regatta logs NAME`: what a guest's console said, fit for a terminal.

use std::collections::VecDeque;
use std::time::Duration;

use super::args::{Format, Global, LogsArgs};
use super::error::{CliError, Exit};
use super::{on_cluster, output, session};
use crate::driver::microvm::console::{Follow, plain_line};
use crate::effect::Environment;
use crate::render;

/// From one look at the log to the next.
const LOOK: Duration = Duration::from_millis(250);

/// Bytes of a line after which it is shown although it has no end.
const LINE_LIMIT: usize = 16 << 10;

/// Prints the last lines; with `--follow`, then every further one until it is interrupted.
pub(super) async fn run(global: &Global, args: &LogsArgs) -> Result<Exit, CliError> {
    if args.follow && global.format == Format::Json {
        let error = CliError::failure("--follow has no end, and a JSON document has one");
        return Err(CliError { exit: Exit::Usage, ..error });
    }
    let environment = Environment::read().map_err(CliError::failure)?;
    let loaded = session::load(global, &environment)?;
    on_cluster::refuse_console(&loaded.fleet, &args.guest)?;
    let guests = session::guests(&loaded, session::state_dir(global, &environment)?);
    let mut follow = guests.console_log(&args.guest)?;
    let mut lines = Lines::default();
    let mut last: VecDeque<String> = VecDeque::new();
    loop {
        let bytes = read(&mut follow)?;
        if bytes.is_empty() {
            break;
        }
        last.extend(lines.take(&bytes));
        last.drain(..last.len().saturating_sub(args.lines));
    }
    if !args.follow {
        last.extend(lines.rest());
        last.drain(..last.len().saturating_sub(args.lines));
    }
    let last: Vec<String> = last.into();
    match global.format {
        Format::Json => output::data(&render::log_json(&args.guest, &last)?),
        Format::Human => print(&last),
    }
    if args.follow { go_on(follow, lines).await } else { Ok(Exit::Success) }
}

/// Prints what comes, until somebody interrupts us or nobody reads any more.
async fn go_on(mut follow: Follow, mut lines: Lines) -> Result<Exit, CliError> {
    loop {
        match read(&mut follow)? {
            bytes if bytes.is_empty() => tokio::time::sleep(LOOK).await,
            bytes => print(&lines.take(&bytes)),
        }
        if let Some(error) = output::lost() {
            return Err(error);
        }
    }
}

fn read(follow: &mut Follow) -> Result<Vec<u8>, CliError> {
    follow.read_on().map_err(|cause| CliError::failure("cannot read the console's log").cause(cause))
}

fn print(lines: &[String]) {
    if !lines.is_empty() {
        output::data(&(lines.join("\n") + "\n"));
    }
}

/// Cuts bytes into lines that are fit for a terminal.
#[derive(Default)]
struct Lines {
    open: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => lines.push(self.line()),
                _ => self.open.push(*byte),
            }
            if self.open.len() >= LINE_LIMIT {
                lines.push(self.line());
            }
        }
        lines
    }

    /// What was said after the last end of a line.
    fn rest(&mut self) -> Option<String> {
        (!self.open.is_empty()).then(|| self.line())
    }

    /// Carriage returns alone start a line again, as boot progress does: the last thing written in it stands.
    fn line(&mut self) -> String {
        let bytes = std::mem::take(&mut self.open);
        let text = String::from_utf8_lossy(&bytes);
        let parts = text.trim_end_matches('\r').rsplit('\r').map(plain_line);
        parts.into_iter().find(|part| !part.is_empty()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_made_plain() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\r\ntw\x1b[3"), ["one"]);
        assert_eq!(lines.take(b"1mo\x07\r\n 5%\r 80%\r\n\nlogin: "), ["two", " 80%", ""]);
        assert_eq!(lines.rest().as_deref(), Some("login:"));
        assert_eq!(lines.rest(), None);
        assert_eq!(lines.take(&vec![b'x'; LINE_LIMIT + 1]), ["x".repeat(LINE_LIMIT)]);
    }
}
