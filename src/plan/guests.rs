//! The guests of a fleet as they are declared, and the ground their files stand on.

use std::collections::BTreeMap;

use super::Change;
use super::files::Ground;
use super::verdict::Found;
use crate::config::OnDrift;
use crate::resource::{Address, Declared, Desired, FileSet, FileSetKind, ObservedGuest, Reading, Resource, VmSpec};

/// A guest as it is declared: its VM and the files that go into it.
#[derive(Default)]
pub(super) struct GuestDeclared<'a> {
    pub(super) vm: Option<(&'a Address, &'a Declared, &'a VmSpec)>,
    pub(super) sets: Vec<Set<'a>>,
}

/// A declared set of files.
pub(super) type Set<'a> = (&'a Address, &'a Declared, &'a FileSet);

/// The declared guests by name.
pub(super) fn declared(desired: &Desired) -> BTreeMap<&str, GuestDeclared<'_>> {
    let mut guests: BTreeMap<&str, GuestDeclared<'_>> = BTreeMap::new();
    for (address, declared) in &desired.resources {
        match &declared.resource {
            Resource::Vm(vm) => guests.entry(&vm.name).or_default().vm = Some((address, declared, vm)),
            Resource::Files(set) => guests.entry(&set.guest).or_default().sets.push((address, declared, set)),
            Resource::Image(_)
            | Resource::Kernel(_)
            | Resource::Network(_)
            | Resource::Cluster(_)
            | Resource::ClusterGuest(_)
            | Resource::NodeMount(_) => {}
        }
    }
    guests
}

/// What the work disk of a declared guest holds when its files are written.
pub(super) fn ground<'a>(found: Found, vm: &Change, reading: Option<&'a Reading<ObservedGuest>>) -> Ground<'a> {
    let address = &vm.address;
    match (found, reading.and_then(Reading::present)) {
        (Found::Absent | Found::Unfinished, _) => Ground::Bare,
        (Found::Unknown, _) | (Found::Up | Found::Down, None) => {
            Ground::Unknown(format!("it is in `{address}`, which could not be read"))
        }
        (Found::Up | Found::Down, Some(guest)) => match &guest.files {
            Reading::Present(files) => Ground::Files(files, found),
            Reading::Unreadable(why) => Ground::Unknown(why.clone()),
            Reading::Absent => Ground::Unknown(format!("the files of `{address}` were not read")),
        },
    }
}

/// The set that an undeclared file-sync becomes: written, it makes the manifest forget what it held.
pub(super) fn nothing_of(guest: &str) -> FileSet {
    FileSet {
        guest: guest.into(),
        kind: FileSetKind::FileSync,
        files: BTreeMap::new(),
        prune: true,
        on_drift: OnDrift::Repair,
    }
}
