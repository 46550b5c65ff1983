//! The steps that make the changes, and the order they need.

use serde::{Deserialize, Serialize};

use super::{Change, Selected};
use crate::config::ByteSize;
use crate::resource::cluster::{ClusterGuestSpec, NodeMountSpec, Reach};
use crate::resource::{
    Address, BridgeSpec, Declared, FileSet, GuestPath, ImageSpec, KernelSpec, LinkName, Obstacle, SessionSpec, VmSpec,
};
use crate::syntax::SourceRef;

/// What would change and the steps that do it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The fleet's name.
    pub fleet: String,
    /// By address; resources that are right already are included with action `none`.
    pub changes: Vec<Change>,
    /// What the fleet file asks for and must not be done; while there is one, nothing is applied.
    pub refusals: Vec<Refusal>,
    /// What part of the fleet this is about; `None` when it is about all of it.
    pub selected: Option<Selected>,
    /// What to do.
    pub graph: Graph,
}

/// Something that was asked for and will not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The resource.
    pub address: Address,
    /// Which rule says no.
    pub rule: Rule,
    /// What was found and what was asked for; lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// Where it was declared.
    pub source: Option<SourceRef>,
}

impl Refusal {
    /// Something of the host keeps a declared resource from being made.
    pub(super) fn in_the_way(address: &Address, declared: &Declared, obstacle: &Obstacle) -> Self {
        Self {
            address: address.clone(),
            rule: Rule::HostInTheWay,
            message: obstacle.message.clone(),
            help: obstacle.help.clone(),
            source: declared.source.clone(),
        }
    }
}

/// The rules a plan obeys before any policy of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A work disk never shrinks: its data would not survive.
    WorkDiskShrinks,
    /// Two guests would have one name.
    NameTaken,
    /// A guest of that name is there and carries somebody else's mark.
    NotOurs,
    /// The guest is protected: nothing that removes it or its root disk is done.
    Protected,
    /// A file was changed in the guest, and its declaration says that somebody has to look (`on-drift="fail"`).
    Drifted,
    /// A further disk of a guest neither shrinks nor is formatted; one of a cluster's guest does not move to another storage.
    DiskStays,
    /// A directory that we did not make stands where a file should be: everything below it would be lost.
    DirectoryInTheWay,
    /// A file or link stands where a directory has to be that no declaration names: nobody asked for it to go.
    FileInTheWay,
    /// The guest was made otherwise than is asked for, and what is decided when it is made cannot be changed.
    MadeOtherwise,
    /// Something of a host that is not ours stands in the way: of a network or a guest here, of a disk on a node.
    HostInTheWay,
    /// No API token may do it, and the fleet file names no way to root on the guest's node.
    NeedsRoot,
}

/// A directed acyclic graph of steps; a step's id is its index, and edges only point to smaller ids.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// In an order that could run one by one.
    pub steps: Vec<Step>,
}

impl Graph {
    /// By step: the rescue it belongs to, which is the step that begins it. Steps without one are done unless something
    /// fails.
    pub fn rescues(&self) -> Vec<Option<StepId>> {
        let mut rescues: Vec<Option<StepId>> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let inherited = || step.after.iter().find_map(|edge| *rescues.get(edge.step.0 as usize)?);
            let rescue = if step.rescues.is_empty() { inherited() } else { Some(step.id) };
            rescues.push(rescue);
        }
        rescues
    }
}

/// Index of a step in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its index.
    pub id: StepId,
    /// The resources it serves: the first is the one it is reported under.
    pub addresses: Vec<Address>,
    /// What to do.
    pub op: Op,
    /// What must be done first, and why.
    pub after: Vec<Edge>,
    /// It is done only when one of these earlier steps fails: it begins to put back what they changed. What comes after
    /// it is part of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rescues: Vec<StepId>,
    /// After this many seconds it has failed.
    pub deadline_s: u64,
    /// What a crash in the middle means.
    pub repeat: Repeat,
}

