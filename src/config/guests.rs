//! `vm` nodes → guests: settings decided, counts expanded, references and clashes checked.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use super::language::is_label;
use super::node::vm::VmNode;
use super::problems::Problems;
use super::profiles::Profiles;
use super::settings::{Definition, Settings};
use super::{
    Accelerator, ByteSize, Disk, File, FileSync, Fleet, Forward, KernelSource, Mac, Machine, NetworkMode, Origin,
    Session, Setting, Vm, network,
};
use crate::syntax::{Diagnostic, Span, Spanned, shown};

/// CPUs of a guest that states none.
const DEFAULT_CPUS: u32 = 1;

/// Memory of a guest that states none.
const DEFAULT_MEMORY: ByteSize = ByteSize::mib(512);

/// Work disk of a guest that states none.
const DEFAULT_WORK_DISK: ByteSize = ByteSize::gib(4);

/// CPUs of Firecracker's largest guest (`MachineConfiguration` in its API's description).
pub(crate) const FIRECRACKER_CPUS: u32 = 32;

/// Adds all guests to the fleet, whose other parts are complete.
///
/// Gives the names that stand for several guests, with how many.
pub(super) fn add(
    fleet: &mut Fleet,
    vms: Vec<VmNode>,
    profiles: &Profiles,
    base: &Settings,
    problems: &mut Problems,
) -> BTreeMap<String, u32> {
    let mut clashes = Clashes::default();
    let mut counted = BTreeMap::new();
    for node in vms {
        let before = problems.count();
        let own = profiles.apply(node.own, &node.uses, problems);
        let settings = own.over(&[base], problems);
        fleet.provenance.priorities.extend(settings.priorities());
        let Some(vm) = guest(&node.name, node.span, settings) else {
            // What is missing may be what was not understood.
            let understood = node.sound && problems.count() == before && problems.is_complete();
            if understood && (node.uses.is_empty() || profiles.sound()) {
                problems.push(no_image(&node.name));
            }
            continue;
        };
        check_references(fleet, &vm, problems);
        check_machine(fleet, &vm, problems);
        check_jailer(&vm, problems);
        check_targets(&vm.file_syncs, &vm.files, problems);
        check_sessions(&vm.sessions, problems);
        check_disks(&vm, problems);
        if let Some(count) = node.count {
            counted.insert(node.name.value.clone(), count.value);
        }
        for name in names(&node.name, node.count, &vm, problems) {
            // What is wrong with one guest of a count is wrong with all: it is said once.
            if !clashes.check(&name, node.name.span, &vm.forwards, problems) {
                break;
            }
            fleet.vms.insert(name.clone(), Vm { name, ..vm.clone() });
        }
    }
    network::assign(fleet, problems);
    counted
}

/// The names a node stands for: its own, or numbered ones.
fn names(name: &Spanned<String>, count: Option<Spanned<u32>>, vm: &Vm, problems: &mut Problems) -> Vec<String> {
    let Some(count) = count else { return vec![name.value.clone()] };
    if count.value > 1 && check_counted(name, count, vm, problems) {
        return vec![format!("{}-1", name.value)];
    }
    (1..=count.value).map(|number| format!("{}-{number}", name.value)).collect()
}

/// Puts a guest together; its name is that of the node.
fn guest(name: &Spanned<String>, span: Span, settings: Settings) -> Option<Vm> {
    Some(Vm {
        name: name.value.clone(),
        span,
        cpus: decided(settings.cpus, DEFAULT_CPUS),
        memory: decided(settings.memory, DEFAULT_MEMORY),
        image: settings.image?.value,
        kernel: settings.kernel.map(|kernel| kernel.value),
        network: settings.network.map(|network| network.value),
        address: settings.address.map(|address| address.value),
        mac: settings.mac.map(|mac| mac.value),
        attachment: None,
        forwards: values(settings.forwards),
        work_disk: decided(settings.work_disk, DEFAULT_WORK_DISK),
        disks: values(settings.disks),
        accel: decided(settings.accel, Accelerator::Auto),
        machine: decided(settings.machine, Machine::default()),
        jailer: settings.jailer.map(|jailer| jailer.value),
        authorized_keys: values(settings.authorized_keys),
        git_identity: settings.git_identity.map(|identity| identity.value),
        file_syncs: values(settings.file_syncs),
        files: values(settings.files),
        sessions: values(settings.sessions),
        after: values(settings.after),
        tags: values(settings.tags),
        autostart: decided(settings.autostart, false),
        protect: settings.protect.map(|protect| protect.value),
        ignore_drift: values(settings.ignore_drift),
    })
}

