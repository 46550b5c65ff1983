//! [`Fleet`] + [`Inputs`] → [`Desired`]: the user's words become resources with addresses, and what each needs first.

mod build;
mod cluster;
mod files;
mod machine;
mod mounts;
mod network;

pub use cluster::reaches;
pub use machine::{Firecracker, Hypervisors, chosen, undecided};

use std::collections::{BTreeMap, BTreeSet};

use self::files::{OwnKeys, Owner};
use super::{Address, Declared, Desired, HostPath, Inputs, Pin, Pinned, Resource, Rules, SecretInput, VmSpec};
use crate::config::filter::Filter;
use crate::config::{AuthorizedKey, Disk, FileContent, Fleet, GitIdentity, Image, ImageSource, Links, Secret, Vm};
use crate::syntax::{Diagnostic, Severity, SourceMap, Span, Spanned};

/// What of the host a fleet asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// Files and directories.
    pub paths: BTreeSet<HostPath>,
    /// Secrets.
    pub secrets: BTreeSet<Secret>,
    /// Images whose source has to be pinned.
    pub images: BTreeSet<String>,
    /// Whether `git config --global` has to be asked for the user's name and address.
    pub git_identity: bool,
}

impl Requests {
    /// Adds what one guest's files ask for.
    fn of(&mut self, owner: &Owner<'_>) {
        self.git_identity |= owner.git_identity.is_some_and(|identity| identity.value == GitIdentity::Host);
        let syncs = owner.file_syncs.iter().map(|sync| files::sync_path(&sync.value));
        let keys = owner.authorized_keys.iter().filter_map(|key| match &key.value {
            AuthorizedKey::File(path) => Some(HostPath {
                written: path.clone(),
                declared_in: key.span.source,
                include: Filter::default(),
                exclude: Filter::default(),
                links: Links::Skip,
            }),
            AuthorizedKey::Inline(_) => None,
        });
        self.paths.extend(syncs.chain(keys));
        self.secrets.extend(owner.files.iter().filter_map(|file| match &file.value.content {
            FileContent::Secret(secret) => Some(secret.clone()),
            FileContent::Text(_) => None,
        }));
    }
}

/// What must be read of the host before [`lower`] can be called.
pub fn requests(fleet: &Fleet) -> Requests {
    let mut requests = Requests::default();
    for vm in fleet.vms.values() {
        let pinned = |image: &&Image| !matches!(image.source, ImageSource::Debootstrap { .. });
        requests.images.extend(fleet.images.get(&vm.image.value).filter(pinned).map(|image| image.name.clone()));
        requests.of(&Owner::here(vm));
    }
    let containers = fleet.containers.values().map(|container| &container.guest);
    for guest in containers.chain(fleet.cluster_vms.values().map(|vm| &vm.guest)) {
        requests.of(&Owner::on_cluster(guest));
    }
    requests
}

/// A lowered fleet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lowered {
    /// What should exist.
    pub desired: Desired,
    /// What was left out, and why (LESSONS 11 and 15): the fleet can be applied all the same.
    pub warnings: Vec<Diagnostic>,
}

/// Makes resources of a fleet and of what was read of the host for it.
///
/// # Errors
/// Everything that cannot be made, each with its place: a host path that must not be read, a file that holds no public
/// keys, one guest path that two declarations write.
pub fn lower(fleet: &Fleet, sources: &SourceMap, inputs: &Inputs) -> Result<Lowered, Vec<Diagnostic>> {
    let mut lowering = Lowering {
        fleet,
        sources,
        inputs,
        desired: Desired {
            fleet: fleet.name.value.clone(),
            resources: BTreeMap::new(),
            moved: fleet.moved.clone(),
            forget: fleet.forget.iter().map(|guest| guest.value.clone()).collect(),
            chosen: chosen(fleet, &inputs.hypervisors),
        },
        found: Vec::new(),
        said: BTreeSet::new(),
    };
    for vm in fleet.vms.values() {
        lowering.vm(vm);
    }
    fleet.clusters.values().for_each(|cluster| lowering.cluster(cluster));
    fleet.containers.values().for_each(|container| lowering.container(container));
    fleet.cluster_vms.values().for_each(|vm| lowering.cluster_vm(vm));
    lowering
        .found
        .sort_by_key(|found| (found.severity, found.labels.first().map(|label| (label.span.source, label.span.start))));
    let (errors, warnings): (Vec<_>, Vec<_>) = lowering.found.into_iter().partition(|d| d.severity == Severity::Error);
    match errors.is_empty() {
        true => Ok(Lowered { desired: lowering.desired, warnings }),
        false => Err(errors.into_iter().chain(warnings).collect()),
    }
}

