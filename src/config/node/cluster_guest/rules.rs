//! The tables of what containers and virtual machines on clusters have in common.

use crate::config::ByteSize;
use crate::config::language::{ArgumentRule, Kind, NodeRule, PropertyRule};

/// A name of Proxmox's: storage, bridge, node. It becomes part of a property string.
pub(super) const WORD: Kind = Kind::Word;
pub(super) const VMID: Kind = Kind::Integer { min: 100, max: 999_999_999 };
pub(super) const SIZE: Kind = Kind::Size { min: ByteSize::mib(16) };
pub(super) const IP: Kind = Kind::Word;
const SECONDS: Kind = Kind::Integer { min: 0, max: 86400 };

/// `count` of either kind of guest.
pub(super) const COUNT: PropertyRule = PropertyRule::optional(
    "count",
    Kind::Integer { min: 0, max: 65536 },
    "Declares so many guests, named `NAME-1`, `NAME-2` and so on.",
);

/// The argument of nodes that say yes or no.
pub(super) const TRUTH: ArgumentRule = ArgumentRule::required("truth", Kind::Boolean, "Whether.");

/// `bridge` of an interface of either kind; what else connects one follows.
pub(super) const BRIDGE: PropertyRule = PropertyRule::required("bridge", WORD, "Bridge of the node.");
pub(super) const HARDWARE: PropertyRule =
    PropertyRule::optional("mac", WORD, "MAC address. Without it Proxmox makes one, which stays.");
pub(super) const VLAN: PropertyRule = PropertyRule::optional("vlan", Kind::Integer { min: 1, max: 4094 }, "VLAN tag.");
pub(super) const SEEN_BY_FIREWALL: PropertyRule =
    PropertyRule::optional("firewall", Kind::Boolean, "Whether Proxmox's firewall sees its packets.");

/// A key that may log in: `authorized-key` of either kind.
pub(super) const KEY_LINE: ArgumentRule = ArgumentRule::required("key", Kind::KeyLine, "The key line.");

pub(super) static CLUSTER: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("cluster", Kind::Name, "Name of a `cluster` node.")],
    ..NodeRule::new("cluster", "Where the guest is.")
};

pub(super) static NODE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("node", WORD, "Names of nodes of the cluster.")],
    default: Some("any node that is online"),
    ..NodeRule::new(
        "node",
        "Nodes that the guest may be made on; of those that are online the one with the most free memory is taken. \
         A guest that moved later is found where it is.",
    )
};

pub(super) static NUMBER: NodeRule = NodeRule {
    arguments: &[ArgumentRule::optional("number", VMID, "Exactly this number.")],
    properties: &[
        PropertyRule::optional("from", VMID, "The smallest number it may get."),
        PropertyRule::optional("to", VMID, "The largest."),
    ],
    default: Some("vmid from=100 to=999999999"),
    ..NodeRule::new("vmid", "Which number the guest gets when it is made: the first that is free.")
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
    ..NodeRule::new("clone", "The guest that it is cloned from. Clones of one original are made one after another.")
};

pub(super) static RESTORE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "volume",
        WORD,
        "Such as `local:backup/vzdump-lxc-101-2026_11_22-04_02_22.tar.zst`.",
    )],
    properties: &[
        PropertyRule::optional("storage", WORD, "Where its disks go."),
        PropertyRule::defaulted(
            "same",
            Kind::Boolean,
            "#false",
            "Whether it takes the place of what was backed up, and keeps its MAC addresses.",
        ),
    ],
    ..NodeRule::new("restore", "The backup that the guest is made from, with what was backed up of its configuration.")
};

pub(super) static EXISTING: NodeRule = NodeRule::new(
    "existing",
    "The guest is there already, under this name and with the number in `vmid`, and is taken over: the next apply puts the mark \
     of the fleet on it. It is never made. `regatta adopt` writes this.",
);

/// Where a volume comes from that may not be there: two properties of the node that names it.
pub(super) const URL: PropertyRule = PropertyRule::optional(
    "url",
    Kind::Url,
    "Where the node downloads it from when its storage does not have it; together with `sha256`.",
);
pub(super) const FILE: PropertyRule = PropertyRule::optional(
    "file",
    Kind::HostPath,
    "The file on this machine that is uploaded when the storage does not have it; together with `sha256`.",
);
pub(super) const SHA256: PropertyRule =
    PropertyRule::optional("sha256", Kind::Sha256, "The digest that the volume must have; its storage checks it.");

pub(super) static POOL: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("pool", WORD, "Its name. The pool exists already.")],
    default: Some("whatever somebody chooses in Proxmox"),
    impact: "live",
    ..NodeRule::new("pool", "The resource pool that the guest is in.")
};

pub(super) static DNS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::any("server", IP, "Addresses of DNS servers.")],
    properties: &[PropertyRule::optional("domain", WORD, "Search domain.")],
    default: Some("those of its node"),
    impact: "restart",
    ..NodeRule::new("dns", "How the guest finds names.")
};

pub(super) static TAGS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("tag", Kind::Name, "Names.")],
    prioritised: true,
    impact: "live",
    ..NodeRule::new("tags", "Tags in Proxmox, and groups for commands that select guests. Tags of others stay.")
};

pub(super) static NOTES: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("text", Kind::Text, "Markdown.")],
    default: Some("whatever somebody writes in Proxmox"),
    impact: "live",
    ..NodeRule::new("notes", "The notes of the guest, above the block in which regatta keeps its mark.")
};

pub(super) static STARTUP: NodeRule = NodeRule {
    properties: &[
        PropertyRule::optional("order", Kind::Integer { min: 0, max: 65535 }, "Smaller numbers first."),
        PropertyRule::optional("up", SECONDS, "Seconds before the next one is started."),
        PropertyRule::optional("down", SECONDS, "Seconds it gets to shut down."),
    ],
    impact: "live",
    ..NodeRule::new("startup", "When the guest starts and stops with its node.")
};

pub(super) static PROTECTION: NodeRule = NodeRule {
    arguments: &[TRUTH],
    default: Some("#false"),
    impact: "live",
    ..NodeRule::new("protection", "Whether Proxmox, and regatta, refuse to remove the guest.")
};

pub(super) static ON_BOOT: NodeRule = NodeRule {
    arguments: &[TRUTH],
    default: Some("#false"),
    impact: "live",
    ..NodeRule::new("on-boot", "Whether the guest starts with its node.")
};

pub(super) static HOOK_SCRIPT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("volume", WORD, "Such as `local:snippets/hook.sh`, which is there already.")],
    default: Some("none"),
    impact: "live",
    ..NodeRule::new(
        "hook-script",
        "A script that its node runs as root when the guest starts and stops. It needs the cluster's `fence`, and one `vmid`.",
    )
};

pub(super) static RUNNING: NodeRule = NodeRule {
    arguments: &[TRUTH],
    default: Some("#true"),
    impact: "restart",
    ..NodeRule::new("running", "Whether the guest should run.")
};

pub(super) static RESTART: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "when",
        Kind::Choice(&["if-needed", "ask", "never"]),
        "`if-needed`: the plan says so and `apply` asks; `ask`: only when somebody types the guest's name or passes it to \
         `--yes-destroy`, `--yes` alone leaves it pending; `never`: what needs a restart waits for the next one.",
    )],
    default: Some("if-needed"),
    ..NodeRule::new("restart", "Whether the guest is restarted for changes that need it.")
};
