//! `network NAME { … }`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule};
use crate::config::problems::Problems;
use crate::config::{Network, NetworkMode, Setting};
use crate::syntax::{Node, Spanned};

/// `network "lan" { mode "user" }`
pub(in crate::config) static NETWORK: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "What guests call it.")],
    children: &[ChildRule::at_most_once(&MODE)],
    default: Some("network { mode \"user\" }"),
    impact: "restart",
    ..NodeRule::new("network", "How guests are connected.")
};

static MODE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "mode",
        Kind::Choice(&["user"]),
        "`user`: the hypervisor's own stack. It needs no privileges; guests reach the outside, the host reaches \
         forwarded ports, guests do not reach each other.",
    )],
    default: Some("user"),
    impact: "restart",
    ..NodeRule::new("mode", "What connects the guests.")
};

/// The network, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<(Spanned<String>, Network)> {
    let block = Block::read(node, &NETWORK, problems);
    let mode = block.children("mode").filter_map(|mode| Block::read(mode, &MODE, problems).text("mode")).next();
    let name = block.text("name")?;
    let mode =
        mode.map_or(Setting::default_value(NetworkMode::User), |mode| Setting::written(NetworkMode::User, mode.span));
    Some((name.clone(), Network { name: name.value, span: node.span, mode }))
}
