//! What to make of steps that a dead process left open: the rules of recovery, in one total table.

use super::PlannedStep;
use super::story::{StepPhase, Story};
use crate::exec::perform::Task;
use crate::plan::Repeat;

/// What may be done about a step that was left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Plan as if it had not been begun: doing it twice is doing it once.
    Again,
    /// Plan from what is observed: the step itself looks before it acts.
    Observe,
    /// Only a person can tell whether it happened; until then nothing is done.
    Ask,
}

/// A step that was left open, and what may be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOpen {
    /// The step.
    pub step: PlannedStep,
    /// What may be done.
    pub verdict: Verdict,
    /// What it began elsewhere, in this order: all but the last have ended.
    pub tasks: Vec<Task>,
}

/// Judges every step that an unfinished run left open, in order of id.
pub fn recover(story: &Story) -> Vec<LeftOpen> {
    story
        .steps
        .iter()
        .filter_map(|step| {
            let verdict = verdict(&step.phase, step.planned.repeat)?;
            Some(LeftOpen { verdict, step: step.planned.clone(), tasks: step.tasks.clone() })
        })
        .collect()
}

/// The table. What ended for certain, and what never began, is not left open; nor is a step between two attempts:
/// its last attempt is known to have had no effect.
const fn verdict(phase: &StepPhase, repeat: Repeat) -> Option<Verdict> {
    match (phase, repeat) {
        (StepPhase::Started(_), Repeat::Safe) => Some(Verdict::Again),
        (StepPhase::Unknown(_), Repeat::Safe) | (StepPhase::Started(_) | StepPhase::Unknown(_), Repeat::CheckFirst) => {
            Some(Verdict::Observe)
        }
        (StepPhase::Started(_) | StepPhase::Unknown(_), Repeat::Never) => Some(Verdict::Ask),
        (
            StepPhase::Planned
            | StepPhase::Waiting(_)
            | StepPhase::Done
            | StepPhase::Failed(_)
            | StepPhase::Skipped(_)
            | StepPhase::Held(_)
            | StepPhase::Unneeded,
            _,
        ) => None,
    }
}
