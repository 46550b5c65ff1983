//! `regatta protect` and `regatta unprotect`: whether plans may remove a guest or its root disk.

use super::args::{Global, ProtectArgs};
use super::error::{CliError, Exit};
use super::session::Session;
use super::{output, run};
use crate::driver::microvm::Protection;
use crate::resource::Reading;

/// Marks guests, all of them or none: names are looked up before anything is written.
pub(super) async fn run(global: &Global, args: &ProtectArgs, protection: Protection) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    let _lock = run::lock(&session, "regatta protect", args.wait).await?;
    let observed = session.observe().await?;
    let present = |guest: &&String| matches!(observed.guests.get(*guest), Some(Reading::Present(_)));
    if let Some(missing) = args.guests.iter().find(|guest| !present(guest)) {
        let error = CliError::failure(format!("found no guest `{missing}`; nothing was done"));
        return Err(error.hint("`regatta status` lists the guests"));
    }
    let word = match protection {
        Protection::On => "protected",
        Protection::Off => "no longer protected",
    };
    for guest in &args.guests {
        session.guests().protect(guest, protection)?;
        output::talk(&format!("{guest} is {word}\n"));
    }
    Ok(Exit::Success)
}
