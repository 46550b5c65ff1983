//! Which VMM runs a guest that names no machine: a function of what the guest asks for, what it was made for, and what this
//! machine has. Each answer comes with its reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Accelerator, Chosen, FIRECRACKER_CPUS, Fleet, Machine, NetworkMode, Origin, Vm};

/// What of this machine, and of the guests on it, decides between VMMs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hypervisors {
    /// What the root disks of guests were made for, by the names that the guests have in the fleet file.
    pub made: BTreeMap<String, Machine>,
    /// Whether Firecracker runs guests here.
    pub firecracker: Firecracker,
}

/// Whether Firecracker runs guests on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Firecracker {
    /// Nobody looked: no guest could be its.
    #[default]
    NotAsked,
    /// It is not installed, for this reason.
    Missing(String),
    /// It is installed and runs no guests, for this reason.
    Refused(String),
    /// It does, and this says so.
    Runs(String),
}

/// The guests that could be Firecracker's as well as QEMU's and that nothing has decided about yet: for them it is worth
/// looking what this machine has.
pub fn undecided<'a>(fleet: &'a Fleet, made: &BTreeMap<String, Machine>) -> BTreeSet<&'a str> {
    let names =
        fleet.vms.values().filter(|vm| vm.machine.origin == Origin::Default && asks_for_qemu(fleet, vm).is_none());
    names.map(|vm| vm.name.as_str()).filter(|name| !made.contains_key(*name)).collect()
}

/// The machine of every guest that names none, by the guest's name.
pub fn chosen(fleet: &Fleet, here: &Hypervisors) -> BTreeMap<String, Chosen> {
    let unnamed = fleet.vms.values().filter(|vm| vm.machine.origin == Origin::Default);
    unnamed.map(|vm| (vm.name.clone(), choose(fleet, vm, here))).collect()
}

/// The reasons in their order: what only QEMU can do, what the guest was made for, what there is.
fn choose(fleet: &Fleet, vm: &Vm, here: &Hypervisors) -> Chosen {
    let on = |machine, why: &str, matters| Chosen { machine, why: why.to_owned(), matters };
    if let Some(why) = asks_for_qemu(fleet, vm) {
        return on(Machine::Microvm, &why, false);
    }
    match (here.made.get(&vm.name), &here.firecracker) {
        (Some(Machine::Firecracker), _) => on(Machine::Firecracker, "its root disk was made for Firecracker", false),
        (Some(Machine::Microvm | Machine::Q35), _) => on(Machine::Microvm, "its root disk was made for QEMU", false),
        (None, Firecracker::NotAsked) => on(Machine::Microvm, "QEMU is everywhere", false),
        (None, Firecracker::Missing(why)) => on(Machine::Microvm, why, false),
        (None, Firecracker::Refused(why)) => on(Machine::Microvm, why, true),
        (None, Firecracker::Runs(why)) => on(Machine::Firecracker, why, true),
    }
}

/// What a guest asks for that Firecracker does not have.
fn asks_for_qemu(fleet: &Fleet, vm: &Vm) -> Option<String> {
    let network = vm.network.as_ref().and_then(|name| fleet.networks.get(&name.value));
    if network.is_none_or(|network| network.mode.value == NetworkMode::User) {
        return Some("Firecracker has no user-mode network".into());
    }
    if vm.accel.value == Accelerator::Tcg {
        return Some("Firecracker emulates nothing, and `accel` is `tcg`".into());
    }
    (vm.cpus.value > FIRECRACKER_CPUS).then(|| {
        format!("Firecracker gives a guest at most {FIRECRACKER_CPUS} cpus, and it asks for {}", vm.cpus.value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::lower::tests::fleet;

    const FILE: &str = r#"
        fleet "demo"
        image "bookworm" { debootstrap suite="bookworm" }
        network "lan" { mode "bridge"; subnet "172.31.7.0/24"; }
        profile "on" { image "bookworm"; network "lan"; }
        vm "plain" { image "bookworm"; }
        vm "bridged" { use "on"; }
        vm "emulated" { use "on"; accel "tcg"; }
        vm "large" { use "on"; cpus 64; }
        vm "named" { use "on"; machine "q35"; }
    "#;

    fn machines(here: &Hypervisors) -> Vec<String> {
        let (_, fleet) = fleet(FILE);
        let line = |(name, it): (String, Chosen)| format!("{name} {} {} {}", it.machine.word(), it.matters, it.why);
        chosen(&fleet, here).into_iter().map(line).collect()
    }

    /// What a guest asks for comes first, whatever is installed.
    const ASKED: [&str; 3] = [
        "emulated microvm false Firecracker emulates nothing, and `accel` is `tcg`",
        "large microvm false Firecracker gives a guest at most 32 cpus, and it asks for 64",
        "plain microvm false Firecracker has no user-mode network",
    ];

    fn with(bridged: &str) -> Vec<String> {
        [bridged].into_iter().chain(ASKED).map(str::to_owned).collect()
    }

    #[test]
    fn a_guest_that_could_be_either_is_firecrackers_where_that_runs() {
        let here = |firecracker| Hypervisors { firecracker, ..Hypervisors::default() };
        assert_eq!(machines(&here(Firecracker::NotAsked)), with("bridged microvm false QEMU is everywhere"));
        let missing = Firecracker::Missing("the program `firecracker` is not installed".into());
        let expected = with("bridged microvm false the program `firecracker` is not installed");
        assert_eq!(machines(&here(missing)), expected);
        let refused = Firecracker::Refused("the kernel does not boot under KVM within 5 s".into());
        assert_eq!(
            machines(&here(refused)),
            with("bridged microvm true the kernel does not boot under KVM within 5 s")
        );
        let runs = Firecracker::Runs("Firecracker is installed, and KVM works".into());
        assert_eq!(machines(&here(runs)), with("bridged firecracker true Firecracker is installed, and KVM works"));
    }

    #[test]
    fn a_guest_stays_what_it_was_made_for_whatever_is_installed_later() {
        let made = |machine| [("bridged".to_owned(), machine), ("large".to_owned(), Machine::Firecracker)].into();
        let here = Hypervisors { made: made(Machine::Q35), firecracker: Firecracker::Runs("it works".into()) };
        assert_eq!(machines(&here), with("bridged microvm false its root disk was made for QEMU"));
        let missing = Firecracker::Missing("it is not installed".into());
        let here = Hypervisors { made: made(Machine::Firecracker), firecracker: missing };
        assert_eq!(machines(&here), with("bridged firecracker false its root disk was made for Firecracker"));
    }

    #[test]
    fn only_guests_that_nothing_decides_about_are_worth_a_look() {
        let (_, fleet) = fleet(FILE);
        assert_eq!(undecided(&fleet, &BTreeMap::new()), BTreeSet::from(["bridged"]));
        assert!(undecided(&fleet, &[("bridged".to_owned(), Machine::Microvm)].into()).is_empty());
    }
}
