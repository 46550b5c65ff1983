//! The one thing the run asks of a driver.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::plan::Step;

/// Carries out steps. Implemented by drivers, and by the model world of the tests.
#[async_trait]
pub trait Perform: Send + Sync {
    /// Does one step, completely or not at all where that is possible. A step whose effect is already there succeeds.
    ///
    /// # Errors
    /// A [`Failure`] says whether anything may have happened.
    async fn perform(&self, step: &Step, progress: &dyn Progress) -> Result<(), Failure>;
}

/// Takes a running step's words for people: what it is doing now, in a few words, without terminal escapes.
pub trait Progress: Send + Sync {
    /// Says what is being done.
    fn say(&self, text: &str);

    /// Says what is worth knowing when the step is done, such as how gently a guest could be stopped: it goes into the
    /// report.
    fn note(&self, text: &str) {
        self.say(text);
    }

    /// Names what was begun elsewhere and outlives this process: the journal keeps it, so that the next run can wait for it.
    fn task(&self, task: Task) {
        drop(task);
    }
}

/// Something that a step began elsewhere and that goes on without it, such as a task of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Who does it: the name of a cluster.
    pub on: String,
    /// What it is called there: one line, no secret.
    pub name: String,
}

/// Whether a failed step may have had an effect, and whether trying again could help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Nothing happened; trying again may help.
    Transient,
    /// Nothing useful happened; trying again gives the same.
    Permanent,
    /// It cannot be told what happened: observe before deciding.
    Unknown,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it means for the run.
    pub kind: FailureKind,
    /// The causes, outermost first; lower case, no full stop, free of secrets and terminal escapes.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure that trying again does not mend.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Permanent, causes: vec![message.into()], hint: None }
    }

    /// A failure that may pass.
    pub fn transient(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Transient, ..Self::permanent(message) }
    }

    /// A failure with an unknown outcome.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unknown, ..Self::permanent(message) }
    }

    /// The same, where something had happened already: nobody knows any more what the world is like.
    #[must_use]
    pub fn into_unknown(self) -> Self {
        Self { kind: FailureKind::Unknown, ..self }
    }

    /// Says what was being done when this failed.
    #[must_use]
    pub fn context(mut self, message: impl Into<String>) -> Self {
        self.causes.insert(0, message.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// All of it in one line, where there is no room for more.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let why = self.causes.join(": ");
        match &self.hint {
            Some(hint) => format!("{why}; {hint}"),
            None => why,
        }
    }
}
