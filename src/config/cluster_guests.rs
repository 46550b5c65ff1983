//! Nodes of guests on clusters → guests: counts expanded, references and clashes checked.

use std::collections::BTreeMap;

use super::guests::{check_sessions, check_targets, values};
use super::language::is_label;
use super::node::cluster_guest::{ClusterGuestNode, OnCluster};
use super::problems::Problems;
use super::profiles::Profiles;
use super::settings::Settings;
use super::{
    Bind, ClusterGuest, ClusterOrigin, ClusterVm, Container, FenceNode, Fleet, Origin, Setting, is_plain_path,
    is_shareable, is_shareable_device, is_snippet,
};
use crate::syntax::{Diagnostic, Span, Spanned, shown};

/// Adds all guests on clusters to the fleet, whose local guests and clusters are complete.
///
/// Gives the names that stand for several guests, with how many.
pub(super) fn add(
    fleet: &mut Fleet,
    nodes: Vec<ClusterGuestNode>,
    profiles: &Profiles,
    base: &Settings,
    problems: &mut Problems,
) -> BTreeMap<String, u32> {
    let (mut numbers, mut counted): (BTreeMap<(String, u32), Span>, BTreeMap<String, u32>) = Default::default();
    for ClusterGuestNode { mut guest, at, count, uses, own } in nodes {
        let settings = profiles.apply(own, &uses, problems);
        complete(&mut guest, settings, base, problems);
        counted.extend(count.map(|count| (guest.common().name.clone(), count.value)));
        let common = guest.common();
        if !fleet.clusters.contains_key(&common.cluster.value) {
            problems.missing("cluster", &common.cluster);
        }
        match &guest {
            OnCluster::Container(container) => check_container(container, problems),
            OnCluster::Vm(vm) => check_vm(vm, problems),
        }
        check_root(&guest, problems);
        let fence = fleet.clusters.get(&common.cluster.value).map_or(&[][..], |cluster| &cluster.fence);
        check_entered(&guest, fence, problems);
        check_targets(&common.inside.file_syncs, &common.inside.files, problems);
        check_sessions(&common.inside.sessions, problems);
        check_number(common, count, &mut numbers, problems);
        check_existing(common, problems);
        let names = match count {
            None => vec![common.name.clone()],
            Some(count) => (1..=count.value).map(|number| format!("{}-{number}", common.name)).collect(),
        };
        for name in names {
            // What is wrong with one guest of a count is wrong with all: it is said once.
            if !check_name(fleet, &name, at, problems) {
                break;
            }
            match guest.named(&name) {
                OnCluster::Container(container) => drop(fleet.containers.insert(name, container)),
                OnCluster::Vm(vm) => drop(fleet.cluster_vms.insert(name, vm)),
            }
        }
    }
    counted
}

/// What the block, the profiles that it uses and the top of the file say together. What profiles say of images, kernels,
/// networks and the like is about guests of this machine.
fn complete(guest: &mut OnCluster, settings: Settings, base: &Settings, problems: &mut Problems) {
    let written = !settings.file_syncs.is_empty() || !settings.files.is_empty();
    let says_inside = settings.git_identity.is_some() || written || !settings.sessions.is_empty();
    // Who commits does not make regatta log in where it would not.
    let is_entered = guest.common().inside.ssh.is_some() || says_inside;
    let settings = settings.over(&[base], problems);
    let cores = settings.cpus.map(|cpus| cpus.value);
    let memory = settings.memory.map(|memory| memory.value);
    match guest {
        OnCluster::Container(container) => {
            container.cores = container.cores.or(cores);
            if let (Origin::Default, Some(memory)) = (container.memory.origin, memory) {
                container.memory = Setting::written(memory.value, memory.span);
            }
        }
        OnCluster::Vm(vm) => (vm.cores, vm.memory) = (vm.cores.or(cores), vm.memory.or(memory)),
    }
    let common = guest.common_mut();
    (common.tags, common.after) = (values(settings.tags), values(settings.after));
    common.inside.authorized_keys = values(settings.authorized_keys);
    common.inside.git_identity = settings.git_identity.filter(|_| is_entered).map(|identity| identity.value);
    common.inside.file_syncs = values(settings.file_syncs);
    common.inside.files = values(settings.files);
    common.inside.sessions = values(settings.sessions);
}

