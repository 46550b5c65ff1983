//! Fleets made from a seed, and what happens to them between applies.

use std::collections::{BTreeMap, BTreeSet};

use regatta::config::{Accelerator, ByteSize, Machine, NetworkMode, OnDrift};
use regatta::resource::{
    Address, Content, ContentKey, Declared, Desired, DesiredFile, Digest, FileSet, FileSetKind, GuestPath, HostFile,
    ImageSpec, KernelSpec, NetworkSpec, Resource, Rules, SourceSpec, VmSpec,
};

use crate::world::State;

/// SplitMix64: the same seed, the same story.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Names guests have.
const NAMES: [&str; 12] =
    ["db", "web-1", "web-2", "web-3", "web-4", "web-5", "web-6", "a", "b", "c", "long-name-of-a-guest", "z"];

/// A fleet of at most so many guests.
pub(crate) fn random(random: &mut Random, guests: usize) -> Desired {
    let mut fleet = Desired { fleet: "model".into(), ..Desired::default() };
    let kernel = kernel(random.below(2));
    for name in NAMES.iter().take(guests) {
        if random.chance(25) {
            continue;
        }
        let image = image(random.below(2));
        let vm = vm(name, &image, &kernel, random);
        declare(&mut fleet, Address::image(&image.name), Resource::Image(image));
        declare(&mut fleet, Address::kernel("default"), Resource::Kernel(kernel.clone()));
        declare(&mut fleet, Address::vm(name), Resource::Vm(vm));
        files(&mut fleet, name, random);
    }
    fleet
}

/// The names of the guests a fleet declares.
pub(crate) fn guests(fleet: &Desired) -> BTreeSet<String> {
    let name = |declared: &Declared| match &declared.resource {
        Resource::Vm(vm) => Some(vm.name.clone()),
        _ => None,
    };
    fleet.resources.values().filter_map(name).collect()
}

fn declare(fleet: &mut Desired, address: Address, resource: Resource) {
    let (needs, tags, rules) = (BTreeSet::new(), BTreeSet::new(), Rules::default());
    fleet.resources.insert(address, Declared { resource, source: None, needs, tags, rules });
}

fn image(variant: u64) -> ImageSpec {
    ImageSpec {
        name: format!("image-{variant}"),
        source: SourceSpec::Debootstrap {
            suite: "bookworm".into(),
            mirror: None,
            packages: vec!["openssh-server".into()],
            commands: Vec::new(),
        },
        files: Vec::new(),
        size: ByteSize::gib(1),
        key: ContentKey::of(&format!("image {variant}")),
    }
}

fn kernel(variant: u64) -> KernelSpec {
    KernelSpec {
        name: "default".into(),
        suite: "bookworm".into(),
        mirror: None,
        package: "linux-image-cloud-amd64".into(),
        file: None,
        image: None,
        key: ContentKey::of(&format!("kernel {variant}")),
    }
}

fn vm(name: &str, image: &ImageSpec, kernel: &KernelSpec, random: &mut Random) -> VmSpec {
    VmSpec {
        name: name.into(),
        cpus: 1 + u32::try_from(random.below(2)).unwrap(),
        memory: ByteSize::mib(256),
        image: image.key.clone(),
        kernel: kernel.key.clone(),
        kernel_arguments: Vec::new(),
        network: NetworkSpec { mode: NetworkMode::User, forwards: Vec::new(), link: None },
        // Disks only grow with time: see `later`.
        work_disk: ByteSize::gib(1),
        disks: Vec::new(),
        accel: Accelerator::Tcg,
        machine: Machine::Microvm,
        jailer: None,
    }
}

