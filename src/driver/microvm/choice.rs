//! What of this machine decides which VMM runs a guest that names none.

use std::collections::BTreeMap;

use super::accel::{self, Trial};
use super::obstacles;
use crate::config::{Fleet, Machine};
use crate::driver::{StateDir, record};
use crate::effect::Run;
use crate::resource::{Firecracker, Hypervisors, Reading, undecided};

/// Looks at what guests were made for, and, when there is a guest that could be either VMM's, whether Firecracker runs guests
/// here. With [`Trial::Allowed`] KVM is tried out once in a boot, with any kernel that was built; that takes seconds, and
/// writes down the answer.
pub async fn hypervisors(fleet: &Fleet, state: &StateDir, run: &dyn Run, trial: Trial) -> Hypervisors {
    let made = made(fleet, state);
    let firecracker = match undecided(fleet, &made).is_empty() {
        true => Firecracker::NotAsked,
        false => firecracker(state, run, trial).await,
    };
    Hypervisors { made, firecracker }
}

/// What the root disks that are there were made for. Of a guest that was renamed the record stands below its former name.
fn made(fleet: &Fleet, state: &StateDir) -> BTreeMap<String, Machine> {
    let mut made = BTreeMap::new();
    for guest in fleet.vms.keys() {
        let names = std::iter::once(guest).chain(fleet.moved.get(guest).into_iter().flatten());
        let records = names.map(|name| record::read(&state.guest(&fleet.name.value, name).record()));
        let disks = records.filter_map(|reading| match reading {
            Reading::Present(record) => record.applied.disks,
            Reading::Absent | Reading::Unreadable(_) => None,
        });
        if let Some(disks) = disks.into_iter().next() {
            made.insert(guest.clone(), disks.machine);
        }
    }
    made
}

async fn firecracker(state: &StateDir, run: &dyn Run, trial: Trial) -> Firecracker {
    if let Some(missing) = obstacles::firecracker(run).await {
        return Firecracker::Missing(missing.message);
    }
    match accel::kvm(run, state, trial).await {
        Ok(why) => Firecracker::Runs(format!("Firecracker is installed, and {why}")),
        Err(why) => Firecracker::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::effect::testing::scratch;
    use crate::effect::{Command, CommandError, Output, Status};

    /// A machine with a Firecracker, or something that is called so.
    struct Installed(&'static str);

    #[async_trait]
    impl Run for Installed {
        async fn run(&self, command: &Command) -> Result<Output, CommandError> {
            assert_eq!(command.arguments(), ["--version"]);
            Ok(Output { status: Status::Code(0), stdout: self.0.into(), stderr: Vec::new() })
        }
    }

    #[tokio::test]
    async fn what_only_is_called_firecracker_is_none() {
        let (_guard, dir) = scratch();
        let found = firecracker(&StateDir::new(dir), &Installed("Fire 1.0"), Trial::Known).await;
        assert_eq!(found, Firecracker::Missing("`firecracker` does not say that it is Firecracker".into()));
    }

    /// A probe says more than a device that opens; without one nothing is known, and nothing is booted to find out.
    #[tokio::test]
    async fn it_is_not_believed_to_run_guests_before_a_kernel_has_booted_under_kvm() {
        let (_guard, dir) = scratch();
        let found = firecracker(&StateDir::new(dir), &Installed("Firecracker v1.16.1\n"), Trial::Known).await;
        assert!(matches!(found, Firecracker::Refused(_)), "{found:?}");
    }
}
