//! What profiles and guests may set: the nodes of their blocks, decoded to [`Settings`].

use super::authorized_key::{self, AUTHORIZED_KEY};
use super::disk::{self, DISK};
use super::file::{self, FILE};
use super::file_sync::{self, FILE_SYNC};
use super::forward::{self, FORWARD};
use super::git_identity::{self, GIT_IDENTITY};
use super::session::{self, SESSION};
use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::settings::{Definition, Settings};
use crate::config::{Accelerator, ByteSize, Machine};
use crate::syntax::{Node, Spanned};

/// The nodes of a profile's or guest's block.
pub(in crate::config) static SETTINGS: &[ChildRule] = &[
    ChildRule::any(&USE),
    ChildRule::at_most_once(&CPUS),
    ChildRule::at_most_once(&MEMORY),
    ChildRule::at_most_once(&IMAGE),
    ChildRule::at_most_once(&KERNEL),
    ChildRule::at_most_once(&NETWORK),
    ChildRule::at_most_once(&ADDRESS),
    ChildRule::at_most_once(&MAC),
    ChildRule::any(&FORWARD),
    ChildRule::at_most_once(&WORK_DISK),
    ChildRule::any(&DISK),
    ChildRule::at_most_once(&ACCEL),
    ChildRule::at_most_once(&MACHINE),
    ChildRule::at_most_once(&JAILER),
    ChildRule::any(&AUTHORIZED_KEY),
    ChildRule::at_most_once(&GIT_IDENTITY),
    ChildRule::any(&FILE_SYNC),
    ChildRule::any(&FILE),
    ChildRule::any(&SESSION),
    ChildRule::any(&AFTER),
    ChildRule::any(&TAGS),
    ChildRule::at_most_once(&AUTOSTART),
    ChildRule::at_most_once(&PROTECT),
    ChildRule::any(&IGNORE_DRIFT),
];

pub(in crate::config) static USE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("profile", Kind::Name, "Names of profiles.")],
    ..NodeRule::new("use", "Takes the settings of profiles. What the block states itself goes first.")
};

static CPUS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("cpus", Kind::Integer { min: 1, max: 255 }, "How many.")],
    default: Some("1"),
    prioritised: true,
    impact: "restart",
    ..NodeRule::new("cpus", "Virtual CPUs of the guest.")
};

static MEMORY: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("memory", Kind::Size { min: ByteSize::mib(64) }, "How much.")],
    default: Some("512MiB"),
    prioritised: true,
    impact: "restart",
    ..NodeRule::new("memory", "Memory of the guest.")
};

static IMAGE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("image", Kind::Name, "Name of an `image` node.")],
    prioritised: true,
    impact: "recreate",
    ..NodeRule::new("image", "What the guest's root disk is copied from.")
};

static KERNEL: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("kernel", Kind::Name, "Name of a `kernel` node.")],
    default: Some("the cloud kernel of the image's suite"),
    prioritised: true,
    impact: "restart",
    ..NodeRule::new("kernel", "What the guest boots.")
};

static NETWORK: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("network", Kind::Name, "Name of a `network` node.")],
    default: Some("a user-mode network"),
    prioritised: true,
    impact: "restart",
    ..NodeRule::new("network", "How the guest is connected.")
};

static ADDRESS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("address", Kind::Ipv4Address, "One of its network's.")],
    default: Some("follows from the names of fleet, network and guest"),
    prioritised: true,
    impact: "restart",
    ..NodeRule::new("address", "The guest's address in a bridged network. Its IPv6 address ends with the same number.")
};

static MAC: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("mac", Kind::Mac, "Of one interface.")],
    default: Some("follows from the names of fleet, network and guest"),
    prioritised: true,
    impact: "restart",
    ..NodeRule::new("mac", "The guest's MAC address in a bridged network.")
};

static WORK_DISK: NodeRule = NodeRule {
    properties: &[PropertyRule::required("size", Kind::Size { min: ByteSize::mib(16) }, "How large it is.")],
    default: Some("work-disk size=\"4GiB\""),
    prioritised: true,
    impact: "restart",
    ..NodeRule::new(
        "work-disk",
        "The disk that persists, mounted at `/root`. It takes only the space that is used, and outlives the root disk.",
    )
};

