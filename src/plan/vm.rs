//! What differs between a declared VM and the guest that was found.

use std::collections::BTreeMap;

use super::disks::{self, DiskWork};
use super::verdict::{Facts, Found, Verdict, Wish, decide, difference};
use super::{Action, Aspect, Attribute, Cause, Change, Impact, Reason, Refusal, Rule, Shown};
use crate::config::{Accelerator, ByteSize, Chosen, Machine};
use crate::resource::{
    Address, ContentKey, Declared, Desired, NetworkSpec, Observed, ObservedGuest, Reading, Record, Resource, RunState,
    VmSpec,
};

/// What is to be done with one VM.
#[derive(Debug)]
pub(super) struct VmPlan {
    /// What was found.
    pub(super) found: Found,
    /// The change.
    pub(super) change: Change,
    /// The size its work disk grows to.
    pub(super) grow: Option<ByteSize>,
    /// What is done to its further disks.
    pub(super) disks: DiskWork,
    /// What it asks for and does not get.
    pub(super) refusals: Vec<Refusal>,
    /// Whether it is stopped and stays so.
    pub(super) rests: bool,
}

/// What was found of a guest, and what there is to say when that is nothing certain.
pub(super) fn found(reading: Option<&Reading<ObservedGuest>>) -> (Found, Option<String>) {
    let guest = match reading {
        None | Some(Reading::Absent) => return (Found::Absent, None),
        Some(Reading::Unreadable(why)) => return (Found::Unknown, Some(why.clone())),
        Some(Reading::Present(guest)) => guest,
    };
    match (&guest.state, &guest.record.applied.disks) {
        (RunState::Unknown(why), _) => (Found::Unknown, Some(format!("cannot tell whether it runs: {why}"))),
        (RunState::Suspended, _) => {
            let name = &guest.record.name;
            (Found::Unknown, Some(format!("it is suspended: `regatta wake {name}` lets it go on")))
        }
        (RunState::Stopped, None) => (Found::Unfinished, None),
        (RunState::Running(_), None) => {
            (Found::Unknown, Some("its record says that its disks are unfinished, but its VMM runs".into()))
        }
        (RunState::Stopped, Some(_)) => (Found::Down, None),
        (RunState::Running(_), Some(_)) => (Found::Up, None),
    }
}

/// Whether a root disk that is right is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Kept,
    /// `--replace` names the guest.
    MadeAnew,
}

/// What a VM is compared with.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    /// The world.
    pub(super) observed: &'a Observed,
    /// Names of what images and kernels are made from, for those who read the plan.
    pub(super) names: BTreeMap<&'a ContentKey, &'a str>,
    /// What the sources of images are pinned to.
    digests: BTreeMap<&'a ContentKey, &'a str>,
    /// The machines of guests that name none.
    chosen: &'a BTreeMap<String, Chosen>,
}

/// Characters of a digest that are shown: enough to tell two apart and to look one up.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

impl<'a> Surroundings<'a> {
    /// The world, with the names that the fleet file gives.
    pub(super) fn new(desired: &'a Desired, observed: &'a Observed) -> Self {
        let named = desired.resources.values().filter_map(|declared| match &declared.resource {
            Resource::Image(image) => Some((&image.key, image.name.as_str())),
            Resource::Kernel(kernel) => Some((&kernel.key, kernel.name.as_str())),
            Resource::Network(_)
            | Resource::Vm(_)
            | Resource::Files(_)
            | Resource::Cluster(_)
            | Resource::ClusterGuest(_)
            | Resource::NodeMount(_) => None,
        });
        let pinned = desired.resources.values().filter_map(|declared| match &declared.resource {
            Resource::Image(image) => Some((&image.key, image.source.digest()?)),
            Resource::Kernel(_)
            | Resource::Network(_)
            | Resource::Vm(_)
            | Resource::Files(_)
            | Resource::Cluster(_)
            | Resource::ClusterGuest(_)
            | Resource::NodeMount(_) => None,
        });
        Self { observed, names: named.collect(), digests: pinned.collect(), chosen: &desired.chosen }
    }

    /// Why a new guest that names no machine gets its VMM, where it could have been another.
    fn choice(&self, guest: &str) -> Option<String> {
        let chosen = self.chosen.get(guest).filter(|chosen| chosen.matters)?;
        Some(format!("{} was chosen to run it: {}", chosen.machine.vmm(), chosen.why))
    }

