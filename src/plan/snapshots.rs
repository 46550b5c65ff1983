//! Taking, putting back and removing snapshots of guests by name: nothing of the fleet file is compared.

use super::order::Draft;
use super::{Action, Aspect, Attribute, Cause, Change, Impact, Op, Plan, Reason, Shown};
use crate::resource::{Address, Desired};

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

/// The plan that does it, guest by guest.
pub fn snapshots(desired: &Desired, asked: &[(String, Snapshots)]) -> Plan {
    let mut draft = Draft::default();
    let mut changes = Vec::new();
    for (guest, asked) in asked {
        let address = Address::vm(guest);
        let (ops, impact, attributes) = ops(guest, asked);
        for op in ops {
            draft.step(vec![address.clone()], op);
        }
        let source = desired.resources.get(&address).and_then(|declared| declared.source.clone());
        let (action, reason) = (Action::Update, Reason::Requested);
        changes.push(Change { address, action, reason, impact, attributes, ignored: Vec::new(), source, note: None });
    }
    Plan { fleet: desired.fleet.clone(), changes, refusals: Vec::new(), selected: None, graph: draft.finish() }
}

fn ops(guest: &str, asked: &Snapshots) -> (Vec<Op>, Impact, Vec<Attribute>) {
    let guest = || guest.to_owned();
    match asked {
        Snapshots::Take { name, why, impact } => {
            let op = Op::SnapshotGuest { guest: guest(), snapshot: name.clone(), why: why.clone() };
            (vec![op], *impact, vec![attribute("snapshot", Shown::Absent, Shown::plain(name), *impact)])
        }
        Snapshots::Restore { name, kept } => {
            let op = Op::RestoreSnapshot { guest: guest(), snapshot: name.clone(), kept: kept.clone() };
            let before = Shown::plain(&format!("as they are, kept as snapshot {kept}"));
            let after = Shown::plain(&format!("those of snapshot {name}"));
            (vec![op], Impact::Recreate, vec![attribute("disks", before, after, Impact::Recreate)])
        }
        Snapshots::Delete { names } => {
            let op = |name: &String| Op::DeleteSnapshot { guest: guest(), snapshot: name.clone() };
            let gone = |name: &String| attribute("snapshot", Shown::plain(name), Shown::Absent, Impact::DataLoss);
            (names.iter().map(op).collect(), Impact::DataLoss, names.iter().map(gone).collect())
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
        let asked = [("one".to_owned(), take), ("two".to_owned(), delete), ("two".to_owned(), restore)];
        let plan = snapshots(&desired, &asked);
        let steps: Vec<(String, &str)> =
            plan.graph.steps.iter().map(|step| (step.addresses[0].to_string(), step.op.name())).collect();
        let expected = [
            ("vm.one", "snapshot-guest"),
            ("vm.two", "delete-snapshot"),
            ("vm.two", "delete-snapshot"),
            ("vm.two", "restore-snapshot"),
        ];
        assert_eq!(steps, expected.map(|(address, op)| (address.to_owned(), op)));
        let impacts: Vec<Impact> = plan.changes.iter().map(|change| change.impact).collect();
        assert_eq!(impacts, [Impact::None, Impact::DataLoss, Impact::Recreate]);
    }
}
