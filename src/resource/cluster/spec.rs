//! What clusters and their guests should be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::field::Home;
use super::{GuestKind, NodeSpec, Reach, Value, field, root};
use crate::config::{ClusterTrust, TokenSource};

/// A cluster: how it is reached. Its token is named here, and read where it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Its name in the fleet file.
    pub name: String,
    /// Addresses of its nodes, in the order they are tried.
    pub endpoints: Vec<String>,
    /// How its certificates are checked.
    pub trust: ClusterTrust,
    /// Where the API token comes from.
    pub token: TokenSource,
    /// The nodes on which may be done what no token may, by name: the fence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fence: BTreeMap<String, NodeSpec>,
}

/// A guest of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterGuestSpec {
    /// The fleet it belongs to.
    pub fleet: String,
    /// Its name.
    pub name: String,
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// Name of its cluster.
    pub cluster: String,
    /// Nodes it may be made on; any when empty.
    pub nodes: Vec<String>,
    /// Numbers it may have.
    pub vmid: VmidRange,
    /// What it is made from.
    pub origin: GuestOrigin,
    /// Whether its root is nobody on the node: decided when it is made. Containers only; `None` is whatever that is of which it is
    /// made, and nobody says of it.
    pub unprivileged: Option<bool>,
    /// Keys that may log in, put in when it is made. Containers only: virtual machines have cloud-init.
    pub keys: Vec<String>,
    /// Values by path, canonical.
    pub values: BTreeMap<String, Value>,
    /// The user's part of its description; `None` leaves it to whoever writes it.
    pub notes: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is restarted for what needs that.
    pub restart: Restart,
    /// How it is logged in to.
    pub reach: Reach,
}

impl ClusterGuestSpec {
    /// The values that a request which makes the guest as declared sets.
    pub fn set_when_made(&self) -> BTreeMap<String, Value> {
        let values = self.values.iter().filter(|(path, value)| {
            let home = field::by_path(self.kind, path).map(|(field, _)| field.home);
            home.is_some_and(Home::is_set_when_made) && !root::is_needed(self, path, None, Some(value))
        });
        values.map(|(path, value)| (path.clone(), value.clone())).collect()
    }

    /// The number of the guest that is taken over, where that is how it is come by.
    pub fn taken_over(&self) -> Option<u32> {
        (self.origin == GuestOrigin::Existing && self.vmid.from == self.vmid.to).then_some(self.vmid.from)
    }

    /// The paths of what is declared and no API token may set.
    pub fn left_to_root(&self) -> impl Iterator<Item = &str> {
        let values = self.values.iter().filter(|(path, value)| root::is_needed(self, path, None, Some(value)));
        values.map(|(path, _)| path.as_str())
    }

    /// Whether nothing has to be changed once it is made.
    pub fn is_made_whole(&self) -> bool {
        self.origin.is_whole() && self.set_when_made().len() == self.values.len()
    }
}

/// Numbers that a guest may have, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmidRange {
    /// The smallest.
    pub from: u32,
    /// The largest.
    pub to: u32,
}

/// What a guest is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum GuestOrigin {
    /// A container template: its volume.
    Template {
        /// Such as `local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst`.
        volume: String,
        /// Where it comes from when its storage does not have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<VolumeSource>,
    },
    /// A disk image, which becomes the first disk of a virtual machine.
    DiskImage {
        /// Such as `local:import/debian-12-genericcloud-amd64.qcow2`.
        volume: String,
        /// Where it comes from when its storage does not have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<VolumeSource>,
    },
    /// A backup.
    Restore {
        /// Such as `local:backup/vzdump-lxc-101-2026_11_22-04_02_22.tar.zst`.
        volume: String,
        /// Whether it takes the place of what was backed up, and keeps its MAC addresses.
        same: bool,
        /// Where its disks go; where they were when `None`.
        storage: Option<String>,
    },
    /// Another guest, a template or not.
    Clone {
        /// Its number.
        vmid: u32,
        /// A copy of its disks instead of layers over them.
        full: bool,
        /// Where a full copy goes; where the original is when `None`.
        storage: Option<String>,
    },
    /// Nothing: it is there already, and is taken over.
    Existing,
}

/// Where a volume comes from that its storage does not have. Digests are SHA-256, in lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum VolumeSource {
    /// A node downloads it.
    Url {
        /// Where from.
        url: String,
        /// The digest that it must have.
        sha256: String,
    },
    /// It is uploaded from this machine.
    File {
        /// Its path; `~/` is the home of whoever applies.
        file: String,
        /// The digest that it must have.
        sha256: String,
    },
}

impl GuestOrigin {
    /// Whether the request that makes a guest sets everything that is declared of its configuration.
    pub const fn is_whole(&self) -> bool {
        matches!(self, Self::Template { .. })
    }

    /// As the mark and the plan write it.
    pub fn words(&self) -> String {
        match self {
            Self::Template { volume, .. } | Self::DiskImage { volume, .. } => volume.clone(),
            Self::Restore { volume, same: false, .. } => format!("backup {volume}"),
            Self::Restore { volume, same: true, .. } => format!("backup {volume}, in its place"),
            Self::Clone { vmid, full: true, .. } => format!("full clone of {vmid}"),
            Self::Clone { vmid, full: false, .. } => format!("linked clone of {vmid}"),
            Self::Existing => "what was there already".to_owned(),
        }
    }
}

/// When a guest is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never by regatta: what needs it stays pending.
    Never,
    /// When something differs that needs it. The plan says so, and `apply` asks.
    IfNeeded,
    /// As [`Self::IfNeeded`], when somebody agrees to it by name.
    Ask,
}
