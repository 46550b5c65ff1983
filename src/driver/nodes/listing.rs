//! What lsblk(8), findmnt(8) and readlink(1) print of a node, read.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use serde::Deserialize;

use crate::effect::{Output, Status};
use crate::exec::Failure;
use crate::resource::cluster::{Mounted, NodeMountSpec, NodeVolume, ObservedNodeMount};

/// Disks of a node, what it has mounted, and what its `/etc/fstab` says.
#[derive(Debug)]
pub(super) struct Listing {
    /// By UUID.
    volumes: BTreeMap<String, BTreeSet<NodeVolume>>,
    mounted: Table,
    fstab: Table,
    /// Where places lead to, if not to themselves.
    links: BTreeMap<String, String>,
}

impl Listing {
    /// Reads what was printed. What counts is that, and not how the programs ended.
    ///
    /// # Errors
    /// It is not what these programs print.
    pub(super) fn read(disks: &Output, mounted: &Output, fstab: &Output) -> Result<Self, Failure> {
        let disks: Disks = json(disks, "lsblk")?;
        let fstab = if says_nothing(fstab) { Table::default() } else { json(fstab, "findmnt")? };
        Ok(Self { volumes: disks.volumes(), mounted: json(mounted, "findmnt")?, fstab, links: BTreeMap::new() })
    }

    /// With where places lead to, of which each has its line.
    ///
    /// # Errors
    /// It is not what this program prints.
    pub(super) fn with_links(mut self, places: &[&str], links: &Output) -> Result<Self, Failure> {
        let text = String::from_utf8_lossy(&links.stdout);
        let lines: Vec<&str> = text.lines().collect();
        if !links.success() || lines.len() != places.len() {
            let said = String::from_utf8_lossy(&links.stderr).replace(char::is_control, " ");
            return Err(Failure::permanent(format!("`readlink` does not tell where places lead to: {}", said.trim())));
        }
        let led = places.iter().zip(lines).filter(|(place, line)| *place != line);
        self.links = led.map(|(place, line)| ((*place).to_owned(), clean(line))).collect();
        Ok(self)
    }

    /// What concerns one disk.
    pub(super) fn of(&self, spec: &NodeMountSpec) -> ObservedNodeMount {
        ObservedNodeMount {
            volumes: self.volumes.get(&spec.uuid).into_iter().flatten().cloned().collect(),
            there: self.mounted.at(&spec.at).last(),
            fstab: self.fstab.at(&spec.at).collect(),
            leads_to: self.links.get(&spec.at).cloned(),
        }
    }
}

/// findmnt finds nothing where no line of a file mounts anything: it ends with 1, and prints nothing.
fn says_nothing(output: &Output) -> bool {
    output.status == Status::Code(1) && output.stdout.is_empty()
}

fn json<T: for<'a> Deserialize<'a>>(output: &Output, program: &str) -> Result<T, Failure> {
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr).replace(char::is_control, " ");
        Failure::permanent(format!("`{program}` gave no JSON that is its own: {}", said.trim()))
    })
}

/// What lsblk(8) prints: disks, with what is on them as their children.
#[derive(Deserialize)]
struct Disks {
    blockdevices: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    path: String,
    uuid: Option<String>,
    /// Of whole disks only.
    tran: Option<String>,
    #[serde(default)]
    children: Vec<Device>,
}

impl Disks {
    /// Filesystems by UUID. What lies on several disks stands below each of them, and is on USB when they all are.
    fn volumes(&self) -> BTreeMap<String, BTreeSet<NodeVolume>> {
        let mut all: BTreeMap<(&str, &str), bool> = BTreeMap::new();
        let mut waiting: Vec<(&Device, bool)> = self.blockdevices.iter().map(|disk| (disk, false)).collect();
        while let Some((device, above)) = waiting.pop() {
            let usb = above || device.tran.as_deref() == Some("usb");
            if let Some(uuid) = &device.uuid {
                all.entry((uuid, &device.path)).and_modify(|all| *all &= usb).or_insert(usb);
            }
            waiting.extend(device.children.iter().map(|child| (child, usb)));
        }
        let mut volumes: BTreeMap<String, BTreeSet<NodeVolume>> = BTreeMap::new();
        for ((uuid, path), usb) in all {
            volumes.entry(uuid.to_owned()).or_default().insert(NodeVolume { path: clean(path), usb });
        }
        volumes
    }
}

