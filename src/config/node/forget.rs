//! `forget GUEST`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, Kind, NodeRule};
use crate::config::problems::Problems;
use crate::syntax::{Node, Spanned};

/// `forget "web"`
pub(in crate::config) static FORGET: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("guest", Kind::Name, "Names of guests that are not declared any more.")],
    ..NodeRule::new(
        "forget",
        "Lets go of guests that left the file, instead of destroying them: their disks stay, and one that runs keeps \
         running. `regatta adopt --forgotten` takes them back.",
    )
};

/// The guests that are let go of.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Vec<Spanned<String>> {
    Block::read(node, &FORGET, problems).texts("guest").collect()
}
