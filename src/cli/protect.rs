//! `regatta protect` and `regatta unprotect`: whether plans may remove a guest or its root disk.

use super::args::{Global, ProtectArgs};
use super::error::{CliError, Exit};
use super::session::Session;
use super::{output, policy, run};
use crate::config::Demand;
use crate::driver::microvm::Protection;
use crate::effect::{Clock as _, SystemClock};
use crate::exec::{Audit as _, AuditFact};
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
    if protection == Protection::Off {
        allow_unprotecting(&session, args)?;
    }
    for guest in &args.guests {
        session.guests().protect(guest, protection)?;
        output::talk(&format!("{guest} is {word}\n"));
    }
    Ok(Exit::Success)
}

/// Whoever types a guest's name has named it; where signatures are asked for, that is not enough.
fn allow_unprotecting(session: &Session, args: &ProtectArgs) -> Result<(), CliError> {
    let caller = policy::caller();
    if session.policies().for_caller(caller)?.demand() == Demand::Approval {
        let error = CliError::refused("lifting a protection needs approval here; nothing was done");
        return Err(error.hint("declare `protect #false`, and let the plan that lifts it be approved"));
    }
    let act = |guest: &String| AuditFact::Act { act: "unprotect".into(), subject: format!("vm.{guest}"), caller };
    let acts: Vec<AuditFact> = args.guests.iter().map(act).collect();
    session.audit().append(SystemClock.now(), &acts).map_err(|cause| CliError::failure(cause.to_string()))
}
