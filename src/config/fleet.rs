//! The typed fleet: one value per thing the user declared, profiles and counts already applied.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::{ByteSize, Cluster, ClusterVm, Container, Mac, Priority, Session, Subnet4, Subnet6};
use crate::syntax::{SourceId, Span, Spanned};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody wrote it.
    Default,
    /// Written here (in the guest's own block, in a profile, or at the top of the file).
    Written(Span),
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in force.
    pub value: T,
    /// Where it was decided.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A value nobody wrote.
    pub const fn default_value(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }

    /// A value that was written.
    pub const fn written(value: T, span: Span) -> Self {
        Self { value, origin: Origin::Written(span) }
    }
}

/// Everything one fleet file (with its imports) declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// The fleet's name: a DNS label. Objects on the host carry it as part of their mark.
    pub name: Setting<String>,
    /// Whom to ask about it.
    pub owner: Option<Spanned<String>>,
    /// How many steps run side by side; `None` leaves it to the machine.
    pub parallelism: Option<Spanned<u32>>,
    /// Who has to agree before data is lost.
    pub policy: Option<super::Policy>,
    /// By name.
    pub images: BTreeMap<String, Image>,
    /// By name.
    pub kernels: BTreeMap<String, Kernel>,
    /// By name.
    pub networks: BTreeMap<String, Network>,
    /// By name; `count` already expanded (`web` with `count=2` is `web-1` and `web-2`).
    pub vms: BTreeMap<String, Vm>,
    /// Guests that had other names before: those names, the latest first, by the name they are declared under.
    pub moved: BTreeMap<String, Vec<String>>,
    /// Guests that are not declared and are forgotten instead of destroyed.
    pub forget: Vec<Spanned<String>>,
    /// Proxmox VE clusters, by name.
    pub clusters: BTreeMap<String, Cluster>,
    /// Containers on clusters, by name; `count` already expanded.
    pub containers: BTreeMap<String, Container>,
    /// Virtual machines on clusters, by name; `count` already expanded.
    pub cluster_vms: BTreeMap<String, ClusterVm>,
    /// What is needed to say where a value came from.
    pub provenance: Provenance,
}

/// What is needed, beside the places of values, to say where they came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The blocks of profiles, by name: what is written in one of them came from it.
    pub profiles: BTreeMap<String, Span>,
    /// Files that are modules.
    pub modules: BTreeSet<SourceId>,
    /// Values in force that were written with a priority, by their place.
    pub priorities: BTreeMap<Span, Priority>,
}

/// `image NAME { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// The node.
    pub span: Span,
    /// What it is made from.
    pub source: ImageSource,
    /// Files that are put over what the source brings.
    pub files: Vec<Spanned<ImageFile>>,
    /// Size of the root file system; sparse on disk.
    pub size: Setting<ByteSize>,
}

/// `file "/etc/motd" { content "hello\n" }` in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Absolute path in the image.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: String,
}

/// `run "systemctl" "enable" "nftables"` in an image: a program and its arguments, never a line for a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageCommand(pub Vec<String>);

/// What an image is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// `debootstrap suite="bookworm" { package "git" … }`: built by mmdebstrap.
    Debootstrap {
        /// Release name, such as `bookworm`.
        suite: Spanned<String>,
        /// Archive address; `None` takes mmdebstrap's own default.
        mirror: Option<Spanned<String>>,
        /// Packages on top of those every guest needs, in the order written.
        packages: Vec<Spanned<String>>,
        /// What is run in the tree when all that is in place.
        commands: Vec<Spanned<ImageCommand>>,
    },
    /// `oci "debian:12"`: pulled from a registry.
    Oci {
        /// As written; it is a [`super::OciReference`].
        reference: Spanned<String>,
    },
    /// `tar`, `cloud-image` or `ext4`: one file, here or elsewhere.
    File {
        /// What it is.
        form: FileForm,
        /// A path or a URL, as written.
        location: Spanned<String>,
        /// SHA-256 that it must have: 64 digits.
        sha256: Option<Spanned<String>>,
    },
    /// `directory "./rootfs"`: a tree of this host.
    Directory {
        /// Its path, as written.
        path: Spanned<String>,
    },
}

/// What a file holds that an image is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileForm {
    /// A root file system as a tar file, compressed or not.
    Tar,
    /// A whole disk, qcow2 or raw, with a partition table or without.
    CloudImage,
    /// An ext4 file system.
    Ext4,
}

impl FileForm {
    /// Its node in a fleet file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::CloudImage => "cloud-image",
            Self::Ext4 => "ext4",
        }
    }
}

/// `kernel NAME { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// The node.
    pub span: Span,
    /// What it is made from.
    pub source: KernelSource,
    /// Arguments after those that regatta gives it.
    pub arguments: Vec<Spanned<String>>,
}

