//! Proxmox VE clusters and the guests on them, as they are declared.

use serde::{Deserialize, Serialize};

use super::fence::FenceNode;
use super::firewall::Firewall;
use super::{ByteSize, Inside, Origin, Setting};
use crate::syntax::{SourceId, Span, Spanned};

/// `cluster NAME { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The node.
    pub span: Span,
    /// Addresses of its nodes, in the order they are tried; at least one.
    pub endpoints: Vec<Spanned<String>>,
    /// How its certificates are checked.
    pub trust: ClusterTrust,
    /// Where the API token comes from.
    pub token: Spanned<TokenSource>,
    /// The nodes on which may be done what no token may.
    pub fence: Vec<FenceNode>,
    /// The file that declared it, whose directory relative paths start at.
    pub declared_in: SourceId,
}

/// How the certificates of a cluster's nodes are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum ClusterTrust {
    /// By the certificate authorities of this machine.
    System,
    /// By their SHA-256 fingerprints: upper-case hexadecimal digits in pairs, with colons.
    Fingerprints {
        /// Any of these is accepted.
        accepted: Vec<String>,
    },
    /// By a certificate authority in a file.
    Authority {
        /// The file, as written.
        file: String,
    },
    /// Not at all.
    Nothing,
}

/// Where an API token (`USER@REALM!NAME=SECRET`) comes from: never the fleet file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum TokenSource {
    /// A variable of the environment.
    Variable {
        /// Its name.
        name: String,
    },
    /// A file.
    File {
        /// As written; `~` is the user's home, relative paths start at the declaring file.
        path: String,
    },
    /// The standard output of a command.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
    },
}

/// What containers and virtual machines on clusters have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterGuest {
    /// Its name, `count` suffix included: a DNS label.
    pub name: String,
    /// The node that declared it.
    pub span: Span,
    /// Name of its cluster.
    pub cluster: Spanned<String>,
    /// Nodes it may be made on; any when empty.
    pub nodes: Vec<Spanned<String>>,
    /// Numbers it may have, both included.
    pub vmid: Setting<(u32, u32)>,
    /// What it is made from.
    pub origin: ClusterOrigin,
    /// The resource pool that it is in.
    pub pool: Option<Spanned<String>>,
    /// How high availability looks after it; not at all when `None`.
    pub high_availability: Option<Spanned<HighAvailability>>,
    /// What Proxmox's firewall lets through.
    pub firewall: Option<Spanned<Firewall>>,
    /// DNS servers; those of the node when empty.
    pub dns_servers: Vec<Spanned<String>>,
    /// DNS search domain.
    pub search_domain: Option<Spanned<String>>,
    /// Tags in Proxmox, and groups for commands that select guests.
    pub tags: Vec<Spanned<String>>,
    /// Guests that are there and started before it.
    pub after: Vec<Spanned<String>>,
    /// The user's part of the description.
    pub notes: Option<Spanned<String>>,
    /// When it starts with its node.
    pub startup: Option<Spanned<Startup>>,
    /// Whether Proxmox refuses to remove it.
    pub protection: Setting<bool>,
    /// Whether it starts with its node.
    pub on_boot: Setting<bool>,
    /// The script that Proxmox runs at each of its starts and stops.
    pub hook_script: Option<Spanned<String>>,
    /// Whether it runs.
    pub running: Setting<bool>,
    /// When regatta restarts it for what needs that.
    pub restarts: Setting<Restarts>,
    /// What is inside of it.
    pub inside: Inside,
}

/// `restart WHEN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarts {
    /// Never: what needs it stays pending.
    Never,
    /// When something needs it.
    IfNeeded,
    /// When something needs it and somebody agreed to it by name.
    Ask,
}

/// `container NAME { … }`: an LXC container on a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// What it has in common with virtual machines.
    pub guest: ClusterGuest,
    /// Whether its root is not the host's.
    pub unprivileged: Setting<bool>,
    /// Cores; all of the node when `None`.
    pub cores: Option<Spanned<u32>>,
    /// Memory.
    pub memory: Setting<ByteSize>,
    /// Swap space.
    pub swap: Setting<ByteSize>,
    /// Its root disk. A clone has that of its original when `None`.
    pub root_disk: Option<Spanned<Volume>>,
    /// Disks beside it, with their paths.
    pub mounts: Vec<Spanned<(String, Volume)>>,
    /// Directories of the node in it.
    pub binds: Vec<Spanned<Bind>>,
    /// Devices of the node in it.
    pub devices: Vec<Spanned<Device>>,
    /// Network interfaces.
    pub interfaces: Vec<Spanned<Interface>>,
    /// Features of LXC that are switched on.
    pub features: Vec<Spanned<String>>,
}

impl Container {
    /// What is certain of its privileges by the file: it is made so, or somebody says so. A clone, a backup and a guest that is there
    /// already are as they were.
    pub fn says_unprivileged(&self) -> Option<bool> {
        let is_made = matches!(self.guest.origin, ClusterOrigin::Template { .. });
        let is_said = is_made || self.unprivileged.origin != Origin::Default;
        is_said.then_some(self.unprivileged.value)
    }
}

