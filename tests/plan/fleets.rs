//! Fleets built in Rust: small ones by hand, and random ones.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use regatta::config::{Accelerator, ByteSize, Forward, Mac, Machine, NetworkMode, OnDrift, Restart, Stdin};
use regatta::resource::{
    Address, BridgeSpec, Content, ContentKey, Declared, Desired, DesiredFile, Digest, FileSet, FileSetKind, GuestPath,
    HostFile, ImageSpec, KernelSpec, LinkName, LinkSpec, NetworkSpec, PortForward, Resource, Rules, SessionSpec,
    SourceSpec, Tap, VmSpec,
};

/// A fleet as few words.
#[derive(Debug, Clone, PartialEq)]
pub struct Sketch {
    /// Guests by name.
    pub guests: BTreeMap<String, GuestSketch>,
}

/// One guest as few words.
#[derive(Debug, Clone, PartialEq)]
pub struct GuestSketch {
    /// Virtual CPUs.
    pub cpus: u32,
    /// Which of the images.
    pub image: u8,
    /// Size of the work disk.
    pub work_disk_gib: u64,
    /// A forwarded port.
    pub port: Option<u16>,
    /// Which of the bridged networks it is plugged to.
    pub bridge: Option<u8>,
    /// The keys that may log in.
    pub keys: BTreeSet<u8>,
    /// File-syncs: target, and the files below it (name, content, mode).
    pub syncs: BTreeMap<String, BTreeMap<String, (String, u32)>>,
    /// Whether file-syncs prune.
    pub prune: bool,
    /// Whether it has a git identity.
    pub git: bool,
    /// Commands that are kept running, by name, and which of them end for good.
    pub sessions: BTreeMap<String, (String, Restart)>,
}

/// A text that no output may ever contain.
pub const SECRET: &str = "hunter2hunter2";

impl Sketch {
    /// What it declares.
    pub fn desired(&self) -> Desired {
        let mut resources = BTreeMap::new();
        for (name, guest) in &self.guests {
            let image = image(guest.image);
            let kernel = kernel();
            let network = guest.bridge.map(|number| Address::network(&format!("lan-{number}")));
            let needs: Vec<Address> =
                [Address::image(&image.name), Address::kernel(&kernel.name)].into_iter().chain(network).collect();
            plug(&mut resources, name, guest);
            let vm = vm(name, guest, &image, &kernel);
            declare(&mut resources, Address::image(&image.name), Resource::Image(image), &[]);
            declare(&mut resources, Address::kernel(&kernel.name), Resource::Kernel(kernel), &[]);
            declare(&mut resources, Address::vm(name), Resource::Vm(vm), &needs);
            for (address, set) in sets(name, guest) {
                declare(&mut resources, address, Resource::Files(set), &[Address::vm(name)]);
            }
        }
        Desired { fleet: "demo".into(), resources, ..Desired::default() }
    }
}

fn declare(resources: &mut BTreeMap<Address, Declared>, address: Address, resource: Resource, needs: &[Address]) {
    let needs = needs.iter().cloned().collect();
    resources
        .insert(address, Declared { resource, source: None, needs, tags: BTreeSet::new(), rules: Rules::default() });
}

fn image(number: u8) -> ImageSpec {
    let name = format!("image-{number}");
    ImageSpec {
        key: ContentKey::of(&name),
        name,
        source: SourceSpec::Debootstrap {
            suite: "bookworm".into(),
            mirror: None,
            packages: vec!["openssh-server".into()],
            commands: Vec::new(),
        },
        files: Vec::new(),
        size: ByteSize::gib(2),
    }
}

fn kernel() -> KernelSpec {
    KernelSpec {
        name: "default".into(),
        suite: "bookworm".into(),
        mirror: None,
        package: "linux-image-cloud-amd64".into(),
        file: None,
        image: None,
        key: ContentKey::of(&"kernel"),
    }
}

fn vm(name: &str, guest: &GuestSketch, image: &ImageSpec, kernel: &KernelSpec) -> VmSpec {
    VmSpec {
        name: name.into(),
        cpus: guest.cpus,
        memory: ByteSize::mib(512),
        image: image.key.clone(),
        kernel: kernel.key.clone(),
        kernel_arguments: Vec::new(),
        network: network(name, guest),
        work_disk: ByteSize::gib(guest.work_disk_gib),
        disks: Vec::new(),
        accel: Accelerator::Auto,
        machine: Machine::Microvm,
        jailer: None,
    }
}

fn network(name: &str, guest: &GuestSketch) -> NetworkSpec {
    let Some(number) = guest.bridge else {
        let forwards = guest.port.map(|host| Forward { host, guest: 80 }).into_iter().collect();
        return NetworkSpec { mode: NetworkMode::User, forwards, link: None };
    };
    let network = format!("lan-{number}");
    let link = LinkSpec {
        tap: LinkName::tap("demo", &network, name),
        network,
        mac: Mac::local(u64::from(number)),
        address: [10, 0, number, 2 + name.as_bytes()[0] % 100].into(),
        subnet: format!("10.0.{number}.0/24").parse().unwrap(),
        ipv6: None,
        nameservers: Vec::new(),
    };
    NetworkSpec { mode: NetworkMode::Bridge, forwards: Vec::new(), link: Some(link.into()) }
}