fn check_name(fleet: &Fleet, name: &str, at: Span, problems: &mut Problems) -> bool {
    if !is_label(name) {
        let message = format!("found the name `{}` of {} characters, the limit is 63", shown(name), name.len());
        problems.push(Diagnostic::error("config::long-name", message, at, "too long with its number"));
        return false;
    }
    let local = fleet.vms.get(name).map(|vm| vm.span);
    let container = fleet.containers.get(name).map(|container| container.guest.span);
    let vm = fleet.cluster_vms.get(name).map(|vm| vm.guest.span);
    if let Some(first) = local.or(container).or(vm) {
        problems.declared_twice("guest", &Spanned::new(name.to_owned(), at), first);
        return false;
    }
    true
}

/// One number belongs to one guest of a cluster.
fn check_number(
    guest: &ClusterGuest,
    count: Option<Spanned<u32>>,
    numbers: &mut BTreeMap<(String, u32), Span>,
    problems: &mut Problems,
) {
    let (from, to) = guest.vmid.value;
    let Origin::Written(span) = guest.vmid.origin else { return };
    if from > to {
        return;
    }
    if let Some(count) = count.filter(|count| count.value > to - from + 1) {
        let message = format!("{} guests `{}` have only {} numbers", count.value, guest.name, to - from + 1);
        problems.push(
            Diagnostic::error("config::duplicate-number", message, span, "too few numbers")
                .also(count.span, "for so many guests")
                .help("give them a larger range: `vmid from=… to=…`"),
        );
    }
    if from == to
        && let Some(first) = numbers.insert((guest.cluster.value.clone(), from), span)
    {
        let message = format!("the number {from} is given to two guests of one cluster");
        problems.push(
            Diagnostic::error("config::duplicate-number", message, span, "again here")
                .also(first, "first here")
                .help("give each its own number, or both a range"),
        );
    }
}

/// What is taken over is named by its number: a name alone is not enough to lay hands on somebody's guest.
fn check_existing(guest: &ClusterGuest, problems: &mut Problems) {
    let (from, to) = guest.vmid.value;
    if guest.origin == ClusterOrigin::Existing && from != to {
        let message = format!("`{}` is `existing`, and lacks its number", guest.name);
        let problem = Diagnostic::error("config::missing-node", message, guest.span, "expected `vmid NUMBER`");
        problems.push(problem.help("such as `vmid 105`: `pct list` and `qm list` on the node tell it"));
    }
}

/// What root itself is asked for on the node: each is checked against what it names, and the guest has one number, because
/// sudo's rules name it.
fn check_root(guest: &OnCluster, problems: &mut Problems) {
    let hook = guest.common().hook_script.iter();
    let mut asked: Vec<(Span, Option<String>)> = hook
        .map(|hook| {
            let wrong = !is_snippet(&hook.value);
            (hook.span, wrong.then(|| format!("found `{}`, expected `STORAGE:snippets/FILE`", shown(&hook.value))))
        })
        .collect();
    if let OnCluster::Container(container) = guest {
        asked.extend(container.binds.iter().map(|bind| (bind.span, wrong_bind(&bind.value))));
        asked.extend(container.devices.iter().map(|device| (device.span, wrong_device(&device.value.path))));
        let features = container.features.iter();
        let features = features.filter(|feature| !container.unprivileged.value || feature.value != "nesting");
        asked.extend(features.map(|feature| (feature.span, None)));
    }
    for message in asked.iter_mut().filter_map(|(span, wrong)| Some((*span, wrong.take()?))) {
        problems.push(Diagnostic::error("config::wrong-value", message.1, message.0, "not accepted"));
    }
    let (from, to) = guest.common().vmid.value;
    if let Some((span, _)) = asked.first().filter(|_| from < to) {
        let message = format!("`{}` needs root on its node, and has no number of its own", guest.common().name);
        problems.push(
            Diagnostic::error("config::contradiction", message, *span, "no API token may do this")
                .help("give the guest one number, such as `vmid 105`: the rules of sudo name it"),
        );
    }
}

