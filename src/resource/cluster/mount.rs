//! USB disks that nodes have mounted, by the UUIDs of their filesystems: what is wished, what was seen, how far apart they are.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A disk that a node has mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeMountSpec {
    /// Name of the node's cluster.
    pub cluster: String,
    /// Name of the node in it.
    pub node: String,
    /// Where it is mounted: one directory in `/mnt` or `/media`.
    pub at: String,
    /// The UUID of its filesystem, as blkid(8) spells it.
    pub uuid: String,
    /// Whether the node mounts it when it boots.
    pub fstab: bool,
}

/// What was seen of such a disk and of its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedNodeMount {
    /// Filesystems of the node that have its UUID. It should be one; whoever writes to a volume can give it any.
    pub volumes: Vec<NodeVolume>,
    /// What is mounted at its place, on top.
    pub there: Option<Mounted>,
    /// What `/etc/fstab` says of its place.
    pub fstab: Vec<Mounted>,
    /// Where its place leads to, if not to itself: a link, there or above. What is mounted at a link is mounted elsewhere.
    pub leads_to: Option<String>,
}

/// A filesystem of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeVolume {
    /// Its device.
    pub path: String,
    /// Whether all disks that it is on are plugged in by USB.
    pub usb: bool,
}

/// Something that is mounted, or that `/etc/fstab` would have mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounted {
    /// What: a device, or `UUID=…`.
    pub source: String,
    /// How.
    pub options: BTreeSet<String>,
}

/// How far a disk is from what is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountStanding {
    /// As declared.
    Right,
    /// It is plugged in, and something can be done.
    Lacks {
        /// Whether it is not mounted.
        mount: bool,
        /// Whether `/etc/fstab` lacks its line.
        line: bool,
    },
    /// No filesystem of the node has its UUID, and nothing is mounted at its place.
    Unplugged,
    /// It must not be done.
    Refused(MountRefusal),
}

/// Why a disk is not mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRefusal {
    /// What was found and what was expected; lower case, no full stop.
    pub found: String,
    /// What to do about it.
    pub help: String,
}

/// What every disk is mounted with: no programs of its owner's as root, no devices but the node's own. Each with the option that
/// takes it back: of two in a line of `/etc/fstab` the last one counts, and which that is may change with the next edit.
const SAFE: [(&str, &str); 2] = [("nosuid", "suid"), ("nodev", "dev")];

impl NodeMountSpec {
    /// What mount(8) and `/etc/fstab` call it.
    pub fn source(&self) -> String {
        format!("UUID={}", self.uuid)
    }

    /// The fields of its line in `/etc/fstab`. `nofail`: without the disk the node boots all the same.
    pub fn fstab_fields(&self) -> [String; 6] {
        [&self.source(), self.at.as_str(), "auto", "nosuid,nodev,nofail", "0", "2"].map(str::to_owned)
    }
}

impl ObservedNodeMount {
    /// Compares. What is mounted at the place goes before what `/etc/fstab` says of it, and that before what is plugged in: what
    /// stands in the way there has to go, whichever disks there are.
    pub fn standing(&self, spec: &NodeMountSpec) -> MountStanding {
        let wrong_line = || spec.fstab.then(|| self.wrong_line(spec)).flatten();
        let refused = self.elsewhere(spec).or_else(|| self.in_the_way(spec)).or_else(wrong_line);
        let refused = refused.or_else(|| match self.there {
            Some(_) => None,
            None => self.not_it(spec),
        });
        match (refused, &self.there, self.volumes.is_empty()) {
            (Some(refusal), ..) => MountStanding::Refused(refusal),
            (None, None, true) => MountStanding::Unplugged,
            (None, there, _) => match (there.is_none(), spec.fstab && self.fstab.is_empty()) {
                (false, false) => MountStanding::Right,
                (mount, line) => MountStanding::Lacks { mount, line },
            },
        }
    }

    /// Its place is another one's name.
    fn elsewhere(&self, spec: &NodeMountSpec) -> Option<MountRefusal> {
        let (at, node, to) = (&spec.at, &spec.node, self.leads_to.as_ref()?);
        let found = format!("found `{at}` as a link to `{to}`, expected a directory, or nothing");
        Some(MountRefusal { found, help: format!("choose another place, or take the link away on `{node}`") })
    }

