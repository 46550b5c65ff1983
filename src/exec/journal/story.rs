//! What a journal's facts add up to: a state machine that every fact passes on its way to disk, and again when it is
//! read. Loading is recording again.
//!
//! ```text
//! run    new ──begun──▶ planning ──the last planned──▶ open ──finished──▶ closed
//!                          └────────interrupted─────────┴───interrupted───▶ closed
//!
//! step   planned ──started 1──▶ started n ──done──▶ done                (`task` stays at started n)
//!           │                   │ ▲     ├──unknown──▶ unknown
//!           │            retrying │     └──failed──▶ failed
//!           │                   ▼ started n+1          ▲
//!           │                 waiting ──failed─────────┘
//!           ├──held──▶ held              (also from waiting)
//!           ├──skipped──▶ skipped
//!           └──unneeded──▶ unneeded
//! ```

use jiff::Timestamp;
use serde::Serialize;

use super::entry::{Entry, Fact, JOURNAL_FORMAT_VERSION, PlannedStep};
use crate::exec::RunId;
use crate::exec::perform::{Failure, Task};
use crate::exec::report::Outcome;
use crate::plan::StepId;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", content = "detail", rename_all = "kebab-case")]
pub enum RunPhase {
    /// Nothing is written yet.
    New,
    /// Its steps are being written down: nothing has been done.
    Planning,
    /// Steps may run.
    Open,
    /// It ended.
    Closed(Outcome),
}

/// Where a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", content = "detail", rename_all = "kebab-case")]
pub enum StepPhase {
    /// Not begun.
    Planned,
    /// This attempt was about to begin; whatever is not followed by more may have happened.
    Started(u32),
    /// This attempt failed without effect; the next has not begun.
    Waiting(u32),
    /// Done.
    Done,
    /// Failed.
    Failed(Failure),
    /// It cannot be told.
    Unknown(Failure),
    /// Not begun, and never will be: this step failed.
    Skipped(StepId),
    /// Not begun, and never will be: somebody has to agree first. The step that lacks it.
    Held(StepId),
    /// Not begun, and never will be: what it would put back did not fail.
    Unneeded,
}

/// A step's part of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepStory {
    /// What was to be done.
    #[serde(flatten)]
    pub planned: PlannedStep,
    /// Where it is.
    #[serde(flatten)]
    pub phase: StepPhase,
    /// How often it was started.
    pub attempts: u32,
    /// When it first started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What it began elsewhere, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
}

/// How a run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Beginning {
    /// Its id.
    pub run: RunId,
    /// The fleet.
    pub fleet: String,
    /// The version of regatta.
    pub program: String,
    /// The process.
    pub pid: u32,
    /// When.
    pub at: Timestamp,
    /// How many steps it has.
    pub steps: u32,
    /// Interrupted runs whose work it took up.
    pub resumes: Vec<RunId>,
}

/// A fact that cannot follow what is already known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{fact}`{} cannot follow: the run is {run:?}{}", at_step(*.step), step_phase(.phase.as_ref()))]
pub struct Impossible {
    fact: &'static str,
    step: Option<StepId>,
    run: RunPhase,
    phase: Option<StepPhase>,
}

fn at_step(step: Option<StepId>) -> String {
    step.map(|step| format!(" of step {}", step.0)).unwrap_or_default()
}

fn step_phase(phase: Option<&StepPhase>) -> String {
    phase.map(|phase| format!(", the step is {phase:?}")).unwrap_or_default()
}

/// Everything a journal tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// Where the run is.
    #[serde(flatten)]
    pub phase: RunPhase,
    /// How it began; `None` while it is new.
    #[serde(flatten)]
    pub beginning: Option<Beginning>,
    /// By id; complete from [`RunPhase::Open`] on.
    pub steps: Vec<StepStory>,
    /// When the last fact became one.
    pub last: Option<Timestamp>,
}

impl Default for Story {
    fn default() -> Self {
        Self { phase: RunPhase::New, beginning: None, steps: Vec::new(), last: None }
    }
}

/// What a fact changes.
enum Change {
    Begin(Beginning),
    Plan(PlannedStep),
    Step(StepId, StepPhase),
    Task(StepId, Task),
    Close(Outcome),
}

impl Story {
    /// Takes one more fact.
    ///
    /// # Errors
    /// When it cannot follow; the story is as before.
    pub fn record(&mut self, entry: &Entry) -> Result<(), Impossible> {
        let change = self.change(entry).ok_or_else(|| self.impossible(&entry.fact))?;
        self.last = Some(entry.at);
        match change {
            Change::Begin(beginning) => {
                self.phase = if beginning.steps == 0 { RunPhase::Open } else { RunPhase::Planning };
                self.beginning = Some(beginning);
            }
            Change::Plan(planned) => self.plan(planned),
            Change::Step(step, phase) => self.advance(step, phase, entry.at),
            Change::Task(step, task) => {
                if let Some(story) = self.steps.get_mut(step.0 as usize) {
                    story.tasks.push(task);
                }
            }
            Change::Close(outcome) => self.phase = RunPhase::Closed(outcome),
        }
        Ok(())
    }

