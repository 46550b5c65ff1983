//! The driver of a whole fleet: each step goes to the backend that it is for.

use std::sync::Arc;

use async_trait::async_trait;

use super::LocalDriver;
use super::proxmox::Clusters;
use crate::exec::{Failure, Perform, Progress};
use crate::plan::{Op, Step};

/// This machine, and the clusters of the fleet.
pub struct FleetDriver {
    local: LocalDriver,
    clusters: Arc<Clusters>,
}

impl FleetDriver {
    /// A driver for both.
    pub const fn new(local: LocalDriver, clusters: Arc<Clusters>) -> Self {
        Self { local, clusters }
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
            | Op::StopClusterGuest { .. }
            | Op::DestroyClusterGuest { .. } => self.clusters.perform(step, progress).await,
            _ => self.local.perform(step, progress).await,
        }
    }
}
