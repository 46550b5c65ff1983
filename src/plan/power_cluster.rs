//! Starting, stopping and restarting guests of clusters by name: their configuration is not compared, so that what is pending
//! stays pending, apart from what the start itself brings.

use super::order::Draft;
use super::pattern::Pattern;
use super::power::{Power, change, named};
use super::verdict::Found;
use super::{Change, Op, cluster};
use crate::resource::cluster::ObservedClusterGuest;
use crate::resource::{Address, Desired, Observed, Reading, Resource};

/// Plans this for every guest of ours on a cluster that a pattern names.
pub(super) fn plan(
    desired: &Desired,
    observed: &Observed,
    guests: &[Pattern],
    power: Power,
    draft: &mut Draft,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, reading) in &observed.cluster_guests {
        let address = address_of(desired, name, reading);
        let is_ours = reading.present().is_none_or(|seen| seen.mark.is_there());
        if !is_ours || !named(guests, &address, desired) || matches!(reading, Reading::Absent) {
            continue;
        }
        let (found, note) = cluster::seen(reading);
        if let Some(seen) = reading.present() {
            steps(draft, &address, (name, seen), (power, found));
        }
        changes.push(change(desired, address, (power, found), note));
    }
    changes
}

/// Whether a guest is one of a cluster: declared there, or seen there.
pub(super) fn is_on_cluster(desired: &Desired, observed: &Observed, address: &Address) -> bool {
    declared_on(desired, address).is_some()
        || address.guest().is_some_and(|name| observed.cluster_guests.get(name).and_then(Reading::present).is_some())
}

/// What keeps a guest of a cluster from being started or stopped.
pub(super) fn obstacle(desired: &Desired, observed: &Observed, address: &Address) -> Option<String> {
    let name = address.guest()?;
    if let Some(cluster) = declared_on(desired, address)
        && let Some(Reading::Unreadable(why)) = observed.clusters.get(cluster)
    {
        return Some(format!("the cluster `{cluster}` of {name} could not be read: {why}"));
    }
    match observed.cluster_guests.get(name) {
        Some(Reading::Present(seen)) if !seen.mark.is_there() => {
            Some(format!("{name} is not taken over yet, which apply does"))
        }
        Some(Reading::Present(_) | Reading::Unreadable(_)) => None,
        Some(Reading::Absent) | None => Some(format!("{name} is not made yet")),
    }
}

/// The cluster that a guest is declared on.
fn declared_on<'a>(desired: &'a Desired, address: &Address) -> Option<&'a str> {
    match &desired.resources.get(address)?.resource {
        Resource::ClusterGuest(spec) => Some(&spec.cluster),
        _ => None,
    }
}

/// The address of a guest, also of one that cannot be read.
fn address_of(desired: &Desired, name: &str, reading: &Reading<ObservedClusterGuest>) -> Address {
    match reading.present() {
        Some(seen) => Address::on_cluster(seen.kind, name),
        None => [Address::vm(name), Address::container(name)]
            .into_iter()
            .find(|address| declared_on(desired, address).is_some())
            .unwrap_or_else(|| Address::container(name)),
    }
}

fn steps(
    draft: &mut Draft,
    address: &Address,
    (name, seen): (&str, &ObservedClusterGuest),
    (power, found): (Power, Found),
) {
    let (cluster, guest) = (seen.cluster.clone(), name.to_owned());
    let stop = (power != Power::On && found == Found::Up).then(|| {
        let op = Op::StopClusterGuest { cluster: cluster.clone(), guest: guest.clone(), vmid: seen.vmid };
        draft.step(vec![address.clone()], op)
    });
    let starts = power == Power::Cycle || (power == Power::On && found == Found::Down);
    let start = starts.then(|| draft.step(vec![address.clone()], Op::StartClusterGuest { cluster, guest }));
    if let (Some(stop), Some(start)) = (stop, start) {
        draft.after(start, stop, "nothing else may use its disks");
    }
}
