//! `secret …`: how something confidential is fetched when it is needed, and not before.

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{Secret, SecretSource};
use crate::syntax::{Diagnostic, Node};

/// `secret env="TOKEN"`, `secret file="~/token"`, `secret command="age" "--decrypt" "token.age"`
pub(in crate::config) static SECRET: NodeRule = NodeRule {
    arguments: &[ArgumentRule::any("argument", Kind::Text, "Arguments of `command`.")],
    properties: &[
        PropertyRule::optional("env", Kind::Variable, "The environment variable that holds it."),
        PropertyRule::optional("file", Kind::HostPath, "The file that holds it, byte for byte."),
        PropertyRule::optional(
            "command",
            Kind::HostPath,
            "The program that writes it to its standard output. It is started without a shell, in the directory of \
             this file, with the caller's environment, and has 60 seconds.",
        ),
    ],
    impact: "live",
    ..NodeRule::new(
        "secret",
        "Fetched while planning, for its digest, and again when it is written. Never shown and never stored by regatta. \
         At most 64 KiB, and not empty. Paths and arguments that start with `~/` start at the home.",
    )
};

/// The declaration, when exactly one source is named.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<Secret> {
    let before = problems.count();
    let block = Block::read(node, &SECRET, problems);
    let arguments: Vec<_> = block.texts("argument").collect();
    let source = match (block.text("env"), block.text("file"), block.text("command")) {
        (None, None, Some(program)) => {
            let arguments = arguments.into_iter().map(|argument| argument.value);
            Some(SecretSource::Command { program: program.value, arguments: arguments.collect() })
        }
        (Some(name), None, None) if arguments.is_empty() => Some(SecretSource::Variable(name.value)),
        (None, Some(path), None) if arguments.is_empty() => Some(SecretSource::File(path.value)),
        _ if problems.count() > before || block.is_uncertain() => None,
        (None, None, None) => {
            let message = "`secret` does not say where it comes from";
            problems.push(
                Diagnostic::error("config::missing-property", message, block.head(), "names no source")
                    .help("write one of `env=\"NAME\"`, `file=\"path\"` or `command=\"program\" \"argument\" …`"),
            );
            None
        }
        (Some(_), None, None) | (None, Some(_), None) => {
            let at = arguments.first().map_or(block.head(), |argument| argument.span);
            let message = "found an argument on a `secret` without `command=`";
            problems.push(Diagnostic::error("config::surplus-argument", message, at, "goes with `command=` only"));
            None
        }
        _ => {
            let message = "found several sources on one `secret`, expected one of `env=`, `file=` and `command=`";
            problems.push(Diagnostic::error("config::contradiction", message, block.head(), "has several"));
            None
        }
    };
    // What follows a mistake would be another secret than the one that was meant.
    (problems.count() == before).then_some(source?).map(|source| Secret { source, declared_in: node.span.source })
}
