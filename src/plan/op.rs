//! What is known of each operation: its name, how long it may take, what a crash in it means, whose rights it needs.

use super::{Op, Privilege, Repeat, Undo};

impl Op {
    /// Its name as data and journals write it: the value of the `op` key.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BuildImage { .. } => "build-image",
            Self::BuildKernel { .. } => "build-kernel",
            Self::EnsureNetwork { .. } => "ensure-network",
            Self::DestroyNetwork { .. } => "destroy-network",
            Self::CreateGuest { .. } => "create-guest",
            Self::ReplaceRoot { .. } => "replace-root",
            Self::RestoreRoot { .. } => "restore-root",
            Self::GrowWorkDisk { .. } => "grow-work-disk",
            Self::FitDisks { .. } => "fit-disks",
            Self::RemoveDisk { .. } => "remove-disk",
            Self::WriteFiles { .. } => "write-files",
            Self::EnsureSessions { .. } => "ensure-sessions",
            Self::StartGuest { .. } => "start-guest",
            Self::AwaitReady { .. } => "await-ready",
            Self::StopGuest { .. } => "stop-guest",
            Self::DestroyGuest { .. } => "destroy-guest",
            Self::RenameGuest { .. } => "rename-guest",
            Self::ProtectGuest { .. } => "protect-guest",
            Self::AutostartGuest { .. } => "autostart-guest",
            Self::SnapshotGuest { .. } => "snapshot-guest",
            Self::RestoreSnapshot { .. } => "restore-snapshot",
            Self::DeleteSnapshot { .. } => "delete-snapshot",
            Self::ForgetGuest { .. } => "forget-guest",
            Self::AdoptGuest { .. } => "adopt-guest",
            Self::CreateClusterGuest { .. } => "create-cluster-guest",
            Self::UpdateClusterGuest { .. } => "update-cluster-guest",
            Self::SetOnNode { .. } => "set-on-node",
            Self::MountOnNode { .. } => "mount-on-node",
            Self::StartClusterGuest { .. } => "start-cluster-guest",
            Self::RestartClusterGuest { .. } => "restart-cluster-guest",
            Self::StopClusterGuest { .. } => "stop-cluster-guest",
            Self::DestroyClusterGuest { .. } => "destroy-cluster-guest",
            Self::SnapshotClusterGuest { .. } => "snapshot-cluster-guest",
            Self::RollBackClusterGuest { .. } => "roll-back-cluster-guest",
            Self::DeleteClusterSnapshot { .. } => "delete-cluster-snapshot",
        }
    }

    /// Seconds after which it has failed. Builds fetch packages from a mirror; a guest without hardware
    /// virtualisation needs a minute to boot on a busy host.
    pub const fn deadline_s(&self) -> u64 {
        match self {
            Self::BuildImage { .. } | Self::SnapshotGuest { .. } | Self::RestoreSnapshot { .. } => 1800,
            Self::BuildKernel { .. } => 900,
            Self::CreateGuest { .. }
            | Self::GrowWorkDisk { .. }
            | Self::FitDisks { .. }
            | Self::RemoveDisk { .. }
            | Self::WriteFiles { .. }
            | Self::EnsureSessions { .. }
            | Self::RenameGuest { .. }
            | Self::MountOnNode { .. } => 300,
            Self::AwaitReady { .. } => 240,
            Self::ReplaceRoot { .. }
            | Self::RestoreRoot { .. }
            | Self::StopGuest { .. }
            | Self::DeleteSnapshot { .. }
            | Self::DestroyGuest { .. } => 120,
            Self::StartGuest { .. } | Self::EnsureNetwork { .. } | Self::DestroyNetwork { .. } => 60,
            Self::ProtectGuest { .. }
            | Self::AutostartGuest { .. }
            | Self::ForgetGuest { .. }
            | Self::AdoptGuest { .. } => 30,
            // Clones copy whole disks; the others wait for locks that a backup may hold.
            Self::CreateClusterGuest { .. }
            | Self::SnapshotClusterGuest { .. }
            | Self::RollBackClusterGuest { .. }
            | Self::DeleteClusterSnapshot { .. } => 1800,
            Self::UpdateClusterGuest { .. } | Self::SetOnNode { .. } | Self::DestroyClusterGuest { .. } => 600,
            Self::StartClusterGuest { .. } | Self::RestartClusterGuest { .. } | Self::StopClusterGuest { .. } => 300,
        }
    }

    /// What a crash in the middle of it means.
    pub const fn repeat(&self) -> Repeat {
        match self {
            // Built aside and moved into place, or idempotent by nature.
            Self::BuildImage { .. }
            | Self::BuildKernel { .. }
            | Self::EnsureNetwork { .. }
            | Self::DestroyNetwork { .. }
            | Self::GrowWorkDisk { .. }
            | Self::FitDisks { .. }
            | Self::RemoveDisk { .. }
            | Self::WriteFiles { .. }
            | Self::EnsureSessions { .. }
            | Self::AwaitReady { .. }
            | Self::StopGuest { .. }
            | Self::RenameGuest { .. }
            | Self::ProtectGuest { .. }
            | Self::AutostartGuest { .. }
            | Self::SnapshotGuest { .. }
            | Self::RestoreSnapshot { .. }
            | Self::DeleteSnapshot { .. }
            | Self::ForgetGuest { .. }
            | Self::AdoptGuest { .. }
            | Self::UpdateClusterGuest { .. }
            | Self::SetOnNode { .. }
            | Self::MountOnNode { .. }
            | Self::SnapshotClusterGuest { .. }
            | Self::RollBackClusterGuest { .. }
            | Self::DeleteClusterSnapshot { .. } => Repeat::Safe,
            // A second VMM on the same disks, or a removal under a running one, must be ruled out first.
            Self::CreateGuest { .. }
            | Self::ReplaceRoot { .. }
            | Self::RestoreRoot { .. }
            | Self::StartGuest { .. }
            | Self::DestroyGuest { .. }
            | Self::CreateClusterGuest { .. }
            | Self::StartClusterGuest { .. }
            | Self::RestartClusterGuest { .. }
            | Self::StopClusterGuest { .. }
            | Self::DestroyClusterGuest { .. } => Repeat::CheckFirst,
        }
    }

    /// Whose rights it needs on the host.
    pub const fn privilege(&self) -> Privilege {
        match self {
            Self::BuildImage { .. }
            | Self::BuildKernel { .. }
            | Self::CreateGuest { .. }
            | Self::ReplaceRoot { .. }
            | Self::RestoreRoot { .. }
            | Self::GrowWorkDisk { .. }
            | Self::FitDisks { .. }
            | Self::RemoveDisk { .. }
            | Self::WriteFiles { .. }
            | Self::EnsureSessions { .. }
            | Self::StartGuest { .. }
            | Self::AwaitReady { .. }
            | Self::StopGuest { .. }
            | Self::DestroyGuest { .. }
            | Self::RenameGuest { .. }
            | Self::ProtectGuest { .. }
            | Self::AutostartGuest { .. }
            | Self::SnapshotGuest { .. }
            | Self::RestoreSnapshot { .. }
            | Self::DeleteSnapshot { .. }
            | Self::ForgetGuest { .. }
            | Self::AdoptGuest { .. }
            | Self::CreateClusterGuest { .. }
            | Self::UpdateClusterGuest { .. }
            | Self::StartClusterGuest { .. }
            | Self::RestartClusterGuest { .. }
            | Self::StopClusterGuest { .. }
            | Self::DestroyClusterGuest { .. }
            | Self::SnapshotClusterGuest { .. }
            | Self::RollBackClusterGuest { .. }
            | Self::DeleteClusterSnapshot { .. } => Privilege::User,
            Self::EnsureNetwork { .. }
            | Self::DestroyNetwork { .. }
            | Self::SetOnNode { .. }
            | Self::MountOnNode { .. } => Privilege::Root,
        }
    }

    /// What takes it back.
    pub const fn undo(&self) -> Undo {
        match self {
            Self::BuildImage { .. } | Self::BuildKernel { .. } | Self::AwaitReady { .. } => Undo::Unneeded,
            Self::EnsureNetwork { .. } => Undo::Op("destroy-network"),
            Self::DestroyNetwork { .. } => Undo::Op("ensure-network"),
            Self::CreateGuest { .. } => Undo::Op("destroy-guest"),
            Self::StartGuest { .. } => Undo::Op("stop-guest"),
            Self::StopGuest { .. } => Undo::Op("start-guest"),
            Self::ReplaceRoot { .. } => Undo::Op("restore-root"),
            Self::RenameGuest { .. } => Undo::Op("rename-guest"),
            Self::ProtectGuest { .. } => Undo::Op("protect-guest"),
            Self::AutostartGuest { .. } => Undo::Op("autostart-guest"),
            Self::SnapshotGuest { .. } => Undo::Op("delete-snapshot"),
            Self::RestoreSnapshot { .. } => Undo::Op("restore-snapshot"),
            Self::ForgetGuest { .. } => Undo::Op("adopt-guest"),
            Self::AdoptGuest { .. } => Undo::Op("forget-guest"),
            Self::RestoreRoot { .. }
            | Self::GrowWorkDisk { .. }
            | Self::FitDisks { .. }
            | Self::RemoveDisk { .. }
            | Self::WriteFiles { .. }
            | Self::EnsureSessions { .. }
            | Self::DeleteSnapshot { .. }
            | Self::DestroyGuest { .. }
            | Self::UpdateClusterGuest { .. }
            | Self::SetOnNode { .. }
            | Self::MountOnNode { .. }
            | Self::RestartClusterGuest { .. }
            | Self::DestroyClusterGuest { .. }
            | Self::RollBackClusterGuest { .. }
            | Self::DeleteClusterSnapshot { .. } => Undo::Impossible,
            Self::SnapshotClusterGuest { .. } => Undo::Op("delete-cluster-snapshot"),
            Self::CreateClusterGuest { .. } => Undo::Op("destroy-cluster-guest"),
            Self::StartClusterGuest { .. } => Undo::Op("stop-cluster-guest"),
            Self::StopClusterGuest { .. } => Undo::Op("start-cluster-guest"),
        }
    }
}
