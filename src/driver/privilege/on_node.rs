//! What root sets on the nodes of clusters: each argument in the one spelling in which regatta sends it.

use std::collections::BTreeSet;

use super::catalogue::{Program, Refused, RootCommand, admit};
use super::enter::enter_container;
use crate::config::{is_filesystem_uuid, is_mount_point, is_plain_path, is_shareable, is_shareable_device};
use crate::resource::cluster::field::{Several, by_path};
use crate::resource::cluster::{Act, ClusterGuestSpec, GuestKind, NodeMountSpec, Via};

/// Features that fleet files can switch on, in the order in which they are sent.
const FEATURES: [&str; 4] = ["fuse=1", "keyctl=1", "mknod=1", "nesting=1"];

/// Stands for a digest that is known when a command is run: rules leave it open.
const ANY_DIGEST: &str = "0000000000000000000000000000000000000000";

/// Sets or takes away one thing of a guest, unless its configuration moved since it was read.
///
/// # Errors
/// It is nothing that root is asked for.
pub(in crate::driver) fn set_on_node(
    kind: GuestKind,
    vmid: u32,
    digest: &str,
    act: &Act,
) -> Result<RootCommand, Refused> {
    let program = if kind == GuestKind::Container { Program::Pct } else { Program::Qm };
    let (option, value) = match act {
        Act::Set { key, value } => (format!("--{key}"), value),
        Act::Delete { key } => ("--delete".to_owned(), key),
        // Every token may do that.
        Act::Grow { disk, size } => (format!("--{disk}"), size),
    };
    admit(program.name(), &["set", &vmid.to_string(), "--digest", digest, &option, value])
}

/// Asks a disk how it is.
///
/// # Errors
/// It is no whole disk.
pub fn disk_health(disk: &str) -> Result<RootCommand, Refused> {
    admit(Program::Smartctl.name(), &["--json", "--info", "--health", "--attributes", disk])
}

/// Mounts a disk of a node, without set-user-ID programs and device files; makes the mount point.
///
/// # Errors
/// Its UUID or its place is none that a fleet file may name.
pub fn mount_disk(mount: &NodeMountSpec) -> Result<RootCommand, Refused> {
    let (source, target) = (format!("--source={}", mount.source()), format!("--target={}", mount.at));
    admit(Program::Mount.name(), &["--options=nosuid,nodev,X-mount.mkdir=0755", &source, &target])
}

/// Appends the line of a disk to `/etc/fstab`, which must have one already. Twice appended it is there twice, and does no harm.
///
/// # Errors
/// As [`mount_disk`].
pub fn add_to_fstab(mount: &NodeMountSpec) -> Result<RootCommand, Refused> {
    // GNU sed makes tabs of `\\t`: so the line is one word, without a space.
    let append = format!("{APPEND}{}", mount.fstab_fields().join(TAB));
    admit(Program::Sed.name(), &["--in-place", &append, "/etc/fstab"])
}

/// sed's command to append a text to the last line.
const APPEND: &str = "--expression=$a";

/// Between the fields of that text.
const TAB: &str = "\\t";

/// Whether this appends one line that mounts one disk safely.
pub(super) fn is_fstab_line(text: &str) -> bool {
    let fields: Vec<&str> = text.strip_prefix(APPEND).unwrap_or_default().split(TAB).collect();
    let [source, at, "auto", "nosuid,nodev,nofail", "0", "2"] = fields[..] else { return false };
    is_mount_point(at) && source.strip_prefix("UUID=").is_some_and(is_filesystem_uuid)
}

/// Every command that the guests of a cluster may need on its nodes: what is declared, and that it goes again.
///
/// # Errors
/// Never for what a checked fleet file declares.
pub fn needed_on_nodes(guests: &[&ClusterGuestSpec]) -> Result<Vec<RootCommand>, Refused> {
    let mut commands = Vec::new();
    // Rules name the guest: those without a number of their own ask for nothing.
    for guest in guests.iter().filter(|guest| guest.vmid.from == guest.vmid.to) {
        if guest.reach.via == Via::Node && guest.unprivileged == Some(true) {
            commands.push(enter_container(guest.vmid.from)?);
        }
        let mut add = |act: Act| set_on_node(guest.kind, guest.vmid.from, ANY_DIGEST, &act).map(|it| commands.push(it));
        for path in guest.left_to_root() {
            let (Some((field, _)), Some(value)) = (by_path(guest.kind, path), guest.values.get(path)) else { continue };
            let number = if field.several == Several::No { "" } else { "0" };
            add(Act::Set { key: format!("{}{number}", field.key), value: field.form.wire(value) })?;
        }
        let gone: &[&str] =
            if guest.kind == GuestKind::Container { &["dev0", "features", "hookscript"] } else { &["hookscript"] };
        for key in gone {
            add(Act::Delete { key: (*key).to_owned() })?;
        }
    }
    Ok(commands)
}

pub(super) fn is_digest(text: &str) -> bool {
    text.len() == ANY_DIGEST.len() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn is_numbered(stem: &str, text: &str) -> bool {
    let number =
        text.strip_prefix(stem).and_then(|digits| digits.parse::<u8>().ok().filter(|it| it.to_string() == digits));
    number.is_some()
}

pub(super) fn are_features(text: &str) -> bool {
    let features: Vec<&str> = text.split(',').collect();
    let each: BTreeSet<&str> = features.iter().copied().collect();
    features.iter().all(|feature| FEATURES.contains(feature)) && each.into_iter().eq(features)
}

/// `/mnt/usb,mp=/srv,ro=1`.
pub(super) fn is_directory(text: &str) -> bool {
    let text = text.strip_suffix(",ro=1").unwrap_or(text);
    text.split_once(",mp=").is_some_and(|(from, path)| is_shareable(from) && is_plain_path(path))
}

/// `/dev/ttyUSB0,gid=20,mode=0660,uid=0`.
pub(super) fn is_device(text: &str) -> bool {
    let mut parts = text.split(',');
    let path = parts.next().unwrap_or_default();
    let mut last = "";
    let mut fits = |part: &str| {
        let Some((key, value)) = part.split_once('=') else { return false };
        let known = match key {
            "gid" | "uid" => value.parse::<u16>().is_ok_and(|number| number.to_string() == value),
            "mode" => value.len() == 4 && value.starts_with('0') && value.bytes().all(|b| matches!(b, b'0'..=b'7')),
            _ => false,
        };
        let in_order = last < key;
        last = match key {
            "gid" => "gid",
            "mode" => "mode",
            _ => "uid",
        };
        known && in_order
    };
    is_shareable_device(path) && parts.all(&mut fits)
}