fn files(fleet: &mut Desired, guest: &str, random: &mut Random) {
    let set = |kind, files| {
        Resource::Files(FileSet { guest: guest.into(), kind, files, prune: true, on_drift: OnDrift::Repair })
    };
    let keys = vec![format!("ssh-ed25519 key-{}", random.below(2))];
    let keys = DesiredFile { content: Content::AuthorizedKeys(keys), mode: 0o600, owner: (0, 0) };
    let path = |text: &str| GuestPath::new(text).unwrap();
    let keys = BTreeMap::from([(path(".ssh/authorized_keys"), keys)]);
    declare(fleet, Address::authorized_key(guest), set(FileSetKind::AuthorizedKey, keys));
    if random.chance(50) {
        let email = format!("{}@example.org", random.below(3));
        let git = Content::GitIdentity { name: "Somebody".into(), email };
        let git = BTreeMap::from([(path(".gitconfig"), DesiredFile { content: git, mode: 0o644, owner: (0, 0) })]);
        declare(fleet, Address::git_identity(guest), set(FileSetKind::GitIdentity, git));
    }
    let names = ["init.lua", "lua/plugins.lua", "a b"];
    let mut synced = BTreeMap::new();
    for name in names {
        if random.chance(60) {
            synced.insert(path(&format!(".config/nvim/{name}")), host_file(name, random.below(2)));
        }
    }
    if !synced.is_empty() {
        declare(fleet, Address::file_sync(guest, "~/.config/nvim"), set(FileSetKind::FileSync, synced));
    }
}

fn host_file(name: &str, variant: u64) -> DesiredFile {
    let text = format!("-- {name} {variant}\n");
    let host = HostFile {
        root: "/home/user/.config/nvim".into(),
        below: GuestPath::new(name).unwrap(),
        digest: Digest::of(text.as_bytes()),
        size: text.len() as u64,
        text: Some(text),
    };
    DesiredFile { content: Content::Host(host.into()), mode: 0o644, owner: (0, 0) }
}

/// The fleet file some time later: settings changed, guests came and went, disks grew.
pub(crate) fn later(fleet: &Desired, random: &mut Random, guests: usize) -> Desired {
    let mut next = self::random(random, guests);
    for (address, declared) in &mut next.resources {
        if let (Resource::Vm(vm), Some(Declared { resource: Resource::Vm(before), .. })) =
            (&mut declared.resource, fleet.resources.get(address))
        {
            vm.work_disk = ByteSize::gib(before.work_disk.as_bytes() / (1 << 30) + random.below(2));
        }
    }
    rename(fleet, &mut next, random);
    next
}

/// Sometimes the first guest that is new is the first that has gone, under another name.
fn rename(fleet: &Desired, next: &mut Desired, random: &mut Random) {
    let (before, after) = (guests(fleet), guests(next));
    let (Some(from), Some(to)) = (before.difference(&after).next(), after.difference(&before).next()) else { return };
    if !random.chance(70) {
        return;
    }
    let (old, new) = (fleet.resources.get(&Address::vm(from)), next.resources.get_mut(&Address::vm(to)));
    if let (Some(Declared { resource: Resource::Vm(old), .. }), Some(Declared { resource: Resource::Vm(new), .. })) =
        (old, new)
    {
        new.work_disk = old.work_disk;
        next.moved.insert(to.clone(), vec![from.clone()]);
    }
}

/// What users and accidents do to a world: data is written, a VMM is killed, a file is edited or removed.
pub(crate) fn live(state: &mut State, random: &mut Random) {
    for guest in state.guests.values_mut() {
        if random.chance(30) {
            guest.vmm = None;
        }
        let Some(work) = &mut guest.work else { continue };
        work.data = work.data.wrapping_mul(31).wrapping_add(random.below(1 << 32));
        let paths: Vec<GuestPath> = work.files.keys().cloned().collect();
        for path in paths {
            if random.chance(20)
                && let Some(file) = work.files.get_mut(&path)
                && let Some(text) = &mut file.text
            {
                text.push_str("# edited\n");
                file.digest = Some(Digest::of(text.as_bytes()));
                file.size = text.len() as u64;
            } else if random.chance(10) {
                work.files.remove(&path);
            }
        }
    }
}