fn no_image(name: &Spanned<String>) -> Diagnostic {
    let message = format!("guest `{}` has no image", name.value);
    Diagnostic::error("config::no-image", message, name.span, "neither it nor a profile it uses names one")
        .help("name one in its block: `image \"bookworm\"`")
}

fn decided<T>(definition: Option<Definition<T>>, default: T) -> Setting<T> {
    match definition {
        Some(definition) => Setting::written(definition.value.value, definition.value.span),
        None => Setting::default_value(default),
    }
}

pub(super) fn values<T>(definitions: Vec<Definition<T>>) -> Vec<Spanned<T>> {
    definitions.into_iter().map(|definition| definition.value).collect()
}

fn check_references(fleet: &Fleet, vm: &Vm, problems: &mut Problems) {
    if !fleet.images.contains_key(&vm.image.value) {
        problems.missing("image", &vm.image);
    }
    if let Some(name) = vm.kernel.as_ref().filter(|name| !fleet.kernels.contains_key(&name.value)) {
        problems.missing("kernel", name);
    }
    let kernel = vm.kernel.as_ref().and_then(|name| fleet.kernels.get(&name.value));
    if let Some(KernelSource::Image { image }) = kernel.map(|kernel| &kernel.source)
        && !fleet.images.contains_key(&image.value)
    {
        problems.missing("image", image);
    }
    if let Some(name) = vm.network.as_ref().filter(|name| !fleet.networks.contains_key(&name.value)) {
        problems.missing("network", name);
    }
}

/// What Firecracker cannot do: it plugs guests to taps and has no network of its own, needs KVM, and has a largest guest.
fn check_machine(fleet: &Fleet, vm: &Vm, problems: &mut Problems) {
    let (Machine::Firecracker, Origin::Written(span)) = (vm.machine.value, vm.machine.origin) else { return };
    let network = vm.network.as_ref().and_then(|name| fleet.networks.get(&name.value));
    // A name that means nothing is reported as such.
    if vm.network.is_none() || network.is_some_and(|network| network.mode.value == NetworkMode::User) {
        problems.push(
            Diagnostic::error("config::needs-tap", "Firecracker has no user-mode network", span, "needs a bridge")
                .help("write `machine \"microvm\"`, which QEMU runs, or plug the guest to a network of mode `bridge`"),
        );
    }
    let mut cannot = |what: String, at: Origin, help: &str| {
        let Origin::Written(at) = at else { return };
        let found = Diagnostic::error("config::not-on-firecracker", what, at, "not possible");
        problems.push(found.also(span, "on Firecracker").help(help));
    };
    if vm.accel.value == Accelerator::Tcg {
        cannot(
            "Firecracker runs guests under KVM only".into(),
            vm.accel.origin,
            "leave `accel` out, or let QEMU run it",
        );
    }
    if vm.cpus.value > FIRECRACKER_CPUS {
        let what = format!("found {} cpus, Firecracker gives a guest at most {FIRECRACKER_CPUS}", vm.cpus.value);
        cannot(what, vm.cpus.origin, "give it fewer, or let QEMU run it");
    }
}

/// Only Firecracker has a jailer, and a jail of root's is none.
fn check_jailer(vm: &Vm, problems: &mut Problems) {
    let Some(jailer) = &vm.jailer else { return };
    if vm.machine.value != Machine::Firecracker {
        let message = format!("found `jailer` for guest `{}`, which is not Firecracker's", shown(&vm.name));
        problems.push(
            Diagnostic::error("config::needs-firecracker", message, jailer.span, "only Firecracker has a jailer")
                .help("write `machine \"firecracker\"` beside it, or remove it"),
        );
    }
    if jailer.value == "root" {
        let message = "found `root` as the user of a jail, expected one that may do nothing else";
        problems.push(
            Diagnostic::error("config::jailed-root", message, jailer.span, "root leaves any jail")
                .help("make a user for it: `useradd --system --no-create-home --shell /usr/sbin/nologin NAME`"),
        );
    }
}

/// Two declarations must not write the same path of one guest.
pub(super) fn check_targets(syncs: &[Spanned<FileSync>], files: &[Spanned<File>], problems: &mut Problems) {
    let mut targets: BTreeMap<&str, Span> = BTreeMap::new();
    let synced = syncs.iter().map(|sync| &sync.value.to);
    for to in synced.chain(files.iter().map(|file| &file.value.path)) {
        if let Some(first) = targets.get(to.value.as_str()) {
            let message = format!("`~/{}` of one guest is written by two declarations", shown(&to.value));
            problems.push(
                Diagnostic::error("config::duplicate-target", message, to.span, "also written here")
                    .also(*first, "written here")
                    .help("give each its own target"),
            );
        } else {
            targets.insert(&to.value, to.span);
        }
        if to.value == ".ssh/authorized_keys" {
            let message = "found `~/.ssh/authorized_keys` as target, which regatta itself writes";
            problems.push(
                Diagnostic::error("config::reserved-target", message, to.span, "not possible")
                    .help("name keys with `authorized-key`; foreign lines of the guest's file are kept"),
            );
        }
    }
}

