//! The way to root on the nodes of a cluster, as it is declared: for what no API token may do.

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::syntax::{Span, Spanned};

/// `node NAME …` in the `fence` of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceNode {
    /// Its name in the cluster.
    pub name: Spanned<String>,
    /// How commands get there.
    pub road: NodeRoad,
    /// Disks whose health `status` tells.
    pub disks: Vec<Spanned<String>>,
    /// Whether `status` tells what its sensors measure.
    pub sensors: bool,
    /// Disks that it has mounted.
    pub mounts: Vec<NodeMount>,
}

/// `mount PATH uuid=… fstab=…` of a node: a USB disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMount {
    /// Where it is mounted.
    pub at: Spanned<String>,
    /// The UUID of its filesystem.
    pub uuid: Spanned<String>,
    /// Whether the node's `/etc/fstab` has a line for it.
    pub fstab: bool,
    /// The node.
    pub span: Span,
}

/// How commands get to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "via")]
pub enum NodeRoad {
    /// It is this machine.
    Local,
    /// Over SSH.
    Ssh {
        /// Address or name.
        host: String,
        /// TCP port.
        port: u16,
        /// The user that logs in. Unless it is root, its commands go through sudo.
        user: String,
        /// File of the private key that logs in, absolute or below `~/`; `None` is regatta's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<String>,
        /// The only host key that is accepted, as `ssh-ed25519 AAAA…`.
        host_key: String,
    },
}

/// What belongs to the system of a node: a guest that had one of these would have the node.
const SYSTEM: [&str; 17] = [
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "root", "run", "sbin", "sys", "tmp",
    "usr", "var",
];

/// What devices of a node may be given to a guest: none that holds the node's own data or memory.
const DEVICES: [&str; 14] = [
    "/dev/bus/usb/",
    "/dev/dri/",
    "/dev/fuse",
    "/dev/hidraw",
    "/dev/input/",
    "/dev/kvm",
    "/dev/net/tun",
    "/dev/nvidia",
    "/dev/serial/by-id/",
    "/dev/snd/",
    "/dev/ttyACM",
    "/dev/ttyS",
    "/dev/ttyUSB",
    "/dev/video",
];

/// Whether this is an absolute path in its one spelling, which is a word in every list, property string and shell.
pub fn is_plain_path(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-' | b'+' | b'@');
    let parts = text.strip_prefix('/').map(|rest| rest.split('/'));
    text.len() <= 255
        && text.bytes().all(plain)
        && parts.is_some_and(|mut parts| parts.all(|part| !matches!(part, "" | "." | "..") && !part.starts_with('-')))
}

/// Whether this is a directory of a node that a guest may have: none of its system's.
pub fn is_shareable(text: &str) -> bool {
    let first = Utf8Path::new(text).components().nth(1).map(|first| first.as_str());
    is_plain_path(text) && first.is_some_and(|first| !SYSTEM.contains(&first))
}

/// Whether this is a device of a node that a guest may have.
pub fn is_shareable_device(text: &str) -> bool {
    let fits = |allowed: &str| match text.strip_prefix(allowed) {
        // Numbers and names below; `/dev/fuse` and its like are whole.
        Some(rest) if allowed.ends_with('/') => !rest.is_empty(),
        Some(rest) => rest.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()),
        None => false,
    };
    is_plain_path(text) && DEVICES.iter().any(|allowed| fits(allowed))
}

/// Whether this is a place where a node may have a disk mounted: one directory in `/mnt` or `/media`. Both are root's, so nobody
/// else can put something else in its place; of a directory further below, sudo could not tell (LESSON 33). `/mnt/pve` is not one:
/// Proxmox VE mounts its storages in it.
pub fn is_mount_point(text: &str) -> bool {
    let name = text.strip_prefix("/mnt/").or_else(|| text.strip_prefix("/media/"));
    is_plain_path(text) && text != "/mnt/pve" && name.is_some_and(|name| !name.contains('/'))
}

/// Whether this is the UUID of a filesystem in the spelling of blkid(8): of ext4, XFS and Btrfs, of FAT and exFAT, or of NTFS.
pub fn is_filesystem_uuid(text: &str) -> bool {
    let upper = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    let lower = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    match (text.len(), text.split_once('-')) {
        (9, Some((first, second))) => first.len() == 4 && upper(first) && upper(second),
        (16, None) => upper(text),
        (36, _) => {
            text.bytes().enumerate().all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { b == b'-' } else { lower(b) })
        }
        _ => false,
    }
}

