//! `profile NAME { … }`

use super::guest::{self, SETTINGS};
use crate::config::block::Block;
use crate::config::language::{ArgumentRule, Kind, NodeRule};
use crate::config::problems::Problems;
use crate::config::settings::Settings;
use crate::syntax::{Node, Span, Spanned};

/// `profile "devbox" { cpus 2 }`
pub(in crate::config) static PROFILE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "What `use` calls it.")],
    children: SETTINGS,
    ..NodeRule::new("profile", "Settings with a name, for guests and other profiles to `use`.")
};

/// A decoded profile; what it uses is not merged in yet.
#[derive(Debug)]
pub(in crate::config) struct Profile {
    /// Profiles it uses.
    pub(in crate::config) uses: Vec<Spanned<String>>,
    /// What it states itself.
    pub(in crate::config) own: Settings,
    /// The whole node.
    pub(in crate::config) span: Span,
    /// Whether nothing was wrong with its block.
    pub(in crate::config) sound: bool,
}

/// The profile, unless it has no usable name.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<(Spanned<String>, Profile)> {
    let before = problems.count();
    let block = Block::read(node, &PROFILE, problems);
    let uses = guest::decode_uses(&block, problems);
    let own = guest::decode_settings(&block, problems);
    Some((block.text("name")?, Profile { uses, own, span: node.span, sound: problems.count() == before }))
}
