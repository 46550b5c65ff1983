//! `file-sync FROM to=TO`

use crate::config::block::Block;
use crate::config::filter::Filter;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{FileSync, Links, OnDrift, Setting};
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
        PropertyRule::defaulted("dir-mode", Kind::Mode, "\"0755\"", "Permission bits of every directory."),
        PropertyRule::defaulted(
            "links",
            Kind::Choice(&["skip", "keep"]),
            "\"skip\"",
            "What becomes of symbolic links below the source: they are left out with a warning, or those whose targets stay \
             below the source are made in the guest. None is ever followed.",
        ),
        PropertyRule::defaulted("owner", ID, "0", "The number of the user in the guest that everything belongs to."),
        PropertyRule::defaulted("group", ID, "0", "The number of the group in the guest that everything belongs to."),
        PropertyRule::defaulted(
            "on-drift",
            Kind::Choice(&["repair", "keep", "fail"]),
            "\"repair\"",
            "What becomes of files that were changed in the guest since they were written: they are written again, they \
             stay as they are, or plans are refused until somebody has looked.",
        ),
        PropertyRule::defaulted(
            "prune",
            Kind::Boolean,
            "#false",
            "Whether files that were written earlier, and have left the source since, are removed from the guest.",
        ),
    ],
    children: &[ChildRule::any(&INCLUDE), ChildRule::any(&EXCLUDE)],
    prioritised: true,
    impact: "live",
    ..NodeRule::new(
        "file-sync",
        "Keeps files of the guest's work disk equal to files of the host. Symbolic links below the source are not \
         followed.",
    )
};

/// Numbers of users and groups; the last one means nobody (`man 2 chown`).
const ID: Kind = Kind::Integer { min: 0, max: u32::MAX - 1 };

const PATTERNS: &[ArgumentRule] =
    &[ArgumentRule::repeated("pattern", Kind::Text, "Patterns as in `.gitignore`; `!` in front takes back.")];

static INCLUDE: NodeRule = NodeRule {
    arguments: PATTERNS,
    impact: "live",
    ..NodeRule::new(
        "include",
        "Takes only what matches, and the directories above it. What an `include` takes, an `exclude` can leave out.",
    )
};

static EXCLUDE: NodeRule = NodeRule {
    arguments: PATTERNS,
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
    let include = decode_patterns(&block, &INCLUDE, problems);
    let exclude = decode_patterns(&block, &EXCLUDE, problems);
    let id = |name| block.integer(name).map_or(0, |id| id.value);
    let on_drift = match block.text("on-drift").as_ref().map(|word| word.value.as_str()) {
        Some("keep") => OnDrift::Keep,
        Some("fail") => OnDrift::Fail,
        _ => OnDrift::Repair,
    };
    let keeps = block.text("links").is_some_and(|word| word.value == "keep");
    Some(FileSync {
        from,
        declared_in: node.span.source,
        to: block.text("to")?,
        mode,
        prune,
        dir_mode: block.integer("dir-mode").map(|mode| mode.value),
        owner: (id("owner"), id("group")),
        include,
        exclude,
        links: if keeps { Links::Keep } else { Links::Skip },
        on_drift,
    })
}

/// All patterns in their order; those that are none are reported and left out.
fn decode_patterns(block: &Block<'_>, rule: &'static NodeRule, problems: &mut Problems) -> Filter {
    let mut patterns = Vec::new();
    for node in block.children(rule.name) {
        for pattern in Block::read(node, rule, problems).texts("pattern") {
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
