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
    /// What could not be told, and why.
    pub note: Option<String>,
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
