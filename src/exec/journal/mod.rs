//! The write-ahead journal of a run: what is about to happen is on disk before it does.
//!
//! `docs/design/run.md` has the record format, the states and the rules of recovery.

mod dir;
mod entry;
mod log;
mod read;
mod recover;
mod story;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use dir::{JournalError, Journals, Keep, Listed, OpenRun, Pulse};
pub use entry::{Entry, Fact, JOURNAL_FORMAT_VERSION, PlannedStep};
pub use log::{Log, LogFile};
pub use read::{Damaged, read_story};
pub use recover::{LeftOpen, Verdict, recover};
pub(super) use story::between_ms;
pub use story::{Beginning, Impossible, RunPhase, StepPhase, StepStory, Story};

use super::RunId;
use crate::plan::{Graph, Step};
use crate::resource::Digest;
use entry::Sum;

/// Why something could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot follow what was recorded before.
    #[error("{0}")]
    Impossible(#[from] Impossible),
    /// It has no JSON form.
    #[error("{0}")]
    Encode(#[from] serde_json::Error),
    /// It could not be made durable.
    #[error("{0}")]
    Append(#[from] std::io::Error),
    /// An earlier append failed: what is on disk after that point is not known, so that nothing may follow it.
    #[error("an earlier write to it failed")]
    Broken,
}

/// The journal of one run, open for writing.
pub struct Journal {
    log: Box<dyn Log>,
    sum: Sum,
    story: Story,
    run: RunId,
    fleet: String,
    broken: bool,
}

/// What a run says of itself when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub run: RunId,
    /// The fleet.
    pub fleet: String,
    /// Interrupted runs whose work it takes up.
    pub resumes: Vec<RunId>,
}

impl Journal {
    /// A journal over an empty log, with the run's beginning and all of its steps in it.
    ///
    /// # Errors
    /// When that could not be made durable: nothing may be done then.
    pub fn begin(log: Box<dyn Log>, identity: Identity, graph: &Graph, at: Timestamp) -> Result<Self, RecordError> {
        let Identity { run, fleet, resumes } = identity;
        let mut journal =
            Self { log, sum: Sum::default(), story: Story::default(), run, fleet: fleet.clone(), broken: false };
        let begun = Fact::Begun {
            format_version: JOURNAL_FORMAT_VERSION,
            run,
            fleet,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            steps: u32::try_from(graph.steps.len()).unwrap_or(u32::MAX),
            resumes,
        };
        let planned = graph.steps.iter().map(planned).collect::<Result<Vec<_>, _>>()?;
        journal.record(at, std::iter::once(begun).chain(planned))?;
        Ok(journal)
    }

    /// Records facts in one durable append: all of them, or an error and nothing more.
    ///
    /// # Errors
    /// When they cannot follow, or could not be made durable. The journal then takes nothing more.
    pub fn record(&mut self, at: Timestamp, facts: impl IntoIterator<Item = Fact>) -> Result<(), RecordError> {
        if self.broken {
            return Err(RecordError::Broken);
        }
        let result = self.append(at, facts);
        self.broken = result.is_err();
        result
    }

    fn append(&mut self, at: Timestamp, facts: impl IntoIterator<Item = Fact>) -> Result<(), RecordError> {
        let mut lines = String::new();
        for fact in facts {
            let entry = Entry { at, fact };
            self.story.record(&entry)?;
            self.sum.write(&entry, &mut lines)?;
        }
        if !lines.is_empty() {
            self.log.append(lines.as_bytes())?;
        }
        Ok(())
    }

    /// The run.
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// The fleet.
    pub fn fleet(&self) -> &str {
        &self.fleet
    }

    /// What has been recorded so far.
    pub const fn story(&self) -> &Story {
        &self.story
    }
}

fn planned(step: &Step) -> serde_json::Result<Fact> {
    Ok(Fact::Planned(PlannedStep {
        step: step.id,
        op: step.op.name().to_owned(),
        addresses: step.addresses.clone(),
        digest: digest_of(step)?,
        repeat: step.repeat,
    }))
}

/// The digest that stands for what a step does.
fn digest_of(step: &Step) -> serde_json::Result<Digest> {
    Ok(Digest::of(&serde_json::to_vec(&step.op)?))
}
