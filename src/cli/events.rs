//! A run's events for programs that watch it: one JSON document per line, written as they happen.

use std::io::Write as _;

use camino::Utf8Path;

use super::error::CliError;
use super::output;
use crate::effect::files;
use crate::exec::Event;

/// Where events go.
pub(super) enum EventLog {
    /// Standard output.
    Output,
    /// A file, emptied first.
    File(std::fs::File),
}

impl EventLog {
    /// Opens it; `-` is standard output.
    pub(super) fn create(path: &Utf8Path) -> Result<Self, CliError> {
        if path == "-" { Ok(Self::Output) } else { Ok(Self::File(files::create(path)?)) }
    }

    /// Writes one event. A watcher that went away, or a full disk, does not stop the run: the journal is the record.
    pub(super) fn append(&mut self, event: &Event) {
        let Ok(mut line) = serde_json::to_string(event) else { return };
        line.push('\n');
        match self {
            Self::Output => output::data(&line),
            Self::File(file) => drop(file.write_all(line.as_bytes())),
        }
    }
}
