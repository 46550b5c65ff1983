//! `file-sync FROM to=TO`

use crate::config::block::Block;
use crate::config::filter::Filter;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{FileSync, Setting};
use crate::syntax::{Diagnostic, Node};

/// `file-sync "~/.config/nvim" to="~/.config/nvim"`
pub(in crate::config) static FILE_SYNC: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "from",
        Kind::HostPath,
        "A file or directory on the host. When it is missing, a warning is given and nothing is written.",
    )],
    properties: &[
        PropertyRule::required("to", Kind::GuestPath, "Where it goes in the guest."),
        PropertyRule::optional(
            "mode",
            Kind::Mode,
            "Permission bits of every file. Without it a single file gets `0600`, files of a directory keep their own.",
        ),
        PropertyRule::defaulted(
            "prune",
            Kind::Boolean,
            "#false",
            "Whether files that were written earlier, and have left the source since, are removed from the guest.",
        ),
    ],
    children: &[ChildRule::any(&EXCLUDE)],
    prioritised: true,
    impact: "live",
    ..NodeRule::new(
        "file-sync",
        "Keeps files of the guest's work disk equal to files of the host. Symbolic links below the source are not \
         followed. The owner is root; directories get `0755`.",
    )
};

static EXCLUDE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated(
        "pattern",
        Kind::Text,
        "Patterns as in `.gitignore`; `!` in front takes back.",
    )],
    impact: "live",
    ..NodeRule::new(
        "exclude",
        "Leaves files and directories below the source out. They are not read; in the guest, files of these names are \
         not touched, unless they were written earlier and `prune` is set.",
    )
};

/// The declaration, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<FileSync> {
    let block = Block::read(node, &FILE_SYNC, problems);
    let prune =
        block.boolean("prune").map_or(Setting::default_value(false), |prune| Setting::written(prune.value, prune.span));
    let mode = block.integer("mode").map(|mode| mode.value);
    let from = block.text("from")?.value;
    let exclude = decode_exclude(&block, problems);
    Some(FileSync { from, declared_in: node.span.source, to: block.text("to")?, mode, prune, exclude })
}

/// All patterns in their order; those that are none are reported and left out.
fn decode_exclude(block: &Block<'_>, problems: &mut Problems) -> Filter {
    let mut patterns = Vec::new();
    for node in block.children("exclude") {
        for pattern in Block::read(node, &EXCLUDE, problems).texts("pattern") {
            match Filter::new([&pattern.value]) {
                Ok(_) => patterns.push(pattern.value),
                Err(message) => {
                    problems.push(Diagnostic::error("config::bad-pattern", message, pattern.span, "not a pattern"));
                }
            }
        }
    }
    Filter::new(patterns).unwrap_or_default()
}