static ACCEL: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "accel",
        Kind::Choice(&["auto", "kvm", "tcg"]),
        "`kvm` is hardware virtualisation, `tcg` emulation; `auto` tries which of them works.",
    )],
    default: Some("auto"),
    prioritised: true,
    impact: "restart",
    ..NodeRule::new("accel", "What runs the guest's code.")
};

static MACHINE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "machine",
        Kind::Choice(&["microvm", "q35", "firecracker"]),
        "`microvm` and `q35` are QEMU's: the first starts faster, the second has PCI. `firecracker` needs the program \
         `firecracker`, KVM and a bridged network.",
    )],
    default: Some("firecracker where it runs and the guest asks for nothing that only QEMU has, else microvm"),
    prioritised: true,
    impact: "restart",
    ..NodeRule::new(
        "machine",
        "What the guest is as a machine. Between QEMU and Firecracker its root disk is made anew; one that names none stays with \
         the one it was made for. `regatta explain` says which it is and why.",
    )
};

static JAILER: NodeRule = NodeRule {
    properties: &[PropertyRule::required("user", Kind::Name, "Whose the jail is: a user that may do nothing else.")],
    default: Some("no jail: the VMM runs as who applies"),
    prioritised: true,
    impact: "restart",
    ..NodeRule::new(
        "jailer",
        "Runs Firecracker in the jail of its `jailer`: a root directory with this guest's files only, process ids of its own, and \
         another user. Needs `machine \"firecracker\"`, and that root applies the fleet.",
    )
};

pub(in crate::config) static AFTER: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("guest", Kind::Name, "Names of guests, or of nodes with a `count`.")],
    prioritised: true,
    ..NodeRule::new("after", "Waits until other guests are ready, whenever this guest and they are changed in one run.")
};

static TAGS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("tag", Kind::Name, "Names of groups.")],
    prioritised: true,
    ..NodeRule::new("tags", "Groups that the guest is in, for commands that select guests.")
};

static AUTOSTART: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("autostart", Kind::Boolean, "`#true` starts it with its host.")],
    default: Some("#false"),
    prioritised: true,
    ..NodeRule::new(
        "autostart",
        "Whether the guest comes back when its host boots, by a unit of systemd that an apply writes and removes. It is started \
         as it was last applied; a bridged network is made before.",
    )
};

static PROTECT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("protect", Kind::Boolean, "`#false` lifts it, in an apply of its own.")],
    default: Some("as it is: `regatta protect` decides"),
    prioritised: true,
    ..NodeRule::new(
        "protect",
        "Refuses plans that remove the guest or its root disk. The mark lies on the guest: it stays when this line, or the \
         whole guest, leaves the file.",
    )
};

static IGNORE_DRIFT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated(
        "attribute",
        Kind::Text,
        "Attributes as plans name them, such as `state` or `~/.cache/**`; `*` stops at slashes, `**` does not.",
    )],
    prioritised: true,
    ..NodeRule::new(
        "ignore-drift",
        "Expects drift of these attributes of the guest and its files: it is neither reported nor undone, unless something \
         else of the same resource changes.",
    )
};

/// The profiles a block uses, in order.
pub(in crate::config) fn decode_uses(block: &Block<'_>, problems: &mut Problems) -> Vec<Spanned<String>> {
    block
        .children("use")
        .flat_map(|node| Block::read(node, &USE, problems).texts("profile").collect::<Vec<_>>())
        .collect()
}

/// What a block states itself.
pub(in crate::config) fn decode_settings(block: &Block<'_>, problems: &mut Problems) -> Settings {
    let mut settings = Settings::default();
    for node in block.all_children() {
        decode_setting(node, &mut settings, problems);
    }
    settings
}