/// What findmnt(8) prints, of the kernel's mounts or of `/etc/fstab`.
#[derive(Debug, Default, Deserialize)]
struct Table {
    filesystems: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    target: String,
    source: Option<String>,
    fstype: Option<String>,
    options: Option<String>,
}

impl Line {
    /// Whether it is about this place. Lines of `/etc/fstab` have it as somebody wrote it, and paths are equal part by part.
    fn is_at(&self, at: &str) -> bool {
        Utf8Path::new(&self.target) == Utf8Path::new(at)
    }

    /// What is mounted. A line of `/etc/fstab` may have quotes, which mount(8) takes away. Btrfs has the name of a subvolume behind
    /// its device, and mounts one even where nobody names it; behind the device of another filesystem it is a directory that was
    /// bound, and not the disk.
    fn source(&self) -> String {
        let source = self.source.as_deref().unwrap_or("nothing").replace('"', "");
        let device = match (self.fstype.as_deref(), source.split_once('[')) {
            (Some("btrfs"), Some((device, _))) => device,
            _ => &source,
        };
        clean(device)
    }
}

impl Table {
    /// What is mounted at a place, in the order in which it was.
    fn at(&self, at: &str) -> impl DoubleEndedIterator<Item = Mounted> {
        let lines = self.filesystems.iter().filter(move |line| line.is_at(at));
        lines.map(|line| Mounted {
            source: line.source(),
            options: line.options.iter().flat_map(|options| options.split(',')).map(clean).collect(),
        })
    }
}

