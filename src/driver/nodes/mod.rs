//! The nodes of clusters, and what root does on them: what Proxmox lets no API token do.
//!
//! ```text
//! proxmox ── what is left to root (`ForRoot`) ──┐
//!                                               ├ set ─▶ privilege: catalogue, audit, `sudo -n`
//! NodeSpec ── road: this machine, or SSH ───────┘
//! ```
//! The API tells what to set, and the catalogue admits how: neither knows of the other, and only here they meet.
//! `docs/design/proxmox.md`, «The fence», tells the whole.

mod disks;
mod enter;
mod examine;
mod health;
mod listing;
mod road;
mod set;

pub use examine::install;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use tokio::sync::Semaphore;

use super::StateDir;
use super::privilege::{RootCommand, add_to_fstab, disk_health, mount_disk, needed_on_nodes};
use super::proxmox::Clusters;
use crate::effect::{Clock, Connect, Pipe};
use crate::exec::{Audit, Failure, Perform, Progress};
use crate::plan::{Op, Step};
use crate::resource::cluster::{ClusterGuestSpec, NodeMountSpec, NodeSpec};
use crate::resource::{Desired, Resource};

/// The doors to the world that are needed.
#[derive(Clone)]
pub struct NodeDoors {
    /// Logs in.
    pub connect: Arc<dyn Connect>,
    /// Runs programs of this machine, which may be a node itself.
    pub run: Arc<dyn Pipe>,
    /// Dates what is written down.
    pub clock: Arc<dyn Clock>,
    /// Has every command of root's before it runs.
    pub audit: Arc<dyn Audit>,
}

/// The nodes that one fleet has a way to.
pub struct Nodes {
    clusters: Arc<Clusters>,
    doors: NodeDoors,
    state: StateDir,
    /// The user's home on this machine: keys below `~/` are there.
    home: Option<Utf8PathBuf>,
    /// By cluster and name.
    all: BTreeMap<(String, String), NodeSpec>,
    /// By cluster.
    guests: BTreeMap<String, Vec<ClusterGuestSpec>>,
    /// Disks that nodes have mounted, by cluster and node.
    mounts: BTreeMap<(String, String), Vec<NodeMountSpec>>,
    /// Logins that are not done yet, by cluster and node: a node that does not answer keeps nobody from another.
    logins: BTreeMap<(String, String), Semaphore>,
}

impl Nodes {
    /// The nodes in the fences of a fleet.
    pub fn new(
        desired: &Desired,
        clusters: Arc<Clusters>,
        doors: NodeDoors,
        state: StateDir,
        home: Option<Utf8PathBuf>,
    ) -> Self {
        let (mut all, mut guests): (BTreeMap<_, _>, BTreeMap<_, Vec<_>>) = Default::default();
        let mut mounts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for declared in desired.resources.values() {
            match &declared.resource {
                Resource::Cluster(spec) => {
                    let nodes = spec.fence.values().cloned();
                    all.extend(nodes.map(|node| ((node.cluster.clone(), node.name.clone()), node)));
                }
                Resource::ClusterGuest(spec) => guests.entry(spec.cluster.clone()).or_default().push((**spec).clone()),
                Resource::NodeMount(spec) => {
                    mounts.entry((spec.cluster.clone(), spec.node.clone())).or_default().push(spec.clone());
                }
                _ => {}
            }
        }
        let slots = |key: &(String, String)| (key.clone(), Semaphore::new(road::LOGINS_AT_ONCE));
        let logins = all.keys().map(slots).collect();
        Self { clusters, doors, state, home, all, guests, mounts, logins }
    }

    /// Nodes of this name: those of several clusters may have one.
    pub fn named(&self, name: &str) -> Vec<&NodeSpec> {
        self.all.values().filter(|node| node.name == name).collect()
    }

    /// Every command that root may be asked for on a node.
    ///
    /// # Errors
    /// Never for what a checked fleet file declares.
    pub fn commands(&self, node: &NodeSpec) -> Result<Vec<RootCommand>, Failure> {
        let guests: Vec<&ClusterGuestSpec> = self.guests.get(&node.cluster).into_iter().flatten().collect();
        let mut commands = needed_on_nodes(&guests)?;
        for disk in &node.disks {
            commands.push(disk_health(disk)?);
        }
        for mount in self.mounts_on(node) {
            commands.push(mount_disk(mount)?);
            if mount.fstab {
                commands.push(add_to_fstab(mount)?);
            }
        }
        Ok(commands)
    }

    fn node(&self, cluster: &str, name: &str) -> Result<&NodeSpec, Failure> {
        self.all.get(&(cluster.to_owned(), name.to_owned())).ok_or_else(|| {
            let failure = Failure::permanent(format!("the fence of the cluster `{cluster}` lacks the node `{name}`"));
            failure.hint("write it into the fence; the guest may have moved there since the plan was made")
        })
    }
}

#[async_trait]
impl Perform for Nodes {
    async fn perform(&self, step: &Step, progress: &dyn Progress) -> Result<(), Failure> {
        match &step.op {
            Op::SetOnNode { guest } => self.set(guest, progress).await,
            Op::MountOnNode { mount } => self.mount(mount, progress).await,
            other => Err(Failure::permanent(format!("`{}` is no step of a node", other.name()))),
        }
    }
}
