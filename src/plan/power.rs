//! Starting, stopping and restarting guests as they were last applied: no file of the fleet is compared, so that what is
//! pending stays pending.

use std::collections::{BTreeMap, BTreeSet};

use super::between::{self, Lanes};
use super::lane::Lane;
use super::order::{Draft, Drafted};
use super::pattern::Pattern;
use super::verdict::Found;
use super::{Action, Aspect, Attribute, Cause, Change, Impact, Op, Plan, Reason, Shown, power_cluster, vm};
use crate::resource::{Address, BridgeSpec, Desired, Observed, ObservedGuest, Reading, Resource, VmSpec};

/// What is to become of guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// They run.
    On,
    /// They are stopped.
    Off,
    /// They are stopped, when they run, and then run.
    Cycle,
}

/// Plans this for every guest of the fleet that a pattern names, once [`obstacles`] are ruled out.
pub fn power(desired: &Desired, observed: &Observed, guests: &[Pattern], power: Power) -> Plan {
    let mut draft = Draft::default();
    let (mut changes, mut lanes): (Vec<Change>, Lanes<'_>) = (Vec::new(), BTreeMap::new());
    for (name, reading) in &observed.guests {
        let address = Address::vm(name);
        let ours = reading.present().is_none_or(|guest| guest.record.fleet == desired.fleet);
        if !ours || !named(guests, &address, desired) {
            continue;
        }
        let (found, note) = vm::found(Some(reading));
        if let (Found::Up | Found::Down, Some(guest)) = (found, reading.present()) {
            lanes.insert(name, lane(&mut draft, &address, guest, (power, found)));
        }
        changes.push(change(desired, address, (power, found), note));
    }
    order(desired, observed, &lanes, (&mut draft, power));
    changes.extend(networks(desired, observed, &lanes, &mut draft));
    let on_clusters = power_cluster::plan(desired, observed, guests, power, &mut draft);
    changes.extend(on_clusters);
    Plan { fleet: desired.fleet.clone(), changes, refusals: Vec::new(), selected: None, graph: draft.finish() }
}

/// What stands in the way, guest by guest: while there is something, nothing is to be done. A guest is not stopped that
/// could not be started again.
pub fn obstacles(desired: &Desired, observed: &Observed, guests: &[Pattern], power: Power) -> Vec<String> {
    let all: BTreeSet<Address> = known(desired, observed).collect();
    let named = all.iter().filter(|address| named(guests, address, desired));
    let obstacle = |address: &Address| match power_cluster::is_on_cluster(desired, observed, address) {
        true => power_cluster::obstacle(desired, observed, address),
        false => obstacle(desired, observed, address.guest()?, power),
    };
    named.filter_map(obstacle).collect()
}

/// Guests that are declared, and those that are there.
fn known(desired: &Desired, observed: &Observed) -> impl Iterator<Item = Address> {
    let declared = desired.resources.keys().filter(|address| matches!(address.kind(), "vm" | "container")).cloned();
    let on_clusters = observed.cluster_guests.iter();
    let on_clusters =
        on_clusters.filter_map(|(name, reading)| Some(Address::on_cluster(reading.present()?.kind, name)));
    declared.chain(observed.guests.keys().map(|name| Address::vm(name))).chain(on_clusters)
}

fn obstacle(desired: &Desired, observed: &Observed, name: &str, power: Power) -> Option<String> {
    let reading = observed.guests.get(name);
    match (vm::found(reading).0, reading.and_then(Reading::present)) {
        (Found::Absent | Found::Unfinished, _) => Some(format!("{name} is not made yet")),
        (Found::Up | Found::Down, Some(guest)) if power != Power::Off => {
            let lost = |what, key| {
                let built = observed.built.contains_key(key);
                (!built).then(|| format!("the {what} of {name} is not in the store"))
            };
            let disks = guest.record.applied.disks.as_ref()?;
            lost("image", &disks.image)
                .or_else(|| lost("kernel", &applied(guest)?.kernel))
                .or_else(|| unplugged(desired, observed, guest))
        }
        _ => None,
    }
}

/// A guest starts only where its cable is plugged in. After a reboot of the host none is, and the whole network is made again
/// as it is declared: nothing else remembers it.
fn unplugged(desired: &Desired, observed: &Observed, guest: &ObservedGuest) -> Option<String> {
    let link = applied(guest)?.network.link.as_ref()?;
    let (name, network) = (&guest.record.name, Address::network(&link.network));
    let seen = observed.networks.get(&link.network).and_then(Reading::present);
    if seen.is_some_and(|network| network.taps.contains_key(&link.tap)) {
        return None;
    }
    if gone(desired, observed, guest).is_none() {
        return Some(format!("{name} is not plugged to {network}, which apply does"));
    }
    let obstacle = observed.obstacles.get(&network).and_then(|found| found.first())?;
    Some(format!("{name} needs {network}, which is gone and cannot be made: {}; {}", obstacle.message, obstacle.help))
}

/// The network that a guest was last plugged to, when all of it is gone, or making it was cut short, and it is declared as the
/// guest knows it.
fn gone<'a>(desired: &'a Desired, observed: &Observed, guest: &ObservedGuest) -> Option<(&'a Address, &'a BridgeSpec)> {
    let link = applied(guest)?.network.link.as_ref()?;
    let (address, declared) = desired.resources.get_key_value(&Address::network(&link.network))?;
    let Resource::Network(spec) = &declared.resource else { return None };
    let there = match observed.networks.get(&link.network) {
        None | Some(Reading::Absent) => false,
        Some(Reading::Present(network)) => network.foreign.is_some() || network.applied.is_some(),
        Some(Reading::Unreadable(_)) => true,
    };
    let same = spec.taps.get(&guest.record.name).is_some_and(|tap| tap.link == link.tap && tap.address == link.address);
    (!there && same).then_some((address, spec))
}

