//! `file PATH { … }`: one file of a guest, with its text here or a secret.

use super::secret::{self, SECRET};
use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{File, FileContent};
use crate::syntax::{Diagnostic, Node};

/// `file "~/.netrc" { secret env="NETRC" }`
pub(in crate::config) static FILE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("path", Kind::GuestPath, "Where it is in the guest.")],
    properties: &[PropertyRule::defaulted("mode", Kind::Mode, "\"0600\"", "Its permission bits.")],
    children: &[ChildRule::at_most_once(&CONTENT), ChildRule::at_most_once(&SECRET)],
    prioritised: true,
    impact: "live",
    ..NodeRule::new(
        "file",
        "A file of the guest's work disk, with its text here (`content`) or a `secret`. The owner is root. It is removed \
         when it is no longer declared, unless it was changed in the guest.",
    )
};

static CONTENT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("text", Kind::Content, "Every byte of it; `\"{name}\"` is replaced.")],
    impact: "live",
    ..NodeRule::new("content", "The text of the file. Plans and journals show it: use `secret` for what they must not.")
};

/// The declaration, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<File> {
    let before = problems.count();
    let block = Block::read(node, &FILE, problems);
    let content = block.children("content").next().map(|node| Block::read(node, &CONTENT, problems).text("text"));
    let secret = block.children("secret").next().map(|node| (node.name.span, secret::decode(node, problems)));
    let path = block.text("path")?;
    if path.value.is_empty() {
        let message = "found `~` itself, expected the path of a file in it";
        problems.push(Diagnostic::error("config::wrong-value", message, path.span, "is a directory"));
        return None;
    }
    let content = match (content, secret) {
        (Some(text), None) => FileContent::Text(text?.value),
        (None, Some((_, secret))) => FileContent::Secret(secret?),
        (Some(_), Some((span, _))) => {
            let message = "found `content` and `secret` in one `file`, expected one of them";
            problems.push(Diagnostic::error("config::contradiction", message, span, "has a `content` as well"));
            return None;
        }
        (None, None) if problems.count() > before => return None,
        (None, None) => {
            let message = "`file` does not say what is in it";
            problems.push(
                Diagnostic::error("config::missing-node", message, block.head(), "expected `content` or `secret`")
                    .help("write `{ content \"…\"; }`, or `file-sync` for a file of this host"),
            );
            return None;
        }
    };
    Some(File { path, mode: block.integer("mode").map(|mode| mode.value), content })
}
