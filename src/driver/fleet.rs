//! The driver of a whole fleet: each step goes to the backend that it is for.

use std::sync::Arc;

use async_trait::async_trait;

use super::nodes::Nodes;
use super::proxmox::Clusters;
use super::{Insides, LocalDriver};
use crate::exec::{Failure, Perform, Progress};
use crate::plan::{Op, Step};

/// This machine, the clusters of the fleet, their nodes, and the insides of their guests.
pub struct FleetDriver {
    local: LocalDriver,
    clusters: Arc<Clusters>,
    insides: Arc<Insides>,
    nodes: Arc<Nodes>,
}

impl FleetDriver {
    /// A driver for all of it.
    pub const fn new(local: LocalDriver, clusters: Arc<Clusters>, insides: Arc<Insides>, nodes: Arc<Nodes>) -> Self {
        Self { local, clusters, insides, nodes }
    }
}

#[async_trait]
impl Perform for FleetDriver {
    async fn perform(&self, step: &Step, progress: &dyn Progress) -> Result<(), Failure> {
        match &step.op {
            Op::CreateClusterGuest { .. }
            | Op::UpdateClusterGuest { .. }
            | Op::StartClusterGuest { .. }
            | Op::RestartClusterGuest { .. }
            | Op::SnapshotClusterGuest { .. }
            | Op::RollBackClusterGuest { .. }
            | Op::DeleteClusterSnapshot { .. }
            | Op::StopClusterGuest { .. }
            | Op::DestroyClusterGuest { .. } => self.clusters.perform(step, progress).await,
            Op::SetOnNode { .. } | Op::MountOnNode { .. } => self.nodes.perform(step, progress).await,
            Op::WriteFiles { reach: Some(_), .. } | Op::EnsureSessions { reach: Some(_), .. } => {
                self.insides.perform(step, progress).await
            }
            _ => self.local.perform(step, progress).await,
        }
    }
}
