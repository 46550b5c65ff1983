//! The tables of `container` and what stands in its block.

use super::inside::SSH;
use super::rules::{self, IP, SIZE, WORD};
use super::{firewall, high_availability};
use crate::config::ByteSize;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::node::authorized_key::AUTHORIZED_KEY;
use crate::config::node::file::FILE;
use crate::config::node::file_sync::FILE_SYNC;
use crate::config::node::git_identity::GIT_IDENTITY;
use crate::config::node::guest;
use crate::config::node::session::SESSION;

pub(in crate::config) static CONTAINER: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "The container's name and host name.")],
    properties: &[rules::COUNT],
    children: &[
        ChildRule::once(&rules::CLUSTER),
        ChildRule::any(&guest::USE),
        ChildRule::at_most_once(&rules::NODE),
        ChildRule::at_most_once(&rules::NUMBER),
        ChildRule::at_most_once(&TEMPLATE),
        ChildRule::at_most_once(&rules::CLONE),
        ChildRule::at_most_once(&rules::RESTORE),
        ChildRule::at_most_once(&rules::EXISTING),
        ChildRule::at_most_once(&UNPRIVILEGED),
        ChildRule::at_most_once(&CORES),
        ChildRule::at_most_once(&MEMORY),
        ChildRule::at_most_once(&SWAP),
        ChildRule::at_most_once(&ROOT_DISK),
        ChildRule::any(&MOUNT),
        ChildRule::any(&BIND),
        ChildRule::any(&DEVICE),
        ChildRule::any(&INTERFACE),
        ChildRule::at_most_once(&rules::DNS),
        ChildRule::any(&FEATURE),
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
        ChildRule::any(&AUTHORIZED_KEY),
        ChildRule::at_most_once(&GIT_IDENTITY),
        ChildRule::any(&FILE_SYNC),
        ChildRule::any(&FILE),
        ChildRule::any(&SESSION),
    ],
    ..NodeRule::new("container", "An LXC container that should exist on a Proxmox VE cluster.")
};

pub(super) static TEMPLATE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "volume",
        WORD,
        "Such as `local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst`.",
    )],
    properties: &[rules::URL, rules::FILE, rules::SHA256],
    ..NodeRule::new(
        "template",
        "The container template that it is made from. One of this, `clone` and `restore` is needed.",
    )
};

pub(super) static UNPRIVILEGED: NodeRule = NodeRule {
    arguments: &[rules::TRUTH],
    default: Some("#true"),
    ..NodeRule::new(
        "unprivileged",
        "Whether root in the container is nobody on the node. Decided when it is made: of a clone, a backup or a guest that is there already, it says what you know of it, and plans refuse what is otherwise.",
    )
};

pub(super) static CORES: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("cores", Kind::Integer { min: 1, max: 8192 }, "How many.")],
    default: Some("all of its node"),
    impact: "live",
    ..NodeRule::new("cores", "Cores that the container may use.")
};

pub(super) static MEMORY: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("memory", SIZE, "How much.")],
    default: Some("512MiB"),
    impact: "live",
    ..NodeRule::new("memory", "Memory of the container.")
};

pub(super) static SWAP: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("swap", Kind::Size { min: ByteSize::bytes(0) }, "How much.")],
    default: Some("512MiB"),
    impact: "live",
    ..NodeRule::new("swap", "Swap space of the container.")
};

pub(super) static ROOT_DISK: NodeRule = NodeRule {
    properties: &[
        PropertyRule::required("storage", WORD, "Storage of the cluster."),
        PropertyRule::required("size", SIZE, "How large it is. It grows while the container runs, and never shrinks."),
    ],
    default: Some("that of the original of a clone"),
    impact: "live",
    ..NodeRule::new("root-disk", "The disk mounted at `/`.")
};

pub(super) static MOUNT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("path", WORD, "Where it is mounted in the container.")],
    properties: &[
        PropertyRule::required("storage", WORD, "Storage of the cluster."),
        PropertyRule::required("size", SIZE, "How large it is. It grows and never shrinks."),
        PropertyRule::optional("backup", Kind::Boolean, "Whether it is part of backups."),
        PropertyRule::optional("read-only", Kind::Boolean, "Whether it cannot be written."),
    ],
    impact: "restart",
    ..NodeRule::new(
        "mount",
        "A disk beside the root disk. One that is no longer declared is kept, unused, until it is freed.",
    )
};

pub(super) static BIND: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("path", WORD, "Where it is in the container.")],
    properties: &[
        PropertyRule::required("from", WORD, "Where it is on the node; none of the system's own directories."),
        PropertyRule::optional("read-only", Kind::Boolean, "Whether it cannot be written."),
    ],
    impact: "restart",
    ..NodeRule::new("bind", "A directory of the node in the container. It needs the cluster's `fence`, and one `vmid`.")
};

pub(super) static DEVICE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("path", WORD, "Such as `/dev/ttyUSB0`; none that holds the node's own data.")],
    properties: &[
        PropertyRule::defaulted("mode", Kind::Mode, "\"0660\"", "Permission bits in the container."),
        PropertyRule::optional("uid", OWNER, "Its owner in the container; root without."),
        PropertyRule::optional("gid", OWNER, "Its group in the container; root without."),
    ],
    impact: "restart",
    ..NodeRule::new("device", "A device of the node in the container. It needs the cluster's `fence`, and one `vmid`.")
};

/// A user or group by number.
const OWNER: Kind = Kind::Integer { min: 0, max: 65535 };

pub(super) static INTERFACE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", WORD, "Its name in the container.")],
    properties: &[
        rules::BRIDGE,
        PropertyRule::optional("ip", IP, "`dhcp`, `manual`, or an IPv4 address with its prefix."),
        PropertyRule::optional("gateway", IP, "IPv4 gateway."),
        PropertyRule::optional("ip6", IP, "`auto`, `dhcp`, `manual`, or an IPv6 address with its prefix."),
        PropertyRule::optional("gateway6", IP, "IPv6 gateway."),
        rules::HARDWARE,
        rules::VLAN,
        PropertyRule::optional("mtu", Kind::Integer { min: 64, max: 65535 }, "Largest packet in bytes."),
        rules::SEEN_BY_FIREWALL,
    ],
    impact: "live",
    ..NodeRule::new("interface", "A network interface.")
};

pub(super) static FEATURE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated(
        "feature",
        Kind::Choice(&["nesting", "keyctl", "fuse", "mknod"]),
        "API tokens may only change `nesting` of unprivileged containers: the others need the cluster's `fence`.",
    )],
    impact: "restart",
    ..NodeRule::new("feature", "Features of LXC that are switched on.")
};
