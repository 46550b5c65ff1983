//! Disks that nodes of clusters have mounted, and the guests that have directories of them.

use std::collections::BTreeSet;

use camino::Utf8Path;

use super::Lowering;
use crate::config::NodeMount;
use crate::resource::cluster::{ClusterGuestSpec, NodeMountSpec};
use crate::resource::{Address, Resource};

impl Lowering<'_> {
    /// Declares a disk that a node has mounted. It needs nothing: the node is reached whether its cluster answers or not.
    pub(super) fn node_mount(&mut self, cluster: &str, node: &str, mount: &NodeMount) {
        let NodeMount { at, uuid, fstab, span } = mount;
        let (at, uuid, fstab) = (at.value.clone(), uuid.value.clone(), *fstab);
        let address = Address::mount(cluster, node, &at);
        let spec = NodeMountSpec { cluster: cluster.to_owned(), node: node.to_owned(), at, uuid, fstab };
        self.declare(address, Resource::NodeMount(spec), *span, BTreeSet::new());
    }

    /// The disks of nodes that a guest may have directories of.
    pub(super) fn mounts_of(&self, spec: &ClusterGuestSpec) -> Vec<Address> {
        let binds = spec.values.iter().filter(|(path, _)| path.starts_with("bind "));
        let sources: Vec<&str> = binds.filter_map(|(_, value)| value.as_properties()?.get("from")).collect();
        let holds = |mount: &&NodeMountSpec| {
            let below = |from: &str| Utf8Path::new(from).starts_with(&mount.at);
            let may_be_there = spec.nodes.is_empty() || spec.nodes.contains(&mount.node);
            mount.cluster == spec.cluster && may_be_there && sources.iter().copied().any(below)
        };
        let mounts = self.desired.resources.values().filter_map(|declared| match &declared.resource {
            Resource::NodeMount(mount) => Some(mount),
            _ => None,
        });
        mounts.filter(holds).map(|mount| Address::mount(&mount.cluster, &mount.node, &mount.at)).collect()
    }
}
