//! Errors of effects as failures of steps: whether trying again may help is decided here, once.

use crate::effect::files::FileError;
use crate::effect::{CommandError, ConnectError, KeyError};
use crate::exec::Failure;

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::permanent(error.to_string())
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::permanent(error.to_string())
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            // It was killed in the middle: whatever it did by then stays done.
            CommandError::Deadline { .. } => Self::unknown(error.to_string()),
            _ => Self::permanent(error.to_string()),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotUp(_) | ConnectError::Deadline { .. } => Self::transient(error.to_string()),
            _ => Self::permanent(error.to_string()),
        }
    }
}