/// `vm NAME { cluster … }`: a QEMU virtual machine on a cluster. What is `None` is as its original has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterVm {
    /// What it has in common with containers.
    pub guest: ClusterGuest,
    /// Cores of each socket.
    pub cores: Option<Spanned<u32>>,
    /// Sockets.
    pub sockets: Option<Spanned<u32>>,
    /// Model of its processors.
    pub cpu: Option<Spanned<String>>,
    /// Memory.
    pub memory: Option<Spanned<ByteSize>>,
    /// Disks by their numbers on the SCSI bus.
    pub disks: Vec<Spanned<(u32, VmDisk)>>,
    /// Network interfaces by their numbers.
    pub interfaces: Vec<Spanned<(u32, VmInterface)>>,
    /// What cloud-init does in it.
    pub cloud_init: Option<Spanned<CloudInit>>,
    /// Whether QEMU's guest agent is asked to shut it down.
    pub agent: Option<Spanned<bool>>,
}

/// A disk of a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmDisk {
    /// The storage.
    pub storage: String,
    /// Its size; it grows and never shrinks.
    pub size: ByteSize,
    /// Whether it is left out of backups.
    pub no_backup: bool,
    /// Whether freed blocks are given back to the storage.
    pub discard: bool,
    /// Whether the guest is told that it is a solid-state disk.
    pub ssd: bool,
    /// Whether it has a thread of its own.
    pub io_thread: bool,
}

/// A network interface of a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmInterface {
    /// The model of its card.
    pub model: String,
    /// Where it is plugged to; its addresses are what cloud-init sets up in the guest.
    pub connection: Connection,
}

/// `cloud-init { … }`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudInit {
    /// Where its drive is made; that of the original when `None`.
    pub storage: Option<String>,
    /// The user that it makes.
    pub user: Option<String>,
    /// Keys that may log in as that user: key lines.
    pub keys: Vec<String>,
}

/// What a guest of a cluster is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterOrigin {
    /// `template "local:vztmpl/…"`.
    Template {
        /// The volume.
        volume: Spanned<String>,
        /// Where it comes from when it is not there.
        source: Option<VolumeSource>,
    },
    /// `disk-image "local:import/…"`.
    DiskImage {
        /// The volume that becomes disk 0.
        volume: Spanned<String>,
        /// Where it comes from when it is not there.
        source: Option<VolumeSource>,
    },
    /// `restore "backups:backup/…"`.
    Restore {
        /// The backup.
        volume: Spanned<String>,
        /// Whether it takes the place of what was backed up: it keeps its MAC addresses.
        same: bool,
        /// Where its disks go.
        storage: Option<String>,
    },
    /// `clone 900 full=#true storage="fast"`.
    Clone {
        /// Number of the original.
        vmid: Spanned<u32>,
        /// A copy of its disks instead of layers over them.
        full: bool,
        /// Where a full copy goes.
        storage: Option<String>,
    },
    /// `existing`: it is there already, and is taken over.
    Existing,
}

/// Where a volume comes from that its storage does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A node downloads it.
    Url {
        /// Where from.
        url: String,
        /// The digest that it must have.
        sha256: String,
    },
    /// It is uploaded from this machine.
    File {
        /// As it is written: `~/…`, absolute, or beside the fleet file that names it.
        path: Spanned<String>,
        /// The digest that it must have.
        sha256: String,
    },
}

/// `ha …`: how high availability looks after a guest. Whether it runs follows from the guest itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HighAvailability {
    /// How often it is started again on its node.
    pub max_restart: u32,
    /// How often it is moved to another.
    pub max_relocate: u32,
    /// A group of nodes it may be on, which exists already.
    pub group: Option<String>,
    /// Nodes it is kept on, with their priorities: those with the highest come first.
    pub nodes: Vec<(String, u32)>,
    /// Whether it is stopped rather than run anywhere else.
    pub strict: bool,
}

/// A volume on a storage of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The storage.
    pub storage: String,
    /// Its size; it grows and never shrinks.
    pub size: ByteSize,
    /// Whether it is part of backups. The root disk always is.
    pub backup: bool,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// `bind PATH from=…`: a directory of the node in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Where it is in the container.
    pub path: String,
    /// Where it is on the node.
    pub from: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// `device PATH …`: a device of the node in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its path, here and there.
    pub path: String,
    /// Permission bits in the container, in octal digits; Proxmox's own (`0660`) when `None`.
    pub mode: Option<String>,
    /// Its owner in the container.
    pub uid: Option<u32>,
    /// Its group in the container.
    pub gid: Option<u32>,
}

/// A network interface of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name in the container.
    pub name: String,
    /// Where it is plugged to.
    pub connection: Connection,
}

/// How an interface of a guest is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The bridge of the node.
    pub bridge: String,
    /// `dhcp`, `manual`, or an address with its prefix.
    pub ip: Option<String>,
    /// IPv4 gateway.
    pub gateway: Option<String>,
    /// `auto`, `dhcp`, `manual`, or an address with its prefix.
    pub ip6: Option<String>,
    /// IPv6 gateway.
    pub gateway6: Option<String>,
    /// MAC address; Proxmox makes one and regatta keeps it when `None`.
    pub mac: Option<String>,
    /// VLAN tag.
    pub vlan: Option<u32>,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// Whether Proxmox's firewall sees its packets.
    pub firewall: bool,
}

/// When a guest starts with its node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Startup {
    /// Smaller numbers first.
    pub order: Option<u32>,
    /// Seconds before the next one is started.
    pub up_s: Option<u32>,
    /// Seconds it gets to shut down.
    pub down_s: Option<u32>,
}
