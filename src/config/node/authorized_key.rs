//! `authorized-key …`

use crate::config::AuthorizedKey;
use crate::config::block::Block;
use crate::config::language::{ArgumentRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::syntax::{Diagnostic, Node};

/// `authorized-key file="~/.ssh/id_ed25519.pub"`
pub(in crate::config) static AUTHORIZED_KEY: NodeRule = NodeRule {
    arguments: &[ArgumentRule::optional("key", Kind::KeyLine, "The public key itself.")],
    properties: &[PropertyRule::optional(
        "file",
        Kind::HostPath,
        "A file of public keys on the host. When it is missing, a warning is given and the key is left out.",
    )],
    prioritised: true,
    impact: "live",
    ..NodeRule::new(
        "authorized-key",
        "A key that may log in as root. At the top of a file it holds for every guest. Keys written several times add \
         up; foreign lines of `authorized_keys` are kept.",
    )
};

/// The key, when exactly one source is named.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<AuthorizedKey> {
    let block = Block::read(node, &AUTHORIZED_KEY, problems);
    let (key, file) = (block.text("key"), block.text("file"));
    match (key, file) {
        (Some(_), Some(file)) => {
            let message = "found a key and a file of keys on one `authorized-key`, expected one of them";
            problems.push(Diagnostic::error("config::contradiction", message, file.span, "the key is given as well"));
            None
        }
        (Some(key), None) => Some(AuthorizedKey::Inline(key.value)),
        (None, Some(file)) => Some(AuthorizedKey::File(file.value)),
        (None, None) => {
            if node.arguments.is_empty() && node.properties.is_empty() {
                let message = "`authorized-key` lacks its key";
                problems.push(
                    Diagnostic::error("config::missing-argument", message, block.head(), "names no key")
                        .help("name a file, `authorized-key file=\"~/.ssh/id_ed25519.pub\"`, or quote the key itself"),
                );
            }
            None
        }
    }
}