/// What a kernel is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// `debian suite="bookworm" package="linux-image-cloud-amd64"`.
    Debian {
        /// Release name.
        suite: Spanned<String>,
        /// Archive address; `None` takes mmdebstrap's own default.
        mirror: Option<Spanned<String>>,
        /// A kernel package or a metapackage that depends on one.
        package: Setting<String>,
    },
    /// `image "web"`: what lies in its `/boot`.
    Image {
        /// Its name.
        image: Spanned<String>,
    },
    /// `file "/srv/vmlinux" sha256="…"`.
    File {
        /// A URL or an absolute path.
        location: Spanned<String>,
        /// SHA-256 that it must have: 64 digits.
        sha256: Spanned<String>,
    },
}

/// `network NAME { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The node.
    pub span: Span,
    /// How guests are connected.
    pub mode: Setting<NetworkMode>,
    /// What a bridged network says; `None` in user mode.
    pub bridge: Option<Bridge>,
}

/// What a bridged network says.
#[derive(Debug, Clone, PartialEq)]
pub struct Bridge {
    /// Addresses.
    pub subnet: Spanned<Subnet4>,
    /// IPv6 addresses.
    pub subnet6: Option<Spanned<Subnet6>>,
    /// Whether guests reach the outside with the host's address.
    pub nat: Setting<bool>,
    /// Whether guests are kept from each other.
    pub isolate: Setting<bool>,
    /// Whether guests are given their addresses by DHCP, too.
    pub dhcp: Setting<bool>,
    /// Whether the host answers for the names of its guests.
    pub dns: Setting<bool>,
    /// DNS servers of its guests.
    pub nameservers: Vec<Spanned<IpAddr>>,
}

/// How guests of a network are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// The VMM's own user-mode stack: no privileges, no guest-to-guest traffic, ports forwarded from loopback.
    User,
    /// A bridge on the host, to which guests are plugged with addresses of their own.
    Bridge,
}

/// What a guest is as a machine, and so which program runs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Machine {
    /// QEMU's `microvm`: virtio and little else.
    #[default]
    Microvm,
    /// QEMU's `q35`: a PC with PCI Express.
    Q35,
    /// A microVM of Firecracker's.
    Firecracker,
}

impl Machine {
    /// The word in fleet files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Microvm => "microvm",
            Self::Q35 => "q35",
            Self::Firecracker => "firecracker",
        }
    }

    /// The program that runs it.
    pub const fn vmm(self) -> &'static str {
        match self {
            Self::Microvm | Self::Q35 => "qemu",
            Self::Firecracker => "firecracker",
        }
    }
}

/// The machine of a guest that names none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// What it is.
    pub machine: Machine,
    /// Why; lower case but for names, no full stop.
    pub why: String,
    /// Whether another machine would have been chosen elsewhere: then a plan says it.
    pub matters: bool,
}

/// Which accelerator QEMU uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// Probed: KVM when a tiny guest really boots under it, else TCG.
    Auto,
    /// Hardware virtualisation.
    Kvm,
    /// Emulation.
    Tcg,
}

/// `vm NAME { … }`, with profiles and defaults applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Vm {
    /// Its name, `count` suffix included: a DNS label.
    pub name: String,
    /// The node that declared it.
    pub span: Span,
    /// Virtual CPUs, at least 1.
    pub cpus: Setting<u32>,
    /// Memory.
    pub memory: Setting<ByteSize>,
    /// Name of its image.
    pub image: Spanned<String>,
    /// Name of its kernel; `None` takes the cloud kernel of the image's suite.
    pub kernel: Option<Spanned<String>>,
    /// Name of its network; `None` is a user-mode network without forwards.
    pub network: Option<Spanned<String>>,
    /// Its address in a bridged network, where it is declared.
    pub address: Option<Spanned<Ipv4Addr>>,
    /// Its MAC address in a bridged network, where it is declared.
    pub mac: Option<Spanned<Mac>>,
    /// Its addresses in a bridged network, declared or not; `None` in user mode.
    pub attachment: Option<Attachment>,
    /// Ports forwarded from the host: from its loopback address in user mode, from its other addresses on a bridge.
    pub forwards: Vec<Spanned<Forward>>,
    /// Size of the persistent work disk mounted at `/root`.
    pub work_disk: Setting<ByteSize>,
    /// Further disks that persist.
    pub disks: Vec<Spanned<Disk>>,
    /// Accelerator.
    pub accel: Setting<Accelerator>,
    /// What it is as a machine.
    pub machine: Setting<Machine>,
    /// The user that its VMM is in a jail; `None` runs it as whoever applies.
    pub jailer: Option<Spanned<String>>,
    /// Keys that may log in as root.
    pub authorized_keys: Vec<Spanned<AuthorizedKey>>,
    /// Name and address for commits made in the guest.
    pub git_identity: Option<Spanned<GitIdentity>>,
    /// Files and directories copied from the host.
    pub file_syncs: Vec<Spanned<FileSync>>,
    /// Files whose content the fleet file says.
    pub files: Vec<Spanned<File>>,
    /// Commands that are kept running in it.
    pub sessions: Vec<Spanned<Session>>,
    /// Guests that must be ready before this one is touched: names of guests.
    pub after: Vec<Spanned<String>>,
    /// Names of groups that it is in.
    pub tags: Vec<Spanned<String>>,
    /// Whether it starts with its host.
    pub autostart: Setting<bool>,
    /// Whether plans that remove it or its root disk are refused; `None` leaves that as it is.
    pub protect: Option<Spanned<bool>>,
    /// Paths of attributes that may drift.
    pub ignore_drift: Vec<Spanned<String>>,
}

