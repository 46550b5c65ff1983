//! What happens during a run, as it happens: plain data for screens, pipes and programs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::RunId;
use super::perform::Failure;
use super::report::{Outcome, StopCause};
use crate::plan::StepId;
use crate::plan::gate::Need;
use crate::resource::Address;

/// One thing that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened. Beginnings are in the journal before they are told; so is everything else, unless the journal failed,
/// which is told first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum EventKind {
    /// The run has a journal and begins.
    RunStarted {
        /// Its id.
        run: RunId,
        /// The fleet.
        fleet: String,
        /// How many steps it has.
        steps: u32,
    },
    /// A step begins.
    StepStarted {
        /// Which.
        step: StepId,
        /// The resource it is reported under.
        address: Option<Address>,
        /// What it does: the name of its op.
        op: String,
        /// 1 unless it is tried again.
        attempt: u32,
    },
    /// A running step says what it does.
    StepProgress {
        /// Which.
        step: StepId,
        /// Its words.
        text: String,
    },
    /// A running step says what is worth knowing once it is done.
    StepNoted {
        /// Which.
        step: StepId,
        /// Its words.
        text: String,
    },
    /// An attempt failed without effect; there will be another.
    StepRetrying {
        /// Which.
        step: StepId,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// The wait before the next, in milliseconds.
        wait_ms: u64,
    },
    /// A step is done.
    StepDone {
        /// Which.
        step: StepId,
        /// Since its first attempt, in milliseconds.
        elapsed_ms: u64,
    },
    /// A step failed, for good.
    StepFailed {
        /// Which.
        step: StepId,
        /// Since its first attempt, in milliseconds.
        elapsed_ms: u64,
        /// Why, and whether it may have happened nevertheless.
        failure: Failure,
    },
    /// A step will not start, because one that it needs failed.
    StepSkipped {
        /// Which.
        step: StepId,
        /// The resource it is reported under.
        address: Option<Address>,
        /// What it would do: the name of its op.
        op: String,
        /// The step that failed.
        because: StepId,
    },
    /// A step will not start, because somebody has to agree first.
    StepHeld {
        /// Which.
        step: StepId,
        /// The resource it is reported under.
        address: Option<Address>,
        /// What it would do: the name of its op.
        op: String,
        /// The step that lacks an agreement: itself, or one that it belongs to.
        because: StepId,
        /// What that one lacks.
        need: Need,
    },
    /// A step will not start, because what it would put back did not fail.
    StepUnneeded {
        /// Which.
        step: StepId,
    },
    /// No step starts any more.
    Stopping {
        /// Why.
        cause: StopCause,
        /// How many steps still run.
        running: u32,
    },
    /// Nothing runs any more.
    RunFinished {
        /// How it ended.
        outcome: Outcome,
        /// In milliseconds.
        elapsed_ms: u64,
    },
}