    /// `bookworm 19c5d871c0f27e94`; the key alone for what is no longer declared. What is pinned has its digest:
    /// `web 19c5d871c0f27e94 (sha256:0123456789ab)`.
    fn built(&self, key: &ContentKey) -> String {
        let known = self.observed.built.get(key).and_then(|built| built.pinned.as_ref());
        let name = self.names.get(key).copied().or(known.map(|(name, _)| name.as_str()));
        let digest = self.digests.get(key).copied().or(known.map(|(_, digest)| digest.as_str()));
        let name = name.map(|name| format!("{name} ")).unwrap_or_default();
        let digest = digest.map(|digest| format!(" ({})", digest.chars().take(DIGEST_SHOWN).collect::<String>()));
        format!("{name}{key}{}", digest.unwrap_or_default())
    }
}

/// Plans a declared VM.
pub(super) fn declared(
    address: &Address,
    declared: &Declared,
    want: &VmSpec,
    around: &Surroundings<'_>,
    root: Root,
) -> VmPlan {
    let reading = around.observed.guests.get(&want.name);
    let (mut found, mut note) = found(reading);
    let mut plan = VmPlan {
        found,
        change: Change::none(address, declared.source.as_ref()),
        grow: None,
        disks: DiskWork::default(),
        refusals: Vec::new(),
        rests: false,
    };
    match (found, reading) {
        (Found::Absent | Found::Unfinished, _) => {
            plan.change.attributes = anew(want, around);
            plan.change.attributes.extend(disks::anew(want));
            note = around.choice(&want.name);
        }
        (Found::Down | Found::Up, Some(Reading::Present(guest))) if guest.work_disk == Reading::Absent => {
            found = Found::Unknown;
            note = Some("its work disk is gone: put it back, or destroy the guest to make it anew".into());
        }
        (Found::Down | Found::Up, Some(Reading::Present(guest))) if let Some(lost) = disks::lost(want, guest) => {
            found = Found::Unknown;
            note = Some(format!("its disk `{lost}` is gone: put it back, or remove it from the fleet file"));
        }
        (Found::Down | Found::Up, Some(Reading::Present(guest))) => {
            compare(&mut plan, want, guest, around);
            if root == Root::MadeAnew {
                plan.change.attributes.push(value("root-disk", "kept", "made anew", Impact::Recreate, Cause::Pending));
            }
        }
        (Found::Down | Found::Up | Found::Unknown, _) => {}
    }
    plan.found = found;
    plan.change.note = note;
    if found != Found::Unknown {
        let record = reading.and_then(Reading::present).map(|guest| &guest.record);
        plan.mark(declared.rules.protect, record);
        plan.autostart(declared.rules.autostart, record, around.observed.starts_with_host);
    }
    if plan.change.leave(&declared.rules) {
        plan.rests = found == Found::Down;
        plan.grow = None;
        plan.disks = DiskWork::default();
        return plan;
    }
    let difference = difference(&plan.change.attributes);
    let verdict = decide(Facts { wish: Wish::Declared, found, difference, loss: Impact::DataLoss });
    plan.settle(verdict);
    if plan.change.action != Action::None {
        let obstacles = around.observed.obstacles.get(address).into_iter().flatten();
        plan.refusals.extend(obstacles.map(|it| Refusal::in_the_way(address, declared, it)));
    }
    plan
}

impl VmPlan {
    /// What its record says beside what was applied: its name, and whether it is protected.
    fn mark(&mut self, protect: Option<bool>, record: Option<&Record>) {
        let change = &mut self.change;
        if let Some(before) = record.and_then(|record| record.formerly.as_ref()) {
            let impact = if self.found == Found::Up { Impact::Live } else { Impact::None };
            let after = change.address.guest().unwrap_or_default();
            change.attributes.insert(0, value("name", before, after, impact, Cause::Pending));
        }
        let protected = record.is_some_and(|record| record.protected);
        let Some(protect) = protect.filter(|protect| *protect != protected) else { return };
        if !protect && !change.attributes.is_empty() {
            self.refusals.push(Refusal {
                address: change.address.clone(),
                rule: Rule::Protected,
                message: "the guest's protection would be lifted together with other changes".into(),
                help: "apply `protect #false` alone first, then the other changes".into(),
                source: change.source.clone(),
            });
        }
        let (before, after) = if protect { ("no", "yes") } else { ("yes", "no") };
        let mut protected = value("protected", before, after, Impact::None, Cause::Pending);
        if record.is_none() {
            protected.before = Shown::Absent;
        }
        change.attributes.push(protected);
    }

    /// Whether it starts with its host: its record says that it should, and the host has what does it.
    fn autostart(&mut self, wanted: bool, record: Option<&Record>, in_place: bool) {
        let marked = record.is_some_and(|record| record.autostart);
        let is = marked && in_place;
        if is == wanted && marked == wanted {
            return;
        }
        let cause = if marked == wanted { Cause::Drift } else { Cause::Pending };
        let word = |on| if on { "yes" } else { "no" };
        let mut autostart = value(AUTOSTART, word(!wanted), word(wanted), Impact::None, cause);
        if record.is_none() {
            autostart.before = Shown::Absent;
        }
        self.change.attributes.push(autostart);
    }

