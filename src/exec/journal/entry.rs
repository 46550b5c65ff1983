//! One line of a journal: a fact, when it became one, and a checksum over both and everything before.
//!
//! ```text
//! {"sum":"0123456789abcdef","entry":{"at":"2026-01-02T03:04:05Z","fact":"started","step":3,"attempt":1}}
//! ```
//!
//! The sum is the first 16 digits of SHA-256 over the sum of the line before (nothing for the first) and the exact bytes
//! of `entry`: a changed, removed, repeated or reordered line does not fit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::exec::RunId;
use crate::exec::perform::{Failure, Task};
use crate::exec::report::Outcome;
use crate::plan::{Repeat, StepId};
use crate::resource::{Address, Digest};

/// Version of the journal's format.
pub const JOURNAL_FORMAT_VERSION: u32 = 1;

/// A fact and when it became one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What a journal knows. It holds no secret: a step is its op's name, its addresses and the digest of the op.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fact")]
pub enum Fact {
    /// A run begins. Its steps follow, one fact each, before anything is done.
    Begun {
        /// [`JOURNAL_FORMAT_VERSION`].
        format_version: u32,
        /// Its id.
        run: RunId,
        /// The fleet.
        fleet: String,
        /// The version of regatta.
        program: String,
        /// The process, for people: whether it lives is told by its lock on the journal, not by this number.
        pid: u32,
        /// How many steps follow.
        steps: u32,
        /// Interrupted runs whose work this one takes up.
        resumes: Vec<RunId>,
    },
    /// A step that will be done.
    Planned(PlannedStep),
    /// A step is about to begin: written before it does.
    Started {
        /// Which.
        step: StepId,
        /// 1, and one more each time it is tried again.
        attempt: u32,
    },
    /// A running step began something elsewhere that goes on without it.
    Task {
        /// Which.
        step: StepId,
        /// What, and who does it.
        #[serde(flatten)]
        task: Task,
    },
    /// The attempt had no effect, and another will follow.
    Retrying {
        /// Which.
        step: StepId,
        /// Why.
        failure: Failure,
    },
    /// A step is done.
    Done {
        /// Which.
        step: StepId,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: StepId,
        /// Why.
        failure: Failure,
    },
    /// It cannot be told what a step did: it stays open until the world has been observed.
    Unknown {
        /// Which.
        step: StepId,
        /// Why.
        failure: Failure,
    },
    /// A step will not start.
    Skipped {
        /// Which.
        step: StepId,
        /// The failed step that it needs.
        because: StepId,
    },
    /// A step will not start: somebody has to agree first.
    Held {
        /// Which.
        step: StepId,
        /// The step that lacks an agreement: itself, or one that it belongs to.
        because: StepId,
    },
    /// A step will not start: it would put back what did not fail.
    Unneeded {
        /// Which.
        step: StepId,
    },
    /// Nothing runs any more.
    Finished {
        /// How it ended.
        outcome: Outcome,
    },
    /// The process died; another run says so.
    Interrupted {
        /// That run.
        by: RunId,
    },
}

/// A step as a journal knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its id in the graph.
    pub step: StepId,
    /// The name of its op.
    pub op: String,
    /// The resources it serves.
    pub addresses: Vec<Address>,
    /// Of the op's JSON form: tells whether a later plan means the same.
    pub digest: Digest,
    /// What a crash in the middle means.
    pub repeat: Repeat,
}

impl Fact {
    /// Its name as the journal writes it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::Planned(_) => "planned",
            Self::Started { .. } => "started",
            Self::Task { .. } => "task",
            Self::Retrying { .. } => "retrying",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
            Self::Skipped { .. } => "skipped",
            Self::Held { .. } => "held",
            Self::Unneeded { .. } => "unneeded",
            Self::Finished { .. } => "finished",
            Self::Interrupted { .. } => "interrupted",
        }
    }

    /// The step it is about.
    pub const fn step(&self) -> Option<StepId> {
        match self {
            Self::Planned(PlannedStep { step, .. })
            | Self::Started { step, .. }
            | Self::Task { step, .. }
            | Self::Retrying { step, .. }
            | Self::Done { step }
            | Self::Failed { step, .. }
            | Self::Unknown { step, .. }
            | Self::Skipped { step, .. }
            | Self::Held { step, .. }
            | Self::Unneeded { step } => Some(*step),
            Self::Begun { .. } | Self::Finished { .. } | Self::Interrupted { .. } => None,
        }
    }
}

/// The checksum of everything up to a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sum(String);

/// Digits of a sum in a line.
const SUM_DIGITS: usize = 16;
const BEFORE_SUM: &str = r#"{"sum":""#;
const BEFORE_ENTRY: &str = r#"","entry":"#;

impl Sum {
    fn next(&self, body: &str) -> Self {
        let hash = Sha256::new().chain_update(&self.0).chain_update(body).finalize();
        Self(Digest::from_hash(&hash).as_str().chars().take(SUM_DIGITS).collect())
    }

    /// Appends a line to a buffer, and moves on to its sum.
    pub(super) fn write(&mut self, entry: &Entry, buffer: &mut String) -> serde_json::Result<()> {
        let body = serde_json::to_string(entry)?;
        *self = self.next(&body);
        buffer.extend([BEFORE_SUM, &self.0, BEFORE_ENTRY, &body, "}\n"]);
        Ok(())
    }

    /// Reads a line without its newline, and moves on to its sum; `Err` says what is wrong.
    pub(super) fn read(&mut self, line: &str) -> Result<Entry, String> {
        let malformed = || "found no checksummed entry".to_owned();
        let rest = line.strip_prefix(BEFORE_SUM).ok_or_else(malformed)?;
        let (sum, rest) = rest.split_at_checked(SUM_DIGITS).ok_or_else(malformed)?;
        let body = rest.strip_prefix(BEFORE_ENTRY).and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?;
        let expected = self.next(body);
        if expected.0 != sum {
            return Err("its checksum does not fit".into());
        }
        let entry = serde_json::from_str(body).map_err(|error| format!("it cannot be understood: {error}"))?;
        *self = expected;
        Ok(entry)
    }
}
