//! How a command ends: exit codes, and the one form of a fatal error.

use std::process::ExitCode;

use crate::effect::ConnectError;

/// Exit codes; `docs/commands.md` has the table people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Success; nothing to do.
    Success,
    /// An error: nothing, or not everything, was done.
    Failure,
    /// `plan --detailed-exitcode`: changes are pending.
    Changes,
    /// Refused by policy.
    Refused,
    /// Some steps failed, others were applied.
    Partial,
    /// What failed was put back as it was.
    Reverted,
    /// The command line is wrong.
    Usage,
    /// Interrupted.
    Interrupted,
    /// What a command in a guest ended with.
    Command(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Changes => 2,
            Exit::Refused => 3,
            Exit::Partial => 4,
            Exit::Reverted => 5,
            Exit::Usage => 64,
            Exit::Interrupted => 130,
            Exit::Command(code) => code,
        })
    }
}

/// A fatal error: how to exit, what happened (outermost cause first), what to do.
#[derive(Debug)]
pub(super) struct CliError {
    /// How to exit.
    pub exit: Exit,
    /// What happened; empty when it was already told.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl CliError {
    /// An error that exits with 1.
    pub(super) fn failure(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, causes: vec![message.into()], hint: None }
    }

    /// A refusal: exits with 3.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::failure(message) }
    }

    /// Everything was already told: only the exit code is left.
    pub(super) const fn told(exit: Exit) -> Self {
        Self { exit, causes: Vec::new(), hint: None }
    }

    /// Says what to do.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause of the last message.
    #[must_use]
    pub(super) fn cause(mut self, cause: impl std::fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }
}

/// Errors of effects say everything in one sentence.
macro_rules! from_message {
    ($($error:ty),+) => {
        $(impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                Self::failure(error.to_string())
            }
        })+
    };
}

from_message!(
    crate::effect::files::FileError,
    crate::effect::KeyError,
    crate::exec::journal::JournalError,
    serde_json::Error
);

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        let hint = matches!(error, ConnectError::HostKey { .. }).then(|| HOST_KEY_HINT.to_owned());
        Self { hint, ..Self::failure(error.to_string()) }
    }
}

/// What to do about a guest that shows another host key.
pub(super) const HOST_KEY_HINT: &str = "another machine may answer there; `regatta restart GUEST` puts the guest's own key back, \
                                        and `regatta repin GUEST FINGERPRINT` trusts another one";

impl From<crate::exec::Failure> for CliError {
    fn from(failure: crate::exec::Failure) -> Self {
        Self { exit: Exit::Failure, causes: failure.causes, hint: failure.hint }
    }
}