/// What a fleet declares, as far as it is known without reading anything of the host but the fleet file: what sources of
/// images stand for is unknown, and contents that are read of the host are left out. It says what a fleet needs of hosts and
/// nodes, and is never planned.
///
/// # Errors
/// As [`lower`].
pub fn outline(fleet: &Fleet, sources: &SourceMap) -> Result<Desired, Vec<Diagnostic>> {
    let asked = requests(fleet);
    let inputs = Inputs {
        pins: asked.images.into_iter().map(|name| (name, Pinned::At(Pin::unknown()))).collect(),
        secrets: asked.secrets.into_iter().map(|secret| (secret, SecretInput::Unasked)).collect(),
        ..Inputs::default()
    };
    Ok(lower(fleet, sources, &inputs)?.desired)
}

struct Lowering<'a> {
    fleet: &'a Fleet,
    sources: &'a SourceMap,
    inputs: &'a Inputs,
    desired: Desired,
    found: Vec<Diagnostic>,
    /// Code, place and message of each.
    said: BTreeSet<(&'static str, Option<Span>, String)>,
}

impl Lowering<'_> {
    /// Adds a resource and returns its address.
    fn declare(&mut self, address: Address, resource: Resource, span: Span, needs: BTreeSet<Address>) -> Address {
        let source = Some(self.sources.source_ref(span));
        let declared = Declared { resource, source, needs, tags: BTreeSet::new(), rules: Rules::default() };
        self.desired.resources.insert(address.clone(), declared);
        address
    }

    /// Gives a resource what its guest says of everything in it: groups, and what may drift.
    fn tag(&mut self, address: &Address, tags: &[Spanned<String>], ignore_drift: &[Spanned<String>]) {
        if let Some(declared) = self.desired.resources.get_mut(address) {
            declared.tags = tags.iter().map(|tag| tag.value.clone()).collect();
            declared.rules.ignore_drift = ignore_drift.iter().map(|pattern| pattern.value.clone()).collect();
        }
    }

    /// Says of a guest whether it is protected, and whether it starts with its host.
    fn rules(&mut self, address: &Address, vm: &Vm) {
        if let Some(declared) = self.desired.resources.get_mut(address) {
            declared.rules.autostart = vm.autostart.value;
            declared.rules.protect = vm.protect.as_ref().map(|protect| protect.value);
        }
    }

    /// Records a mistake or warning; guests of one `count` share theirs.
    fn report(&mut self, diagnostic: Diagnostic) {
        let place = diagnostic.labels.first().map(|label| label.span);
        if self.said.insert((diagnostic.code, place, diagnostic.message.clone())) {
            self.found.push(diagnostic);
        }
    }

    fn vm(&mut self, vm: &Vm) {
        // References were checked when the fleet was built.
        let Some(image) = self.fleet.images.get(&vm.image.value) else { return };
        let Some((image_address, image_key)) = self.image(image) else { return };
        let named = vm.kernel.as_ref().and_then(|name| self.fleet.kernels.get(&name.value));
        let (kernel_address, kernel_key) = match named {
            Some(kernel) => {
                let Some(kernel) = self.kernel(kernel) else { return };
                kernel
            }
            None => self.default_kernel(image),
        };
        let arguments = named.iter().flat_map(|kernel| &kernel.arguments).map(|argument| argument.value.clone());
        let spec = VmSpec {
            name: vm.name.clone(),
            cpus: vm.cpus.value,
            memory: vm.memory.value,
            image: image_key,
            kernel: kernel_key,
            kernel_arguments: arguments.collect(),
            network: self.network(vm),
            work_disk: vm.work_disk.value,
            disks: disks(vm),
            accel: vm.accel.value,
            machine: self.desired.chosen.get(&vm.name).map_or(vm.machine.value, |chosen| chosen.machine),
            jailer: vm.jailer.as_ref().map(|jailer| jailer.value.clone()),
        };
        let others: Vec<Address> = vm.after.iter().map(|guest| self.address_of(&guest.value)).collect();
        let needs = others.into_iter().chain([image_address, kernel_address]).chain(self.bridge(vm)).collect();
        let guest = self.declare(Address::vm(&vm.name), Resource::Vm(spec), vm.span, needs);
        self.tag(&guest, &vm.tags, &vm.ignore_drift);
        self.rules(&guest, vm);
        self.files(&Owner::here(vm), &guest, OwnKeys::Added);
    }
}

/// A guest's further disks, in the order of their names.
fn disks(vm: &Vm) -> Vec<Disk> {
    let mut disks: Vec<Disk> = vm.disks.iter().map(|disk| disk.value.clone()).collect();
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    disks
}

#[cfg(test)]
mod tests;