/// Networks that are gone are made before the guests that are plugged to them start.
fn networks(desired: &Desired, observed: &Observed, lanes: &Lanes<'_>, draft: &mut Draft) -> Vec<Change> {
    let mut made: BTreeMap<&Address, Drafted> = BTreeMap::new();
    for (name, lane) in lanes {
        let Some(start) = lane.start else { continue };
        let guest = observed.guests.get(*name).and_then(Reading::present);
        let Some((address, spec)) = guest.and_then(|guest| gone(desired, observed, guest)) else { continue };
        let ensure = || draft.step(vec![address.clone()], Op::EnsureNetwork { network: spec.clone() });
        let step = *made.entry(address).or_insert_with(ensure);
        draft.after(start, step, format!("it is plugged to {address}"));
    }
    let change = |address: &Address| Change {
        action: Action::Create,
        reason: Reason::Missing,
        ..Change::none(address, desired.resources.get(address).and_then(|declared| declared.source.as_ref()))
    };
    made.into_keys().map(change).collect()
}

/// The guests that start with their host.
pub fn autostarted(observed: &Observed) -> Vec<Pattern> {
    let marked =
        observed.guests.iter().filter(|(_, guest)| guest.present().is_some_and(|guest| guest.record.autostart));
    marked.map(|(name, _)| Pattern::guest(name)).collect()
}

pub(super) fn named(guests: &[Pattern], address: &Address, desired: &Desired) -> bool {
    let none = BTreeSet::new();
    let tags = desired.resources.get(address).map_or(&none, |declared| &declared.tags);
    guests.iter().any(|pattern| pattern.matches(address, tags))
}

fn lane(draft: &mut Draft, address: &Address, guest: &ObservedGuest, (power, found): (Power, Found)) -> Lane {
    let name = &guest.record.name;
    let mut step = |op| draft.step(vec![address.clone()], op);
    let stop = (power != Power::On && found == Found::Up).then(|| step(Op::StopGuest { guest: name.clone() }));
    let starts = power == Power::Cycle || (power == Power::On && found == Found::Down);
    let start = applied(guest).filter(|_| starts).map(|vm| step(Op::StartGuest { vm: vm.clone() }));
    let ready = start.map(|_| step(Op::AwaitReady { guest: name.clone() }));
    if let (Some(stop), Some(start)) = (stop, start) {
        draft.after(start, stop, "nothing else may use its disks");
    }
    if let (Some(start), Some(ready)) = (start, ready) {
        draft.after(ready, start, "it must have been started");
    }
    Lane { stop, start, ready }
}

