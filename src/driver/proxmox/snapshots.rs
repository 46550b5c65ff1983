//! Snapshots of guests, by name: listed, taken, rolled back to, removed.

use super::answer::{clean, flag, integer, list, text};
use super::api::{Api, Place};
use super::cluster::Cluster;
use super::error::ApiError;
use super::exchange::{Call, Verb};
use super::waiting::Watch;
use crate::exec::Failure;
use crate::resource::cluster::percent;

/// How often an answer may be lost.
const ATTEMPTS: usize = 4;

/// Proxmox lists what is there now under this name, which no snapshot can have.
const NOW: &str = "current";

/// A snapshot of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestSnapshot {
    /// Its name.
    pub name: String,
    /// When it was taken, in seconds since 1970.
    pub taken_s: i64,
    /// What somebody wrote about it.
    pub why: String,
    /// Whether it has the guest's memory as well.
    pub with_memory: bool,
}

impl Api {
    /// The snapshots of a guest, oldest first.
    pub(super) async fn snapshots(&self, place: &Place) -> Result<Vec<GuestSnapshot>, ApiError> {
        let found = self.get(&place.path("/snapshot")).await?;
        let named = list(&found).iter().filter_map(|item| {
            Some(GuestSnapshot {
                name: text(item, "name").filter(|name| name != NOW)?,
                taken_s: integer(item, "snaptime").and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or_default(),
                why: clean(&text(item, "description").unwrap_or_default()),
                with_memory: flag(item, "vmstate"),
            })
        });
        let mut all: Vec<GuestSnapshot> = named.collect();
        all.sort_by(|a, b| (a.taken_s, &a.name).cmp(&(b.taken_s, &b.name)));
        Ok(all)
    }

    async fn can_snapshot(&self, place: &Place) -> Result<bool, ApiError> {
        let call = Call::new(Verb::Get, place.path("/feature")).with("feature", "snapshot");
        Ok(flag(&self.call(&call).await?, "hasFeature"))
    }
}

/// What is done about a snapshot of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act<'a> {
    Take { why: &'a str },
    RollBack,
    Delete,
}

impl Cluster {
    /// The snapshots of the guest of this number, if it is the one that is meant.
    ///
    /// # Errors
    /// They cannot be read, or it is another guest.
    pub(super) async fn snapshots(&self, guest: &str, vmid: u32) -> Result<Vec<GuestSnapshot>, Failure> {
        match self.same(guest, vmid).await? {
            Some((place, _)) => self.api.snapshots(&place).await.map_err(Failure::from),
            None => Ok(Vec::new()),
        }
    }

    /// Takes a snapshot, rolls back to it, or removes it. Before each attempt is looked whether that happened already.
    pub(super) async fn snapshot(
        &self,
        (guest, vmid): (&str, u32),
        name: &str,
        act: Act<'_>,
        watch: Watch<'_>,
    ) -> Result<(), Failure> {
        let mut last = ApiError::Unknown(String::new());
        for _ in 0..ATTEMPTS {
            let Some((place, _)) = self.same(guest, vmid).await? else {
                return Err(Failure::permanent(format!("guest `{guest}` is gone")));
            };
            let there = self.api.snapshots(&place).await.map_err(Failure::from)?;
            let there = there.iter().any(|snapshot| snapshot.name == name);
            match (act, there) {
                (Act::Take { .. }, true) | (Act::Delete, false) => return Ok(()),
                (Act::RollBack, false) => {
                    return Err(Failure::permanent(format!("guest `{guest}` has no snapshot `{name}`")));
                }
                (Act::Take { .. }, false) if !self.api.can_snapshot(&place).await.map_err(Failure::from)? => {
                    let hint =
                        "storages of the kinds ZFS, LVM-thin, Ceph and Btrfs do, and qcow2 images of virtual machines";
                    let message = format!("a storage of guest `{guest}` keeps no snapshots");
                    return Err(Failure::permanent(message).hint(hint));
                }
                _ => {}
            }
            match self.run(&request(&place, name, act), watch).await {
                Ok(()) => return Ok(()),
                Err(error @ ApiError::Unknown(_)) => {
                    self.settle(&place, watch).await;
                    last = error;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }
}

fn request(place: &Place, name: &str, act: Act<'_>) -> Call {
    let one = place.path(&format!("/snapshot/{}", percent::encode(name)));
    match act {
        Act::Take { why } => {
            Call::new(Verb::Post, place.path("/snapshot")).with("snapname", name).with("description", why)
        }
        Act::RollBack => Call::new(Verb::Post, format!("{one}/rollback")),
        Act::Delete => Call::new(Verb::Delete, one),
    }
}
