//! What a running step occupies, how much of it there is, and what a step costs.

use crate::plan::{Op, Step};
use crate::resource::cluster::GuestOrigin;

/// Something that only so many steps may use at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// Work on a host.
    Host(String),
    /// Heavy reading and writing of a host's storage.
    Storage(String),
    /// One thing that only one step may touch: a guest, an image under construction.
    Lock(String),
}

/// The host that steps run on as long as they name no other.
const LOCAL: &str = "local";

impl Claim {
    /// What a step occupies while it runs. Waiting for a guest to answer costs its host nothing.
    pub fn of(step: &Step) -> Vec<Self> {
        let host = || Self::Host(LOCAL.to_owned());
        let storage = || Self::Storage(LOCAL.to_owned());
        let guest = |name: &str| Self::Lock(format!("guest {name}"));
        match &step.op {
            Op::BuildImage { image } => vec![host(), storage(), Self::Lock(format!("image {}", image.key))],
            Op::BuildKernel { kernel } => vec![host(), storage(), Self::Lock(format!("kernel {}", kernel.key))],
            Op::EnsureNetwork { network } => vec![host(), Self::Lock(format!("network {}", network.bridge))],
            Op::DestroyNetwork { bridge, .. } => vec![host(), Self::Lock(format!("network {bridge}"))],
            Op::CreateGuest { vm } | Op::ReplaceRoot { vm } | Op::RestoreRoot { vm } => {
                vec![host(), storage(), guest(&vm.name)]
            }
            Op::FitDisks { vm } => vec![host(), storage(), guest(&vm.name)],
            Op::GrowWorkDisk { guest: name, .. }
            | Op::RemoveDisk { guest: name, .. }
            | Op::DestroyGuest { guest: name }
            | Op::SnapshotGuest { guest: name, .. }
            | Op::RestoreSnapshot { guest: name, .. }
            | Op::DeleteSnapshot { guest: name, .. } => {
                vec![host(), storage(), guest(name)]
            }
            Op::StartGuest { vm } => vec![host(), guest(&vm.name)],
            Op::RenameGuest { to: name, .. }
            | Op::ProtectGuest { guest: name, .. }
            | Op::AutostartGuest { guest: name, .. }
            | Op::ForgetGuest { guest: name }
            | Op::AdoptGuest { guest: name, .. } => vec![host(), guest(name)],
            Op::WriteFiles { guest: name, reach: Some(reach), .. }
            | Op::EnsureSessions { guest: name, reach: Some(reach), .. } => {
                vec![Self::Host(format!("cluster {}", reach.cluster)), guest(name)]
            }
            Op::WriteFiles { guest: name, .. }
            | Op::EnsureSessions { guest: name, .. }
            | Op::StopGuest { guest: name } => vec![host(), guest(name)],
            Op::AwaitReady { guest: name } => vec![guest(name)],
            Op::CreateClusterGuest { guest: spec } => {
                let host = Self::Host(format!("cluster {}", spec.cluster));
                let mut claims = vec![host, Self::Storage(format!("cluster {}", spec.cluster)), guest(&spec.name)];
                // While it is cloned, Proxmox locks the original: a second clone is refused.
                if let GuestOrigin::Clone { vmid, .. } = &spec.origin {
                    claims.push(Self::Lock(format!("original {} {vmid}", spec.cluster)));
                }
                claims
            }
            Op::UpdateClusterGuest { guest: spec } | Op::SetOnNode { guest: spec } => {
                vec![Self::Host(format!("cluster {}", spec.cluster)), guest(&spec.name)]
            }
            // One at a time on a node: they write one file.
            Op::MountOnNode { mount } => {
                let node = format!("node {}/{}", mount.cluster, mount.node);
                vec![Self::Host(format!("cluster {}", mount.cluster)), Self::Lock(node)]
            }
            Op::SnapshotClusterGuest { cluster, guest: name, .. }
            | Op::RollBackClusterGuest { cluster, guest: name, .. }
            | Op::DeleteClusterSnapshot { cluster, guest: name, .. } => {
                let cluster = format!("cluster {cluster}");
                vec![Self::Host(cluster.clone()), Self::Storage(cluster), guest(name)]
            }
            Op::StartClusterGuest { cluster, guest: name }
            | Op::RestartClusterGuest { cluster, guest: name, .. }
            | Op::StopClusterGuest { cluster, guest: name, .. }
            | Op::DestroyClusterGuest { cluster, guest: name, .. } => {
                vec![Self::Host(format!("cluster {cluster}")), guest(name)]
            }
        }
    }
}

/// How many steps may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In the whole run (`--parallel`).
    pub parallel: usize,
    /// On one host.
    pub per_host: usize,
    /// On one host's storage.
    pub per_storage: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parallel: 10, per_host: 8, per_storage: 2 }
    }
}

impl Limits {
    /// The default, with another number of steps at once; the limits inside it are not raised.
    #[must_use]
    pub fn with_parallel(parallel: usize) -> Self {
        Self { parallel, ..Self::default() }
    }

    /// How many steps may hold a claim at once.
    pub const fn of(&self, claim: &Claim) -> usize {
        match claim {
            Claim::Host(_) => self.per_host,
            Claim::Storage(_) => self.per_storage,
            Claim::Lock(_) => 1,
        }
    }
}

/// About how many seconds a step takes: decides which of several ready steps starts first, and nothing else.
pub(super) const fn cost_s(op: &Op) -> u64 {
    match op {
        Op::BuildImage { .. } => 60,
        Op::CreateClusterGuest { .. } | Op::BuildKernel { .. } => 20,
        Op::AwaitReady { .. } => 10,
        Op::StopGuest { .. } | Op::RestartClusterGuest { .. } | Op::StopClusterGuest { .. } => 5,
        Op::CreateGuest { .. }
        | Op::ReplaceRoot { .. }
        | Op::RestoreRoot { .. }
        | Op::SnapshotGuest { .. }
        | Op::RestoreSnapshot { .. }
        | Op::StartClusterGuest { .. }
        | Op::UpdateClusterGuest { .. }
        | Op::SetOnNode { .. }
        | Op::MountOnNode { .. }
        | Op::SnapshotClusterGuest { .. }
        | Op::RollBackClusterGuest { .. }
        | Op::DeleteClusterSnapshot { .. }
        | Op::DestroyClusterGuest { .. } => 2,
        Op::GrowWorkDisk { .. }
        | Op::FitDisks { .. }
        | Op::RemoveDisk { .. }
        | Op::EnsureNetwork { .. }
        | Op::DestroyNetwork { .. }
        | Op::WriteFiles { .. }
        | Op::EnsureSessions { .. }
        | Op::StartGuest { .. }
        | Op::DestroyGuest { .. }
        | Op::DeleteSnapshot { .. }
        | Op::RenameGuest { .. }
        | Op::ProtectGuest { .. }
        | Op::AutostartGuest { .. }
        | Op::ForgetGuest { .. }
        | Op::AdoptGuest { .. } => 1,
    }
}
