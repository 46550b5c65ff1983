//! Disks that nodes have mounted: seen as whoever logs in, mounted by root.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::Nodes;
use super::listing::Listing;
use super::road::Road;
use crate::driver::privilege::{add_to_fstab, mount_disk};
use crate::effect::Command;
use crate::exec::{Failure, Progress};
use crate::resource::cluster::{MountHealth, MountStanding, MountState, NodeMountSpec, NodeSpec, ObservedNodeMount};
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
        let mut found = standing(&road, spec).await?;
        if let MountStanding::Lacks { mount: true, .. } = found {
            progress.say(&format!("mounts `{}` at `{at}` on `{node}`", spec.source()));
            road.root.run_ok(&mount_disk(spec)?).await?;
            found = standing(&road, spec).await?;
        }
        // Only once the right disk is there: what the node mounts when it boots is this.
        if let MountStanding::Lacks { mount: false, line: true } = found {
            progress.say(&format!("adds `{at}` to `/etc/fstab` on `{node}`"));
            road.root.run_ok(&add_to_fstab(spec)?).await?;
            found = standing(&road, spec).await?;
        }
        match found {
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
    let fields = ["--json", "--list", "--output", "TARGET,SOURCE,FSTYPE,OPTIONS"];
    let mounted = road.run.run(&Command::new("findmnt").args(fields)).await?;
    let fstab = road.run.run(&Command::new("findmnt").arg("--fstab").args(fields)).await?;
    let places: Vec<&str> = declared.iter().map(|spec| spec.at.as_str()).collect();
    let leads = Command::new("readlink").args(["--canonicalize-missing", "--"]).args(places.iter().copied());
    let links = road.run.run(&leads).await?;
    let listing = Listing::read(&disks, &mounted, &fstab)?.with_links(&places, &links)?;
    Ok(declared.iter().map(|spec| listing.of(spec)).collect())
}
