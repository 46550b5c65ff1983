//! What the agent says of itself: for programs, for Prometheus, for people. Each file is written whole or not at all.

use camino::Utf8Path;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cli::error::CliError;
use crate::effect::files;
use crate::render;

/// Version of the JSON form.
const FORMAT_VERSION: u32 = 1;

/// How the last turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// The world is as the commit says.
    Done,
    /// Something waits for approval; everything else is done.
    Held,
    /// The plan or the commit is refused: nothing was done.
    Refused,
    /// Something went wrong.
    Failed,
}

/// A step that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// The resource it is reported under.
    pub address: String,
    /// The name of its operation.
    pub operation: String,
    /// What it lacks, in words.
    pub needs: String,
}

/// What the agent did, and what waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Status {
    pub format_version: u32,
    /// As it was named.
    pub repository: String,
    pub reference: String,
    /// The commit that was fetched last.
    pub commit: Option<String>,
    /// The commit that the world was last brought to, as far as nobody has to agree.
    pub applied: Option<String>,
    pub state: State,
    /// What went wrong, or why it is refused.
    pub message: Option<String>,
    pub held: Vec<Waiting>,
    /// Turns that failed since one did not.
    pub failures: u32,
    /// When the last turn ended.
    pub at: Timestamp,
}

impl Status {
    /// Before the first turn.
    pub(super) fn new(repository: &str, reference: &str) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            repository: repository.to_owned(),
            reference: reference.to_owned(),
            commit: None,
            applied: None,
            state: State::Failed,
            message: None,
            held: Vec::new(),
            failures: 0,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    /// Writes `status.json`, `metrics.prom` and `status.md` into a directory.
    pub(super) fn publish(&self, directory: &Utf8Path) -> Result<(), CliError> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        files::publish(&directory.join("status.json"), json.as_bytes())?;
        files::publish(&directory.join("metrics.prom"), self.prometheus().as_bytes())?;
        Ok(files::publish(&directory.join("status.md"), self.markdown().as_bytes())?)
    }

    /// For the node exporter's textfile collector.
    fn prometheus(&self) -> String {
        let is = |state: State| u8::from(self.state == state);
        let states =
            [("done", State::Done), ("held", State::Held), ("refused", State::Refused), ("failed", State::Failed)];
        let states: String = states
            .iter()
            .map(|(name, state)| format!("regatta_watch_state{{state=\"{name}\"}} {}\n", is(*state)))
            .collect();
        format!(
            "# TYPE regatta_watch_state gauge\n{states}# TYPE regatta_watch_held gauge\nregatta_watch_held {}\n\
             # TYPE regatta_watch_failures gauge\nregatta_watch_failures {}\n\
             # TYPE regatta_watch_turn_timestamp_seconds gauge\nregatta_watch_turn_timestamp_seconds {}\n",
            self.held.len(),
            self.failures,
            self.at.as_second()
        )
    }

    fn markdown(&self) -> String {
        let commit = self.commit.as_deref().unwrap_or("none yet");
        let mut text = format!("# {:?} at {:.0}\n\nCommit `{commit}`.\n", self.state, self.at);
        if let Some(message) = &self.message {
            text.push_str(&format!("\n{}\n", render::plain_line(message)));
        }
        if !self.held.is_empty() {
            text.push_str("\nWaiting for approval of `plan.json`:\n\n");
        }
        for Waiting { address, operation, needs } in &self.held {
            text.push_str(&format!("- `{}` of `{}`: {needs}\n", operation, render::plain_line(address)));
        }
        text
    }
}