/// Names come from the node, and from whoever named something there.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a disk on USB with a partition and an encrypted one, an internal disk, and a volume over one of each.
    const LSBLK: &str = r#"{"blockdevices": [
        {"path":"/dev/sda", "uuid":null, "tran":"sata", "children": [
            {"path":"/dev/sda3", "uuid":"1111-1111", "tran":null},
            {"path":"/dev/sda4", "uuid":null, "tran":null, "children": [{"path":"/dev/md0", "uuid":"2222-2222", "tran":null}]}]},
        {"path":"/dev/sdb", "uuid":null, "tran":"usb", "children": [
            {"path":"/dev/sdb1", "uuid":"1234-ABCD", "tran":null},
            {"path":"/dev/sdb2", "uuid":"3333-3333", "tran":null, "children": [{"path":"/dev/mapper/safe", "uuid":"4444-4444", "tran":null}]},
            {"path":"/dev/sdb3", "uuid":null, "tran":null, "children": [{"path":"/dev/md0", "uuid":"2222-2222", "tran":null}]}]},
        {"path":"/dev/zd16", "uuid":"1234-ABCD", "tran":null, "more": [1]},
        {"path":"/dev/loop0", "uuid":null, "tran":null}]}"#;

    #[test]
    fn what_is_on_usb_all_the_way_down_is_told_apart() {
        let disks: Disks = serde_json::from_str(LSBLK).unwrap();
        let told: Vec<String> = disks
            .volumes()
            .into_iter()
            .flat_map(|(uuid, all)| all.into_iter().map(move |it| format!("{uuid} {} {}", it.path, it.usb)))
            .collect();
        let expected = [
            "1111-1111 /dev/sda3 false",
            "1234-ABCD /dev/sdb1 true",
            "1234-ABCD /dev/zd16 false",
            "2222-2222 /dev/md0 false",
            "3333-3333 /dev/sdb2 true",
            "4444-4444 /dev/mapper/safe true",
        ];
        assert_eq!(told, expected);
    }

    fn output(code: i32, stdout: &str, stderr: &str) -> Output {
        Output { status: Status::Code(code), stdout: stdout.into(), stderr: stderr.into() }
    }

    const MOUNTED: &str = r#"{"filesystems": [
        {"target":"/mnt/backup", "source":"systemd-1", "options":"rw,relatime"},
        {"target":"/mnt/backup/below", "source":"x", "options":"rw"},
        {"target":"/mnt/backup", "source":"/dev/sd\u001bb1", "options":"rw,nosuid,nodev"},
        {"target":"/mnt/none", "source":null, "options":null}]}"#;

    fn spec(at: &str) -> NodeMountSpec {
        let [cluster, node, uuid] = ["pve", "pve1", "1111-1111"].map(str::to_owned);
        NodeMountSpec { cluster, node, at: at.into(), uuid, fstab: false }
    }

    #[test]
    fn what_is_on_top_of_a_place_counts() {
        let listing = Listing::read(&output(0, LSBLK, ""), &output(0, MOUNTED, ""), &output(1, "", "")).unwrap();
        let mounted = |source: &str, options: &[&str]| {
            let options = options.iter().map(|&option| option.to_owned()).collect();
            Some(Mounted { source: source.into(), options })
        };
        let volumes = vec![NodeVolume { path: "/dev/sda3".into(), usb: false }];
        for (at, there) in [
            ("/mnt/backup", mounted("/dev/sd b1", &["rw", "nosuid", "nodev"])),
            ("/mnt/none", mounted("nothing", &[])),
            ("/mnt/free", None),
        ] {
            let expected = ObservedNodeMount { volumes: volumes.clone(), there, ..ObservedNodeMount::default() };
            assert_eq!(listing.of(&spec(at)), expected);
        }
    }

    /// As somebody wrote it, and as btrfs has it: what mount(8) takes for the same is the same.
    #[test]
    fn one_place_and_one_disk_have_several_spellings() {
        let fstab = r#"{"filesystems": [
            {"target":"/mnt//backup/", "source":"UUID=\"1111-1111\"", "fstype":"auto", "options":"nosuid,nodev"},
            {"target":"none", "source":"/dev/sda9", "fstype":"swap", "options":"sw"}]}"#;
        let mounted = r#"{"filesystems": [
            {"target":"/mnt/backup", "source":"/dev/sda3[/@]", "fstype":"btrfs", "options":"rw"},
            {"target":"/mnt/bound", "source":"/dev/sda3[/@]", "fstype":"ext4", "options":"rw"}]}"#;
        let listing = Listing::read(&output(0, LSBLK, ""), &output(0, mounted, ""), &output(0, fstab, "")).unwrap();
        let seen = listing.of(&spec("/mnt/backup"));
        assert_eq!(seen.there.unwrap().source, "/dev/sda3");
        assert_eq!(seen.fstab.iter().map(|line| line.source.as_str()).collect::<Vec<_>>(), ["UUID=1111-1111"]);
        assert_eq!(listing.of(&spec("/mnt/bound")).there.unwrap().source, "/dev/sda3[/@]");
    }

    #[test]
    fn a_place_that_is_a_link_is_told() {
        let silent = output(1, "", "");
        let listing = || Listing::read(&output(0, LSBLK, ""), &output(0, MOUNTED, ""), &silent).unwrap();
        let places = ["/mnt/backup", "/mnt/none"];
        let led = listing().with_links(&places, &output(0, "/mnt/real\n/mnt/none\n", "")).unwrap();
        assert_eq!(led.of(&spec("/mnt/backup")).leads_to.as_deref(), Some("/mnt/real"));
        assert_eq!(led.of(&spec("/mnt/none")).leads_to, None);
        for links in [output(1, "/mnt/backup\n/mnt/none\n", "too\nmany"), output(0, "/mnt/backup\n", "")] {
            assert!(listing().with_links(&places, &links).is_err());
        }
    }

    /// LESSON 42: what cannot be read is not nothing. Only an `/etc/fstab` without a line makes findmnt silent.
    #[test]
    fn what_is_no_listing_is_an_error() {
        let (disks, mounted) = (output(0, LSBLK, ""), output(0, MOUNTED, ""));
        let silent = output(1, "", "");
        for (disks, mounted, fstab, said) in [
            (&silent, &mounted, &silent, "`lsblk` gave no JSON that is its own: "),
            (&disks, &silent, &silent, "`findmnt` gave no JSON that is its own: "),
            (
                &disks,
                &mounted,
                &output(2, "", "no such\noption"),
                "`findmnt` gave no JSON that is its own: no such option",
            ),
            (&disks, &mounted, &output(0, "{}", ""), "`findmnt` gave no JSON that is its own: "),
        ] {
            assert_eq!(Listing::read(disks, mounted, fstab).unwrap_err().causes, [said]);
        }
    }
}
