//! Virtual machines of this host as they are declared.

use core::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{AuthorizedKey, ByteSize, File, FileSync, GitIdentity, Mac, Session, Setting};
use crate::syntax::{Span, Spanned};

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
