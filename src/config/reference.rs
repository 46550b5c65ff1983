//! The tables of the language as a document for people: one section per node.

use std::fmt::Write as _;

use super::language::{ArgumentRule, NodeRule, Occurs, Presence, PropertyRule};
use super::node::{CLUSTER_VM, CONTROL, DOCUMENT};

const HEAD: &str = "\
# Reference of the fleet language

Generated from the tables that decode fleet files; a test keeps it current. What the nodes mean together (values,
modules, profiles, priorities) is in [the design of the language](design/language.md).

*Impact* is what a change does to a guest that exists: nothing (none), it is applied while the guest runs (live), the
guest is restarted (restart), or its root disk is made anew (recreate). The work disk survives all of them.
";

/// The reference, as Markdown.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## At the top of a file\n");
    for child in DOCUMENT.children {
        section(&mut text, child.rule, None, child.occurs);
    }
    text.push_str("\n## Virtual machines on clusters\n");
    section(&mut text, CLUSTER_VM, None, Occurs::Any);
    text.push_str("\n## In every block\n");
    for rule in CONTROL {
        section(&mut text, rule, None, Occurs::Any);
    }
    text
}

/// Writing to a string cannot fail.
macro_rules! add {
    ($text:expr, $($format:tt)*) => {
        let _ = writeln!($text, $($format)*);
    };
}

/// A node and the nodes of its block. Settings that guests share with profiles are described once, with the profile.
fn section(text: &mut String, rule: &NodeRule, parent: Option<&NodeRule>, occurs: Occurs) {
    let name = rule.name;
    match parent {
        None => {
            add!(text, "\n### `{name}`\n");
        }
        Some(parent) => {
            add!(text, "\n#### `{name}` in `{}`\n", parent.name);
        }
    }
    add!(text, "{}\n", rule.doc);
    let often = match occurs {
        Occurs::Once => "exactly once",
        Occurs::AtMostOnce => "at most once",
        Occurs::Any => "any number of times",
    };
    let priority = if rule.prioritised { " · takes `(default)` and `(force)`" } else { "" };
    add!(text, "{often} · impact: {} · since {}{priority}", rule.impact, rule.since);
    if let Some(default) = rule.default {
        add!(text, "\nWithout it: `{default}`");
    }
    values(text, rule);
    if rule.name == "vm" && rule.child("cluster").is_none() {
        add!(
            text,
            "\nIts block holds the same nodes as that of [`profile`](#profile); with a `cluster` in it, those of \
             [a virtual machine on a cluster](#virtual-machines-on-clusters)."
        );
        return;
    }
    for child in rule.children {
        section(text, child.rule, Some(rule), child.occurs);
    }
}

fn values(text: &mut String, rule: &NodeRule) {
    if rule.arguments.is_empty() && rule.properties.is_empty() {
        return;
    }
    add!(text, "\n| value | takes | default | meaning |\n|---|---|---|---|");
    for ArgumentRule { name, doc, kind, presence } in rule.arguments {
        let default = match presence {
            Presence::Required => "must be written",
            Presence::Optional => "",
            Presence::Repeated => "one or more",
            Presence::Any => "any number",
        };
        add!(text, "| *{name}* | {} | {default} | {} |", cell(&kind.expected()), cell(doc));
    }
    for PropertyRule { name, doc, kind, presence, default } in rule.properties {
        let default = match (presence, default) {
            (Presence::Required, _) => "must be written".to_owned(),
            (_, Some(default)) => format!("`{default}`"),
            (_, None) => String::new(),
        };
        add!(text, "| `{name}=` | {} | {default} | {} |", cell(&kind.expected()), cell(doc));
    }
}

/// A text that may stand in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
