//! Clusters and their guests: the fleet file's words become values by path.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use super::Lowering;
use super::files::{OwnKeys, Owner};
use crate::config::{
    self, Bind, ByteSize, Cluster, ClusterGuest, ClusterOrigin, ClusterVm, Connection, Container, Device, Firewall,
    Fleet, HighAvailability, Interface, Restarts, Startup, VmDisk, VmInterface, Volume,
};
use crate::resource::cluster::{
    ClusterGuestSpec, ClusterSpec, GuestKind, GuestOrigin, NodeSpec, Properties, Reach, Restart, Value, Via, VmidRange,
    VolumeSource, beside, field, mark, percent,
};
use crate::resource::{Address, Resource};
use crate::syntax::SourceMap;

/// Where SSH servers listen.
const SSH_PORT: u16 = 22;

impl Lowering<'_> {
    /// Declares a cluster.
    pub(super) fn cluster(&mut self, cluster: &Cluster) {
        let spec = ClusterSpec {
            name: cluster.name.clone(),
            endpoints: cluster.endpoints.iter().map(|endpoint| endpoint.value.clone()).collect(),
            trust: cluster.trust.clone(),
            token: cluster.token.value.clone(),
            fence: fence(cluster),
        };
        self.declare(Address::cluster(&cluster.name), Resource::Cluster(spec), cluster.span, BTreeSet::new());
        for node in &cluster.fence {
            node.mounts.iter().for_each(|mount| self.node_mount(&cluster.name, &node.name.value, mount));
        }
    }

    /// Declares a container.
    pub(super) fn container(&mut self, container: &Container) {
        let values = container_values(container, &self.fleet.name.value);
        let reach = container_reach(container);
        // Who may log in is decided with the first start; from then on only where somebody looks.
        let keys = self.key_lines_of(&Owner::on_cluster(&container.guest), &reach);
        let spec = ClusterGuestSpec {
            unprivileged: container.says_unprivileged(),
            keys,
            reach,
            ..self.cluster_guest(GuestKind::Container, &container.guest, values)
        };
        self.on_cluster(&container.guest, spec);
    }

    /// Declares a virtual machine of a cluster.
    pub(super) fn cluster_vm(&mut self, vm: &ClusterVm) {
        let values = vm_values(vm, &self.fleet.name.value);
        let reach = vm_reach(vm);
        let spec = ClusterGuestSpec { reach, ..self.cluster_guest(GuestKind::Vm, &vm.guest, values) };
        self.on_cluster(&vm.guest, spec);
    }

    fn cluster_guest(
        &self,
        kind: GuestKind,
        guest: &ClusterGuest,
        values: BTreeMap<String, Value>,
    ) -> ClusterGuestSpec {
        let (from, to) = guest.vmid.value;
        ClusterGuestSpec {
            fleet: self.fleet.name.value.clone(),
            name: guest.name.clone(),
            kind,
            cluster: guest.cluster.value.clone(),
            nodes: guest.nodes.iter().map(|node| node.value.clone()).collect(),
            vmid: VmidRange { from, to },
            origin: origin(&guest.origin, self.sources),
            unprivileged: None,
            keys: Vec::new(),
            reach: reach(guest, std::iter::empty()),
            values,
            notes: guest.notes.as_ref().map(|notes| notes.value.trim_matches('\n').to_owned()),
            running: guest.running.value,
            restart: match guest.restarts.value {
                Restarts::Never => Restart::Never,
                Restarts::IfNeeded => Restart::IfNeeded,
                Restarts::Ask => Restart::Ask,
            },
        }
    }

    /// The address of a declared guest, wherever it is.
    pub(super) fn address_of(&self, guest: &str) -> Address {
        let kind = if self.fleet.containers.contains_key(guest) { GuestKind::Container } else { GuestKind::Vm };
        Address::on_cluster(kind, guest)
    }

    fn on_cluster(&mut self, guest: &ClusterGuest, mut spec: ClusterGuestSpec) {
        // What needs root on its node is made where there is a way to it, and so is what root of its node goes into.
        let by_root = spec.left_to_root().next().is_some() || spec.reach.via == Via::Node;
        if spec.nodes.is_empty() && by_root {
            let cluster = self.fleet.clusters.get(&spec.cluster);
            spec.nodes = cluster.into_iter().flat_map(|it| &it.fence).map(|node| node.name.value.clone()).collect();
        }
        let others = guest.after.iter().map(|guest| self.address_of(&guest.value));
        let needs = others.chain([Address::cluster(&spec.cluster)]).chain(self.mounts_of(&spec)).collect();
        let address = Address::on_cluster(spec.kind, &guest.name);
        let own_key = spec.reach.identity.is_none();
        let address = self.declare(address, Resource::ClusterGuest(spec.into()), guest.span, needs);
        if let Some(declared) = self.desired.resources.get_mut(&address) {
            declared.tags = guest.tags.iter().map(|tag| tag.value.clone()).collect();
        }
        if guest.inside.is_looked_at() {
            self.files(&Owner::on_cluster(guest), &address, if own_key { OwnKeys::Added } else { OwnKeys::Left });
        }
    }
}

