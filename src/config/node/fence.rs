//! `fence { node NAME … }` in the block of a cluster.

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::node::cluster_guest::{is_host, key_of};
use crate::config::problems::Problems;
use crate::config::{FenceNode, NodeMount, NodeRoad, is_filesystem_uuid, is_mount_point, is_whole_disk};
use crate::syntax::{Diagnostic, Node, Spanned, shown};

/// Where SSH servers listen.
const SSH_PORT: u16 = 22;

/// `fence { node "pve1" host="10.0.0.1" user="regatta" { host-key "ssh-ed25519 AAAA…" } }`
pub(super) static FENCE: NodeRule = NodeRule {
    children: &[ChildRule::any(&NODE)],
    ..NodeRule::new(
        "fence",
        "The nodes on which may be done what no API token may: features of containers but `nesting`, directories and devices \
         of the node, hook scripts; what belongs to a node alone: its USB disks; and by way of which containers are gone into \
         (`via=\"node\"`). It is done by a few exact commands through sudo; `regatta sudoers --node NAME` prints its rules. Without \
         a fence, plans refuse what needs one.",
    )
};

static NODE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Word, "Its name in the cluster.")],
    properties: &[
        PropertyRule::defaulted("via", Kind::Choice(&["ssh", "local"]), "ssh", "`local`: the node is this machine."),
        PropertyRule::optional("host", Kind::Word, "Its address or name; needed by `ssh`."),
        PropertyRule::defaulted("port", Kind::Integer { min: 1, max: 65535 }, "22", "TCP port of its SSH server."),
        PropertyRule::optional(
            "user",
            Kind::Word,
            "The user that logs in; needed by `ssh`. Any but root needs rules of sudo.",
        ),
        PropertyRule::optional(
            "identity",
            Kind::HostPath,
            "File of the private key that logs in, absolute or below `~/`. Without it: regatta's own.",
        ),
    ],
    children: &[
        ChildRule::at_most_once(&HOST_KEY),
        ChildRule::any(&DISK),
        ChildRule::at_most_once(&SENSORS),
        ChildRule::any(&MOUNT),
    ],
    ..NodeRule::new("node", "A node of the cluster, and how commands get there.")
};

static HOST_KEY: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("key", Kind::KeyLine, "Such as `ssh-ed25519 AAAA…`.")],
    ..NodeRule::new("host-key", "The only host key that is accepted; needed by `ssh`.")
};

static DISK: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("disk", Kind::Word, "Such as `/dev/sda` or `/dev/nvme0`.")],
    ..NodeRule::new("disk", "Disks whose health `regatta status` tells: `smartctl` is asked as root.")
};

static SENSORS: NodeRule =
    NodeRule::new("sensors", "`regatta status` tells what the node's sensors measure, as `sensors` prints it.");

static MOUNT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("path", Kind::Word, "Where: one directory in `/mnt` or `/media`. It is made.")],
    properties: &[
        PropertyRule::required("uuid", Kind::Word, "The UUID of its filesystem, as `blkid` prints it."),
        PropertyRule::defaulted(
            "fstab",
            Kind::Boolean,
            "#false",
            "Whether the node mounts it when it boots: a line of its `/etc/fstab`, with `nofail`. At boot nobody looks whether \
             another volume has taken the UUID.",
        ),
    ],
    impact: "none",
    ..NodeRule::new(
        "mount",
        "A USB disk that the node has mounted, with `nosuid` and `nodev`. While it is not plugged in, plans say so and nothing \
         is done; what leaves the file stays mounted.",
    )
};

/// The nodes of a fence, as far as they can be understood.
pub(super) fn decode(fence: &Node, problems: &mut Problems) -> Vec<FenceNode> {
    let mut nodes: Vec<FenceNode> = Vec::new();
    for node in Block::read(fence, &FENCE, problems).children(NODE.name) {
        let Some(decoded) = decode_node(node, problems) else { continue };
        match nodes.iter().find(|first| first.name.value == decoded.name.value) {
            Some(first) => problems.declared_twice("node", &decoded.name, first.name.span),
            None => nodes.push(decoded),
        }
    }
    nodes
}

