//! `regatta pause` and `regatta resume`: guests that stand still, and go on.

use super::args::{Global, PauseArgs};
use super::error::{CliError, Exit};
use super::session::Session;
use super::{output, run};
use crate::driver::microvm::Pause;
use crate::plan::power;

/// Does it to every guest that is named, one after the other: it takes milliseconds.
pub(super) async fn run(global: &Global, args: &PauseArgs, pause: Pause) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    let (command, word) = match pause {
        Pause::On => ("regatta pause", "paused"),
        Pause::Off => ("regatta resume", "running"),
    };
    let _lock = run::lock(&session, command, args.wait).await?;
    let observed = session.glance().await?;
    if let Some(first) = power::unmatched(session.desired(), &observed, &args.guests).first() {
        let error = CliError { exit: Exit::Usage, ..CliError::failure(format!("found no guest `{first}`")) };
        return Err(error.hint("`regatta status` lists the guests"));
    }
    for guest in power::named_guests(session.desired(), &observed, &args.guests) {
        session.guests().pause(&guest, pause).await?;
        output::talk(&format!("{guest} is {word}\n"));
    }
    Ok(Exit::Success)
}
