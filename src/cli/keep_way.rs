//! `regatta keep-way`: the process beside a change of a network, which takes it back when nobody confirms it.

use super::args::KeepWayArgs;
use super::error::{CliError, Exit};
use crate::driver::network;
use crate::effect::leave_session;

/// Waits until the change is confirmed, or takes it back.
pub(super) async fn run(args: &KeepWayArgs) -> Result<Exit, CliError> {
    // Whoever started us may be gone already, and nobody reads what we would say.
    let _ = leave_session();
    network::keep_way(&args.armed).await?;
    Ok(Exit::Success)
}
