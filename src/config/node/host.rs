//! `host "local" { … }`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule};
use crate::config::problems::Problems;
use crate::syntax::{Diagnostic, Node, Spanned};

/// `host "local" { backend "microvm" }`
pub(in crate::config) static HOST: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "name",
        Kind::Name,
        "The host's name; `local` is the machine regatta runs on.",
    )],
    children: &[ChildRule::at_most_once(&BACKEND)],
    default: Some("host \"local\" { backend \"microvm\" }"),
    ..NodeRule::new("host", "A Linux machine that runs guests.")
};

static BACKEND: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "backend",
        Kind::Choice(&["microvm"]),
        "`microvm`: QEMU with the microvm machine.",
    )],
    default: Some("microvm"),
    impact: "recreate",
    ..NodeRule::new("backend", "What runs guests on this host.")
};

/// Checks a host; its name, when it is one that can be used.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<Spanned<String>> {
    let block = Block::read(node, &HOST, problems);
    for backend in block.children("backend") {
        Block::read(backend, &BACKEND, problems);
    }
    let name = block.text("name")?;
    if name.value != "local" {
        let message = format!("found the host `{}`, remote hosts are not supported yet", name.value);
        problems.push(
            Diagnostic::error("config::unsupported", message, name.span, "expected `local`")
                .help("declare guests of this machine only, or leave the `host` node out"),
        );
        return None;
    }
    Some(name)
}