/// What a guest was last started with, or made with.
fn applied(guest: &ObservedGuest) -> Option<&VmSpec> {
    let applied = &guest.record.applied;
    applied.started.as_ref().or(applied.disks.as_ref())
}

/// A guest starts after those that it is declared to come `after`, and those stop after it.
fn order(desired: &Desired, observed: &Observed, lanes: &Lanes<'_>, (draft, power): (&mut Draft, Power)) {
    between::take_ports_in_turn(desired, observed, lanes, draft);
    between::start_in_declared_order(desired, lanes, draft);
    if power != Power::Off {
        return;
    }
    let stop = |address: &Address| address.guest().and_then(|name| lanes.get(name)).and_then(|lane| lane.stop);
    for (address, declared) in desired.resources.iter().filter(|(address, _)| address.kind() == "vm") {
        for first in declared.needs.iter().filter(|first| first.kind() == "vm") {
            if let (Some(own), Some(firsts)) = (stop(address), stop(first)) {
                draft.after(firsts, own, format!("{address} comes after it"));
            }
        }
    }
}

pub(super) fn change(
    desired: &Desired,
    address: Address,
    (power, found): (Power, Found),
    note: Option<String>,
) -> Change {
    let (action, reason, impact) = match (power, found) {
        (_, Found::Unknown | Found::Absent | Found::Unfinished) => {
            (Action::Unreadable, Reason::Unreadable, Impact::None)
        }
        (Power::On, Found::Up) | (Power::Off, Found::Down) => (Action::None, Reason::UpToDate, Impact::None),
        (_, Found::Down) => (Action::Update, Reason::Requested, Impact::None),
        (_, Found::Up) => (Action::Update, Reason::Requested, Impact::Restart),
    };
    let state = |text: &str| Shown::plain(text);
    let before = state(if found == Found::Up { "running" } else { "stopped" });
    let after = state(match power {
        Power::On => "running",
        Power::Off => "stopped",
        Power::Cycle => "running, started anew",
    });
    let attribute =
        Attribute { path: "state".into(), aspect: Aspect::Value, before, after, impact, cause: Cause::Pending };
    let attributes = if action == Action::Update { vec![attribute] } else { Vec::new() };
    let source = desired.resources.get(&address).and_then(|declared| declared.source.clone());
    Change { address, action, reason, impact, attributes, ignored: Vec::new(), source, note }
}

/// The guests that are there and that a pattern names.
pub fn named_guests(desired: &Desired, observed: &Observed, guests: &[Pattern]) -> Vec<String> {
    observed.guests.keys().filter(|name| named(guests, &Address::vm(name), desired)).cloned().collect()
}

/// Whether clusters have to be asked: a pattern names a guest that is declared on one. Of what is about this machine alone
/// no cluster hears, and no token is fetched for it.
pub fn may_name_on_clusters(desired: &Desired, guests: &[Pattern]) -> bool {
    let on_cluster = |resource: &Resource| matches!(resource, Resource::ClusterGuest(_));
    let mut all = desired.resources.iter();
    all.any(|(address, declared)| on_cluster(&declared.resource) && named(guests, address, desired))
}

/// Patterns that name neither a guest that is there nor a declared one: most likely mistyped.
pub fn unmatched<'a>(desired: &Desired, observed: &Observed, guests: &'a [Pattern]) -> Vec<&'a Pattern> {
    let all: Vec<Address> = known(desired, observed).collect();
    guests
        .iter()
        .filter(|pattern| !all.iter().any(|address| named(std::slice::from_ref(*pattern), address, desired)))
        .collect()
}
