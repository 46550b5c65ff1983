//! `fleet "name" { … }`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, version_at_least};
use crate::config::problems::Problems;
use crate::syntax::{Diagnostic, Node, Spanned};

/// `fleet "shop" { requires "0.1"; parallelism 4; }`
pub(in crate::config) static FLEET: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "name",
        Kind::Name,
        "The fleet's name: part of the mark that its objects carry.",
    )],
    children: &[
        ChildRule::at_most_once(&OWNER),
        ChildRule::at_most_once(&REQUIRES),
        ChildRule::at_most_once(&PARALLELISM),
    ],
    default: Some("the name of the directory that the fleet file is in"),
    ..NodeRule::new("fleet", "Names the fleet. Two fleets of different names never touch each other's objects.")
};

static OWNER: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Text, "A person, a team, an address.")],
    ..NodeRule::new("owner", "Whom to ask about this fleet: told by `explain fleet`, and where a plan is refused.")
};

static REQUIRES: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("version", Kind::Version, "The oldest version of regatta that will do.")],
    ..NodeRule::new("requires", "Refuses the file when regatta is older than what it was written for.")
};

static PARALLELISM: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("steps", Kind::Integer { min: 1, max: 256 }, "How many.")],
    default: Some("4"),
    ..NodeRule::new("parallelism", "How many steps of a run are done side by side; `--parallel` goes first.")
};

/// What the node says.
#[derive(Debug, Default)]
pub(in crate::config) struct Header {
    /// The name, when it is a good one.
    pub(in crate::config) name: Option<Spanned<String>>,
    /// Whom to ask.
    pub(in crate::config) owner: Option<Spanned<String>>,
    /// Steps side by side.
    pub(in crate::config) parallelism: Option<Spanned<u32>>,
}

/// What the node says, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Header {
    let block = Block::read(node, &FLEET, problems);
    let mut header = Header { name: block.text("name"), ..Header::default() };
    for child in block.all_children() {
        match child.name.value.as_str() {
            "requires" => {
                if let Some(version) = Block::read(child, &REQUIRES, problems).text("version") {
                    check_version(&version, problems);
                }
            }
            "owner" => header.owner = Block::read(child, &OWNER, problems).text("name"),
            "parallelism" => header.parallelism = Block::read(child, &PARALLELISM, problems).integer("steps"),
            _ => {}
        }
    }
    header
}

fn check_version(required: &Spanned<String>, problems: &mut Problems) {
    let ours = env!("CARGO_PKG_VERSION");
    if !version_at_least(ours, &required.value) {
        let message = format!("this is regatta {ours}, the fleet requires {} or later", required.value);
        let problem = Diagnostic::error("config::too-old", message, required.span, "required here");
        problems.push(problem.help("install a newer regatta"));
    }
}
