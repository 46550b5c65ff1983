//! `fleet "name"`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, Kind, NodeRule};
use crate::config::problems::Problems;
use crate::syntax::{Node, Spanned};

/// `fleet "shop"`
pub(in crate::config) static FLEET: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "name",
        Kind::Name,
        "The fleet's name: part of the mark that its objects carry.",
    )],
    default: Some("the name of the directory that the fleet file is in"),
    ..NodeRule::new("fleet", "Names the fleet. Two fleets of different names never touch each other's objects.")
};

/// The name, when it is a good one.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<Spanned<String>> {
    Block::read(node, &FLEET, problems).text("name")
}
