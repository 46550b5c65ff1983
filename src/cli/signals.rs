//! SIGINT and SIGTERM: the first lets running steps finish, the second aborts. Guests never get one.

use tokio::signal::unix::{SignalKind, signal};

use super::error::CliError;
use crate::exec::Cancel;

/// Listens for the rest of the process' life. The run itself tells what it does about it.
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
        }
    });
    Ok(())
}
