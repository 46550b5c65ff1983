//! The guests of a fleet at a glance: what runs, and how far each is from what was declared and what was applied.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::verdict::Found;
use super::{Action, Cause, Change, Plan, cluster, vm};
use crate::config::ByteSize;
use crate::resource::{Address, Observed, Reading, RunState};

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestStatus {
    /// Its name.
    pub name: String,
    /// What was found.
    pub state: GuestState,
    /// Address of its SSH server: the loopback address, or its own on a bridge.
    pub ssh_host: Option<IpAddr>,
    /// Port of its SSH server.
    pub ssh_port: Option<u16>,
    /// How many attributes reality moved since they were last applied.
    pub drift: usize,
    /// How many attributes the declaration moved since it was last applied.
    pub pending: usize,
    /// What applying would do to the guest itself.
    pub action: Action,
    /// What could not be read.
    pub note: Option<String>,
    /// What it takes of the host; nothing when it does not run, or nobody looked.
    #[serde(default)]
    pub usage: Option<Usage>,
}

/// What a running guest takes of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Virtual CPUs that it was started with.
    pub cpus: u32,
    /// Processor time of its VMM since it was started, in milliseconds.
    pub cpu_time_ms: u64,
    /// Memory that it was started with, in bytes.
    pub memory: ByteSize,
    /// Memory of the host that its VMM has, in bytes.
    pub memory_resident: ByteSize,
    /// What its disks take on the host, in bytes; the image under a root disk is not counted.
    pub disk: ByteSize,
    /// Since its VMM was started, in seconds.
    pub uptime_s: u64,
}

/// What the store of a host takes of its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreUsage {
    /// Images.
    pub images: Held,
    /// Kernels with their initramfs.
    pub kernels: Held,
    /// Files that were fetched, whole or in part.
    pub downloads: Held,
}

/// Some things of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// How many.
    pub count: usize,
    /// What they take on the host, in bytes.
    pub disk: ByteSize,
}

impl Default for Held {
    fn default() -> Self {
        Self { count: 0, disk: ByteSize::bytes(0) }
    }
}

/// What was found of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestState {
    /// It is declared and not there.
    Absent,
    /// Its creation was interrupted.
    Unfinished,
    /// It is there and does not run.
    Stopped,
    /// It does not run, and goes on where it was when it is woken.
    Suspended,
    /// It runs.
    Running,
    /// It cannot be told.
    Unknown,
}

/// The guests of a plan, by name, with what was seen of each.
pub fn status(plan: &Plan, observed: &Observed) -> Vec<GuestStatus> {
    let mut changes: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in &plan.changes {
        if let Some(guest) = change.address.guest() {
            changes.entry(guest).or_default().push(change);
        }
    }
    changes.into_iter().map(|(name, changes)| guest(name, &changes, observed)).collect()
}

fn guest(name: &str, changes: &[&Change], observed: &Observed) -> GuestStatus {
    let reading = observed.guests.get(name);
    let (found, note) = match (reading, observed.cluster_guests.get(name)) {
        (_, Some(reading)) => cluster::seen(reading),
        // Of a cluster that cannot be read nothing is known, least of all that its guests are gone.
        (None, None) if changes.iter().any(|change| change.action == Action::Unreadable) => (Found::Unknown, None),
        (reading, None) => vm::found(reading),
    };
    let moved = |who: Cause| {
        let attributes = changes.iter().flat_map(|change| &change.attributes);
        attributes.filter(|attribute| attribute.cause == who || attribute.cause == Cause::Both).count()
    };
    let addresses = [Address::vm(name), Address::container(name)];
    let ssh = reading.and_then(Reading::present).map(|guest| guest.record.ssh_address());
    GuestStatus {
        name: name.into(),
        state: match found {
            _ if reading.and_then(Reading::present).is_some_and(|guest| guest.state == RunState::Suspended) => {
                GuestState::Suspended
            }
            Found::Absent => GuestState::Absent,
            Found::Unfinished => GuestState::Unfinished,
            Found::Down => GuestState::Stopped,
            Found::Up => GuestState::Running,
            Found::Unknown => GuestState::Unknown,
        },
        ssh_host: ssh.map(|(host, _)| host),
        ssh_port: ssh.map(|(_, port)| port),
        drift: moved(Cause::Drift),
        pending: moved(Cause::Pending),
        action: changes
            .iter()
            .find(|change| addresses.contains(&change.address))
            .map_or(Action::None, |change| change.action),
        note: note.or_else(|| changes.iter().find_map(|change| change.note.clone())),
        usage: None,
    }
}
