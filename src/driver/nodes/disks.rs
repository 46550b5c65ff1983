//! Disks that nodes have mounted: seen as whoever logs in, mounted by root.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use tokio::task::JoinSet;

use super::Nodes;
use super::road::Road;
use crate::driver::privilege::{add_to_fstab, mount_disk};
use crate::effect::{Command, Output, Status};
use crate::exec::{Failure, Progress};
use crate::resource::cluster::{
    MountHealth, MountStanding, MountState, Mounted, NodeMountSpec, NodeSpec, NodeVolume, ObservedNodeMount,
};
use crate::resource::{Address, Finding, Observed, Reading};

impl Nodes {
    /// Adds what is seen of declared disks. Nodes that declare none are not logged in to; the others are at the same time.
    pub async fn observe(self: &Arc<Self>, observed: &mut Observed) {
        let mut looks = JoinSet::new();
        for key in self.mounts.keys() {
            let (nodes, key) = (Arc::clone(self), key.clone());
            looks.spawn(async move {
                match nodes.all.get(&key) {
                    Some(node) => nodes.mounts_of(node).await,
                    None => Vec::new(),
                }
            });
        }
        observed.mounts.extend(looks.join_all().await.into_iter().flatten());
    }

    /// What is seen of the disks of one node.
    async fn mounts_of(&self, node: &NodeSpec) -> Vec<(Address, Reading<ObservedNodeMount>)> {
        let declared = self.mounts_on(node);
        let seen = match self.road(node).await {
            Ok(road) => look(&road, declared).await,
            Err(failure) => Err(failure),
        };
        let address = |spec: &NodeMountSpec| Address::mount(&spec.cluster, &spec.node, &spec.at);
        match seen {
            Ok(seen) => declared.iter().map(address).zip(seen.into_iter().map(Reading::Present)).collect(),
            Err(failure) => {
                let why = failure.causes.join(": ");
                declared.iter().map(|spec| (address(spec), Reading::Unreadable(why.clone()))).collect()
            }
        }
    }

    /// Mounts a disk, and writes its line into `/etc/fstab` where that is declared.
    ///
    /// # Errors
    /// It is not plugged in any more, something stands in its way by now, sudo refuses, or it does not stay.
    pub(super) async fn mount(&self, spec: &NodeMountSpec, progress: &dyn Progress) -> Result<(), Failure> {
        let road = self.road(self.node(&spec.cluster, &spec.node)?).await?;
        let (at, node) = (&spec.at, &spec.node);
        if let MountStanding::Lacks { mount, line } = standing(&road, spec).await? {
            if mount {
                progress.say(&format!("mounts `{}` at `{at}` on `{node}`", spec.source()));
                road.root.run_ok(&mount_disk(spec)?).await?;
            }
            if line {
                progress.say(&format!("adds `{at}` to `/etc/fstab` on `{node}`"));
                road.root.run_ok(&add_to_fstab(spec)?).await?;
            }
        }
        match standing(&road, spec).await? {
            MountStanding::Right => Ok(()),
            MountStanding::Unplugged => {
                let failure = Failure::permanent(format!("no disk with `{}` is plugged in on `{node}`", spec.source()));
                Err(failure.hint("plug it in; until then plans say so and do nothing"))
            }
            MountStanding::Lacks { mount: true, .. } => {
                let message = format!("mount(8) succeeded on `{node}`, and nothing is mounted at `{at}`");
                Err(Failure::permanent(message)
                    .hint("a unit of systemd may have unmounted it: look at the node's journal"))
            }
            MountStanding::Lacks { .. } => {
                let message = format!("sed(1) succeeded on `{node}`, and `/etc/fstab` has no line for `{at}`");
                let line = spec.fstab_fields().join(" ");
                Err(Failure::permanent(message).hint(format!("a file without any line takes none: add `{line}`")))
            }
            MountStanding::Refused(refusal) => Err(Failure::permanent(refusal.found).hint(refusal.help)),
        }
    }

    /// What `status` says of a node's disks.
    pub(super) fn mount_health(&self, node: &NodeSpec, observed: &Observed) -> Vec<MountHealth> {
        let health = |spec: &NodeMountSpec| {
            let reading = observed.mounts.get(&Address::mount(&spec.cluster, &spec.node, &spec.at));
            let (state, note) = match reading {
                Some(Reading::Present(seen)) => match seen.standing(spec) {
                    MountStanding::Right => (MountState::Mounted, None),
                    MountStanding::Unplugged => (MountState::Unplugged, None),
                    MountStanding::Lacks { mount: true, .. } => (MountState::Pending, Some("it is not mounted".into())),
                    MountStanding::Lacks { .. } => (MountState::Pending, Some("`/etc/fstab` lacks it".into())),
                    MountStanding::Refused(refusal) => (MountState::Refused, Some(refusal.found)),
                },
                Some(Reading::Unreadable(why)) => (MountState::Unknown, Some(why.clone())),
                Some(Reading::Absent) | None => (MountState::Unknown, None),
            };
            MountHealth { at: spec.at.clone(), uuid: spec.uuid.clone(), state, note }
        };
        self.mounts_on(node).iter().map(health).collect()
    }

