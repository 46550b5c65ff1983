//! The tables of `vm` on a cluster and what stands in its block.

use super::inside::SSH;
use super::rules::{self, IP, SIZE, WORD};
use super::{firewall, high_availability};
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::node::authorized_key;
use crate::config::node::file::FILE;
use crate::config::node::file_sync::FILE_SYNC;
use crate::config::node::git_identity::GIT_IDENTITY;
use crate::config::node::guest;
use crate::config::node::session::SESSION;

/// The card of an interface that names none.
pub(super) const DEFAULT_CARD: &str = "virtio";

/// `vm "db" { cluster "pve"; clone 9000; memory "2GiB" }`
pub(in crate::config) static CLUSTER_VM: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "The guest's name.")],
    properties: &[rules::COUNT],
    children: &[
        ChildRule::once(&rules::CLUSTER),
        ChildRule::any(&guest::USE),
        ChildRule::at_most_once(&rules::NODE),
        ChildRule::at_most_once(&rules::NUMBER),
        ChildRule::at_most_once(&rules::CLONE),
        ChildRule::at_most_once(&DISK_IMAGE),
        ChildRule::at_most_once(&rules::RESTORE),
        ChildRule::at_most_once(&rules::EXISTING),
        ChildRule::at_most_once(&CORES),
        ChildRule::at_most_once(&SOCKETS),
        ChildRule::at_most_once(&CPU),
        ChildRule::at_most_once(&MEMORY),
        ChildRule::any(&DISK),
        ChildRule::any(&INTERFACE),
        ChildRule::at_most_once(&CLOUD_INIT),
        ChildRule::at_most_once(&rules::DNS),
        ChildRule::at_most_once(&AGENT),
        ChildRule::at_most_once(&rules::POOL),
        ChildRule::at_most_once(&high_availability::HA),
        ChildRule::at_most_once(&firewall::FIREWALL),
        ChildRule::any(&guest::AFTER),
        ChildRule::any(&rules::TAGS),
        ChildRule::at_most_once(&rules::NOTES),
        ChildRule::at_most_once(&rules::STARTUP),
        ChildRule::at_most_once(&rules::PROTECTION),
        ChildRule::at_most_once(&rules::ON_BOOT),
        ChildRule::at_most_once(&rules::HOOK_SCRIPT),
        ChildRule::at_most_once(&rules::RUNNING),
        ChildRule::at_most_once(&rules::RESTART),
        ChildRule::at_most_once(&SSH),
        ChildRule::any(&authorized_key::AUTHORIZED_KEY),
        ChildRule::at_most_once(&GIT_IDENTITY),
        ChildRule::any(&FILE_SYNC),
        ChildRule::any(&FILE),
        ChildRule::any(&SESSION),
    ],
    ..NodeRule::new(
        "vm",
        "A virtual machine that should exist on a Proxmox VE cluster: that is what `cluster` in its block says.",
    )
};

const ORIGINAL: &str = "that of its original";

pub(super) static DISK_IMAGE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("volume", WORD, "Such as `local:import/debian-12-genericcloud-amd64.qcow2`.")],
    properties: &[rules::URL, rules::FILE, rules::SHA256],
    ..NodeRule::new(
        "disk-image",
        "The disk image that `disk 0` is imported from when the guest is made. One of this, `clone` and `restore` is needed.",
    )
};

pub(super) static CORES: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("cores", Kind::Integer { min: 1, max: 1024 }, "How many.")],
    default: Some(ORIGINAL),
    impact: "restart",
    ..NodeRule::new("cores", "Cores of each socket.")
};

pub(super) static SOCKETS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("sockets", Kind::Integer { min: 1, max: 4 }, "How many.")],
    default: Some(ORIGINAL),
    impact: "restart",
    ..NodeRule::new("sockets", "Sockets with processors.")
};

pub(super) static CPU: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("model", WORD, "Such as `host` or `x86-64-v2-AES`.")],
    default: Some(ORIGINAL),
    impact: "restart",
    ..NodeRule::new("cpu", "The model of its processors.")
};

pub(super) static MEMORY: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("memory", SIZE, "How much.")],
    default: Some(ORIGINAL),
    impact: "restart",
    ..NodeRule::new("memory", "Memory of the virtual machine.")
};

pub(super) static DISK: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("number", Kind::Integer { min: 0, max: 30 }, "Its number on the SCSI bus.")],
    properties: &[
        PropertyRule::required("storage", WORD, "Storage of the cluster."),
        PropertyRule::required("size", SIZE, "How large it is. It grows while the guest runs, and never shrinks."),
        PropertyRule::defaulted("backup", Kind::Boolean, "#true", "Whether it is part of backups."),
        PropertyRule::optional("discard", Kind::Boolean, "Whether freed blocks are given back to the storage."),
        PropertyRule::optional("ssd", Kind::Boolean, "Whether the guest is told that it is a solid-state disk."),
        PropertyRule::optional("io-thread", Kind::Boolean, "Whether it has a thread of its own."),
    ],
    impact: "restart",
    ..NodeRule::new(
        "disk",
        "A disk (`scsiN`). Those of the original that are not named stay as they are; one that is no longer declared \
         stays as well.",
    )
};

pub(super) static INTERFACE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("number", Kind::Integer { min: 0, max: 31 }, "Its number.")],
    properties: &[
        rules::BRIDGE,
        PropertyRule::defaulted(
            "model",
            Kind::Choice(&["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"]),
            DEFAULT_CARD,
            "Model of the card.",
        ),
        PropertyRule::optional("ip", IP, "For cloud-init: `dhcp`, or an IPv4 address with its prefix."),
        PropertyRule::optional("gateway", IP, "For cloud-init: IPv4 gateway."),
        PropertyRule::optional("ip6", IP, "For cloud-init: `auto`, `dhcp`, or an IPv6 address with its prefix."),
        PropertyRule::optional("gateway6", IP, "For cloud-init: IPv6 gateway."),
        rules::HARDWARE,
        rules::VLAN,
        PropertyRule::optional(
            "mtu",
            Kind::Integer { min: 1, max: 65520 },
            "Largest packet in bytes; 1 is the bridge's.",
        ),
        rules::SEEN_BY_FIREWALL,
    ],
    impact: "live",
    ..NodeRule::new("interface", "A network interface (`netN`), and what cloud-init makes of it (`ipconfigN`).")
};

pub(super) static CLOUD_INIT: NodeRule = NodeRule {
    properties: &[
        PropertyRule::optional("storage", WORD, "Where its drive is (`ide2`); needed where the original has none."),
        PropertyRule::optional("user", WORD, "The user that it makes; the image's own without it."),
    ],
    children: &[ChildRule::any(&AUTHORIZED_KEY)],
    impact: "restart",
    ..NodeRule::new("cloud-init", "What cloud-init does in the guest when it starts.")
};

pub(super) static AUTHORIZED_KEY: NodeRule = NodeRule {
    arguments: &[rules::KEY_LINE],
    ..NodeRule::new("authorized-key", "A public key that may log in as that user.")
};

pub(super) static AGENT: NodeRule = NodeRule {
    arguments: &[rules::TRUTH],
    default: Some(ORIGINAL),
    impact: "restart",
    ..NodeRule::new("agent", "Whether Proxmox asks QEMU's guest agent, such as to shut the guest down.")
};
