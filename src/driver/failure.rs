//! Errors of effects as failures of steps: whether trying again may help is decided here, once.

use crate::effect::files::FileError;
use crate::effect::http::HttpError;
use crate::effect::{CommandError, ConnectError, KeyError, Output};
use crate::exec::Failure;

/// What to do when a disk is full.
pub(super) const DISK_FULL_HINT: &str = "free some disk space, or move the state directory with --state-dir";

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::permanent(error.to_string())
    }
}

impl From<HttpError> for Failure {
    /// Of a request that changes nothing: asking again is always allowed.
    fn from(error: HttpError) -> Self {
        match error.is_transient() {
            true => Self::transient(error.to_string()),
            false => Self::permanent(error.to_string()),
        }
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
            CommandError::Remote { command, cause } => Self::from(cause).context(format!("cannot run `{command}`")),
            CommandError::Failed { ref output, .. } if disk_is_full(output) => {
                Self::permanent(error.to_string()).hint(DISK_FULL_HINT)
            }
            _ => Self::permanent(error.to_string()),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotUp(_) | ConnectError::Deadline { .. } => Self::transient(error.to_string()),
            // LESSON 19: without an exit status it is not known what the command did.
            ConnectError::Lost(_) | ConnectError::Overdue { .. } => Self::unknown(error.to_string()),
            _ => Self::permanent(error.to_string()),
        }
    }
}

/// Whether a program complained in the C library's words.
fn disk_is_full(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains("No space left on device")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Status;
    use crate::exec::FailureKind;

    #[test]
    fn a_connection_lost_in_a_command_leaves_the_outcome_unknown() {
        let failed = Failure::from(ConnectError::Lost("a command ran: it left no exit status".to_owned()));
        assert_eq!(failed.kind, FailureKind::Unknown);
    }

    /// LESSON 39: before the command was sent nothing has happened; afterwards anything may have.
    #[test]
    fn a_login_that_takes_too_long_is_tried_again_and_a_command_is_not() {
        let after = std::time::Duration::from_secs(1);
        let login = ConnectError::Deadline { after, doing: "logging in".to_owned() };
        let command = ConnectError::Overdue { after, command: "tar".to_owned() };
        let kinds = [login, command].map(|error| Failure::from(error).kind);
        assert_eq!(kinds, [FailureKind::Transient, FailureKind::Unknown]);
    }

    #[test]
    fn a_full_disk_has_a_hint() {
        let stderr = b"tar: root.tar: Wrote only 512 of 10240 bytes\ntar: Error: No space left on device\n".to_vec();
        let output = Output { status: Status::Code(2), stdout: Vec::new(), stderr };
        let failed = Failure::from(CommandError::Failed { command: "tar".into(), output });
        assert_eq!(failed.hint.as_deref(), Some(DISK_FULL_HINT));
    }
}
