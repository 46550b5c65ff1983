//! How a run ended: the outcome of every step, what failed first, and what was skipped because of whom.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::RunId;
use super::perform::{Failure, FailureKind};
use crate::plan::gate::Need;
use crate::plan::{Graph, StepId};
use crate::resource::Address;

/// Version of the report's JSON form.
pub const REPORT_FORMAT_VERSION: u32 = 1;

/// How a run ended as a whole; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every step is done.
    Done,
    /// Nothing was done, or the run could not be recorded.
    Failed,
    /// Some steps are done, others failed.
    Partial,
    /// What failed was put back as it was.
    Reverted,
    /// Nothing failed, and something waits for somebody's agreement.
    Held,
    /// Somebody stopped it, or it died.
    Interrupted,
}

impl Outcome {
    /// The exit code of a command that ended so.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Held => 3,
            Self::Partial => 4,
            Self::Reverted => 5,
            Self::Interrupted => 130,
        }
    }
}

/// Why no step was started any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
pub enum StopCause {
    /// Somebody asked once: running steps finish.
    Cancelled,
    /// Somebody asked twice: running steps were dropped.
    Aborted,
    /// The journal could not be written, and nothing may happen that is not in it.
    Journal {
        /// The system's words.
        message: String,
    },
    /// The graph is no graph.
    Malformed {
        /// What is wrong with it.
        message: String,
    },
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum StepOutcome {
    /// The run stopped before it could start.
    NotStarted,
    /// Done.
    Done,
    /// Failed. Its kind says whether it may have happened nevertheless.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Not started, because a step that it needs failed.
    Skipped {
        /// That step.
        because: StepId,
    },
    /// Not started, because somebody has to agree first.
    Held {
        /// The step that lacks it: itself, or one that it belongs to or comes after.
        because: StepId,
        /// What that one lacks.
        need: Need,
    },
    /// Not started, because what it would put back did not fail.
    Unneeded,
}

/// One step of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Which.
    pub step: StepId,
    /// The resources it serves.
    pub addresses: Vec<Address>,
    /// What it does: the name of its op.
    pub op: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: StepOutcome,
    /// How often it was started.
    pub attempts: u32,
    /// When it first started.
    pub started: Option<Timestamp>,
    /// From its first start to its end, in milliseconds.
    pub elapsed_ms: u64,
    /// What it said is worth knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_FORMAT_VERSION`].
    pub format_version: u32,
    /// The run.
    pub run: RunId,
    /// The fleet.
    pub fleet: String,
    /// When it began.
    pub started: Timestamp,
    /// In milliseconds.
    pub elapsed_ms: u64,
    /// Why it did not go on, if something stopped it.
    pub stopped: Option<StopCause>,
    /// The failed steps in the order in which they failed.
    pub failures: Vec<StepId>,
    /// Those of them after which everything was put back as it was.
    pub reverted: Vec<StepId>,
    /// Every step of the graph, by id.
    pub steps: Vec<StepReport>,
}

/// How many steps ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Done.
    pub done: usize,
    /// Failed.
    pub failed: usize,
    /// Skipped because of a failed one.
    pub skipped: usize,
    /// Never started, because somebody has to agree first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: usize,
    /// Never started, because the run stopped.
    pub not_started: usize,
    /// Never started, because there was nothing to put back.
    pub unneeded: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Report {
    /// The report of a run in which nothing has happened yet.
    pub(super) fn new(run: RunId, fleet: &str, graph: &Graph, started: Timestamp) -> Self {
        let steps = graph.steps.iter().map(|step| StepReport {
            step: step.id,
            addresses: step.addresses.clone(),
            op: step.op.name().to_owned(),
            outcome: StepOutcome::NotStarted,
            attempts: 0,
            started: None,
            elapsed_ms: 0,
            notes: Vec::new(),
        });
        Self {
            format_version: REPORT_FORMAT_VERSION,
            run,
            fleet: fleet.to_owned(),
            started,
            elapsed_ms: 0,
            stopped: None,
            failures: Vec::new(),
            reverted: Vec::new(),
            steps: steps.collect(),
        }
    }

    /// The report of a run that was not needed.
    pub fn nothing(fleet: &str, now: Timestamp) -> Self {
        Self::new(RunId::generate(), fleet, &Graph::default(), now)
    }

    /// How many steps ended in which way.
    pub fn counts(&self) -> Counts {
        self.steps.iter().fold(Counts::default(), |mut counts, step| {
            match step.outcome {
                StepOutcome::Done => counts.done += 1,
                StepOutcome::Failed { .. } => counts.failed += 1,
                StepOutcome::Skipped { .. } => counts.skipped += 1,
                StepOutcome::Held { .. } => counts.held += 1,
                StepOutcome::NotStarted => counts.not_started += 1,
                StepOutcome::Unneeded => counts.unneeded += 1,
            }
            counts
        })
    }

    /// Notes which failures were put back: those that a rescue watches of which every step is done.
    pub(super) fn note_reverted(&mut self, graph: &Graph) {
        let mut whole = vec![true; graph.steps.len()];
        for (step, rescue) in self.steps.iter().zip(graph.rescues()) {
            if let Some(whole) = rescue.and_then(|rescue| whole.get_mut(rescue.0 as usize)) {
                *whole &= step.outcome == StepOutcome::Done;
            }
        }
        let rescuers = graph.steps.iter().enumerate().filter(|(index, _)| whole[*index]);
        let watched: BTreeSet<StepId> = rescuers.flat_map(|(_, step)| step.rescues.iter().copied()).collect();
        self.reverted = self.failures.iter().copied().filter(|step| watched.contains(step)).collect();
    }

    /// Steps of which it is not known whether they happened.
    pub fn unknown(&self) -> impl Iterator<Item = &StepReport> {
        let is_unknown = |outcome: &StepOutcome| matches!(outcome, StepOutcome::Failed { failure } if failure.kind == FailureKind::Unknown);
        self.steps.iter().filter(move |step| is_unknown(&step.outcome))
    }

    /// Steps that lack somebody's agreement, and what each lacks. Those that only belong to one are left out.
    pub fn held(&self) -> impl Iterator<Item = (&StepReport, &Need)> {
        self.steps.iter().filter_map(|step| match &step.outcome {
            StepOutcome::Held { because, need } if *because == step.step => Some((step, need)),
            _ => None,
        })
    }

    /// How it ended as a whole.
    pub fn outcome(&self) -> Outcome {
        let counts = self.counts();
        match &self.stopped {
            Some(StopCause::Journal { .. } | StopCause::Malformed { .. }) => Outcome::Failed,
            Some(StopCause::Cancelled | StopCause::Aborted) => Outcome::Interrupted,
            None if counts.failed == 0 && counts.held > 0 => Outcome::Held,
            None if counts.failed == 0 => Outcome::Done,
            None if self.reverted.len() == self.failures.len() => Outcome::Reverted,
            None if counts.done == 0 => Outcome::Failed,
            None => Outcome::Partial,
        }
    }
}
