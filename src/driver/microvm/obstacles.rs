//! What keeps this machine from running the guests that a fleet declares: looked up before anything is done.

use std::fs::OpenOptions;
use std::time::Duration;

use super::firecracker;
use super::guests::Guests;
use crate::config::Machine;
use crate::effect::{Command, CommandError, Run};
use crate::resource::{Desired, Observed, Obstacle, Resource, VmSpec};

/// A program says its version at once.
const DEADLINE: Duration = Duration::from_secs(10);

impl Guests {
    /// Adds what stands in the way of declared guests.
    pub(super) async fn look_for_obstacles(&self, desired: &Desired, observed: &mut Observed) {
        let on_firecracker = |vm: &VmSpec| vm.machine == Machine::Firecracker;
        let declared = desired.resources.iter().filter_map(|(address, declared)| match &declared.resource {
            Resource::Vm(vm) if on_firecracker(vm) => Some((address, vm)),
            _ => None,
        });
        let declared: Vec<_> = declared.collect();
        if declared.is_empty() {
            return;
        }
        let program = firecracker(&*self.run).await;
        for (address, vm) in declared {
            let found = match &vm.jailer {
                // It runs another program.
                Some(user) => firecracker::jail_obstacle(user, self.state.root()),
                None => program.clone(),
            };
            let found: Vec<Obstacle> = found.into_iter().chain(kvm()).collect();
            if !found.is_empty() {
                observed.obstacles.insert(address.clone(), found);
            }
        }
    }
}

/// Whether there is a Firecracker to run guests with.
pub(in crate::driver) async fn firecracker(run: &dyn Run) -> Option<Obstacle> {
    let program = firecracker::program();
    let version = Command::new(&program).arg("--version").deadline(DEADLINE);
    let message = match run.run(&version).await {
        Ok(output) if output.stdout.starts_with(b"Firecracker v") => return None,
        Ok(_) => format!("`{program}` does not say that it is Firecracker"),
        Err(CommandError::Missing { .. }) => format!("the program `{program}` is not installed"),
        Err(error) => error.to_string(),
    };
    let help = format!(
        "put a release of Firecracker on the search path or name one in {}; or write `machine \"microvm\"`",
        firecracker::OVERRIDE
    );
    Some(Obstacle { message, help })
}

/// Firecracker emulates nothing.
fn kvm() -> Option<Obstacle> {
    let cause = OpenOptions::new().read(true).write(true).open("/dev/kvm").err()?;
    let message = format!("Firecracker needs KVM, and /dev/kvm cannot be opened: {cause}");
    let help = "join its group (`sudo usermod -aG kvm $USER`, then log in again), or write `machine \"microvm\"`";
    Some(Obstacle { message, help: help.into() })
}
