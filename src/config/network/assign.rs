//! Who gets which address: decided by names alone, so that a guest keeps its address whatever else the fleet declares.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{Mac, Subnet4, spread};
use crate::config::problems::Problems;
use crate::config::{Attachment, Bridge, Fleet, NetworkMode, Vm};
use crate::syntax::{Diagnostic, Spanned, shown};

/// Gives every guest of a bridged network its addresses, and reports what cannot be: two guests with one address, an
/// address outside of its network, addresses where there is no bridge.
pub(in crate::config) fn assign(fleet: &mut Fleet, problems: &mut Problems) {
    check_overlaps(fleet, problems);
    let placed = placed(fleet, problems);
    let mut places: BTreeMap<(&str, u32), &Placed<'_>> = BTreeMap::new();
    let mut macs: BTreeMap<(&str, Mac), &Placed<'_>> = BTreeMap::new();
    let taken: BTreeSet<(&str, u32)> = placed.iter().map(|guest| (guest.network, guest.place)).collect();
    let mut attachments = Vec::new();
    for guest in &placed {
        match places.entry((guest.network, guest.place)) {
            Entry::Vacant(free) => drop(free.insert(guest)),
            Entry::Occupied(first) => {
                let mut all = guest.subnet.places();
                let free = all.find(|place| !taken.contains(&(guest.network, *place)));
                problems.push(same_address(first.get(), guest, free));
            }
        }
        if let Some(first) = macs.insert((guest.network, guest.attachment.mac), guest) {
            problems.push(same_mac(first, guest));
        }
        attachments.push((guest.vm.name.clone(), guest.attachment));
    }
    for (name, attachment) in attachments {
        if let Some(vm) = fleet.vms.get_mut(&name) {
            vm.attachment = Some(attachment);
        }
    }
}

/// A guest with its place in a bridged network.
struct Placed<'a> {
    vm: &'a Vm,
    network: &'a str,
    subnet: Subnet4,
    place: u32,
    attachment: Attachment,
}

/// The guests of bridged networks.
fn placed<'a>(fleet: &'a Fleet, problems: &mut Problems) -> Vec<Placed<'a>> {
    let mut placed = Vec::new();
    for vm in fleet.vms.values() {
        let network = vm.network.as_ref().and_then(|name| fleet.networks.get(&name.value));
        let Some((network, bridge)) = network.and_then(|network| Some((network, network.bridge.as_ref()?))) else {
            // Of a network that is missing or wrong nothing is known.
            if network.is_some_and(|network| network.mode.value == NetworkMode::User) || vm.network.is_none() {
                refuse_without_bridge(vm, problems);
            }
            continue;
        };
        let Some(place) = place(&fleet.name.value, &network.name, vm, bridge, problems) else { continue };
        let made_up = || Mac::local(spread(&["mac", &fleet.name.value, &network.name, &vm.name]));
        let subnet = bridge.subnet.value;
        let attachment = Attachment {
            address: subnet.address(place),
            address6: bridge.subnet6.as_ref().map(|subnet| subnet.value.address(place)),
            mac: vm.mac.as_ref().map_or_else(made_up, |mac| mac.value),
        };
        placed.push(Placed { vm, network: &network.name, subnet, place, attachment });
    }
    placed
}

/// The place of a guest: as declared, else by its name. Numbered guests stand side by side.
fn place(fleet: &str, network: &str, vm: &Vm, bridge: &Bridge, problems: &mut Problems) -> Option<u32> {
    let subnet = bridge.subnet.value;
    let places = subnet.places();
    let Some(address) = &vm.address else {
        let (stem, number) = numbered(&vm.name);
        let count = u64::from(places.end() - places.start() + 1);
        let first = spread(&["address", fleet, network, stem]) % count;
        // Less than `count`, which came from a u32.
        return u32::try_from((first + number) % count).ok().map(|offset| places.start() + offset);
    };
    let found = subnet.place(address.value);
    if found.is_none_or(|place| !places.contains(&place)) {
        let what = match found {
            Some(1) => "is the host's own",
            Some(_) => "cannot be a guest's",
            None => "is not in the network",
        };
        let message = format!("the address {} of guest `{}` {what}", address.value, shown(&vm.name));
        let (first, last) = (subnet.address(*places.start()), subnet.address(*places.end()));
        problems.push(
            Diagnostic::error("config::wrong-address", message, address.span, "not possible")
                .also(bridge.subnet.span, format!("guests can have {first} to {last}"))
                .help("choose one of these, or leave `address` out"),
        );
        return None;
    }
    found
}

