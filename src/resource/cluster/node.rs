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
}
