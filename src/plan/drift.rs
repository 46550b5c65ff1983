//! The same comparison as a plan's, read as a report on reality: what moved since it was last applied.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::pattern::{self, Pattern};
use super::{Action, Aspect, Attribute, Cause, Change, Plan, Shown, fingerprint};
use crate::resource::{Address, Digest};

/// What reality did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The fleet's name.
    pub fleet: String,
    /// Resources with attributes that moved; each change holds only those attributes.
    pub moved: Vec<Change>,
    /// Resources that could not be read: nothing is known about their drift.
    pub unreadable: Vec<Change>,
    /// How many attributes moved and were muted by a rule.
    pub muted: usize,
    /// How many resources were compared.
    pub compared: usize,
    /// Names this drift: the same drift has the same one tomorrow; `None` when there is none.
    pub fingerprint: Option<Digest>,
}

/// Drift that is expected: attributes of resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute {
    resources: Pattern,
    attributes: Option<String>,
}

impl FromStr for Mute {
    type Err = String;

    /// Reads `ADDRESS` or `ADDRESS#ATTRIBUTE`, both with stars: `vm.*#state`, `file-sync.*/**#~/.cache/**`.
    ///
    /// # Errors
    /// As for a [`Pattern`]; also when nothing stands behind the `#`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('#') {
            None => Ok(Self { resources: text.parse()?, attributes: None }),
            Some((_, "")) => Err(format!("found `{text}`, expected an attribute behind the `#`")),
            Some((resources, attributes)) => {
                Ok(Self { resources: resources.parse()?, attributes: Some(attributes.into()) })
            }
        }
    }
}

impl Mute {
    fn covers(&self, address: &Address, attribute: &Attribute) -> bool {
        let path = self.attributes.as_ref().is_none_or(|pattern| pattern::glob(pattern, &attribute.path));
        path && self.resources.matches(address, &BTreeSet::new())
    }
}

/// Keeps what reality moved, but for what is muted.
pub fn drift(plan: &Plan, mutes: &[Mute]) -> Drift {
    let mut moved = Vec::new();
    let mut muted = plan.changes.iter().map(|change| change.ignored.len()).sum();
    for change in &plan.changes {
        let drifted = change.attributes.iter().filter(|attribute| attribute.cause != Cause::Pending);
        let (quiet, loud): (Vec<_>, Vec<_>) =
            drifted.partition(|attribute| mutes.iter().any(|mute| mute.covers(&change.address, attribute)));
        muted += quiet.len();
        if !loud.is_empty() {
            moved.push(Change { attributes: loud.into_iter().cloned().collect(), ..change.clone() });
        }
    }
    let unreadable = plan.changes.iter().filter(|change| change.action == Action::Unreadable);
    Drift {
        fleet: plan.fleet.clone(),
        fingerprint: (!moved.is_empty()).then(|| name(&moved)),
        moved,
        unreadable: unreadable.cloned().collect(),
        muted,
        compared: plan.changes.len(),
    }
}

impl Drift {
    /// Whether nothing moved and everything could be read.
    pub const fn is_clean(&self) -> bool {
        self.moved.is_empty() && self.unreadable.is_empty()
    }

    /// How many attributes moved.
    pub fn attributes(&self) -> usize {
        self.moved.iter().map(|change| change.attributes.len()).sum()
    }
}

/// A digest of what is, not of what it should become: editing the fleet file does not make it another drift.
fn name(moved: &[Change]) -> Digest {
    #[derive(Serialize)]
    struct Fact<'a>(&'a Address, &'a str, Aspect, Digest);
    let facts = moved.iter().flat_map(|change| change.attributes.iter().map(move |attribute| (change, attribute)));
    let facts: Vec<Fact<'_>> = facts
        .map(|(change, attribute)| Fact(&change.address, &attribute.path, attribute.aspect, found(&attribute.before)))
        .collect();
    fingerprint::digest(&facts)
}

/// The same digest for a content whether it is shown as text or not.
fn found(before: &Shown) -> Digest {
    match before {
        Shown::Text(text) => Digest::of(text.as_bytes()),
        Shown::Digest { digest, .. } => digest.clone(),
        other => fingerprint::digest(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Impact, Reason};

    fn attribute(path: &str, before: &str, cause: Cause) -> Attribute {
        Attribute {
            path: path.into(),
            aspect: Aspect::Value,
            before: Shown::plain(before),
            after: Shown::plain("declared"),
            impact: Impact::Live,
            cause,
        }
    }

    fn plan(attributes: Vec<Attribute>) -> Plan {
        let change = Change {
            address: Address::vm("web"),
            action: Action::Update,
            reason: Reason::PendingAndDrift,
            impact: Impact::Live,
            attributes,
            ignored: Vec::new(),
            source: None,
            note: None,
        };
        Plan {
            fleet: "shop".into(),
            changes: vec![change],
            refusals: Vec::new(),
            selected: None,
            graph: crate::plan::Graph::default(),
        }
    }

    #[test]
    fn only_what_reality_moved_is_drift() {
        let made = plan(vec![
            attribute("memory", "1GiB", Cause::Pending),
            attribute("state", "stopped", Cause::Drift),
            attribute("cpus", "3", Cause::Both),
        ]);
        let found = drift(&made, &[]);
        let paths: Vec<&str> = found.moved[0].attributes.iter().map(|attribute| attribute.path.as_str()).collect();
        assert_eq!(paths, ["state", "cpus"]);
        let mutes = ["vm.*#state", "web#cp*"].map(|mute| mute.parse().unwrap());
        let found = drift(&made, &mutes);
        assert!(found.is_clean());
        assert_eq!((found.muted, found.fingerprint), (2, None));
    }

    #[test]
    fn the_fingerprint_names_what_is() {
        let name = |before: &str, after: &str| {
            let mut made = plan(vec![attribute("state", before, Cause::Drift)]);
            made.changes[0].attributes[0].after = Shown::plain(after);
            drift(&made, &[]).fingerprint
        };
        assert_eq!(name("stopped", "running"), name("stopped", "suspended"));
        assert_ne!(name("stopped", "running"), name("paused", "running"));
    }

    #[test]
    fn a_mute_without_an_attribute_is_no_mute() {
        assert_eq!("vm.web#".parse::<Mute>(), Err("found `vm.web#`, expected an attribute behind the `#`".to_owned()));
    }
}
