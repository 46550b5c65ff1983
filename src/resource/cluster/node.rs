//! The nodes of a cluster on which may be done what no API token may: the fence.

use serde::{Deserialize, Serialize};

use crate::config::NodeRoad;

/// A node, and how commands get to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Name of its cluster.
    pub cluster: String,
    /// Its name in the cluster.
    pub name: String,
    /// How commands get there.
    pub road: NodeRoad,
    /// Disks whose health is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
    /// Whether it is told what its sensors measure.
    #[serde(default)]
    pub sensors: bool,
}

/// What a node says of its hardware.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHealth {
    /// Name of its cluster.
    pub cluster: String,
    /// Its name.
    pub node: String,
    /// Its disks that are asked about.
    pub disks: Vec<DiskHealth>,
    /// What its sensors measure, in degrees Celsius, turns per minute and the like, by chip and sensor.
    pub sensors: Vec<(String, String)>,
    /// Disks that it should have mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountHealth>,
    /// What could not be told, and why.
    pub note: Option<String>,
}

/// A disk that a node should have mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountHealth {
    /// Where.
    pub at: String,
    /// The UUID of its filesystem.
    pub uuid: String,
    /// What was found of it.
    pub state: MountState,
    /// What is wrong with it, where something is.
    pub note: Option<String>,
}

/// What was found of a disk that a node should have mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountState {
    /// It is mounted as declared.
    Mounted,
    /// It is plugged in, and not or not wholly as declared.
    Pending,
    /// It is not plugged in.
    Unplugged,
    /// Something stands in its way.
    Refused,
    /// It could not be read.
    Unknown,
}

/// What a disk says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskHealth {
    /// Its path.
    pub disk: String,
    /// What it is.
    pub model: Option<String>,
    /// Whether it thinks that it will go on working.
    pub healthy: Option<bool>,
    /// Its temperature in degrees Celsius.
    pub celsius: Option<i64>,
    /// Hours that it ran.
    pub hours: Option<u64>,
}
