//! `git-identity …`

use crate::config::GitIdentity;
use crate::config::block::Block;
use crate::config::language::{Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::syntax::{Diagnostic, Node};

/// `git-identity from="host"` or `git-identity name="…" email="…"`
pub(in crate::config) static GIT_IDENTITY: NodeRule = NodeRule {
    properties: &[
        PropertyRule::optional("from", Kind::Choice(&["host"]), "`host`: what `git config --global` says on the host."),
        PropertyRule::optional("name", Kind::Text, "`user.name`; together with `email`."),
        PropertyRule::optional("email", Kind::Text, "`user.email`; together with `name`."),
    ],
    prioritised: true,
    impact: "live",
    ..NodeRule::new(
        "git-identity",
        "Name and address for commits made in the guest, merged into its `~/.gitconfig`. At the top of a file it holds \
         for every guest that states none.",
    )
};

/// The identity, when it is stated in exactly one way.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<GitIdentity> {
    let before = problems.count();
    let block = Block::read(node, &GIT_IDENTITY, problems);
    match (block.text("from"), block.text("name"), block.text("email")) {
        (Some(_), None, None) => Some(GitIdentity::Host),
        (None, Some(name), Some(email)) => {
            let name = one_line(name.value, name.span, problems)?;
            Some(GitIdentity::Given { name, email: one_line(email.value, email.span, problems)? })
        }
        _ if problems.count() > before || block.is_uncertain() => None,
        _ => {
            let message = "`git-identity` takes either `from=\"host\"` or both `name=` and `email=`";
            problems.push(Diagnostic::error("config::contradiction", message, block.head(), "neither of the two"));
            None
        }
    }
}

/// A line break would start a new line of `.gitconfig`.
fn one_line(text: String, span: crate::syntax::Span, problems: &mut Problems) -> Option<String> {
    if text.contains(char::is_control) {
        let message = "found a control character in a git identity, expected one line of text";
        problems.push(Diagnostic::error("config::wrong-value", message, span, "not accepted"));
        return None;
    }
    Some(text)
}