/// Root of a node may go into a container whose root is nobody on the node, and whose number sudo's rule names.
fn check_entered(guest: &OnCluster, fence: &[FenceNode], problems: &mut Problems) {
    let common = guest.common();
    let Some(ssh) = common.inside.ssh.as_ref().filter(|ssh| ssh.value.via_node) else { return };
    let (from, to) = common.vmid.value;
    let privileged = matches!(guest, OnCluster::Container(container) if !container.unprivileged.value);
    let outside = common.nodes.iter().find(|node| !fence.iter().any(|it| it.name.value == node.value));
    let (what, help) = match (guest, outside) {
        (OnCluster::Vm(_), _) => ("is a virtual machine", "a node goes into containers only: leave `via` out"),
        (OnCluster::Container(_), _) if privileged => (
            "is privileged",
            "root in a privileged container is root on its node: use its SSH server, or leave `unprivileged #false` out",
        ),
        (OnCluster::Container(container), _) if container.says_unprivileged().is_none() => (
            "is not made here",
            "what it is made of may be privileged, and the rule of sudo would be root on its node: write `unprivileged #true` \
             where you know that it is not",
        ),
        (OnCluster::Container(_), _) if from < to => {
            ("has no number of its own", "give the guest one number, such as `vmid 105`: the rule of sudo names it")
        }
        // The node may be among those whose blocks have mistakes.
        (OnCluster::Container(_), _) if !problems.is_complete() => return,
        (OnCluster::Container(_), _) if fence.is_empty() => {
            ("is on a cluster without a fence", "write a `fence` with its nodes into the cluster")
        }
        (OnCluster::Container(_), Some(_)) => {
            ("may be on a node that the fence lacks", "write every `node` of the guest into the cluster's `fence`")
        }
        (OnCluster::Container(_), None) => return,
    };
    let message = format!("`{}` is to be gone into by way of its node, and {what}", common.name);
    problems.push(Diagnostic::error("config::contradiction", message, ssh.span, "`via=\"node\"`").help(help));
}

fn wrong_bind(bind: &Bind) -> Option<String> {
    if !is_plain_path(&bind.path) {
        return Some(format!("found the path `{}`, expected an absolute one of plain characters", shown(&bind.path)));
    }
    let message = format!("found `{}`, expected a directory that is no part of the node's system", shown(&bind.from));
    (!is_shareable(&bind.from)).then_some(message)
}

fn wrong_device(path: &str) -> Option<String> {
    let message = format!("found `{}`, expected a device that a guest may have, such as `/dev/ttyUSB0`", shown(path));
    (!is_shareable_device(path)).then_some(message)
}

/// What may be there only once in one virtual machine.
fn check_vm(vm: &ClusterVm, problems: &mut Problems) {
    let mut seen: BTreeMap<(&str, u32), Span> = BTreeMap::new();
    let disks = vm.disks.iter().map(|disk| ("disk", disk.value.0, disk.span));
    let interfaces = vm.interfaces.iter().map(|net| ("interface", net.value.0, net.span));
    for (kind, number, span) in disks.chain(interfaces) {
        if let Some(first) = seen.insert((kind, number), span) {
            problems.declared_twice(kind, &Spanned::new(number.to_string(), span), first);
        }
    }
}

/// What may be there only once in one container.
fn check_container(container: &Container, problems: &mut Problems) {
    let mut seen: BTreeMap<(&str, &str), Span> = BTreeMap::new();
    let interfaces = container.interfaces.iter().map(|net| (("interface", net.value.name.as_str()), net.span));
    let mounts = container.mounts.iter().map(|mount| (("mount", mount.value.0.as_str()), mount.span));
    let binds = container.binds.iter().map(|bind| (("mount", bind.value.path.as_str()), bind.span));
    let devices = container.devices.iter().map(|device| (("device", device.value.path.as_str()), device.span));
    for ((kind, name), span) in interfaces.chain(mounts).chain(binds).chain(devices) {
        if let Some(first) = seen.insert((kind, name), span) {
            problems.declared_twice(kind, &Spanned::new(name.to_owned(), span), first);
        }
    }
    for mount in container.mounts.iter().filter(|mount| !mount.value.0.starts_with('/')) {
        let message = format!("found the path `{}`, expected one that starts with `/`", shown(&mount.value.0));
        problems.push(Diagnostic::error("config::wrong-value", message, mount.span, "not accepted"));
    }
}
