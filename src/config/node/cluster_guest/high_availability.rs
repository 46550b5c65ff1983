//! `ha … { node … }` of a guest on a cluster.

use super::rules::WORD;
use crate::config::HighAvailability;
use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::syntax::{Diagnostic, Node, Spanned};

const ATTEMPTS: Kind = Kind::Integer { min: 0, max: 1000 };

static HA_NODE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("node", WORD, "Name of a node of the cluster.")],
    properties: &[PropertyRule::defaulted("priority", ATTEMPTS, "0", "Nodes with a higher one come first.")],
    impact: "live",
    ..NodeRule::new(
        "node",
        "A node that high availability keeps the guest on, as long as one of these is there. A group of its own says so up to \
         Proxmox VE 8, and a rule of its own from 9 on.",
    )
};

pub(super) static HA: NodeRule = NodeRule {
    properties: &[
        PropertyRule::defaulted("max-restart", ATTEMPTS, "1", "How often it is started again on its node."),
        PropertyRule::defaulted("max-relocate", ATTEMPTS, "1", "How often it is moved to another node."),
        PropertyRule::optional(
            "group",
            WORD,
            "A group of nodes that it may be on, which exists already. Up to Proxmox VE 8; `node` is for every release.",
        ),
        PropertyRule::defaulted("strict", Kind::Boolean, "#false", "Whether it runs on no other nodes than these."),
    ],
    children: &[ChildRule::any(&HA_NODE)],
    default: Some("whatever somebody chooses in Proxmox"),
    impact: "live",
    ..NodeRule::new(
        "ha",
        "High availability looks after the guest: started or stopped as `running` says. It is done by nodes of the \
         cluster, on storages that they share.",
    )
};

/// How high availability looks after a guest.
pub(super) fn decode(node: &Node, problems: &mut Problems) -> Spanned<HighAvailability> {
    let block = Block::read(node, &HA, problems);
    let number = |name| block.integer(name).map_or(1, |number| number.value);
    let mut nodes = Vec::new();
    for child in block.children(HA_NODE.name) {
        let child = Block::read(child, &HA_NODE, problems);
        let priority = child.integer("priority").map_or(0, |priority| priority.value);
        nodes.extend(child.text("node").map(|name| (name.value, priority)));
    }
    let (group, strict) = (block.text("group"), block.boolean("strict"));
    if let Some(group) = group.as_ref().filter(|_| !nodes.is_empty()) {
        let message = "`group` and `node` both say where it is kept";
        problems.push(Diagnostic::error("config::contradiction", message, group.span, "one too many"));
    }
    if let Some(strict) = strict.as_ref().filter(|strict| strict.value && nodes.is_empty()) {
        let problem =
            Diagnostic::error("config::contradiction", "`strict` is about `node`", strict.span, "there is none");
        problems.push(problem);
    }
    let high_availability = HighAvailability {
        max_restart: number("max-restart"),
        max_relocate: number("max-relocate"),
        group: group.map(|group| group.value),
        nodes,
        strict: strict.is_some_and(|strict| strict.value),
    };
    Spanned::new(high_availability, node.span)
}
