//! What steps would run, as data: written down by a driver, shown by the render layer.

use crate::plan::StepId;

/// A command that a step would run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The same as one would type it in a POSIX shell, with its own environment variables before it: for people, it is
    /// never given to one.
    pub line: String,
    /// The guest in which it would run; `None` is this host.
    pub guest: Option<String>,
}

/// The commands of one step, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    /// The step.
    pub step: StepId,
    /// What it would run.
    pub commands: Vec<Asked>,
    /// Why it could not be rehearsed to its end; what is listed is its beginning then.
    pub cut_short: Option<String>,
}

impl Asked {
    /// Whether it would run with root's rights on this host.
    pub fn is_privileged(&self) -> bool {
        self.guest.is_none() && self.argv.first().is_some_and(|program| program.rsplit('/').next() == Some("sudo"))
    }
}
