//! Digests of what was declared and of what was seen: equal when a plan made from one holds for the other.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::config::ByteSize;
use crate::resource::cluster::{ObservedClusterGuest, ObservedNodeMount};
use crate::resource::{
    Address, AppliedGuest, ContentKey, Desired, Digest, FileKind, GuestFiles, GuestPath, LinkName, Manifest, Observed,
    ObservedFile, ObservedGuest, ObservedNetwork, Reading, Resolving, Resource, Rules, RunState,
};

/// Everything that was declared, host files included; not where it was written.
pub(super) fn desired(desired: &Desired) -> Digest {
    #[derive(Serialize)]
    struct View<'a> {
        fleet: &'a str,
        resources: BTreeMap<&'a Address, (&'a Resource, &'a BTreeSet<Address>, &'a Rules)>,
        moved: &'a BTreeMap<String, Vec<String>>,
        forget: &'a BTreeSet<String>,
    }
    let resources = desired.resources.iter();
    digest(&View {
        fleet: &desired.fleet,
        resources: resources
            .map(|(address, declared)| (address, (&declared.resource, &declared.needs, &declared.rules)))
            .collect(),
        moved: &desired.moved,
        forget: &desired.forget,
    })
}

/// Everything that was seen of some guests and of the store, without what changes by itself: process ids, how much of
/// the disk the store takes, the words of an error.
pub(super) fn observed(observed: &Observed, planned: impl Fn(&str) -> bool) -> Digest {
    #[derive(Serialize)]
    struct View<'a> {
        built: Vec<&'a ContentKey>,
        guests: BTreeMap<&'a str, Seen<Guest<'a>>>,
        networks: BTreeMap<&'a str, Seen<Network<'a>>>,
        // Left out where there are none, so that fleets without clusters keep their fingerprints.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        cluster_guests: BTreeMap<&'a str, Seen<&'a ObservedClusterGuest>>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        inside: BTreeMap<&'a str, Seen<Files<'a>>>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        mounts: BTreeMap<&'a Address, Seen<&'a ObservedNodeMount>>,
    }
    let in_place = observed.starts_with_host;
    let on_clusters = observed.cluster_guests.iter().filter(|(name, _)| planned(name));
    let inside = observed.inside.iter().filter(|(name, _)| planned(name));
    let networks = observed.networks.iter();
    let guests = observed.guests.iter().filter(|(name, _)| planned(name));
    digest(&View {
        built: observed.built.keys().collect(),
        guests: guests
            .map(|(name, reading)| (name.as_str(), Seen::of(reading, |guest| Guest::of(guest, in_place))))
            .collect(),
        networks: networks.map(|(name, reading)| (name.as_str(), Seen::of(reading, Network::of))).collect(),
        cluster_guests: on_clusters.map(|(name, reading)| (name.as_str(), Seen::of(reading, |seen| seen))).collect(),
        inside: inside.map(|(name, reading)| (name.as_str(), Seen::of(reading, Files::of))).collect(),
        mounts: observed.mounts.iter().map(|(at, reading)| (at, Seen::of(reading, |seen| seen))).collect(),
    })
}

pub(super) fn digest(view: &impl Serialize) -> Digest {
    // Views are maps with text keys, lists and numbers: serialising them cannot fail.
    Digest::of(&serde_json::to_vec(view).unwrap_or_default())
}

/// A reading without the words of its error.
#[derive(Serialize)]
enum Seen<T> {
    Absent,
    Present(T),
    Unreadable,
}

impl<T> Seen<T> {
    fn of<'a, U>(reading: &'a Reading<U>, view: impl FnOnce(&'a U) -> T) -> Self {
        match reading {
            Reading::Absent => Self::Absent,
            Reading::Present(value) => Self::Present(view(value)),
            Reading::Unreadable(_) => Self::Unreadable,
        }
    }
}

#[derive(Serialize)]
struct Guest<'a> {
    fleet: &'a str,
    uuid: &'a uuid::Uuid,
    ssh_port: u16,
    host_key: &'a str,
    applied: &'a AppliedGuest,
    protected: bool,
    // Left out where it is not, so that such guests keep their fingerprints.
    #[serde(skip_serializing_if = "Option::is_none")]
    autostart: Option<bool>,
    formerly: Option<&'a str>,
    state: &'static str,
    work_disk: Seen<&'a ByteSize>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    disks: &'a BTreeMap<String, ByteSize>,
    files: Seen<Files<'a>>,
}

#[derive(Serialize)]
struct Network<'a> {
    foreign: Option<&'a str>,
    applied: Option<&'a str>,
    up: bool,
    addresses: &'a BTreeSet<String>,
    taps: &'a BTreeMap<LinkName, bool>,
    rules_as_applied: Seen<bool>,
    // Left out where nobody asks for them, so that such networks keep their fingerprints.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolving: Option<Resolving>,
}

impl<'a> Network<'a> {
    fn of(network: &'a ObservedNetwork) -> Self {
        Self {
            foreign: network.foreign.as_deref(),
            applied: network.applied.as_deref(),
            up: network.up,
            addresses: &network.addresses,
            taps: &network.taps,
            rules_as_applied: Seen::of(&network.rules, |rules| rules.as_applied),
            resolving: Some(network.resolving).filter(|resolving| *resolving != Resolving::Off),
        }
    }
}

#[derive(Serialize)]
struct Files<'a> {
    files: BTreeMap<&'a GuestPath, File<'a>>,
    manifest: &'a Manifest,
}

impl<'a> Files<'a> {
    fn of(files: &'a GuestFiles) -> Self {
        Self {
            files: files.files.iter().map(|(path, file)| (path, File::of(file))).collect(),
            manifest: &files.manifest,
        }
    }
}

#[derive(Serialize)]
struct File<'a> {
    kind: FileKind,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    digest: Option<&'a Digest>,
}

impl<'a> Guest<'a> {
    fn of(guest: &'a ObservedGuest, in_place: bool) -> Self {
        let record = &guest.record;
        Self {
            fleet: &record.fleet,
            uuid: &record.uuid,
            ssh_port: record.ssh_port,
            host_key: &record.host_key,
            applied: &record.applied,
            protected: record.protected,
            autostart: record.autostart.then_some(in_place),
            formerly: record.formerly.as_deref(),
            state: match guest.state {
                RunState::Running(_) => "running",
                RunState::Stopped => "stopped",
                RunState::Suspended => "suspended",
                RunState::Unknown(_) => "unknown",
            },
            work_disk: Seen::of(&guest.work_disk, |size| size),
            disks: &guest.disks,
            files: Seen::of(&guest.files, Files::of),
        }
    }
}

impl<'a> File<'a> {
    fn of(file: &'a ObservedFile) -> Self {
        // A directory's size and a file system's idea of it say nothing about what is in it.
        let size = if file.kind == FileKind::File { file.size } else { 0 };
        Self { kind: file.kind, mode: file.mode, owner: file.owner, size, digest: file.digest.as_ref() }
    }
}
