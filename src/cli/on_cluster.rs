//! What can be done to guests of this machine only is refused for those of clusters, with what there is instead.

use super::error::CliError;
use crate::config::Fleet;
use crate::plan::{Pattern, power};
use crate::resource::Desired;

/// Refuses a guest whose console is on another machine.
pub(super) fn refuse_console(fleet: &Fleet, guest: &str) -> Result<(), CliError> {
    if !fleet.containers.contains_key(guest) && !fleet.cluster_vms.contains_key(guest) {
        return Ok(());
    }
    let error = CliError::failure(format!("`{guest}` is on a cluster: its console is not on this machine"));
    Err(error.hint(format!(
        "`regatta exec {guest} -- journalctl -e` asks the guest; on its node, `pct console` and `qm terminal` are its console"
    )))
}

/// Refuses patterns that name guests of clusters, whose memory nobody here holds.
pub(super) fn refuse_memory(desired: &Desired, guests: &[Pattern]) -> Result<(), CliError> {
    let Some(first) = guests.iter().find(|one| power::may_name_on_clusters(desired, std::slice::from_ref(*one))) else {
        return Ok(());
    };
    let error = CliError::failure(format!(
        "`{first}` names a guest on a cluster: only those of this machine can be paused and suspended"
    ));
    Err(error.hint("`regatta stop`, `start` and `restart` work on clusters too"))
}