    /// The transition function: whatever is not listed is impossible.
    fn change(&self, entry: &Entry) -> Option<Change> {
        use RunPhase::{New, Open, Planning};
        use StepPhase::{Planned, Started, Waiting};
        let step = entry.fact.step().and_then(|step| self.step(step)).map(|step| &step.phase);
        let change = match (self.phase, step, entry.fact.clone()) {
            (
                New,
                None,
                Fact::Begun { format_version: JOURNAL_FORMAT_VERSION, run, fleet, program, pid, steps, resumes },
            ) => Change::Begin(Beginning { run, fleet, program, pid, at: entry.at, steps, resumes }),
            (Planning, None, Fact::Planned(planned)) if planned.step.0 as usize == self.steps.len() => {
                Change::Plan(planned)
            }
            (Open, Some(Planned), Fact::Started { step, attempt: 1 }) => Change::Step(step, Started(1)),
            (Open, Some(Waiting(last)), Fact::Started { step, attempt }) if attempt == last + 1 => {
                Change::Step(step, Started(attempt))
            }
            (Open, Some(Started(_)), Fact::Task { step, task }) => Change::Task(step, task),
            (Open, Some(Started(attempt)), Fact::Retrying { step, .. }) => Change::Step(step, Waiting(*attempt)),
            (Open, Some(Started(_)), Fact::Done { step }) => Change::Step(step, StepPhase::Done),
            (Open, Some(Started(_) | Waiting(_)), Fact::Failed { step, failure }) => {
                Change::Step(step, StepPhase::Failed(failure))
            }
            (Open, Some(Started(_)), Fact::Unknown { step, failure }) => {
                Change::Step(step, StepPhase::Unknown(failure))
            }
            (Open, Some(Planned), Fact::Skipped { step, because }) => Change::Step(step, StepPhase::Skipped(because)),
            (Open, Some(Planned | Waiting(_)), Fact::Held { step, because }) => {
                Change::Step(step, StepPhase::Held(because))
            }
            (Open, Some(Planned), Fact::Unneeded { step }) => Change::Step(step, StepPhase::Unneeded),
            (Open, None, Fact::Finished { outcome }) if !self.steps.iter().any(StepStory::runs) => {
                Change::Close(outcome)
            }
            (Planning | Open, None, Fact::Interrupted { .. }) => Change::Close(Outcome::Interrupted),
            _ => return None,
        };
        Some(change)
    }

    fn impossible(&self, fact: &Fact) -> Impossible {
        let step = fact.step();
        let phase = step.and_then(|step| self.step(step)).map(|step| step.phase.clone());
        Impossible { fact: fact.name(), step, run: self.phase, phase }
    }

    fn plan(&mut self, planned: PlannedStep) {
        let phase = StepPhase::Planned;
        self.steps.push(StepStory { planned, phase, attempts: 0, started: None, ended: None, tasks: Vec::new() });
        let expected = self.beginning.as_ref().map_or(0, |beginning| beginning.steps as usize);
        if self.steps.len() == expected {
            self.phase = RunPhase::Open;
        }
    }

    fn advance(&mut self, step: StepId, phase: StepPhase, at: Timestamp) {
        let Some(story) = self.steps.get_mut(step.0 as usize) else { return };
        match &phase {
            StepPhase::Started(attempt) => {
                story.attempts = *attempt;
                story.started.get_or_insert(at);
            }
            StepPhase::Planned | StepPhase::Waiting(_) | StepPhase::Unneeded => {}
            StepPhase::Done
            | StepPhase::Failed(_)
            | StepPhase::Unknown(_)
            | StepPhase::Skipped(_)
            | StepPhase::Held(_) => {
                story.ended = Some(at);
            }
        }
        story.phase = phase;
    }

    /// One step's part.
    pub fn step(&self, step: StepId) -> Option<&StepStory> {
        self.steps.get(step.0 as usize)
    }

    /// From its beginning to its last fact, in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        let began = self.beginning.as_ref().map(|beginning| beginning.at);
        began.zip(self.last).map_or(0, |(began, last)| between_ms(began, last))
    }

    /// Steps of which it is not known whether they happened: begun and not ended, or ended without knowing.
    pub fn open_steps(&self) -> impl Iterator<Item = &StepStory> {
        self.steps.iter().filter(|step| step.runs() || matches!(step.phase, StepPhase::Unknown(_)))
    }
}

impl StepStory {
    /// From its first start to its end, in milliseconds; `None` while one of them is missing.
    pub fn elapsed_ms(&self) -> Option<u64> {
        self.started.zip(self.ended).map(|(started, ended)| between_ms(started, ended))
    }

    /// Whether it was begun and has not ended.
    pub const fn runs(&self) -> bool {
        matches!(self.phase, StepPhase::Started(_) | StepPhase::Waiting(_))
    }
}

/// Milliseconds between two readings of a clock that may have been set back in between.
pub(in crate::exec) fn between_ms(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond().saturating_sub(from.as_millisecond())).unwrap_or(0)
}
