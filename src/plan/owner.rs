//! Plans that change whose a guest is, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::order::Draft;
use super::verdict::{Facts, Found, Verdict, Wish, decide, difference};
use super::{Action, Aspect, Attribute, Cause, Change, Impact, Op, Plan, Refusal, Rule, Shown};
use crate::resource::{Address, Reading, Record, Stray};

/// The fleet that guests become part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Its name.
    pub fleet: &'a str,
    /// Absolute path of its file.
    pub origin: &'a str,
    /// The directory of its guests, below the state directory.
    pub guests: &'a str,
    /// Names of guests that are there already.
    pub taken: &'a BTreeSet<String>,
}

/// Plans to take guests over, by name. Those that belong to the owner already have action `none`. Whether a guest runs
/// does not matter: only its mark is changed.
pub fn adopt(owner: &Owner<'_>, strays: &BTreeMap<String, Stray>) -> Plan {
    let mut draft = Draft::default();
    let (mut changes, mut refusals) = (Vec::new(), Vec::new());
    for (name, stray) in strays {
        let change = change(owner, name, stray);
        let moves = stray.at != owner.place(name);
        if change.action == Action::Adopt && moves && owner.taken.contains(name) {
            refusals.push(taken(owner, name));
        } else if change.action == Action::Adopt {
            let op = Op::AdoptGuest { guest: name.clone(), at: stray.at.clone() };
            draft.step(vec![change.address.clone()], op);
        }
        changes.push(change);
    }
    Plan { fleet: owner.fleet.into(), changes, refusals, selected: None, graph: draft.finish() }
}

impl Owner<'_> {
    /// Where a guest of this fleet lies.
    fn place(&self, guest: &str) -> String {
        format!("{}/{guest}", self.guests)
    }

    /// What is different about a guest that is not ours yet.
    fn differs(&self, name: &str, stray: &Stray, record: &Record) -> Vec<Attribute> {
        let place = self.place(name);
        let sides = [
            ("fleet", record.fleet.as_str(), self.fleet),
            ("origin", &record.origin, self.origin),
            ("directory", &stray.at, &place),
        ];
        let differing = sides.into_iter().filter(|(_, before, after)| before != after);
        differing
            .map(|(path, before, after)| Attribute {
                path: path.into(),
                aspect: Aspect::Value,
                before: Shown::plain(before),
                after: Shown::plain(after),
                impact: Impact::None,
                cause: Cause::Pending,
            })
            .collect()
    }
}

fn change(owner: &Owner<'_>, name: &str, stray: &Stray) -> Change {
    let (found, attributes, note) = match &stray.guest {
        Reading::Absent => (Found::Absent, Vec::new(), None),
        Reading::Unreadable(why) => (Found::Unknown, Vec::new(), Some(why.clone())),
        Reading::Present(guest) => (Found::Up, owner.differs(name, stray, &guest.record), None),
    };
    let facts = Facts { wish: Wish::Adoption, found, difference: difference(&attributes), loss: Impact::None };
    let Verdict { action, reason, impact } = decide(facts);
    let (address, ignored, source) = (Address::vm(name), Vec::new(), None);
    Change { address, action, reason, impact, attributes, ignored, source, note }
}

fn taken(owner: &Owner<'_>, name: &str) -> Refusal {
    Refusal {
        address: Address::vm(name),
        rule: Rule::NameTaken,
        message: format!("the fleet `{}` has a guest `{name}` already", owner.fleet),
        help: "forget, destroy or rename one of the two first".into(),
        source: None,
    }
}
