//! What is refused of guests on clusters, and what to do about it.

use super::{Change, Refusal, Rule};
use crate::resource::Address;
use crate::resource::cluster::{ClusterGuestSpec, ObservedClusterGuest, Value};
use crate::syntax::SourceRef;

/// Protection goes alone: an edit that changes anything else as well cannot take it away (`docs/design/gate.md`).
pub(super) fn lifted_with_others(change: &Change, seen: &ObservedClusterGuest) -> Option<Refusal> {
    let protected = seen.values.get("protection").and_then(Value::as_text) == Some("true");
    let lifted = protected && change.attributes.iter().any(|attribute| attribute.path == "protection");
    (lifted && change.attributes.len() > 1).then(|| Refusal {
        address: change.address.clone(),
        rule: Rule::Protected,
        message: "the guest's protection would be lifted together with other changes".into(),
        help: "apply `protection #false` alone first, then the other changes".into(),
        source: change.source.clone(),
    })
}

pub(super) fn two_of_a_name(change: &Change) -> Refusal {
    Refusal {
        address: change.address.clone(),
        rule: Rule::NotOurs,
        message: "found a guest of this name on this machine".into(),
        help: "give one of them another name, or remove the local one first, in an apply of its own".into(),
        source: change.source.clone(),
    }
}

pub(super) fn nothing_to_take_over(change: &Change, vmid: u32) -> Refusal {
    Refusal {
        address: change.address.clone(),
        rule: Rule::NotOurs,
        message: format!("found no guest {vmid} of this name that could be taken over"),
        help: "write `template` or `clone` instead of `existing` to have it made".into(),
        source: change.source.clone(),
    }
}

pub(super) fn not_ours(change: &Change, vmid: u32) -> Refusal {
    Refusal {
        address: change.address.clone(),
        rule: Rule::NotOurs,
        message: format!("found guest {vmid} of this name, without the mark of this fleet"),
        help: "rename one of them".into(),
        source: change.source.clone(),
    }
}

/// What a container's root is on the node cannot be changed in place, and declaring it otherwise must not look like having it.
pub(super) fn made_otherwise(change: &Change, spec: &ClusterGuestSpec, seen: &ObservedClusterGuest) -> Option<Refusal> {
    let (asked, found) = (spec.unprivileged?, seen.unprivileged?);
    (asked != found).then(|| {
        let word = |unprivileged| if unprivileged { "unprivileged" } else { "privileged" };
        Refusal {
            address: change.address.clone(),
            rule: Rule::MadeOtherwise,
            message: format!("found container {} {}, the fleet file asks for {}", seen.vmid, word(found), word(asked)),
            help: format!("that is decided when a container is made: write `unprivileged #{found}`, or restore a backup of it the other way"),
            source: change.source.clone(),
        }
    })
}

pub(super) fn protected(address: &Address, seen: &ObservedClusterGuest, source: Option<SourceRef>) -> Refusal {
    Refusal {
        address: address.clone(),
        rule: Rule::Protected,
        message: format!("guest {} is protected and would be removed", seen.vmid),
        help: "if that is meant, lift its protection first: `protection #false`, or in Proxmox".into(),
        source,
    }
}
