//! The tables of the language as a document in the KDL Schema Language, for editors.
//!
//! `let`, `for-each` and `when` may stand in every block; the schema has them at the top, where `regatta` describes
//! them once.

use std::fmt::Write as _;

use super::language::{ArgumentRule, Kind, NodeRule, Occurs, Presence, PropertyRule};
use super::node::{CLUSTER_VM, CONTROL, DOCUMENT};

/// The schema.
pub fn schema() -> String {
    let mut text = String::from(
        "// Generated from the tables that decode fleet files: `regatta schema`.\n\
         document {\n    info {\n        title \"regatta fleet file\" lang=\"en\"\n    }\n",
    );
    for child in DOCUMENT.children {
        if child.rule.name == CLUSTER_VM.name {
            vm(&mut text, child.rule);
        } else {
            node(&mut text, 1, child.rule, child.occurs);
        }
    }
    for rule in CONTROL {
        node(&mut text, 1, rule, Occurs::Any);
    }
    text.push_str("}\n");
    text
}

/// `vm`, local or on a cluster: a schema cannot say which nodes go with which.
fn vm(text: &mut String, local: &NodeRule) {
    line(text, 1, format_args!("node {} description={} {{", quoted(local.name), quoted(local.doc)));
    local.arguments.iter().for_each(|argument| value(text, 2, argument));
    local.properties.iter().for_each(|property| prop(text, 2, property));
    line(text, 2, format_args!("children {{"));
    local.children.iter().for_each(|child| node(text, 3, child.rule, child.occurs));
    let others = CLUSTER_VM.children.iter().filter(|child| local.child(child.rule.name).is_none());
    for child in others {
        node(text, 3, child.rule, if child.occurs == Occurs::Once { Occurs::AtMostOnce } else { child.occurs });
    }
    line(text, 2, format_args!("}}"));
    line(text, 1, format_args!("}}"));
}

fn line(text: &mut String, depth: usize, content: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:indent$}{content}", "", indent = depth * 4);
}

fn node(text: &mut String, depth: usize, rule: &NodeRule, occurs: Occurs) {
    line(text, depth, format_args!("node {} description={} {{", quoted(rule.name), quoted(rule.doc)));
    let (min, max) = match occurs {
        Occurs::Once => (Some(1), Some(1)),
        Occurs::AtMostOnce => (None, Some(1)),
        Occurs::Any => (None, None),
    };
    bounds(text, depth + 1, min, max);
    rule.arguments.iter().for_each(|argument| value(text, depth + 1, argument));
    rule.properties.iter().for_each(|property| prop(text, depth + 1, property));
    if rule.open_block {
        line(text, depth + 1, format_args!("other-nodes-allowed #true"));
    }
    if !rule.children.is_empty() {
        line(text, depth + 1, format_args!("children {{"));
        rule.children.iter().for_each(|child| node(text, depth + 2, child.rule, child.occurs));
        line(text, depth + 1, format_args!("}}"));
    }
    line(text, depth, format_args!("}}"));
}

fn bounds(text: &mut String, depth: usize, min: Option<u32>, max: Option<u32>) {
    for (name, bound) in [("min", min), ("max", max)] {
        if let Some(bound) = bound {
            line(text, depth, format_args!("{name} {bound}"));
        }
    }
}

fn value(text: &mut String, depth: usize, rule: &ArgumentRule) {
    line(text, depth, format_args!("value description={} {{", quoted(rule.doc)));
    let (min, max) = match rule.presence {
        Presence::Required => (Some(1), Some(1)),
        Presence::Optional => (None, Some(1)),
        Presence::Repeated => (Some(1), None),
        Presence::Any => (None, None),
    };
    bounds(text, depth + 1, min, max);
    kind(text, depth + 1, rule.kind);
    line(text, depth, format_args!("}}"));
}

fn prop(text: &mut String, depth: usize, rule: &PropertyRule) {
    line(text, depth, format_args!("prop {} description={} {{", quoted(rule.name), quoted(rule.doc)));
    if rule.presence == Presence::Required {
        line(text, depth + 1, format_args!("required #true"));
    }
    kind(text, depth + 1, rule.kind);
    line(text, depth, format_args!("}}"));
}

fn kind(text: &mut String, depth: usize, kind: Kind) {
    match kind {
        Kind::Any => {}
        Kind::Boolean => line(text, depth, format_args!("type \"boolean\"")),
        Kind::Integer { min, max } => {
            line(text, depth, format_args!("type \"number\""));
            line(text, depth, format_args!("\"%\" 1"));
            line(text, depth, format_args!("\">=\" {min}"));
            line(text, depth, format_args!("\"<=\" {max}"));
        }
        Kind::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            line(text, depth, format_args!("type \"string\""));
            line(text, depth, format_args!("enum {}", words.join(" ")));
        }
        _ => {
            line(text, depth, format_args!("type \"string\""));
            if let Some(pattern) = pattern(kind) {
                line(text, depth, format_args!("pattern {}", quoted(pattern)));
            }
        }
    }
}

/// What editors can check of a text by a regular expression; `regatta check` checks more.
const fn pattern(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Name => Some("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
        Kind::ValueName => Some("^[a-z][a-z0-9-]*$"),
        Kind::Package => Some("^[a-z0-9][a-z0-9+.-]*$"),
        Kind::Url => Some("^(https?://|file:/)"),
        Kind::Size { .. } => Some("^[0-9]+(\\.[0-9]+)? ?(KiB|MiB|GiB|TiB)$"),
        Kind::Mode => Some("^0?[0-7]{3}$"),
        Kind::GuestPath => Some("^(~|/root)(/|$)"),
        Kind::FixedLocation => Some("^(https?://|file:///|/)"),
        Kind::ImagePath => Some("^/[^/]"),
        Kind::Subnet4 => Some("^[0-9.]+/[0-9]+$"),
        Kind::Subnet6 => Some("^[fF][dD][0-9a-fA-F:]*/64$"),
        Kind::Ipv4Address => Some("^[0-9]+(\\.[0-9]+){3}$"),
        Kind::Mac => Some("^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$"),
        _ => None,
    }
}

/// A text between quotes, as KDL 2 writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}