/// Decodes one node of a block into the setting it states.
pub(in crate::config) fn decode_setting(node: &Node, settings: &mut Settings, problems: &mut Problems) {
    match node.name.value.as_str() {
        "cpus" => set(&mut settings.cpus, node, Block::read(node, &CPUS, problems).integer("cpus")),
        "memory" => set(&mut settings.memory, node, Block::read(node, &MEMORY, problems).size("memory")),
        "image" => set(&mut settings.image, node, Block::read(node, &IMAGE, problems).text("image")),
        "kernel" => set(&mut settings.kernel, node, Block::read(node, &KERNEL, problems).text("kernel")),
        "network" => set(&mut settings.network, node, Block::read(node, &NETWORK, problems).text("network")),
        "address" => set(&mut settings.address, node, parsed(Block::read(node, &ADDRESS, problems).text("address"))),
        "mac" => set(&mut settings.mac, node, parsed(Block::read(node, &MAC, problems).text("mac"))),
        "work-disk" => set(&mut settings.work_disk, node, Block::read(node, &WORK_DISK, problems).size("size")),
        "disk" => add(&mut settings.disks, node, whole(node, disk::decode(node, problems))),
        "accel" => {
            let accel = Block::read(node, &ACCEL, problems).text("accel");
            set(&mut settings.accel, node, accel.map(|word| word.map(|word| accelerator(&word))));
        }
        "machine" => {
            let machine = Block::read(node, &MACHINE, problems).text("machine");
            set(&mut settings.machine, node, machine.map(|word| word.map(|word| self::machine(&word))));
        }
        "jailer" => set(&mut settings.jailer, node, Block::read(node, &JAILER, problems).text("user")),
        "git-identity" => set(&mut settings.git_identity, node, whole(node, git_identity::decode(node, problems))),
        "forward" => add(&mut settings.forwards, node, whole(node, forward::decode(node, problems))),
        "authorized-key" => {
            add(&mut settings.authorized_keys, node, whole(node, authorized_key::decode(node, problems)));
        }
        "file-sync" => add(&mut settings.file_syncs, node, whole(node, file_sync::decode(node, problems))),
        "file" => add(&mut settings.files, node, whole(node, file::decode(node, problems))),
        "session" => add(&mut settings.sessions, node, whole(node, session::decode(node, problems))),
        "after" => Block::read(node, &AFTER, problems)
            .texts("guest")
            .for_each(|guest| add(&mut settings.after, node, Some(guest))),
        "tags" => {
            Block::read(node, &TAGS, problems).texts("tag").for_each(|tag| add(&mut settings.tags, node, Some(tag)));
        }
        "autostart" => set(&mut settings.autostart, node, Block::read(node, &AUTOSTART, problems).boolean("autostart")),
        "protect" => set(&mut settings.protect, node, Block::read(node, &PROTECT, problems).boolean("protect")),
        "ignore-drift" => Block::read(node, &IGNORE_DRIFT, problems)
            .texts("attribute")
            .for_each(|pattern| add(&mut settings.ignore_drift, node, Some(pattern))),
        // `use` is decoded by itself; unknown nodes are reported with the block.
        _ => {}
    }
}

fn machine(word: &str) -> Machine {
    match word {
        "q35" => Machine::Q35,
        "firecracker" => Machine::Firecracker,
        _ => Machine::Microvm,
    }
}

fn accelerator(word: &str) -> Accelerator {
    match word {
        "kvm" => Accelerator::Kvm,
        "tcg" => Accelerator::Tcg,
        _ => Accelerator::Auto,
    }
}

/// The kind of the value made sure that it can be parsed.
fn parsed<T: std::str::FromStr>(text: Option<Spanned<String>>) -> Option<Spanned<T>> {
    text.and_then(|text| Some(Spanned::new(text.value.parse().ok()?, text.span)))
}

/// A value whose place is its whole node.
fn whole<T>(node: &Node, value: Option<T>) -> Option<Spanned<T>> {
    value.map(|value| Spanned::new(value, node.span))
}

/// Keeps the first of several: that there are several was reported with the block.
fn set<T>(slot: &mut Option<Definition<T>>, node: &Node, value: Option<Spanned<T>>) {
    if slot.is_none() {
        *slot = value.map(|value| Definition::new(value, node));
    }
}

fn add<T>(list: &mut Vec<Definition<T>>, node: &Node, value: Option<Spanned<T>>) {
    list.extend(value.map(|value| Definition::new(value, node)));
}
