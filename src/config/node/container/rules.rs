//! The tables of `container` and what stands in its block.

use crate::config::ByteSize;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};

/// A name of Proxmox's: storage, bridge, node. It becomes part of a property string.
const WORD: Kind = Kind::Word;
const VMID: Kind = Kind::Integer { min: 100, max: 999_999_999 };
const SIZE: Kind = Kind::Size { min: ByteSize::mib(16) };

/// `container "web" { cluster "pve"; template "local:vztmpl/…"; root-disk storage="local" size="8GiB" }`
pub(in crate::config) static CONTAINER: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "The container's name and host name.")],
    properties: &[PropertyRule::optional(
        "count",
        Kind::Integer { min: 0, max: 65536 },
        "Declares so many containers, named `NAME-1`, `NAME-2` and so on.",
    )],
    children: &[
        ChildRule::once(&CLUSTER),
        ChildRule::at_most_once(&NODE),
        ChildRule::at_most_once(&NUMBER),
        ChildRule::at_most_once(&TEMPLATE),
        ChildRule::at_most_once(&CLONE),
        ChildRule::at_most_once(&UNPRIVILEGED),
        ChildRule::at_most_once(&CORES),
        ChildRule::at_most_once(&MEMORY),
        ChildRule::at_most_once(&SWAP),
        ChildRule::at_most_once(&ROOT_DISK),
        ChildRule::any(&MOUNT),
        ChildRule::any(&INTERFACE),
        ChildRule::at_most_once(&DNS),
        ChildRule::any(&FEATURE),
        ChildRule::any(&TAGS),
        ChildRule::at_most_once(&NOTES),
        ChildRule::at_most_once(&STARTUP),
        ChildRule::at_most_once(&PROTECTION),
        ChildRule::at_most_once(&ON_BOOT),
        ChildRule::at_most_once(&RUNNING),
        ChildRule::at_most_once(&RESTART),
        ChildRule::any(&AUTHORIZED_KEY),
    ],
    ..NodeRule::new("container", "An LXC container that should exist on a Proxmox VE cluster.")
};

pub(super) static CLUSTER: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("cluster", Kind::Name, "Name of a `cluster` node.")],
    ..NodeRule::new("cluster", "Where the container is.")
};

pub(super) static NODE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("node", WORD, "Names of nodes of the cluster.")],
    default: Some("any node that is online"),
    ..NodeRule::new(
        "node",
        "Nodes that the container may be made on; of those that are online the one with the most free memory is taken. \
         A container that moved later is found where it is.",
    )
};

pub(super) static NUMBER: NodeRule = NodeRule {
    arguments: &[ArgumentRule::optional("number", VMID, "Exactly this number.")],
    properties: &[
        PropertyRule::optional("from", VMID, "The smallest number it may get."),
        PropertyRule::optional("to", VMID, "The largest."),
    ],
    default: Some("vmid from=100 to=999999999"),
    ..NodeRule::new("vmid", "Which number the container gets when it is made: the first that is free.")
};

pub(super) static TEMPLATE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "volume",
        WORD,
        "Such as `local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst`.",
    )],
    ..NodeRule::new("template", "The container template that it is made from. Either this or `clone` is needed.")
};

pub(super) static CLONE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("vmid", VMID, "Number of the original.")],
    properties: &[
        PropertyRule::optional(
            "full",
            Kind::Boolean,
            "A copy of its disks instead of layers over those of a template.",
        ),
        PropertyRule::optional("storage", WORD, "Where a full copy goes."),
    ],
    ..NodeRule::new("clone", "The container that it is cloned from. Clones of one original are made one after another.")
};

pub(super) static UNPRIVILEGED: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("truth", Kind::Boolean, "Whether.")],
    default: Some("#true"),
    ..NodeRule::new("unprivileged", "Whether root in the container is nobody on the node. Decided when it is made.")
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

const IP: Kind = Kind::Word;