fn fence(cluster: &Cluster) -> BTreeMap<String, NodeSpec> {
    let nodes = cluster.fence.iter().map(|node| {
        let (name, road, sensors) = (node.name.value.clone(), node.road.clone(), node.sensors);
        let disks = node.disks.iter().map(|disk| disk.value.clone()).collect();
        (name.clone(), NodeSpec { cluster: cluster.name.clone(), name, road, disks, sensors })
    });
    nodes.collect()
}

fn origin(origin: &ClusterOrigin, sources: &SourceMap) -> GuestOrigin {
    let from = |source: &config::VolumeSource| volume_source(source, sources);
    match origin {
        ClusterOrigin::Template { volume, source } => {
            GuestOrigin::Template { volume: volume.value.clone(), source: source.as_ref().map(from) }
        }
        ClusterOrigin::DiskImage { volume, source } => {
            GuestOrigin::DiskImage { volume: volume.value.clone(), source: source.as_ref().map(from) }
        }
        ClusterOrigin::Restore { volume, same, storage } => {
            GuestOrigin::Restore { volume: volume.value.clone(), same: *same, storage: storage.clone() }
        }
        ClusterOrigin::Clone { vmid, full, storage } => {
            GuestOrigin::Clone { vmid: vmid.value, full: *full, storage: storage.clone() }
        }
        ClusterOrigin::Existing => GuestOrigin::Existing,
    }
}

/// A file is looked for beside the fleet file that names it.
fn volume_source(source: &config::VolumeSource, sources: &SourceMap) -> VolumeSource {
    match source {
        config::VolumeSource::Url { url, sha256 } => VolumeSource::Url { url: url.clone(), sha256: sha256.clone() },
        config::VolumeSource::File { path, sha256 } => {
            let beside = sources.file(path.span.source).path.parent().unwrap_or_else(|| Utf8Path::new(""));
            let file = match path.value.starts_with("~/") {
                true => path.value.clone(),
                false => beside.join(&path.value).into_string(),
            };
            VolumeSource::File { file, sha256: sha256.clone() }
        }
    }
}

fn high_availability(ha: &HighAvailability) -> Value {
    let numbers = [("max_restart", ha.max_restart), ("max_relocate", ha.max_relocate)];
    let numbers = numbers.map(|(key, number)| (key.to_owned(), number.to_string()));
    let group = ha.group.iter().map(|group| ("group".to_owned(), group.clone()));
    let nodes = beside::affinity(ha.nodes.iter().map(|(name, priority)| (name.as_str(), *priority)));
    let nodes = (!nodes.is_empty()).then(|| ("nodes".to_owned(), nodes));
    let strict = ("strict".to_owned(), u8::from(ha.strict).to_string());
    beside::high_availability(numbers.into_iter().chain(group).chain(nodes).chain([strict]))
}

/// Options and rules by their paths.
fn firewall(wall: &Firewall) -> impl Iterator<Item = (String, Value)> + use<'_> {
    let owned = |(key, value): &(&str, String)| ((*key).to_owned(), value.clone());
    let options = beside::options(wall.options.iter().map(owned)).map(|options| ("firewall".to_owned(), options));
    let rules = wall.rules.iter().enumerate().map(move |(position, rule)| {
        let always =
            [("type", &rule.direction), ("action", &rule.action), ("enable", &u8::from(rule.enabled).to_string())]
                .map(|(key, value)| (key.to_owned(), value.clone()));
        (beside::rule_path(position), beside::rule(always.into_iter().chain(rule.fits.iter().map(owned))))
    });
    options.into_iter().chain(rules)
}

