//! The driver of this machine: carries each step to the store, the VMM or the guest's files.

use std::sync::Arc;

use async_trait::async_trait;

use super::boot::{BootUnit, Starts};
use super::files::Request;
use super::microvm::{Guests, Protection};
use super::network::Networks;
use super::{image, kernel};
use crate::exec::{Failure, Perform, Progress};
use crate::plan::{Op, Step};

/// Carries out the steps of one fleet on this machine.
pub struct LocalDriver {
    guests: Arc<Guests>,
    networks: Arc<Networks>,
    boot: Option<Arc<BootUnit>>,
}

impl LocalDriver {
    /// A driver for these guests and their networks.
    pub const fn new(guests: Arc<Guests>, networks: Arc<Networks>) -> Self {
        Self { guests, networks, boot: None }
    }

    /// With what starts guests when the host boots.
    #[must_use]
    pub fn starting_with_host(self, boot: Arc<BootUnit>) -> Self {
        Self { boot: Some(boot), ..self }
    }

    async fn autostart(&self, guest: &str, starts: Starts, progress: &dyn Progress) -> Result<(), Failure> {
        match &self.boot {
            Some(boot) => boot.set(&self.guests, guest, starts, progress).await,
            None => self.guests.mark_autostart(guest, starts),
        }
    }

    /// After a guest went: nothing starts with the host that nobody needs.
    async fn tidy(&self, progress: &dyn Progress) -> Result<(), Failure> {
        match &self.boot {
            Some(boot) => boot.tidy(&self.guests, progress).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Perform for LocalDriver {
    async fn perform(&self, step: &Step, progress: &dyn Progress) -> Result<(), Failure> {
        let guests = &*self.guests;
        match &step.op {
            Op::BuildImage { image } => image::build(guests.run(), guests.store(), image, progress).await,
            Op::BuildKernel { kernel } => kernel::build(guests.run(), guests.store(), kernel, progress).await,
            Op::EnsureNetwork { network } => self.networks.ensure(network, progress).await,
            Op::DestroyNetwork { network, bridge } => self.networks.destroy(network, bridge, progress).await,
            Op::CreateGuest { vm } => guests.create(vm, progress).await,
            Op::ReplaceRoot { vm } => guests.replace_root(vm, progress).await,
            Op::RestoreRoot { vm } => guests.restore_root(vm, progress).await,
            Op::GrowWorkDisk { guest, to } => guests.grow(guest, *to, progress).await,
            Op::FitDisks { vm } => guests.fit_disks(vm, progress).await,
            Op::RemoveDisk { guest, disk } => guests.remove_disk(guest, disk, progress),
            Op::WriteFiles { reach: Some(_), .. } | Op::EnsureSessions { reach: Some(_), .. } => {
                Err(Failure::permanent("a guest of a cluster is not on this machine"))
            }
            Op::WriteFiles { guest, sets, remove, reach: None } => {
                let secrets = guests.fetch_secrets(sets, progress).await?;
                guests
                    .write_files(guest, &Request { sets, remove, secrets: &secrets, ..Request::default() }, progress)
                    .await
            }
            Op::EnsureSessions { guest, sessions, remove, reach: None } => {
                guests.keep_sessions(guest, sessions, remove, progress).await
            }
            Op::StartGuest { vm } => guests.start(vm, progress).await,
            Op::AwaitReady { guest } => guests.await_ready(guest, step.deadline_s, progress).await,
            Op::StopGuest { guest } => guests.stop(guest, progress).await,
            Op::DestroyGuest { guest } => {
                guests.destroy(guest, progress).await?;
                self.tidy(progress).await
            }
            Op::RenameGuest { from, to } => guests.rename(from, to, progress).await,
            Op::ProtectGuest { guest, protected } => {
                guests.protect(guest, if *protected { Protection::On } else { Protection::Off })
            }
            Op::AutostartGuest { guest, autostart } => {
                let starts = if *autostart { Starts::WithHost } else { Starts::ByHand };
                self.autostart(guest, starts, progress).await
            }
            Op::SnapshotGuest { guest, snapshot, why } => guests.take_snapshot(guest, snapshot, why, progress).await,
            Op::RestoreSnapshot { guest, snapshot, kept } => {
                guests.restore_snapshot(guest, snapshot, kept, progress).await
            }
            Op::DeleteSnapshot { guest, snapshot } => guests.delete_snapshot(guest, snapshot, progress),
            Op::ForgetGuest { guest } => {
                guests.forget(guest)?;
                self.tidy(progress).await
            }
            Op::AdoptGuest { guest, at } => guests.adopt(guest, at),
            Op::CreateClusterGuest { .. }
            | Op::UpdateClusterGuest { .. }
            | Op::SetOnNode { .. }
            | Op::MountOnNode { .. }
            | Op::StartClusterGuest { .. }
            | Op::RestartClusterGuest { .. }
            | Op::SnapshotClusterGuest { .. }
            | Op::RollBackClusterGuest { .. }
            | Op::DeleteClusterSnapshot { .. }
            | Op::StopClusterGuest { .. }
            | Op::DestroyClusterGuest { .. } => {
                Err(Failure::permanent(format!("`{}` is no step of this machine", step.op.name())))
            }
        }
    }
}