    /// Something else is mounted there, or this one otherwise.
    fn in_the_way(&self, spec: &NodeMountSpec) -> Option<MountRefusal> {
        let there = self.there.as_ref()?;
        let (at, node, uuid) = (&spec.at, &spec.node, spec.source());
        let unsafe_by = unsafe_by(there);
        let is_it = self.volumes.iter().any(|volume| volume.usb && volume.path == there.source);
        let found = match (is_it, unsafe_by) {
            (true, None) => return None,
            (true, Some(how)) => format!("found `{}` mounted at `{at}` {how}", there.source),
            (false, _) => format!("found `{}` mounted at `{at}`, expected the USB disk with `{uuid}`", there.source),
        };
        Some(MountRefusal { found, help: format!("see what uses it, then as root on `{node}`: `umount {at}`") })
    }

    /// Its place in `/etc/fstab` is another disk's, or lacks what makes it safe.
    fn wrong_line(&self, spec: &NodeMountSpec) -> Option<MountRefusal> {
        let (at, node, uuid) = (&spec.at, &spec.node, spec.source());
        let wrong = |line: &Mounted| match unsafe_by(line) {
            _ if line.source != uuid => {
                Some(format!("found `{}` for `{at}` in `/etc/fstab`, expected `{uuid}`", line.source))
            }
            how => how.map(|how| format!("found `{at}` in `/etc/fstab` {how}")),
        };
        let found = self.fstab.iter().find_map(wrong)?;
        let help = format!("on `{node}`, let the line be `{}`, or delete it", spec.fstab_fields().join(" "));
        Some(MountRefusal { found, help })
    }

    /// What is plugged in and has the UUID is not certainly the disk that is meant.
    fn not_it(&self, spec: &NodeMountSpec) -> Option<MountRefusal> {
        let (uuid, node) = (spec.source(), &spec.node);
        let paths: Vec<&str> = self.volumes.iter().map(|volume| volume.path.as_str()).collect();
        let found = match &self.volumes[..] {
            [] | [NodeVolume { usb: true, .. }] => return None,
            [one] => format!("found `{uuid}` on `{}`, expected a disk on USB", one.path),
            _ => format!("found `{uuid}` on {}, expected one disk", listed(&paths)),
        };
        let help =
            format!("on `{node}`, `lsblk -o PATH,UUID,TRAN` tells them; a virtual machine's volume can have any UUID");
        Some(MountRefusal { found, help })
    }
}

