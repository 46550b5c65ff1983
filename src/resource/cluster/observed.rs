//! Clusters and their guests as they were seen.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{GuestKind, Mark, Value};

/// A cluster that answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedCluster {
    /// Whether its certificate was accepted without looking at it.
    pub unverified: bool,
    /// Nodes that do not answer: guests on them cannot be read.
    pub offline: BTreeSet<String>,
    /// Names of declared guests that exist without our mark, with their numbers.
    pub foreign: BTreeMap<String, u32>,
}

/// A guest of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedClusterGuest {
    /// The cluster it is on.
    pub cluster: String,
    /// The node it is on now.
    pub node: String,
    /// Its number.
    pub vmid: u32,
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// Its mark.
    pub mark: Mark,
    /// Whether its root is nobody on its node. Containers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unprivileged: Option<bool>,
    /// The user's part of its description.
    pub notes: String,
    /// Its values by path, canonical. The next start brings those that are pending.
    pub values: BTreeMap<String, Value>,
    /// The keys of those fields that Proxmox numbers, by path: `mount /data` is `mp3`.
    pub keys: BTreeMap<String, String>,
    /// Paths whose values wait for a start.
    pub pending: BTreeSet<String>,
    /// How large disks are whose other values wait for a start: those still have the size from before they grew.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sizes: BTreeMap<String, String>,
    /// Names its configuration as it was read: writes are refused when it moved.
    pub digest: String,
    /// Names the `options` and the `rules` of its firewall, and its `affinity`, as they were read, where they were.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", rename = "firewall_digests")]
    pub digests: BTreeMap<String, String>,
    /// Whether it runs.
    pub power: Power,
    /// What holds it, such as `backup`.
    pub lock: Option<String>,
}

/// Whether a guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// It does.
    On,
    /// It certainly does not.
    Off,
}