/// A dependency of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The step that must be done first.
    pub step: StepId,
    /// Why, in a few words.
    pub why: String,
}

/// Whether a step that was started and not finished may be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repeat {
    /// Doing it twice is doing it once.
    Safe,
    /// Look first.
    CheckFirst,
    /// Ask a person.
    Never,
}

/// Whose rights a step needs on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privilege {
    /// Those of whoever runs regatta.
    User,
    /// Root's.
    Root,
}

/// What takes a step back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "op")]
pub enum Undo {
    /// Nothing has to: it leaves only what may stay.
    Unneeded,
    /// This operation does.
    Op(&'static str),
    /// Nothing can: what was there before is not kept.
    Impossible,
}

/// A typed instruction for a driver. Data only: it can be saved, shown and sent to another machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "op")]
pub enum Op {
    /// Build an image into the store.
    BuildImage {
        /// What.
        image: ImageSpec,
    },
    /// Build a kernel and its initramfs into the store.
    BuildKernel {
        /// What.
        kernel: KernelSpec,
    },
    /// Bring a bridged network to what is declared: bridge, addresses, cables of its guests, rules of its table.
    EnsureNetwork {
        /// What.
        network: BridgeSpec,
    },
    /// Remove a bridged network: its table, the cables plugged to it, its bridge.
    DestroyNetwork {
        /// Its name.
        network: String,
        /// Its bridge.
        bridge: LinkName,
    },
    /// Write the record, then make both disks and the host key, aside, and move them into place.
    CreateGuest {
        /// What.
        vm: VmSpec,
    },
    /// Make a new root disk over the image and keep the old one until the guest has answered; the work disk stays.
    ReplaceRoot {
        /// What.
        vm: VmSpec,
    },
    /// Put back the root disk that was replaced last, when there is one; the work disk stays.
    RestoreRoot {
        /// What it was made from.
        vm: VmSpec,
    },
    /// Grow the work disk and its file system; never shrinks.
    GrowWorkDisk {
        /// Guest.
        guest: String,
        /// New size.
        to: ByteSize,
    },
    /// Make the further disks of a stopped guest that are missing, and grow those that are too small.
    FitDisks {
        /// The guest, with its disks.
        vm: VmSpec,
    },
    /// Take a further disk from a stopped guest, with what is on it.
    RemoveDisk {
        /// Guest.
        guest: String,
        /// Its name.
        disk: String,
    },
    /// Bring files of a guest to their desired content: offline when it is stopped, over SSH when it runs.
    WriteFiles {
        /// Guest.
        guest: String,
        /// What to write, by resource.
        sets: Vec<(Address, FileSet)>,
        /// What to remove: files we wrote earlier and that are no longer declared.
        remove: Vec<GuestPath>,
        /// The way into a guest of a cluster; it is waited for. `None` is one of this machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reach: Option<Reach>,
    },
    /// Bring the sessions of a running guest to what is declared.
    EnsureSessions {
        /// Guest.
        guest: String,
        /// Those that should run, or have run, as they are declared.
        sessions: Vec<SessionSpec>,
        /// Those of ours that go, by name.
        remove: Vec<String>,
        /// The way into a guest of a cluster. `None` is one of this machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reach: Option<Reach>,
    },
    /// Start the VMM.
    StartGuest {
        /// With this.
        vm: VmSpec,
    },
    /// Wait until SSH answers with the pinned key and accepts ours.
    AwaitReady {
        /// Guest.
        guest: String,
    },
    /// Shut the guest down, by ever stronger means.
    StopGuest {
        /// Guest.
        guest: String,
    },
    /// Make a guest of a cluster, as far as one request can.
    CreateClusterGuest {
        /// What.
        guest: ClusterGuestSpec,
    },
    /// Bring the configuration of a cluster's guest to what is declared; disks grow.
    UpdateClusterGuest {
        /// What.
        guest: ClusterGuestSpec,
    },
    /// Set on its node what no API token may set of a cluster's guest.
    SetOnNode {
        /// What.
        guest: ClusterGuestSpec,
    },
    /// Mount a disk of a node, and have the node mount it when it boots, where that is declared.
    MountOnNode {
        /// What, and where.
        mount: NodeMountSpec,
    },
    /// Start a guest of a cluster.
    StartClusterGuest {
        /// Cluster.
        cluster: String,
        /// Guest.
        guest: String,
    },
    /// Restart a guest of a cluster, so that what waits for that is in force.
    RestartClusterGuest {
        /// Cluster.
        cluster: String,
        /// Guest.
        guest: String,
        /// Whether somebody has to agree to it by name.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        asks: bool,
    },
    /// Shut a guest of a cluster down; by force when it does not.
    StopClusterGuest {
        /// Cluster.
        cluster: String,
        /// Guest.
        guest: String,
        /// Its number.
        vmid: u32,
    },
    /// Remove a stopped guest of a cluster with its disks.
    DestroyClusterGuest {
        /// Cluster.
        cluster: String,
        /// Guest.
        guest: String,
        /// Its number.
        vmid: u32,
    },
    /// Take a snapshot of a guest of a cluster.
    SnapshotClusterGuest {
        /// Cluster.
        cluster: String,
        /// Guest.
        guest: String,
        /// Its number.
        vmid: u32,
        /// Name of the snapshot.
        snapshot: String,
        /// Why, for people.
        why: String,
    },
    /// Give a stopped guest of a cluster the disks and the configuration of a snapshot; what was written since is lost.
    RollBackClusterGuest {
        /// Cluster.
        cluster: String,
        /// Guest.
        guest: String,
        /// Its number.
        vmid: u32,
        /// Name of the snapshot.
        snapshot: String,
    },
    /// Remove a snapshot of a guest of a cluster.
    DeleteClusterSnapshot {
        /// Cluster.
        cluster: String,
        /// Guest.
        guest: String,
        /// Its number.
        vmid: u32,
        /// Name of the snapshot.
        snapshot: String,
    },
    /// Remove a stopped guest: its disks, its record, its pinned key.
    DestroyGuest {
        /// Guest.
        guest: String,
    },
    /// Give a guest another name: its directory, then its work disk (or itself, when it runs), and its record last.
    RenameGuest {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// Say in a guest's record whether plans that remove it are refused.
    ProtectGuest {
        /// Guest.
        guest: String,
        /// Whether they are.
        protected: bool,
    },
    /// Have a guest start with its host, or no longer.
    AutostartGuest {
        /// Guest.
        guest: String,
        /// Whether it does.
        autostart: bool,
    },
    /// Copy both disks of a guest beside them; one that runs stands still meanwhile.
    SnapshotGuest {
        /// Guest.
        guest: String,
        /// Name of the snapshot.
        snapshot: String,
        /// Why, for people.
        why: String,
    },
    /// Give a stopped guest the disks of a snapshot; those that it has become a snapshot themselves.
    RestoreSnapshot {
        /// Guest.
        guest: String,
        /// Name of the snapshot.
        snapshot: String,
        /// What the snapshot of those it has is called.
        kept: String,
    },
    /// Remove a snapshot of a guest.
    DeleteSnapshot {
        /// Guest.
        guest: String,
        /// Name of the snapshot.
        snapshot: String,
    },
    /// Let go of a guest: its directory gets a name under which nobody looks for a guest, and nothing else is touched.
    ForgetGuest {
        /// Guest.
        guest: String,
    },
    /// Make a guest one of this fleet's: its directory comes to the fleet's, then its record says so.
    AdoptGuest {
        /// Its name.
        guest: String,
        /// Where its directory is, below the state directory.
        at: String,
    },
}
