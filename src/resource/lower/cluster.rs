//! Clusters and containers: the fleet file's words become values by path.

use std::collections::{BTreeMap, BTreeSet};

use super::Lowering;
use crate::config::{ByteSize, Cluster, Container, ContainerOrigin, Interface, Volume};
use crate::resource::cluster::{
    ClusterGuestSpec, ClusterSpec, GuestKind, GuestOrigin, Properties, Restart, Value, VmidRange, field, mark,
};
use crate::resource::{Address, Resource};

impl Lowering<'_> {
    /// Declares a cluster.
    pub(super) fn cluster(&mut self, cluster: &Cluster) {
        let spec = ClusterSpec {
            name: cluster.name.clone(),
            endpoints: cluster.endpoints.iter().map(|endpoint| endpoint.value.clone()).collect(),
            trust: cluster.trust.clone(),
            token: cluster.token.value.clone(),
        };
        self.declare(Address::cluster(&cluster.name), Resource::Cluster(spec), cluster.span, BTreeSet::new());
    }

    /// Declares a container.
    pub(super) fn container(&mut self, container: &Container) {
        let (from, to) = container.vmid.value;
        let spec = ClusterGuestSpec {
            fleet: self.fleet.name.value.clone(),
            name: container.name.clone(),
            kind: GuestKind::Container,
            cluster: container.cluster.value.clone(),
            nodes: container.nodes.iter().map(|node| node.value.clone()).collect(),
            vmid: VmidRange { from, to },
            origin: origin(&container.origin),
            unprivileged: container.unprivileged.value,
            keys: container.authorized_keys.iter().map(|key| key.value.clone()).collect(),
            values: values(container, &self.fleet.name.value),
            notes: container.notes.as_ref().map(|notes| notes.value.trim_matches('\n').to_owned()),
            running: container.running.value,
            restart: if container.restarts.value { Restart::IfNeeded } else { Restart::Never },
        };
        let needs = BTreeSet::from([Address::cluster(&spec.cluster)]);
        let address = self.declare(
            Address::container(&container.name),
            Resource::ClusterGuest(spec.into()),
            container.span,
            needs,
        );
        if let Some(declared) = self.desired.resources.get_mut(&address) {
            declared.tags = container.tags.iter().map(|tag| tag.value.clone()).collect();
        }
    }
}

fn origin(origin: &ContainerOrigin) -> GuestOrigin {
    match origin {
        ContainerOrigin::Template(volume) => GuestOrigin::Template { volume: volume.value.clone() },
        ContainerOrigin::Clone { vmid, full, storage } => {
            GuestOrigin::Clone { vmid: vmid.value, full: *full, storage: storage.clone() }
        }
    }
}

/// Collects fields as Proxmox writes them; the table makes them canonical.
#[derive(Default)]
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn add(&mut self, key: &str, raw: &str) {
        self.0.extend(field::canonical(GuestKind::Container, key, raw));
    }

    fn some<T: ToString>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.add(key, &value.to_string());
        }
    }
}

fn values(container: &Container, fleet: &str) -> BTreeMap<String, Value> {
    let mut fields = Fields::default();
    fields.add("hostname", &container.name);
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
    for net in &container.interfaces {
        fields.add("net0", &interface(&net.value));
    }
    let servers: Vec<&str> = container.dns_servers.iter().map(|server| server.value.as_str()).collect();
    fields.add("nameserver", &servers.join(" "));
    fields.some("searchdomain", container.search_domain.as_ref().map(|domain| &domain.value));
    let features: Vec<String> = container.features.iter().map(|feature| format!("{}=1", feature.value)).collect();
    fields.add("features", &features.join(","));
    let tags = container.tags.iter().map(|tag| tag.value.clone()).chain([mark::tag(fleet)]);
    fields.add("tags", &tags.collect::<Vec<_>>().join(";"));
    if let Some(startup) = &container.startup {
        let mut all = Properties::default();
        for (key, value) in [("order", startup.value.order), ("up", startup.value.up_s), ("down", startup.value.down_s)]
        {
            if let Some(value) = value {
                all.set(key, value.to_string());
            }
        }
        fields.add("startup", &all.text(None));
    }
    fields.add("protection", &container.protection.value.to_string());
    fields.add("onboot", &container.on_boot.value.to_string());
    fields.0
}

fn mib(size: ByteSize) -> String {
    size.as_mib().to_string()
}

fn volume(volume: &Volume, path: Option<&str>) -> String {
    let mut all = Properties::default();
    all.set("storage", &volume.storage);
    all.set("size", volume.size.to_string());
    for (key, truth) in [("backup", volume.backup), ("ro", volume.read_only)] {
        if truth {
            all.set(key, "1");
        }
    }
    if let Some(path) = path {
        all.set("mp", path);
    }
    all.text(None)
}

fn interface(net: &Interface) -> String {
    let mut all = Properties::from([("name", net.name.as_str()), ("bridge", net.bridge.as_str())]);
    let text = [("ip", &net.ip), ("gw", &net.gateway), ("ip6", &net.ip6), ("gw6", &net.gateway6), ("hwaddr", &net.mac)];
    for (key, value) in text {
        if let Some(value) = value {
            all.set(key, value);
        }
    }
    for (key, value) in [("tag", net.vlan), ("mtu", net.mtu)] {
        if let Some(value) = value {
            all.set(key, value.to_string());
        }
    }
    if net.firewall {
        all.set("firewall", "1");
    }
    all.text(None)
}