/// Whether this is a disk of a node as a whole, whose health can be asked for.
pub fn is_whole_disk(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    let letters = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase());
    let nvme =
        |text: &str| text.split_once('n').map_or_else(|| digits(text), |(disk, part)| digits(disk) && digits(part));
    text.strip_prefix("/dev/sd").is_some_and(letters)
        || text.strip_prefix("/dev/nvme").is_some_and(nvme)
        || text.strip_prefix("/dev/disk/by-id/").is_some_and(|id| is_plain_path(text) && !id.contains('/'))
}

/// Whether this is a snippet on a storage: `local:snippets/hook.sh`.
pub fn is_snippet(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let word = |text: &str| !text.is_empty() && text.bytes().all(plain) && !text.starts_with(['.', '-']);
    text.len() <= 255 && text.split_once(":snippets/").is_some_and(|(storage, file)| word(storage) && word(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LESSON 33: what is handed to a guest is checked against what it names.
    #[test]
    fn a_guest_gets_no_part_of_its_nodes_system() {
        for good in ["/mnt/usb", "/srv/data", "/tank/media/films", "/home/ada"] {
            assert!(is_shareable(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "//mnt",
            "/mnt//x",
            "/mnt/",
            "/mnt/../etc",
            "/mnt/.",
            "/etc",
            "/etc/pve",
            "/root",
            "/var/lib/vz",
            "/proc",
            "/dev/sda",
            "/tmp/x",
            "mnt/x",
            "/mnt/a b",
            "/mnt/a,mp=/x",
            "/mnt/a=b",
            "/mnt/é",
            "/mnt/-x",
            "/mnt/a\n",
        ] {
            assert!(!is_shareable(bad), "{bad:?}");
        }
        for good in
            ["/dev/ttyUSB0", "/dev/dri/renderD128", "/dev/net/tun", "/dev/fuse", "/dev/serial/by-id/usb-X_1-if00"]
        {
            assert!(is_shareable_device(good), "{good}");
        }
        for bad in [
            "/dev/sda",
            "/dev/nvme0",
            "/dev/mem",
            "/dev/kmsg",
            "/dev/dri/",
            "/dev/dri/../sda",
            "/dev/fuse/x",
            "/dev/ttyUSB0,uid=0",
            "/dev/mapper/x",
            "/dev/ttyS0 ",
            "/dev/net/tun/../../sda",
            "/etc/passwd",
        ] {
            assert!(!is_shareable_device(bad), "{bad:?}");
        }
        for good in ["/dev/sda", "/dev/sdab", "/dev/nvme0", "/dev/nvme0n1", "/dev/disk/by-id/ata-WDC_WD40-1_X"] {
            assert!(is_whole_disk(good), "{good}");
        }
        for bad in
            ["/dev/sda1", "/dev/sd", "/dev/nvme", "/dev/nvme0n1p1", "/dev/disk/by-id/../sda", "/dev/disk/by-id/", "-d"]
        {
            assert!(!is_whole_disk(bad), "{bad}");
        }
        assert!(is_snippet("local:snippets/hook.sh"));
        for bad in [
            "local:iso/x",
            "snippets/x",
            "local:snippets/../x",
            "local:snippets/a/b",
            "local:snippets/",
            "a b:snippets/x",
        ] {
            assert!(!is_snippet(bad), "{bad:?}");
        }
    }

    #[test]
    fn disks_are_mounted_where_only_root_decides() {
        for good in ["/mnt/backup", "/media/usb-1", "/mnt/a.b"] {
            assert!(is_mount_point(good), "{good}");
        }
        for bad in [
            "/mnt",
            "/mnt/",
            "/media/",
            "/mnt/a/b",
            "/mnt/pve",
            "/mnt/..",
            "/mnt/.",
            "/mnt/../etc",
            "/mnt//a",
            "/mnt/-a",
            "/mnt/a b",
            "/mnt/a,b",
            "/mntx/a",
            "/etc/a",
            "mnt/a",
            "/mnt/é",
            "/mnt/a\n",
        ] {
            assert!(!is_mount_point(bad), "{bad:?}");
        }
        for good in ["1234-ABCD", "01D9A1B2C3D4E5F6", "0190c2a4-7c3e-7000-8000-0000000000ab"] {
            assert!(is_filesystem_uuid(good), "{good}");
        }
        for bad in [
            "",
            "1234-abcd",
            "1234ABCD",
            "12345-ABC",
            "1234-ABCG",
            "01d9a1b2c3d4e5f6",
            "0190C2A4-7C3E-7000-8000-0000000000AB",
            "0190c2a4-7c3e-7000-8000-0000000000a",
            "0190c2a4x7c3e-7000-8000-0000000000ab",
            "1234-ABCD ",
            "/dev/sda1",
            "UUID=1234",
            "é234-ABC",
        ] {
            assert!(!is_filesystem_uuid(bad), "{bad:?}");
        }
    }
}
