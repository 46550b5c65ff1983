//! `moved OLD to=NEW`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::syntax::{Node, Spanned};

/// `moved "web" to="frontend"`
pub(in crate::config) static MOVED: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("from", Kind::Name, "The name the guest had. No guest is declared under it.")],
    properties: &[PropertyRule::required("to", Kind::Name, "The name it is declared under now.")],
    impact: "live",
    ..NodeRule::new(
        "moved",
        "Says that a guest was renamed: it keeps its disks and is not made anew. The node may stay in the file, and may be \
         taken out once every machine that the file is applied on has seen it.",
    )
};

/// A guest that was renamed.
#[derive(Debug)]
pub(in crate::config) struct Moved {
    /// The name it had.
    pub(in crate::config) from: Spanned<String>,
    /// The name it has.
    pub(in crate::config) to: Spanned<String>,
}

/// What the node says, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<Moved> {
    let block = Block::read(node, &MOVED, problems);
    Some(Moved { from: block.text("from")?, to: block.text("to")? })
}