/// How each guest of a fleet's clusters is logged in to, by its name.
pub fn reaches(fleet: &Fleet) -> BTreeMap<String, Reach> {
    let containers = fleet.containers.values().map(container_reach);
    let vms = fleet.cluster_vms.values().map(vm_reach);
    containers.chain(vms).map(|reach| (reach.guest.clone(), reach)).collect()
}

fn container_reach(container: &Container) -> Reach {
    reach(&container.guest, container.interfaces.iter().map(|net| net.value.connection.ip.as_deref()))
}

fn vm_reach(vm: &ClusterVm) -> Reach {
    reach(&vm.guest, vm.interfaces.iter().map(|net| net.value.1.connection.ip.as_deref()))
}

/// How a guest is logged in to. An address that its interfaces declare is the one that it has.
fn reach<'a>(guest: &ClusterGuest, addresses: impl Iterator<Item = Option<&'a str>>) -> Reach {
    let fixed = |ip: Option<&str>| Some(ip?.split_once('/')?.0.to_owned());
    let ssh = guest.inside.ssh.as_ref().map(|ssh| &ssh.value);
    Reach {
        cluster: guest.cluster.value.clone(),
        guest: guest.name.clone(),
        via: if ssh.is_some_and(|ssh| ssh.via_node) { Via::Node } else { Via::Ssh },
        host: ssh.and_then(|ssh| ssh.host.clone()).or_else(|| addresses.filter_map(fixed).next()),
        port: ssh.map_or(SSH_PORT, |ssh| ssh.port),
        identity: ssh.and_then(|ssh| ssh.identity.clone()),
        host_key: ssh.and_then(|ssh| ssh.host_key.clone()),
    }
}

/// Collects fields as Proxmox writes them; the table makes them canonical.
struct Fields {
    kind: GuestKind,
    values: BTreeMap<String, Value>,
}

impl Fields {
    /// What both kinds have.
    fn of(kind: GuestKind, guest: &ClusterGuest, fleet: &str) -> Self {
        let mut fields = Self { kind, values: BTreeMap::new() };
        fields.add(if kind == GuestKind::Container { "hostname" } else { "name" }, &guest.name);
        let servers: Vec<&str> = guest.dns_servers.iter().map(|server| server.value.as_str()).collect();
        fields.add("nameserver", &servers.join(" "));
        fields.some("searchdomain", guest.search_domain.as_ref().map(|domain| &domain.value));
        let tags = guest.tags.iter().map(|tag| tag.value.clone()).chain([mark::tag(fleet)]);
        fields.add("tags", &tags.collect::<Vec<_>>().join(";"));
        if let Some(startup) = &guest.startup {
            let Startup { order, up_s, down_s } = startup.value;
            let mut all = Properties::default();
            for (key, value) in [("order", order), ("up", up_s), ("down", down_s)] {
                set(&mut all, key, value);
            }
            fields.add("startup", &all.text(None));
        }
        fields.some("pool", guest.pool.as_ref().map(|pool| &pool.value));
        if let Some(ha) = &guest.high_availability {
            fields.values.insert("ha".into(), high_availability(&ha.value));
        }
        if let Some(wall) = &guest.firewall {
            fields.values.extend(firewall(&wall.value));
        }
        fields.add("protection", &guest.protection.value.to_string());
        fields.add("onboot", &guest.on_boot.value.to_string());
        fields.some("hookscript", guest.hook_script.as_ref().map(|script| &script.value));
        fields
    }

    fn add(&mut self, key: &str, raw: &str) {
        self.values.extend(field::canonical(self.kind, key, raw));
    }

    fn some<T: ToString>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.add(key, &value.to_string());
        }
    }
}

fn container_values(container: &Container, fleet: &str) -> BTreeMap<String, Value> {
    let mut fields = Fields::of(GuestKind::Container, &container.guest, fleet);
    fields.some("cores", container.cores.as_ref().map(|cores| cores.value));
    fields.add("memory", &mib(container.memory.value));
    fields.add("swap", &mib(container.swap.value));
    if let Some(disk) = &container.root_disk {
        fields.add("rootfs", &volume(&disk.value, None));
    }
    for mount in &container.mounts {
        let (path, disk) = &mount.value;
        fields.add("mp0", &volume(disk, Some(path)));
    }
    for bind in &container.binds {
        fields.add("mp0", &bind_mount(&bind.value));
    }
    for device in &container.devices {
        fields.add("dev0", &node_device(&device.value));
    }
    for net in &container.interfaces {
        fields.add("net0", &interface(&net.value));
    }
    let features: Vec<String> = container.features.iter().map(|feature| format!("{}=1", feature.value)).collect();
    fields.add("features", &features.join(","));
    fields.values
}