/// What makes options unsafe; `None` where they are not.
fn unsafe_by(found: &Mounted) -> Option<String> {
    let has = |option: &str| found.options.contains(option);
    let lacking: Vec<&str> = SAFE.into_iter().filter(|(safe, _)| !has(safe)).map(|(safe, _)| safe).collect();
    let taken_back: Vec<&str> = SAFE.into_iter().map(|(_, back)| back).filter(|back| has(back)).collect();
    match (lacking.is_empty(), taken_back.is_empty()) {
        (true, true) => None,
        (false, _) => Some(format!("without {}", listed(&lacking))),
        (true, false) => Some(format!("with {}", listed(&taken_back))),
    }
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(fstab: bool) -> NodeMountSpec {
        let [cluster, node, at, uuid] = ["pve", "pve1", "/mnt/backup", "1234-ABCD"].map(str::to_owned);
        NodeMountSpec { cluster, node, at, uuid, fstab }
    }

    fn volume(path: &str, usb: bool) -> NodeVolume {
        NodeVolume { path: path.into(), usb }
    }

    fn mounted(source: &str, options: &str) -> Mounted {
        Mounted { source: source.into(), options: options.split(',').map(str::to_owned).collect() }
    }

    fn seen(volumes: &[NodeVolume], there: Option<(&str, &str)>, fstab: &[(&str, &str)]) -> ObservedNodeMount {
        let all = |lines: &[(&str, &str)]| lines.iter().map(|(source, options)| mounted(source, options)).collect();
        let there = there.map(|(source, options)| mounted(source, options));
        ObservedNodeMount { volumes: volumes.to_vec(), there, fstab: all(fstab), leads_to: None }
    }

    #[test]
    fn what_is_plugged_in_is_mounted_once_and_safely() {
        let disk = [volume("/dev/sdb1", true)];
        let (safe, line) =
            (Some(("/dev/sdb1", "rw,nosuid,nodev,relatime")), [("UUID=1234-ABCD", "nosuid,nodev,noauto")]);
        let lacks = |mount, line| MountStanding::Lacks { mount, line };
        let table = [
            (seen(&[], None, &[]), false, MountStanding::Unplugged),
            (seen(&[], None, &[]), true, MountStanding::Unplugged),
            (seen(&disk, None, &[]), false, lacks(true, false)),
            (seen(&disk, None, &[]), true, lacks(true, true)),
            (seen(&disk, None, &line), true, lacks(true, false)),
            (seen(&disk, safe, &[]), true, lacks(false, true)),
            (seen(&disk, safe, &[]), false, MountStanding::Right),
            (seen(&disk, safe, &line), true, MountStanding::Right),
            // Nobody asked for the line: what it says is not ours.
            (seen(&disk, safe, &[("/dev/sda9", "defaults")]), false, MountStanding::Right),
            // A volume that took the UUID afterwards does not hide that the right one is mounted.
            (seen(&[volume("/dev/dm-1", false), volume("/dev/sdb1", true)], safe, &[]), false, MountStanding::Right),
        ];
        for (seen, fstab, expected) in table {
            assert_eq!(seen.standing(&spec(fstab)), expected, "{seen:?}");
        }
    }

    /// What must not be mounted over, or is not certainly the disk, is named and left alone.
    #[test]
    fn what_is_doubtful_is_refused() {
        let disk = [volume("/dev/sdb1", true)];
        let table = [
            (
                seen(&disk, Some(("/dev/sdb1", "rw,nosuid")), &[]),
                "found `/dev/sdb1` mounted at `/mnt/backup` without `nodev`",
            ),
            (
                seen(&disk, Some(("tank/x", "nosuid,nodev")), &[]),
                "found `tank/x` mounted at `/mnt/backup`, expected the USB disk with `UUID=1234-ABCD`",
            ),
            // It was pulled out while it was mounted.
            (
                seen(&[], Some(("/dev/sdb1", "nosuid,nodev")), &[]),
                "found `/dev/sdb1` mounted at `/mnt/backup`, expected the USB disk with `UUID=1234-ABCD`",
            ),
            (
                seen(&[volume("/dev/dm-1", false)], Some(("/dev/dm-1", "nosuid,nodev")), &[]),
                "found `/dev/dm-1` mounted at `/mnt/backup`, expected the USB disk with `UUID=1234-ABCD`",
            ),
            (
                seen(&[volume("/dev/dm-1", false)], None, &[]),
                "found `UUID=1234-ABCD` on `/dev/dm-1`, expected a disk on USB",
            ),
            (
                seen(&[volume("/dev/dm-1", false), volume("/dev/sdb1", true)], None, &[]),
                "found `UUID=1234-ABCD` on `/dev/dm-1` and `/dev/sdb1`, expected one disk",
            ),
            (
                seen(&disk, None, &[("UUID=1234-ABCD", "defaults,nofail")]),
                "found `/mnt/backup` in `/etc/fstab` without `nosuid` and `nodev`",
            ),
            (
                seen(&disk, None, &[("UUID=1234-ABCD", "nosuid,nodev,suid,dev")]),
                "found `/mnt/backup` in `/etc/fstab` with `suid` and `dev`",
            ),
            (
                ObservedNodeMount { leads_to: Some("/mnt/real".into()), ..seen(&disk, None, &[]) },
                "found `/mnt/backup` as a link to `/mnt/real`, expected a directory, or nothing",
            ),
            (
                seen(&[], None, &[("UUID=1234-ABCD", "nosuid,nodev"), ("/dev/sdc1", "nosuid,nodev")]),
                "found `/dev/sdc1` for `/mnt/backup` in `/etc/fstab`, expected `UUID=1234-ABCD`",
            ),
        ];
        for (seen, expected) in table {
            let MountStanding::Refused(refusal) = seen.standing(&spec(true)) else { panic!("{seen:?}") };
            assert_eq!(refusal.found, expected);
        }
    }
}
