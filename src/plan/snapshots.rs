//! Taking, putting back and removing snapshots of guests by name: nothing of the fleet file is compared.

use super::order::Draft;
use super::pattern::Pattern;
use super::power::named;
use super::{Action, Aspect, Attribute, Cause, Change, Impact, Op, Plan, Reason, Shown};
use crate::resource::cluster::GuestKind;
use crate::resource::{Address, Desired, Resource};

/// What is done with snapshots of one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshots {
    /// One is taken.
    Take {
        /// Its name.
        name: String,
        /// Why, for people.
        why: String,
        /// What that costs those who use the guest.
        impact: Impact,
    },
    /// One is put back.
    Restore {
        /// Its name.
        name: String,
        /// The snapshot that what is there becomes.
        kept: String,
    },
    /// Some are removed.
    Delete {
        /// Their names.
        names: Vec<String>,
    },
}

/// Whose snapshots they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotOf {
    /// A guest of this machine.
    Local {
        /// Its name.
        guest: String,
    },
    /// A guest of a cluster.
    OnCluster {
        /// The cluster.
        cluster: String,
        /// Its name.
        guest: String,
        /// Its number.
        vmid: u32,
        /// Container or virtual machine.
        kind: GuestKind,
    },
}

impl SnapshotOf {
    /// The guest's name.
    pub fn guest(&self) -> &str {
        match self {
            Self::Local { guest } | Self::OnCluster { guest, .. } => guest,
        }
    }

    fn address(&self) -> Address {
        match self {
            Self::Local { guest } => Address::vm(guest),
            Self::OnCluster { guest, kind, .. } => Address::on_cluster(*kind, guest),
        }
    }
}

/// Declared guests of clusters that patterns name.
pub fn named_on_clusters(desired: &Desired, guests: &[Pattern]) -> Vec<String> {
    let declared = desired.resources.iter().filter_map(|(address, declared)| match &declared.resource {
        Resource::ClusterGuest(spec) if named(guests, address, desired) => Some(spec.name.clone()),
        _ => None,
    });
    declared.collect()
}

/// The plan that does it, guest by guest.
pub fn snapshots(desired: &Desired, asked: &[(SnapshotOf, Snapshots)]) -> Plan {
    let mut draft = Draft::default();
    let mut changes = Vec::new();
    for (of, asked) in asked {
        let address = of.address();
        let (ops, impact, attributes) = ops(of, asked);
        for op in ops {
            draft.step(vec![address.clone()], op);
        }
        let source = desired.resources.get(&address).and_then(|declared| declared.source.clone());
        let (action, reason) = (Action::Update, Reason::Requested);
        changes.push(Change { address, action, reason, impact, attributes, ignored: Vec::new(), source, note: None });
    }
    Plan { fleet: desired.fleet.clone(), changes, refusals: Vec::new(), selected: None, graph: draft.finish() }
}

fn ops(of: &SnapshotOf, asked: &Snapshots) -> (Vec<Op>, Impact, Vec<Attribute>) {
    match asked {
        Snapshots::Take { name, why, impact } => {
            let taken = attribute("snapshot", Shown::Absent, Shown::plain(name), *impact);
            (vec![take(of, name, why)], *impact, vec![taken])
        }
        Snapshots::Restore { name, kept } => {
            let (before, impact) = match of {
                SnapshotOf::Local { .. } => (format!("as they are, kept as snapshot {kept}"), Impact::Recreate),
                SnapshotOf::OnCluster { .. } => ("as they are, not kept".to_owned(), Impact::DataLoss),
            };
            let after = Shown::plain(&format!("those of snapshot {name}"));
            let disks = attribute("disks", Shown::plain(&before), after, impact);
            (vec![restore(of, name, kept)], impact, vec![disks])
        }
        Snapshots::Delete { names } => {
            let gone = |name: &String| attribute("snapshot", Shown::plain(name), Shown::Absent, Impact::DataLoss);
            let ops = names.iter().map(|name| delete(of, name)).collect();
            (ops, Impact::DataLoss, names.iter().map(gone).collect())
        }
    }
}

fn take(of: &SnapshotOf, name: &str, why: &str) -> Op {
    let (snapshot, why) = (name.to_owned(), why.to_owned());
    match of.clone() {
        SnapshotOf::Local { guest } => Op::SnapshotGuest { guest, snapshot, why },
        SnapshotOf::OnCluster { cluster, guest, vmid, .. } => {
            Op::SnapshotClusterGuest { cluster, guest, vmid, snapshot, why }
        }
    }
}

fn restore(of: &SnapshotOf, name: &str, kept: &str) -> Op {
    let snapshot = name.to_owned();
    match of.clone() {
        SnapshotOf::Local { guest } => Op::RestoreSnapshot { guest, snapshot, kept: kept.to_owned() },
        SnapshotOf::OnCluster { cluster, guest, vmid, .. } => {
            Op::RollBackClusterGuest { cluster, guest, vmid, snapshot }
        }
    }
}

fn delete(of: &SnapshotOf, name: &str) -> Op {
    let snapshot = name.to_owned();
    match of.clone() {
        SnapshotOf::Local { guest } => Op::DeleteSnapshot { guest, snapshot },
        SnapshotOf::OnCluster { cluster, guest, vmid, .. } => {
            Op::DeleteClusterSnapshot { cluster, guest, vmid, snapshot }
        }
    }
}

fn attribute(path: &str, before: Shown, after: Shown, impact: Impact) -> Attribute {
    Attribute { path: path.into(), aspect: Aspect::Value, before, after, impact, cause: Cause::Pending }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wish_is_a_step_of_its_guest() {
        let desired = Desired { fleet: "demo".into(), ..Desired::default() };
        let take = Snapshots::Take { name: "a".into(), why: "asked for".into(), impact: Impact::None };
        let delete = Snapshots::Delete { names: vec!["a".into(), "b".into()] };
        let restore = Snapshots::Restore { name: "a".into(), kept: "k".into() };
        let local = |guest: &str| SnapshotOf::Local { guest: guest.into() };
        let on_cluster = || {
            let (cluster, guest) = ("pve".to_owned(), "three".to_owned());
            SnapshotOf::OnCluster { cluster, guest, vmid: 101, kind: GuestKind::Container }
        };
        let asked = [
            (local("one"), take.clone()),
            (local("two"), delete.clone()),
            (local("two"), restore.clone()),
            (on_cluster(), take),
            (on_cluster(), delete),
            (on_cluster(), restore),
        ];
        let plan = snapshots(&desired, &asked);
        let steps: Vec<(String, &str)> =
            plan.graph.steps.iter().map(|step| (step.addresses[0].to_string(), step.op.name())).collect();
        let expected = [
            ("vm.one", "snapshot-guest"),
            ("vm.two", "delete-snapshot"),
            ("vm.two", "delete-snapshot"),
            ("vm.two", "restore-snapshot"),
            ("container.three", "snapshot-cluster-guest"),
            ("container.three", "delete-cluster-snapshot"),
            ("container.three", "delete-cluster-snapshot"),
            ("container.three", "roll-back-cluster-guest"),
        ];
        assert_eq!(steps, expected.map(|(address, op)| (address.to_owned(), op)));
        let impacts: Vec<Impact> = plan.changes.iter().map(|change| change.impact).collect();
        let all = [Impact::None, Impact::DataLoss, Impact::Recreate, Impact::None, Impact::DataLoss, Impact::DataLoss];
        assert_eq!(impacts, all);
    }
}
