//! What ties the lanes of different guests together.

use std::collections::BTreeMap;

use super::lane::Lane;
use super::order::Draft;
use super::verdict::Found;
use super::{network, vm};
use crate::resource::{Address, Declared, Desired, Observed, Resource};

/// The lanes that were drafted, by guest.
pub(super) type Lanes<'a> = BTreeMap<&'a str, Lane>;

/// A guest that takes a host port another one still holds starts after that one has stopped.
pub(super) fn take_ports_in_turn(desired: &Desired, observed: &Observed, lanes: &Lanes<'_>, draft: &mut Draft) {
    let held = held_ports(observed);
    for declared in desired.resources.values() {
        let Resource::Vm(vm) = &declared.resource else { continue };
        let Some(start) = lanes.get(vm.name.as_str()).and_then(|lane| lane.start) else { continue };
        for port in vm.network.forwards.iter().map(|forward| forward.host) {
            let holder = held.get(&port).filter(|holder| **holder != vm.name);
            if let Some(stop) = holder.and_then(|holder| lanes.get(holder)).and_then(|lane| lane.stop) {
                draft.after(start, stop, format!("it takes over port {port}"));
            }
        }
    }
}

/// Ports of the host, each with the guest whose VMM was last started with it.
fn held_ports(observed: &Observed) -> BTreeMap<u16, &str> {
    let mut held = BTreeMap::new();
    for (name, reading) in &observed.guests {
        let started = reading.present().and_then(|guest| guest.record.applied.started.as_ref());
        for forward in started.iter().flat_map(|vm| &vm.network.forwards) {
            held.insert(forward.host, name.as_str());
        }
    }
    held
}

/// Declared guests, each with the declared guest that has to give it a port first.
fn waiting_for_ports<'a>(desired: &'a Desired, observed: &Observed) -> Vec<(&'a Address, &'a Address)> {
    let held = held_ports(observed);
    let mut found = Vec::new();
    for (address, declared) in &desired.resources {
        let Resource::Vm(vm) = &declared.resource else { continue };
        let holders = vm.network.forwards.iter().filter_map(|forward| held.get(&forward.host));
        for holder in holders.filter(|holder| **holder != vm.name) {
            let holder = desired.resources.get_key_value(&Address::vm(holder));
            found.extend(holder.map(|(holder, _)| (address, holder)));
        }
    }
    found
}

/// A guest that is declared to come `after` another one starts when that one answers.
pub(super) fn start_in_declared_order(desired: &Desired, lanes: &Lanes<'_>, draft: &mut Draft) {
    for (address, declared) in &desired.resources {
        let lane = |guest: &Address| guest.guest().and_then(|name| lanes.get(name)).copied();
        let Some(start) = lane(address).and_then(|lane| lane.start).filter(|_| is_guest(address)) else {
            continue;
        };
        for first in declared.needs.iter().filter(|first| is_guest(first)) {
            if let Some(ready) = lane(first).and_then(|lane| lane.ready) {
                draft.after(start, ready, format!("it comes after {first}"));
            }
        }
    }
}

fn is_guest(address: &Address) -> bool {
    matches!(address.kind(), "vm" | "container")
}

/// What has to wait for something that cannot be read, however much else stands between them: declared guests that come
/// after it, are plugged to it or get a port from it, and networks that such a guest would have to leave first.
pub(super) fn after_unknown<'a>(desired: &'a Desired, observed: &'a Observed) -> BTreeMap<&'a Address, &'a Address> {
    let vms = || desired.resources.iter().filter(|(address, _)| address.kind() == "vm");
    let is_unknown = |declared: &Declared| match &declared.resource {
        Resource::Network(spec) => network::is_unknown(observed.networks.get(&spec.name)),
        Resource::Vm(vm) => vm::found(observed.guests.get(&vm.name)).0 == Found::Unknown,
        _ => false,
    };
    let mut dependants: BTreeMap<&Address, Vec<&Address>> = BTreeMap::new();
    for (address, declared) in vms() {
        for needed in declared.needs.iter().filter(|needed| matches!(needed.kind(), "vm" | "network")) {
            dependants.entry(needed).or_default().push(address);
        }
    }
    for (waits, first) in network::left_first(desired, observed).into_iter().chain(waiting_for_ports(desired, observed))
    {
        dependants.entry(first).or_default().push(waits);
    }
    let unknown = desired.resources.iter().filter(|(_, declared)| is_unknown(declared));
    let mut waiting: Vec<&Address> = unknown.map(|(address, _)| address).collect();
    let mut found = BTreeMap::new();
    while let Some(unknown) = waiting.pop() {
        for &dependant in dependants.get(unknown).into_iter().flatten() {
            if found.insert(dependant, unknown).is_none() {
                waiting.push(dependant);
            }
        }
    }
    found
}
