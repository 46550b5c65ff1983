//! Taking one of this machine's locks.

use std::time::Duration;

use camino::Utf8Path;

use super::error::CliError;
use crate::effect::{Clock as _, Holder, Lock, LockError, SystemClock, files};

/// Takes a lock, waiting at most this long; `command` is what others are told holds it.
pub(super) async fn take(path: &Utf8Path, command: &str, deadline: Duration) -> Result<Lock, CliError> {
    if let Some(directory) = path.parent() {
        files::private_dir(directory)?;
    }
    let holder = Holder::this_process(command, SystemClock.now());
    Lock::acquire(path, &holder, deadline).await.map_err(|error| match error {
        LockError::Held { .. } => CliError::failure(error.to_string())
            .hint("try again when it is done; apply and destroy take --wait SECONDS"),
        LockError::File(error) => error.into(),
    })
}