    /// Takes the verdict over into the change, with a reason that says more where one attribute says it all: a guest
    /// that only has to be started is `stopped`.
    fn settle(&mut self, verdict: Verdict) {
        let differs = |path: &str| self.change.attributes.iter().any(|attribute| attribute.path == path);
        self.change.reason = match verdict.action {
            Action::Update if differs("name") && self.change.attributes.len() == 1 => Reason::Renamed,
            Action::Update if differs("state") && self.change.attributes.len() == 1 => Reason::Stopped,
            Action::Replace if differs("image") => verdict.reason,
            Action::Replace if differs("image-in-store") => Reason::Dependency,
            Action::Replace if differs(VMM.0) => verdict.reason,
            Action::Replace => Reason::Requested,
            _ => verdict.reason,
        };
        // A disk that is lost is worse than a root disk made anew, and does not stand for it.
        let replaces = self.change.attributes.iter().any(|attribute| attribute.impact == Impact::Recreate);
        self.change.action = match verdict.action {
            Action::Update if replaces => Action::Replace,
            action => action,
        };
        self.change.impact = verdict.impact;
    }
}

/// The attribute of a guest that starts with its host.
pub(super) const AUTOSTART: &str = "autostart";

/// A setting of a VM: its name, how it is shown, and what changing it costs a running guest.
type Setting = (&'static str, fn(&VmSpec, &Surroundings<'_>) -> String, Impact);

/// What the VMM is started with.
const STARTED_WITH: [Setting; 13] = [
    ("cpus", |vm, _| vm.cpus.to_string(), Impact::Restart),
    ("memory", |vm, _| vm.memory.to_string(), Impact::Restart),
    ("kernel", |vm, around| around.built(&vm.kernel), Impact::Restart),
    KERNEL_ARGUMENTS,
    ("network", |vm, _| network(&vm.network), Impact::Restart),
    ("address", |vm, _| address(&vm.network), Impact::Restart),
    ("mac", |vm, _| mac(&vm.network), Impact::Restart),
    ("nameservers", |vm, _| nameservers(&vm.network), Impact::Restart),
    ("forwards", |vm, _| forwards(vm), Impact::Restart),
    ("accel", |vm, _| accelerator(vm.accel).into(), Impact::Restart),
    MACHINE,
    VMM,
    JAILER,
];

/// What the kernel is told beyond what regatta tells it.
const KERNEL_ARGUMENTS: Setting = ("kernel-arguments", |vm, _| kernel_arguments(vm), Impact::Restart);
/// What it is as a machine. The default is not worth a line in the plan of a new guest.
const MACHINE: Setting = ("machine", |vm, _| vm.machine.word().into(), Impact::Restart);
/// Which program runs it: root disks have another form for another one.
const VMM: Setting = ("vmm", |vm, _| vm.machine.vmm().into(), Impact::Recreate);

/// Whose jail its VMM is in.
const JAILER: Setting = ("jailer", |vm, _| vm.jailer.clone().unwrap_or_else(|| "none".into()), Impact::Restart);

/// What its disks are made from.
const IMAGE: Setting = ("image", |vm, around| around.built(&vm.image), Impact::Recreate);
const WORK_DISK: Setting = ("work-disk", |vm, _| vm.work_disk.to_string(), Impact::Restart);

/// `user`, or the name of the bridged network.
fn network(spec: &NetworkSpec) -> String {
    match &spec.link {
        None => "user".into(),
        Some(link) => link.network.clone(),
    }
}

/// Its addresses on a bridge.
fn address(spec: &NetworkSpec) -> String {
    let Some(link) = &spec.link else { return "none".into() };
    let six = link.ipv6.map(|(address, _)| format!(", {address}")).unwrap_or_default();
    format!("{}/{}{six}", link.address, link.subnet.prefix())
}

fn mac(spec: &NetworkSpec) -> String {
    spec.link.as_ref().map_or_else(|| "of its own".into(), |link| link.mac.to_string())
}

fn nameservers(spec: &NetworkSpec) -> String {
    let servers: Vec<String> = spec.link.iter().flat_map(|link| &link.nameservers).map(ToString::to_string).collect();
    if servers.is_empty() { "none".into() } else { servers.join(", ") }
}

const fn accelerator(accel: Accelerator) -> &'static str {
    match accel {
        Accelerator::Auto => "auto",
        Accelerator::Kvm => "kvm",
        Accelerator::Tcg => "tcg",
    }
}

fn kernel_arguments(vm: &VmSpec) -> String {
    if vm.kernel_arguments.is_empty() { "none".into() } else { vm.kernel_arguments.join(" ") }
}