pub(super) static INTERFACE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", WORD, "Its name in the container.")],
    properties: &[
        PropertyRule::required("bridge", WORD, "Bridge of the node."),
        PropertyRule::optional("ip", IP, "`dhcp`, `manual`, or an IPv4 address with its prefix."),
        PropertyRule::optional("gateway", IP, "IPv4 gateway."),
        PropertyRule::optional("ip6", IP, "`auto`, `dhcp`, `manual`, or an IPv6 address with its prefix."),
        PropertyRule::optional("gateway6", IP, "IPv6 gateway."),
        PropertyRule::optional("mac", WORD, "MAC address. Without it Proxmox makes one, which stays."),
        PropertyRule::optional("vlan", Kind::Integer { min: 1, max: 4094 }, "VLAN tag."),
        PropertyRule::optional("mtu", Kind::Integer { min: 64, max: 65535 }, "Largest packet in bytes."),
        PropertyRule::optional("firewall", Kind::Boolean, "Whether Proxmox's firewall sees its packets."),
    ],
    impact: "live",
    ..NodeRule::new("interface", "A network interface.")
};

pub(super) static DNS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::any("server", IP, "Addresses of DNS servers.")],
    properties: &[PropertyRule::optional("domain", WORD, "Search domain.")],
    default: Some("those of its node"),
    impact: "restart",
    ..NodeRule::new("dns", "How the container finds names.")
};

pub(super) static FEATURE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated(
        "feature",
        Kind::Choice(&["nesting", "keyctl", "fuse", "mknod"]),
        "API tokens may only change `nesting` of unprivileged containers: the others need root itself.",
    )],
    impact: "restart",
    ..NodeRule::new("feature", "Features of LXC that are switched on.")
};

pub(super) static TAGS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("tag", Kind::Name, "Names.")],
    impact: "live",
    ..NodeRule::new("tags", "Tags in Proxmox, and groups for commands that select guests. Tags of others stay.")
};

pub(super) static NOTES: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("text", Kind::Text, "Markdown.")],
    default: Some("whatever somebody writes in Proxmox"),
    impact: "live",
    ..NodeRule::new("notes", "The notes of the container, above the block in which regatta keeps its mark.")
};

const SECONDS: Kind = Kind::Integer { min: 0, max: 86400 };

pub(super) static STARTUP: NodeRule = NodeRule {
    properties: &[
        PropertyRule::optional("order", Kind::Integer { min: 0, max: 65535 }, "Smaller numbers first."),
        PropertyRule::optional("up", SECONDS, "Seconds before the next one is started."),
        PropertyRule::optional("down", SECONDS, "Seconds it gets to shut down."),
    ],
    impact: "live",
    ..NodeRule::new("startup", "When the container starts and stops with its node.")
};

pub(super) static PROTECTION: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("truth", Kind::Boolean, "Whether.")],
    default: Some("#false"),
    impact: "live",
    ..NodeRule::new("protection", "Whether Proxmox, and regatta, refuse to remove the container.")
};

pub(super) static ON_BOOT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("truth", Kind::Boolean, "Whether.")],
    default: Some("#false"),
    impact: "live",
    ..NodeRule::new("on-boot", "Whether the container starts with its node.")
};

pub(super) static RUNNING: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("truth", Kind::Boolean, "Whether.")],
    default: Some("#true"),
    impact: "restart",
    ..NodeRule::new("running", "Whether the container should run.")
};

pub(super) static RESTART: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "when",
        Kind::Choice(&["if-needed", "never"]),
        "`if-needed`: the plan says so and `apply` asks; `never`: what needs a restart waits for the next one.",
    )],
    default: Some("if-needed"),
    ..NodeRule::new("restart", "Whether the container is restarted for changes that need it.")
};

pub(super) static AUTHORIZED_KEY: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("key", Kind::KeyLine, "The key line.")],
    ..NodeRule::new("authorized-key", "A public key that may log in as root, put in when the container is made.")
};