fn decode_node(node: &Node, problems: &mut Problems) -> Option<FenceNode> {
    let before = problems.count();
    let block = Block::read(node, &NODE, problems);
    let key = block.children(HOST_KEY.name).filter_map(|it| Block::read(it, &HOST_KEY, problems).text("key")).next();
    let text = |name| block.text(name).map(|text| text.value);
    let (host, user, identity) = (block.text("host"), text("user"), block.text("identity"));
    if let Some(host) = host.as_ref().filter(|host| !is_host(&host.value)) {
        let message = format!("found `{}`, expected an address or a host name", shown(&host.value));
        problems.push(Diagnostic::error("config::wrong-value", message, host.span, "not accepted"));
    }
    if let Some(path) = identity.as_ref().filter(|path| !path.value.starts_with('/') && !path.value.starts_with("~/")) {
        let message = format!("found `{}`, expected a path that starts with `/` or `~/`", shown(&path.value));
        problems.push(Diagnostic::error("config::wrong-value", message, path.span, "not accepted"));
    }
    let is_local = text("via").as_deref() == Some("local");
    let road = match (is_local, host, user, key) {
        (true, None, None, None) => Some(NodeRoad::Local),
        (false, Some(host), Some(user), Some(key)) => Some(NodeRoad::Ssh {
            host: host.value,
            port: block.integer("port").and_then(|port| u16::try_from(port.value).ok()).unwrap_or(SSH_PORT),
            user,
            identity: identity.map(|path| path.value),
            host_key: key_of(&key.value),
        }),
        _ => None,
    };
    if road.is_none() && problems.count() == before && !block.is_uncertain() {
        let message = match is_local {
            true => "`via=\"local\"` takes neither `host`, `user` nor `host-key`",
            false => "a node that is reached by SSH needs `host`, `user` and `host-key`",
        };
        let problem = Diagnostic::error("config::contradiction", message, block.head(), "not complete");
        problems.push(
            problem.help("the host key is the first two words of the node's `/etc/ssh/ssh_host_ed25519_key.pub`; a node that is this machine is `via=\"local\"`"),
        );
    }
    let disks =
        block.children(DISK.name).flat_map(|it| Block::read(it, &DISK, problems).texts("disk").collect::<Vec<_>>());
    let disks: Vec<_> = disks.collect();
    for disk in disks.iter().filter(|disk| !is_whole_disk(&disk.value)) {
        let message = format!("found `{}`, expected a whole disk, such as `/dev/sda`", shown(&disk.value));
        problems.push(Diagnostic::error("config::wrong-value", message, disk.span, "not accepted"));
    }
    let sensors = block.children(SENSORS.name).map(|it| Block::read(it, &SENSORS, problems)).count() > 0;
    let mounts = mounts(&block, problems);
    let (Some(name), Some(road)) = (block.text("name"), road) else {
        problems.incomplete();
        return None;
    };
    Some(FenceNode { name, road, disks, sensors, mounts })
}

/// The disks that a node has mounted; no two at one place.
fn mounts(block: &Block<'_>, problems: &mut Problems) -> Vec<NodeMount> {
    let mut mounts: Vec<NodeMount> = Vec::new();
    for node in block.children(MOUNT.name) {
        let read = Block::read(node, &MOUNT, problems);
        let (Some(at), Some(uuid)) = (read.text("path"), read.text("uuid")) else { continue };
        let mut wrong = |found: &Spanned<String>, expected: &str| {
            let message = format!("found `{}`, expected {expected}", shown(&found.value));
            problems.push(Diagnostic::error("config::wrong-value", message, found.span, "not accepted"));
        };
        if !is_mount_point(&at.value) {
            wrong(&at, "one directory in `/mnt` or `/media`, such as `/mnt/backup`");
        }
        if !is_filesystem_uuid(&uuid.value) {
            wrong(&uuid, "the UUID of a filesystem, as `blkid` prints it");
        }
        let fstab = read.boolean("fstab").is_some_and(|fstab| fstab.value);
        match mounts.iter().find(|first| first.at.value == at.value) {
            Some(first) => problems.declared_twice("mount", &at, first.at.span),
            None => mounts.push(NodeMount { at, uuid, fstab, span: read.head() }),
        }
    }
    mounts
}
