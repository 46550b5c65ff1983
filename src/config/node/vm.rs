//! `vm NAME { … }`

use super::guest::{self, SETTINGS};
use crate::config::block::Block;
use crate::config::language::{ArgumentRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::settings::Settings;
use crate::syntax::{Node, Span, Spanned};

/// `vm "web" count=2 { image "bookworm" }`
pub(in crate::config) static VM: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "The guest's name and host name.")],
    properties: &[PropertyRule::optional(
        "count",
        Kind::Integer { min: 0, max: 65536 },
        "Declares so many guests, named `NAME-1`, `NAME-2` and so on.",
    )],
    children: SETTINGS,
    impact: "recreate",
    ..NodeRule::new("vm", "A virtual machine that should exist and run.")
};

/// A decoded `vm` node; profiles are not merged in and `count` is not expanded yet.
#[derive(Debug)]
pub(in crate::config) struct VmNode {
    /// Its name as written.
    pub(in crate::config) name: Spanned<String>,
    /// `count`, where it is written.
    pub(in crate::config) count: Option<Spanned<u32>>,
    /// Profiles it uses.
    pub(in crate::config) uses: Vec<Spanned<String>>,
    /// What it states itself.
    pub(in crate::config) own: Settings,
    /// Whether nothing was wrong with its block.
    pub(in crate::config) sound: bool,
    /// The whole node.
    pub(in crate::config) span: Span,
}

/// The guest, unless it has no usable name.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<VmNode> {
    let before = problems.count();
    let block = Block::read(node, &VM, problems);
    let uses = guest::decode_uses(&block, problems);
    let own = guest::decode_settings(&block, problems);
    Some(VmNode {
        name: block.text("name")?,
        count: block.integer("count"),
        uses,
        own,
        sound: problems.count() == before,
        span: node.span,
    })
}