fn forwards(vm: &VmSpec) -> String {
    let ports: Vec<String> = vm.network.forwards.iter().map(|f| format!("{}:{}", f.host, f.guest)).collect();
    if ports.is_empty() { "none".into() } else { ports.join(", ") }
}

/// The attributes of a guest that does not exist yet.
fn anew(want: &VmSpec, around: &Surroundings<'_>) -> Vec<Attribute> {
    // On a bridge the network forwards ports; without one there are no addresses.
    let applies = |path: &str| match want.network.link {
        Some(_) => path != "forwards",
        None => !matches!(path, "address" | "mac" | "nameservers"),
    };
    [IMAGE, WORK_DISK]
        .iter()
        .chain(&STARTED_WITH)
        .filter(|(path, ..)| want.machine != Machine::default() || ![MACHINE.0, VMM.0].contains(path))
        .filter(|(path, ..)| !want.kernel_arguments.is_empty() || *path != KERNEL_ARGUMENTS.0)
        .filter(|(path, ..)| want.jailer.is_some() || *path != JAILER.0)
        .filter(|(path, ..)| applies(path))
        .map(|(path, show, _)| Attribute {
            path: (*path).into(),
            aspect: Aspect::Value,
            before: Shown::Absent,
            after: Shown::Plain(show(want, around)),
            impact: Impact::None,
            cause: Cause::Pending,
        })
        .collect()
}

/// Everything that differs in a guest whose disks are whole.
fn compare(plan: &mut VmPlan, want: &VmSpec, guest: &ObservedGuest, around: &Surroundings<'_>) {
    let Some(disks) = &guest.record.applied.disks else { return };
    // A VMM found by its uuid before its start was recorded was started with what its disks were made with.
    let started = guest.record.applied.started.as_ref().unwrap_or(disks);
    let down = plan.found == Found::Down;
    let attributes = &mut plan.change.attributes;
    if down {
        attributes.push(value("state", "stopped", "running", Impact::None, Cause::Drift));
    }
    attributes.extend(root_disk(want, disks, around));
    plan.grow = work_disk(plan.found, &mut plan.refusals, &mut plan.change, want, guest);
    plan.disks = disks::compare(&mut plan.change, &mut plan.refusals, plan.found, (want, guest));
    plan.change.attributes.extend(STARTED_WITH.iter().filter_map(|(path, show, impact)| {
        let (before, after) = (show(started, around), show(want, around));
        let free = down && *impact == Impact::Restart;
        let impact = if free { Impact::None } else { *impact };
        (before != after).then(|| value(path, &before, &after, impact, Cause::Pending))
    }));
}

fn value(path: &str, before: &str, after: &str, impact: Impact, cause: Cause) -> Attribute {
    Attribute {
        path: path.into(),
        aspect: Aspect::Value,
        before: Shown::plain(before),
        after: Shown::plain(after),
        impact,
        cause,
    }
}

/// The root disk is made anew for another image, and when the image under it left the store: what would be built
/// under the same key need not have the same blocks.
fn root_disk(want: &VmSpec, disks: &VmSpec, around: &Surroundings<'_>) -> Option<Attribute> {
    let (path, show, impact) = IMAGE;
    if disks.image != want.image {
        return Some(value(path, &show(disks, around), &show(want, around), impact, Cause::Pending));
    }
    (!around.observed.built.contains_key(&want.image))
        .then(|| value("image-in-store", "missing", "built", impact, Cause::Drift))
}

/// The size the work disk grows to. Shrinking is refused; a size that could not be read says nothing (LESSON 42).
fn work_disk(
    found: Found,
    refusals: &mut Vec<Refusal>,
    change: &mut Change,
    want: &VmSpec,
    guest: &ObservedGuest,
) -> Option<ByteSize> {
    let size = *guest.work_disk.present()?;
    if want.work_disk < size {
        refusals.push(Refusal {
            address: change.address.clone(),
            rule: Rule::WorkDiskShrinks,
            message: format!("found a work disk of {size}, the fleet file asks for {}", want.work_disk),
            help: format!("a work disk never shrinks: write `{size}`, or destroy the guest and make it anew"),
            source: change.source.clone(),
        });
        return None;
    }
    if want.work_disk == size {
        return None;
    }
    let applied = guest.record.applied.disks.as_ref().map(|disks| disks.work_disk);
    let (path, _, impact) = WORK_DISK;
    let impact = if found == Found::Down { Impact::None } else { impact };
    let cause = Cause::of(applied.as_ref(), &want.work_disk, &size);
    change.attributes.push(value(path, &size.to_string(), &want.work_disk.to_string(), impact, cause));
    Some(want.work_disk)
}