    /// What `doctor` says of a node's disks.
    pub(super) async fn examine_mounts(&self, node: &NodeSpec) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (address, reading) in self.mounts_of(node).await {
            let spec =
                self.mounts_on(node).iter().find(|spec| address == Address::mount(&node.cluster, &node.name, &spec.at));
            // A node that cannot be reached has a finding of its own.
            let (Some(spec), Reading::Present(seen)) = (spec, reading) else { continue };
            let check = address.to_string();
            findings.push(match seen.standing(spec) {
                MountStanding::Right => Finding::pass(check, format!("`{}` is mounted", spec.source())),
                MountStanding::Lacks { mount: true, .. } => {
                    Finding::warn(check, format!("`{}` is not mounted", spec.source()), "`regatta apply` mounts it")
                }
                MountStanding::Lacks { .. } => {
                    Finding::warn(check, "`/etc/fstab` lacks it", "`regatta apply` adds its line")
                }
                MountStanding::Unplugged => {
                    Finding::warn(check, format!("no disk with `{}` is plugged in", spec.source()), "plug it in")
                }
                MountStanding::Refused(refusal) => Finding::fail(check, refusal.found, refusal.help),
            });
        }
        findings
    }

    /// The disks that a node has mounted, as declared.
    pub(super) fn mounts_on(&self, node: &NodeSpec) -> &[NodeMountSpec] {
        self.mounts.get(&(node.cluster.clone(), node.name.clone())).map_or(&[], Vec::as_slice)
    }
}

async fn standing(road: &Road, spec: &NodeMountSpec) -> Result<MountStanding, Failure> {
    let seen = look(road, std::slice::from_ref(spec)).await?;
    Ok(seen.first().map_or(MountStanding::Unplugged, |seen| seen.standing(spec)))
}

/// What there is of each disk.
async fn look(road: &Road, declared: &[NodeMountSpec]) -> Result<Vec<ObservedNodeMount>, Failure> {
    let disks = road.run.run(&Command::new("lsblk").args(["--json", "--output", "PATH,UUID,TRAN"])).await?;
    let disks: Disks = json(&disks, "lsblk")?;
    let fields = ["--json", "--list", "--output", "TARGET,SOURCE,OPTIONS"];
    let mounted = road.run.run(&Command::new("findmnt").args(fields)).await?;
    let mounted: Table = json(&mounted, "findmnt")?;
    let fstab = road.run.run(&Command::new("findmnt").arg("--fstab").args(fields)).await?;
    let fstab = if says_nothing(&fstab) { Table::default() } else { json(&fstab, "findmnt")? };
    let volumes = disks.volumes();
    Ok(declared.iter().map(|spec| seen(spec, &volumes, &mounted, &fstab)).collect())
}

fn seen(
    spec: &NodeMountSpec,
    volumes: &BTreeMap<String, BTreeSet<NodeVolume>>,
    mounted: &Table,
    fstab: &Table,
) -> ObservedNodeMount {
    ObservedNodeMount {
        volumes: volumes.get(&spec.uuid).into_iter().flatten().cloned().collect(),
        there: mounted.at(&spec.at).last(),
        fstab: fstab.at(&spec.at).collect(),
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
#[derive(Default, Deserialize)]
struct Table {
    filesystems: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    target: String,
    source: Option<String>,
    options: Option<String>,
}

impl Table {
    /// What is mounted at a place, in the order in which it was.
    fn at(&self, at: &str) -> impl DoubleEndedIterator<Item = Mounted> {
        let lines = self.filesystems.iter().filter(move |line| line.target == at);
        lines.map(|line| Mounted {
            source: clean(line.source.as_deref().unwrap_or("nothing")),
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

    #[test]
    fn what_is_on_top_of_a_place_counts() {
        let table: Table = serde_json::from_str(
            r#"{"filesystems": [
                {"target":"/mnt/backup", "source":"systemd-1", "options":"rw,relatime"},
                {"target":"/mnt/backup/below", "source":"x", "options":"rw"},
                {"target":"/mnt/backup", "source":"/dev/sd\u001bb1", "options":"rw,nosuid,nodev"},
                {"target":"/mnt/none", "source":null, "options":null}]}"#,
        )
        .unwrap();
        let [cluster, node, at, uuid] = ["pve", "pve1", "/mnt/backup", "1234-ABCD"].map(str::to_owned);
        let spec = NodeMountSpec { cluster, node, at, uuid, fstab: false };
        let seen = seen(&spec, &BTreeMap::new(), &table, &Table::default());
        let there =
            Mounted { source: "/dev/sd b1".into(), options: ["rw", "nosuid", "nodev"].map(str::to_owned).into() };
        assert_eq!(seen, ObservedNodeMount { volumes: Vec::new(), there: Some(there), fstab: Vec::new() });
        let nothing = Mounted { source: "nothing".into(), options: BTreeSet::new() };
        assert_eq!(table.at("/mnt/none").collect::<Vec<_>>(), [nothing]);
    }
}