fn vm_values(vm: &ClusterVm, fleet: &str) -> BTreeMap<String, Value> {
    let mut fields = Fields::of(GuestKind::Vm, &vm.guest, fleet);
    fields.some("cores", vm.cores.as_ref().map(|cores| cores.value));
    fields.some("sockets", vm.sockets.as_ref().map(|sockets| sockets.value));
    fields.some("cpu", vm.cpu.as_ref().map(|cpu| &cpu.value));
    fields.some("memory", vm.memory.as_ref().map(|memory| mib(memory.value)));
    for disk in &vm.disks {
        let (number, disk) = &disk.value;
        fields.add(&format!("scsi{number}"), &vm_disk(disk));
    }
    for net in &vm.interfaces {
        let (number, net) = &net.value;
        fields.add(&format!("net{number}"), &vm_interface(net));
        fields.add(&format!("ipconfig{number}"), &addresses(&net.connection).text(None));
    }
    if let Some(init) = &vm.cloud_init {
        fields.some("ide2", init.value.storage.as_ref().map(|storage| format!("{storage}:cloudinit,media=cdrom")));
        fields.some("ciuser", init.value.user.as_ref());
        fields.add("sshkeys", &percent::encode(&init.value.keys.join("\n")));
    }
    fields.some("agent", vm.agent.as_ref().map(|agent| if agent.value { "enabled=1" } else { "enabled=0" }));
    fields.values
}

/// Sets a property, where there is a value.
fn set<T: ToString>(all: &mut Properties, key: &str, value: Option<T>) {
    if let Some(value) = value {
        all.set(key, value.to_string());
    }
}

/// Sets a property that is true.
fn set_true(all: &mut Properties, key: &str, truth: bool) {
    set(all, key, truth.then_some("1"));
}

fn vm_disk(disk: &VmDisk) -> String {
    let mut all = Properties::from([("storage", disk.storage.as_str())]);
    all.set("size", disk.size.to_string());
    set(&mut all, "backup", disk.no_backup.then_some("0"));
    set(&mut all, "discard", disk.discard.then_some("on"));
    set_true(&mut all, "ssd", disk.ssd);
    set_true(&mut all, "iothread", disk.io_thread);
    all.text(None)
}

fn vm_interface(net: &VmInterface) -> String {
    let mut all = Properties::from([("model", net.model.as_str())]);
    plug(&mut all, &net.connection, "macaddr");
    all.text(None)
}

/// Where an interface is plugged to. The two kinds of guests call its MAC address differently.
fn plug(all: &mut Properties, net: &Connection, mac: &str) {
    all.set("bridge", &net.bridge);
    set(all, mac, net.mac.as_ref());
    set(all, "tag", net.vlan);
    set(all, "mtu", net.mtu);
    set_true(all, "firewall", net.firewall);
}

/// The addresses of an interface: part of it in a container, cloud-init's business in a virtual machine.
fn addresses(net: &Connection) -> Properties {
    let mut all = Properties::default();
    for (key, value) in [("ip", &net.ip), ("gw", &net.gateway), ("ip6", &net.ip6), ("gw6", &net.gateway6)] {
        set(&mut all, key, value.as_ref());
    }
    all
}

fn mib(size: ByteSize) -> String {
    size.as_mib().to_string()
}

fn volume(volume: &Volume, path: Option<&str>) -> String {
    let mut all = Properties::from([("storage", volume.storage.as_str())]);
    all.set("size", volume.size.to_string());
    set_true(&mut all, "backup", volume.backup);
    set_true(&mut all, "ro", volume.read_only);
    set(&mut all, "mp", path);
    all.text(None)
}

fn bind_mount(bind: &Bind) -> String {
    let mut all = Properties::from([("from", bind.from.as_str()), ("mp", bind.path.as_str())]);
    set_true(&mut all, "ro", bind.read_only);
    all.text(Some("from"))
}

fn node_device(device: &Device) -> String {
    let mut all = Properties::from([("path", device.path.as_str())]);
    set(&mut all, "mode", device.mode.as_ref());
    set(&mut all, "uid", device.uid);
    set(&mut all, "gid", device.gid);
    all.text(Some("path"))
}

fn interface(net: &Interface) -> String {
    let mut all = addresses(&net.connection);
    all.set("name", &net.name);
    plug(&mut all, &net.connection, "hwaddr");
    all.text(None)
}
