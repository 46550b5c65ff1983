//! What no API token may do is planned only where the fleet file names a way to root on the guest's node.

use std::collections::BTreeMap;

use super::{Change, Refusal, Rule};
use crate::resource::cluster::{ClusterGuestSpec, NodeSpec, ObservedClusterGuest};
use crate::resource::{Address, Desired, Resource};

/// Says no to what needs root (`paths`) and cannot get to it.
pub(super) fn refusal(
    change: &Change,
    spec: &ClusterGuestSpec,
    seen: Option<&ObservedClusterGuest>,
    desired: &Desired,
    paths: &[String],
) -> Option<Refusal> {
    if paths.is_empty() {
        return None;
    }
    let paths = paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
    let cluster = &spec.cluster;
    let refused = |message, help| {
        let (address, source) = (change.address.clone(), change.source.clone());
        Some(Refusal { address, rule: Rule::NeedsRoot, message, help, source })
    };
    let nodes = fence(desired, cluster);
    let Some(nodes) = nodes.filter(|nodes| !nodes.is_empty()) else {
        let message = format!("no API token may change {paths}, and the cluster `{cluster}` has no fence");
        return refused(message, format!("write a `fence` into the cluster `{cluster}`, or leave {paths} out"));
    };
    let place = seen.map(|seen| vec![seen.node.clone()]);
    let outside: Vec<String> =
        place.unwrap_or_else(|| spec.nodes.clone()).into_iter().filter(|it| !nodes.contains_key(it)).collect();
    if outside.is_empty() {
        return None;
    }
    let place = outside.iter().map(|node| format!("`{node}`")).collect::<Vec<_>>().join(", ");
    let message =
        format!("no API token may change {paths}, and the fence of the cluster `{cluster}` lacks the node {place}");
    refused(message, format!("write {place} into the fence, or let the guest be on another node"))
}

/// The fence of a declared cluster.
fn fence<'a>(desired: &'a Desired, cluster: &str) -> Option<&'a BTreeMap<String, NodeSpec>> {
    match desired.resources.get(&Address::cluster(cluster)).map(|declared| &declared.resource) {
        Some(Resource::Cluster(spec)) => Some(&spec.fence),
        _ => None,
    }
}
