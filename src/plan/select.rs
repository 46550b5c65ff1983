//! Which part of a fleet is planned. What is left out is neither changed nor removed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use crate::resource::{Address, Desired, Observed};

/// What was asked for on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these, with what they need; everything when empty.
    pub only: Vec<Pattern>,
    /// Not these, nor what needs them.
    pub exclude: Vec<Pattern>,
}

/// What a selection came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    /// Resources that come along, each with one that needs it.
    pub along: BTreeMap<Address, Address>,
    /// Resources that are left out because they need an excluded one, each with that one.
    pub without: BTreeMap<Address, Address>,
    /// How many resources are not planned.
    pub left_out: usize,
}

/// The answer to «is it planned?» for every address.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    selection: &'a Selection,
    declared: BTreeSet<&'a Address>,
    pub(super) selected: Option<Selected>,
}

impl Selection {
    /// Whether it selects everything.
    pub const fn is_everything(&self) -> bool {
        self.only.is_empty() && self.exclude.is_empty()
    }

    /// Patterns that name nothing declared and no guest that is there: most likely mistyped.
    pub fn unmatched(&self, desired: &Desired, observed: &Observed) -> Vec<&Pattern> {
        let guests: Vec<Address> = observed.guests.keys().map(|guest| Address::vm(guest)).collect();
        let nothing = BTreeSet::new();
        let declared = desired.resources.iter().map(|(address, declared)| (address, &declared.tags));
        let known = declared.chain(guests.iter().map(|guest| (guest, &nothing)));
        let known = |pattern: &Pattern| known.clone().any(|(address, tags)| pattern.matches(address, tags));
        self.only.iter().chain(&self.exclude).filter(|pattern| !known(pattern)).collect()
    }

    fn wants(&self, address: &Address, tags: &BTreeSet<String>) -> bool {
        self.only.is_empty() || names(&self.only, address, tags)
    }
}

/// Whether a pattern names the resource, or the guest it is in.
fn names(patterns: &[Pattern], address: &Address, tags: &BTreeSet<String>) -> bool {
    let guests = address.guest().map(|guest| [Address::vm(guest), Address::container(guest)]);
    let either = |pattern: &Pattern| {
        let mut guests = guests.iter().flatten();
        pattern.matches(address, tags) || guests.any(|guest| pattern.matches(guest, tags))
    };
    patterns.iter().any(either)
}

impl<'a> Taken<'a> {
    /// Decides for a whole fleet.
    pub(super) fn new(selection: &'a Selection, desired: &'a Desired) -> Self {
        if selection.is_everything() {
            return Self { selection, declared: desired.resources.keys().collect(), selected: None };
        }
        let mut selected = Selected::default();
        let mut declared: BTreeSet<&Address> = BTreeSet::new();
        let wants = |address: &Address| {
            desired.resources.get(address).is_some_and(|declared| selection.wants(address, &declared.tags))
        };
        for address in desired.resources.keys().filter(|address| wants(address)) {
            take(address, desired, &mut declared, &mut selected.along);
        }
        selected.along.retain(|address, _| !wants(address));
        leave(selection, desired, &mut declared, &mut selected.without);
        selected.along.retain(|address, _| declared.contains(address));
        selected.left_out = desired.resources.len() - declared.len();
        Self { selection, declared, selected: Some(selected) }
    }

    /// Whether a declared resource is planned.
    pub(super) fn declared(&self, address: &Address) -> bool {
        self.declared.contains(address)
    }

    /// Whether something that is no longer declared is planned.
    pub(super) fn undeclared(&self, address: &Address) -> bool {
        let no_tags = BTreeSet::new();
        self.selection.wants(address, &no_tags) && !names(&self.selection.exclude, address, &no_tags)
    }
}

/// Takes a resource with everything it needs. A guest brings the keys that we log in with, or it could not be made.
fn take<'a>(
    address: &'a Address,
    desired: &'a Desired,
    taken: &mut BTreeSet<&'a Address>,
    along: &mut BTreeMap<Address, Address>,
) {
    let mut waiting = vec![address];
    while let Some(address) = waiting.pop() {
        if !taken.insert(address) {
            continue;
        }
        let Some(declared) = desired.resources.get(address) else { continue };
        let keys = address.guest().map(Address::authorized_key);
        let keys = keys.and_then(|keys| desired.resources.get_key_value(&keys)).map(|(keys, _)| keys);
        let is_guest = matches!(address.kind(), "vm" | "container");
        let needs = declared.needs.iter().chain(keys.filter(|_| is_guest));
        for needed in needs.filter(|needed| desired.resources.contains_key(*needed)) {
            along.entry(needed.clone()).or_insert_with(|| address.clone());
            waiting.push(needed);
        }
    }
}

/// Leaves out what is excluded, and then whatever needs something that was left out.
fn leave<'a>(
    selection: &Selection,
    desired: &'a Desired,
    taken: &mut BTreeSet<&'a Address>,
    without: &mut BTreeMap<Address, Address>,
) {
    let excluded =
        desired.resources.iter().filter(|(address, declared)| names(&selection.exclude, address, &declared.tags));
    let mut gone: BTreeSet<&Address> = excluded.map(|(address, _)| address).collect();
    // Needs have no cycles (`check` refuses them), so that each round reaches one step further up and the last adds nothing.
    loop {
        let mut found = Vec::new();
        for (address, declared) in desired.resources.iter().filter(|(address, _)| !gone.contains(address)) {
            if let Some(needed) = declared.needs.iter().find(|needed| gone.contains(needed)) {
                found.push((address, needed));
            }
        }
        if found.is_empty() {
            break;
        }
        for (address, needed) in found {
            gone.insert(address);
            if taken.contains(address) {
                without.insert(address.clone(), needed.clone());
            }
        }
    }
    taken.retain(|address| !gone.contains(address));
}
