//! `regatta pause` and `regatta resume`: guests that stand still, and go on.

use super::args::{Global, PauseArgs};
use super::error::{CliError, Exit};
use super::session::Session;
use super::{output, run, suspend};
use crate::driver::microvm::Pause;

/// Does it to every guest that is named, one after the other: it takes milliseconds.
pub(super) async fn run(global: &Global, args: &PauseArgs, pause: Pause) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    let (command, word) = match pause {
        Pause::On => ("regatta pause", "paused"),
        Pause::Off => ("regatta resume", "running"),
    };
    let _lock = run::lock(&session, command, args.wait).await?;
    for guest in suspend::named(&session, &args.guests).await? {
        session.guests().pause(&guest, pause).await?;
        output::talk(&format!("{guest} is {word}\n"));
    }
    Ok(Exit::Success)
}