/// Sessions of one guest have names of their own.
pub(super) fn check_sessions(sessions: &[Spanned<Session>], problems: &mut Problems) {
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    for session in sessions {
        let name = session.value.name.as_str();
        if let Some(first) = names.insert(name, session.span) {
            let message = format!("one guest has two sessions `{}`", shown(name));
            problems.push(
                Diagnostic::error("config::duplicate-name", message, session.span, "declared again here")
                    .also(first, "declared here")
                    .help("give each its own name"),
            );
        }
    }
}

/// Further disks of one guest: more than this the kernel's command line has no room for.
const MAX_DISKS: usize = 8;

/// Disks of one guest have names and places of their own.
fn check_disks(vm: &Vm, problems: &mut Problems) {
    let (mut names, mut places) = (BTreeMap::new(), BTreeMap::new());
    for disk in &vm.disks {
        let Disk { name, at, .. } = &disk.value;
        let twice = match (names.insert(name, disk.span), at.as_ref().and_then(|at| places.insert(at, disk.span))) {
            (Some(first), _) => Some((format!("two disks of one guest are called `{name}`"), first)),
            (None, Some(first)) => Some(("two disks of one guest are mounted at one place".to_owned(), first)),
            (None, None) => None,
        };
        if let Some((message, first)) = twice {
            let problem = Diagnostic::error("config::duplicate-disk", message, disk.span, "again here");
            problems.push(problem.also(first, "first here").help("give each its own name and its own `at`"));
        }
    }
    if let Some(surplus) = vm.disks.get(MAX_DISKS) {
        let message = format!("found {} disks, a guest has at most {MAX_DISKS} beside its own", vm.disks.len());
        problems.push(Diagnostic::error("config::many-disks", message, surplus.span, "one too many"));
    }
}

/// What belongs to one guest and is said of several: host ports, addresses. Whether there is any.
fn check_counted(name: &Spanned<String>, count: Spanned<u32>, vm: &Vm, problems: &mut Problems) -> bool {
    let port = |what: &Spanned<Forward>| ("port", what.span, format!("forward the same host port {}", what.value.host));
    let address = |what: &Spanned<Ipv4Addr>| ("address", what.span, format!("have the same address {}", what.value));
    let mac = |what: &Spanned<Mac>| ("MAC address", what.span, format!("have the same MAC address {}", what.value));
    let shared = vm.forwards.iter().map(port).chain(vm.address.iter().map(address)).chain(vm.mac.iter().map(mac));
    let before = problems.count();
    for (what, span, they) in shared {
        let message = format!("{} guests `{}` would {they}", count.value, name.value);
        let code = match what {
            "port" => "config::duplicate-port",
            "address" => "config::duplicate-address",
            _ => "config::duplicate-mac",
        };
        problems.push(
            Diagnostic::error(code, message, span, format!("one {what}"))
                .also(count.span, "for so many guests")
                .help(format!("declare these guests one by one, each with its own {what}")),
        );
    }
    problems.count() > before
}

/// What may be there only once in a fleet.
#[derive(Default)]
struct Clashes {
    names: BTreeMap<String, Span>,
    ports: BTreeMap<u16, Span>,
}

impl Clashes {
    /// Whether a guest can have this name; clashes of names and ports are reported.
    fn check(&mut self, name: &str, at: Span, forwards: &[Spanned<Forward>], problems: &mut Problems) -> bool {
        if !is_label(name) {
            let message = format!("found the name `{}` of {} characters, the limit is 63", shown(name), name.len());
            problems.push(Diagnostic::error("config::long-name", message, at, "too long with its number"));
            return false;
        }
        if let Some(first) = self.names.get(name) {
            problems.declared_twice("vm", &Spanned::new(name.to_owned(), at), *first);
            return false;
        }
        self.names.insert(name.to_owned(), at);
        for forward in forwards {
            let port = forward.value.host;
            match self.ports.get(&port) {
                None => {
                    self.ports.insert(port, forward.span);
                }
                Some(first) => {
                    let message = format!("host port {port} is forwarded twice");
                    problems.push(
                        Diagnostic::error("config::duplicate-port", message, forward.span, "again here")
                            .also(*first, "first here")
                            .help("give each forward its own host port"),
                    );
                }
            }
        }
        true
    }
}