/// How a guest is plugged to a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachment {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its IPv6 address, where the network has such.
    pub address6: Option<Ipv6Addr>,
    /// Its MAC address.
    pub mac: Mac,
}

/// `forward host=8080 guest=80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Forward {
    /// TCP port on the host.
    pub host: u16,
    /// TCP port in the guest.
    pub guest: u16,
}

/// `disk "data" size="10GiB" at="/srv/data"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its name: a DNS label of at most 16 characters.
    pub name: String,
    /// Its size.
    pub size: ByteSize,
    /// Where its ext4 file system is mounted; without it, it is a raw block device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// `authorized-key file="~/.ssh/id_ed25519.pub"` or `authorized-key "ssh-ed25519 AAAA… me"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizedKey {
    /// Path of a public key file on the host, as written.
    File(String),
    /// The key line itself.
    Inline(String),
}

/// `git-identity from="host"` or `git-identity name="…" email="…"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitIdentity {
    /// The host user's `git config --global`, and nothing else.
    Host,
    /// As written.
    Given {
        /// `user.name`.
        name: String,
        /// `user.email`.
        email: String,
    },
}

/// `file-sync "~/.config/nvim" to="~/.config/nvim" mode="0600"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSync {
    /// Path on the host, as written; `~` is the user's home, relative paths start at the declaring file.
    pub from: String,
    /// The file that declared it, whose directory relative paths start at.
    pub declared_in: SourceId,
    /// Path in the guest, below the work directory, as written.
    pub to: Spanned<String>,
    /// Permission bits of files; `None` keeps the host's for directories and means 0600 for a single file.
    pub mode: Option<u32>,
    /// Whether files that left the source are removed from the guest.
    pub prune: Setting<bool>,
    /// Permission bits of directories; `None` means 0755.
    pub dir_mode: Option<u32>,
    /// Numbers of the user and group that everything belongs to in the guest.
    pub owner: (u32, u32),
    /// What below the source is meant; everything when there is no pattern.
    pub include: Filter,
    /// What below the source is left out.
    pub exclude: Filter,
    /// What becomes of symbolic links below the source.
    pub links: Links,
    /// What becomes of files that were changed in the guest.
    pub on_drift: OnDrift,
}

/// What becomes of symbolic links in a tree of the host. None is ever followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Links {
    /// They are left out, with a warning.
    #[default]
    Skip,
    /// Those that stay within the tree are links in the guest as well.
    Keep,
}

/// What becomes of files that were changed in the guest since they were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDrift {
    /// They are written again.
    #[default]
    Repair,
    /// They stay as they are.
    Keep,
    /// Plans are refused until somebody has looked.
    Fail,
}

impl OnDrift {
    /// Whether it says nothing special.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `file "~/.netrc" mode="0600" { … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path in the guest, below the work directory.
    pub path: Spanned<String>,
    /// Permission bits; `None` means 0600.
    pub mode: Option<u32>,
    /// What is in it.
    pub content: FileContent,
}

/// What is in a declared file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// `content "…"`
    Text(String),
    /// `secret …`
    Secret(Secret),
}

/// `secret …`: how something confidential is fetched. Never what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret {
    /// What is asked for it.
    pub source: SecretSource,
    /// The file that declared it: relative paths and commands start in its directory.
    pub declared_in: SourceId,
}

/// What is asked for a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretSource {
    /// An environment variable.
    Variable(String),
    /// A file of the host, as written.
    File(String),
    /// The standard output of a program.
    Command {
        /// As written: a name that is looked for on `PATH`, or a path.
        program: String,
        /// As written.
        arguments: Vec<String>,
    },
}
