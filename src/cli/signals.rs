//! SIGINT and SIGTERM: the first lets running steps finish, the second aborts. Guests never get one.

use tokio::signal::unix::{SignalKind, signal};

use super::error::CliError;
use super::output;
use crate::exec::{Cancel, CancelLevel};

/// Listens for the rest of the process' life.
pub(super) fn listen(cancel: Cancel) -> Result<(), CliError> {
    let fail = |cause| CliError::failure("cannot listen for signals").cause(cause);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            cancel.request();
            output::talk(match cancel.level() {
                CancelLevel::None | CancelLevel::Finish => {
                    "interrupted: running steps finish, no new ones start; once more to abort them\n"
                }
                CancelLevel::Abort => "aborted: the next apply looks at what was left and goes on from there\n",
            });
        }
    });
    Ok(())
}
