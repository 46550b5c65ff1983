//! `disk NAME size=SIZE at=PATH`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{ByteSize, Disk};
use crate::syntax::{Diagnostic, Node, Spanned, shown};

/// Longest name: that of an ext4 label, and shorter than what virtio has room for.
const NAME: usize = 16;

/// Longest mount point: the kernel's command line carries it.
const MOUNT_POINT: usize = 64;

/// Names of the disks that every guest has.
const TAKEN: [&str; 3] = ["root", "work", "modules"];

/// What a guest cannot start without, and would not see any more.
const NEEDED: [&str; 7] = ["/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr", "/var"];

/// `disk "data" size="10GiB" at="/srv/data"`
pub(in crate::config) static DISK: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "name",
        Kind::Name,
        "What it is called: its label, and on QEMU `/dev/disk/by-id/virtio-NAME`. At most 16 characters.",
    )],
    properties: &[
        PropertyRule::required(
            "size",
            Kind::Size { min: ByteSize::mib(16) },
            "How large it is. It grows and never shrinks.",
        ),
        PropertyRule::optional(
            "at",
            Kind::ImagePath,
            "Where it is mounted: it is made with an ext4 file system then. Without it the guest gets a raw block device.",
        ),
    ],
    prioritised: true,
    impact: "restart",
    ..NodeRule::new(
        "disk",
        "A further disk that persists, beside the work disk. Removing it from the file removes what is on it.",
    )
};

/// The disk, when its name, size and mount point are good.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<Disk> {
    let block = Block::read(node, &DISK, problems);
    let name = block.text("name").filter(|name| is_usable(name, problems));
    let at = block.text("at");
    let is_mountable = at.as_ref().is_none_or(|at| can_be_mounted_at(at, problems));
    let size = block.size("size");
    is_mountable.then_some(Disk { name: name?.value, size: size?.value, at: at.map(|at| at.value) })
}

fn is_usable(name: &Spanned<String>, problems: &mut Problems) -> bool {
    let text = &name.value;
    let (message, help) = if TAKEN.contains(&text.as_str()) {
        (format!("found a disk `{text}`, which every guest has"), "give it another name")
    } else if text.len() > NAME {
        (
            format!("found the disk's name `{}` of {} characters, the limit is {NAME}", shown(text), text.len()),
            "shorten it",
        )
    } else {
        return true;
    };
    problems.push(Diagnostic::error("config::disk-name", message, name.span, "not possible").help(help));
    false
}

fn can_be_mounted_at(at: &Spanned<String>, problems: &mut Problems) -> bool {
    let path = &at.value;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let why = if NEEDED.contains(&path.as_str()) {
        "guests cannot start without what their image has there"
    } else if path.len() > MOUNT_POINT || !path.chars().all(is_plain) {
        "expected at most 64 letters, digits and `/`, `.`, `_`, `-`"
    } else {
        return true;
    };
    let message = format!("a disk cannot be mounted at `{}`: {why}", shown(path));
    problems.push(Diagnostic::error("config::mount-point", message, at.span, "not possible"));
    false
}