/// `web-3` is number 3 of `web`; a name without a number is number 0 of itself.
fn numbered(name: &str) -> (&str, u64) {
    let split = name.rsplit_once('-').and_then(|(stem, number)| Some((stem, number.parse::<u32>().ok()?)));
    split.map_or((name, 0), |(stem, number)| (stem, u64::from(number)))
}

fn same_address(first: &Placed<'_>, guest: &Placed<'_>, free: Option<u32>) -> Diagnostic {
    let at = |guest: &Placed<'_>| guest.vm.address.as_ref().map_or(guest.vm.span, |address| address.span);
    let address = guest.attachment.address;
    let message = format!("guests `{}` and `{}` have the same address {address}", first.vm.name, guest.vm.name);
    let help = match (&guest.vm.address, free.map(|place| guest.subnet.address(place))) {
        (_, None) => "the network is full: give it a larger subnet".to_owned(),
        (Some(_), Some(free)) => format!("{free} is free"),
        (None, Some(free)) => format!(
            "addresses follow from names, and these two meet: write `address \"{free}\"` for one of them, or give the \
             network a larger subnet"
        ),
    };
    Diagnostic::error("config::duplicate-address", message, at(guest), "this one")
        .also(at(first), "and this one")
        .help(help)
}

fn same_mac(first: &Placed<'_>, guest: &Placed<'_>) -> Diagnostic {
    let at = |guest: &Placed<'_>| guest.vm.mac.as_ref().map_or(guest.vm.span, |mac| mac.span);
    let mac = guest.attachment.mac;
    let message = format!("guests `{}` and `{}` have the same MAC address {mac}", first.vm.name, guest.vm.name);
    Diagnostic::error("config::duplicate-mac", message, at(guest), "again here")
        .also(at(first), "first here")
        .help("give one of them another, or none: regatta makes one up from the guest's name")
}

fn refuse_without_bridge(vm: &Vm, problems: &mut Problems) {
    let address = vm.address.as_ref().map(|address| ("address", address.span));
    let mac = vm.mac.as_ref().map(|mac| ("mac", mac.span));
    for (setting, span) in address.into_iter().chain(mac) {
        let message = format!("found `{setting}` for guest `{}`, whose network has no addresses", shown(&vm.name));
        problems.push(
            Diagnostic::error("config::needs-bridge", message, span, "only guests of a bridged network have one")
                .help("name a network with `mode \"bridge\"` in its block"),
        );
    }
}

/// Two networks of one fleet are routed by one host: they cannot share addresses.
fn check_overlaps(fleet: &Fleet, problems: &mut Problems) {
    let bridges: Vec<&Bridge> = fleet.networks.values().filter_map(|network| network.bridge.as_ref()).collect();
    for (index, one) in bridges.iter().enumerate() {
        for other in &bridges[..index] {
            if one.subnet.value.overlaps(other.subnet.value) {
                problems.push(overlap(&one.subnet, &other.subnet));
            }
            if let (Some(one), Some(other)) = (&one.subnet6, &other.subnet6)
                && one.value == other.value
            {
                problems.push(overlap(one, other));
            }
        }
    }
}

fn overlap<T: std::fmt::Display>(one: &Spanned<T>, other: &Spanned<T>) -> Diagnostic {
    let message = format!("the networks {} and {} overlap", other.value, one.value);
    Diagnostic::error("config::overlapping-subnets", message, one.span, "this one")
        .also(other.span, "and this one")
        .help("give each network addresses of its own")
}