/// Plugs a guest to its bridge, which is declared with its first guest.
fn plug(resources: &mut BTreeMap<Address, Declared>, name: &str, guest: &GuestSketch) {
    let Some(link) = network(name, guest).link else { return };
    let address = Address::network(&link.network);
    if !resources.contains_key(&address) {
        let spec = BridgeSpec {
            bridge: LinkName::bridge("demo", &link.network),
            name: link.network,
            subnet: link.subnet,
            subnet6: None,
            nat: true,
            isolate: guest.cpus == 1,
            dhcp: false,
            dns: false,
            taps: BTreeMap::new(),
            forwards: BTreeSet::new(),
        };
        declare(resources, address.clone(), Resource::Network(spec), &[]);
    }
    let Some(Resource::Network(spec)) = resources.get_mut(&address).map(|declared| &mut declared.resource) else {
        unreachable!("it was declared above");
    };
    spec.taps
        .insert(name.into(), Tap { link: link.tap, address: link.address, address6: None, mac: None, owner: None });
    let forward = |host| PortForward { host, address: link.address, address6: None, guest: 80 };
    spec.forwards.extend(guest.port.map(forward));
}

fn sets(name: &str, guest: &GuestSketch) -> Vec<(Address, FileSet)> {
    let path = |text: &str| GuestPath::new(text).unwrap();
    let set = |kind, files, prune| FileSet { guest: name.into(), kind, files, prune, on_drift: OnDrift::Repair };
    let keys = guest.keys.iter().map(|key| format!("ssh-ed25519 KEY{key} user-{key}")).collect();
    let keys = BTreeMap::from([
        (path(".ssh"), DesiredFile { content: Content::Directory, mode: 0o700, owner: (0, 0) }),
        (
            path(".ssh/authorized_keys"),
            DesiredFile { content: Content::AuthorizedKeys(keys), mode: 0o600, owner: (0, 0) },
        ),
    ]);
    let mut found = vec![(Address::authorized_key(name), set(FileSetKind::AuthorizedKey, keys, false))];
    if guest.git {
        let content = Content::GitIdentity { name: "A B".into(), email: "a@b.example".into() };
        let files = BTreeMap::from([(path(".gitconfig"), DesiredFile { content, mode: 0o644, owner: (0, 0) })]);
        found.push((Address::git_identity(name), set(FileSetKind::GitIdentity, files, false)));
    }
    for (to, files) in &guest.syncs {
        let mut wanted =
            BTreeMap::from([(path(to), DesiredFile { content: Content::Directory, mode: 0o755, owner: (0, 0) })]);
        for (file, (text, mode)) in files {
            let below = path(file);
            let host = HostFile {
                root: format!("/home/user/{to}").into(),
                below: below.clone(),
                digest: Digest::of(text.as_bytes()),
                size: text.len() as u64,
                text: Some(text.clone()),
            };
            let file = DesiredFile { content: Content::Host(host.into()), mode: *mode, owner: (0, 0) };
            wanted.insert(path(to).join(below.as_bytes()).unwrap(), file);
        }
        let address = Address::file_sync(name, &format!("~/{to}"));
        found.push((address, set(FileSetKind::FileSync, wanted, guest.prune)));
    }
    for (session, (word, restart)) in &guest.sessions {
        let spec = SessionSpec {
            name: session.clone(),
            command: vec![word.clone()],
            cwd: None,
            env: BTreeMap::new(),
            stdin: Stdin::None,
            require: Vec::new(),
            restart: *restart,
        };
        let file = DesiredFile { content: Content::Text(spec.text()), mode: 0o600, owner: (0, 0) };
        let files = BTreeMap::from([(SessionSpec::path(session).unwrap(), file)]);
        found.push((Address::session(name, session), set(FileSetKind::Session, files, false)));
    }
    found
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c\n]{0,12}",
        Just(String::new()),
        Just("one\ntwo\nthree".to_owned()),
        Just(format!("token=ghp_{SECRET}\n")),
        Just(format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n")),
    ]
}

fn guest() -> impl Strategy<Value = GuestSketch> {
    let files =
        proptest::collection::btree_map("[abc]", (text(), prop_oneof![Just(0o600u32), Just(0o644), Just(0o755)]), 0..3);
    let syncs = proptest::collection::btree_map("[xyz]", files, 0..3);
    let keys = proptest::collection::btree_set(0u8..4, 1..3);
    let bridge = proptest::option::of(0u8..2);
    let restart = prop_oneof![Just(Restart::Always), Just(Restart::OnFailure), Just(Restart::Never)];
    let sessions = proptest::collection::btree_map("[st]", ("[uv]", restart), 0..3);
    let inside = (keys, syncs, any::<bool>(), any::<bool>(), sessions);
    (1u32..3, 0u8..2, 1u64..3, any::<bool>(), bridge, inside).prop_map(
        |(cpus, image, work_disk_gib, forwards, bridge, (keys, syncs, prune, git, sessions))| GuestSketch {
            cpus,
            image,
            work_disk_gib,
            port: forwards.then_some(8080),
            bridge,
            keys,
            syncs,
            prune,
            git,
            sessions,
        },
    )
}

/// Random small fleets. Host ports are unique, as validation makes sure.
pub fn sketch() -> impl Strategy<Value = Sketch> {
    (proptest::collection::btree_map("[abc]", guest(), 0..4), 0u16..3).prop_map(|(mut guests, first)| {
        let ports = (0..3).map(|n| 8080 + (first + n) % 3);
        for (guest, port) in guests.values_mut().zip(ports) {
            guest.port = guest.port.map(|_| port);
        }
        Sketch { guests }
    })
}
