//! The differing attributes of one change: settings as a table, files one by one with their diffs.

use super::diff::{self, Length};
use super::layout;
use super::screen::{Screen, Tone};
use super::{scrub, words};
use crate::plan::{Action, Aspect, Attribute, Change, Reason, Shown};

/// Indentation of an attribute.
const INDENT: &str = "    ";

/// Indentation of a file's diff.
const DIFF_INDENT: &str = "      ";

/// Adds the lines of all attributes.
pub(super) fn lines(lines: &mut Vec<String>, change: &Change, length: Length, screen: Screen) {
    let paths = change.attributes.iter().filter(|attribute| attribute.aspect == Aspect::Value);
    let column = paths.map(|attribute| layout::columns(&attribute.path)).max().unwrap_or(0);
    for file in change.attributes.chunk_by(|a, b| a.aspect != Aspect::Value && a.path == b.path) {
        match file {
            [setting] if setting.aspect == Aspect::Value => setting_lines(lines, change, setting, column, screen),
            _ => file_lines(lines, change, file, length, screen),
        }
    }
}

/// What is said about one attribute beyond its values: only what the change as a whole does not say.
fn remarks(change: &Change, attributes: &[Attribute], screen: Screen) -> (String, String) {
    let mut plain = Vec::new();
    let mut painted = Vec::new();
    let impact = attributes.iter().map(|attribute| attribute.impact).max();
    if let Some(impact) = impact.filter(|impact| *impact != change.impact) {
        plain.push(words::impact(impact));
        painted.push(screen.paint(words::impact_tone(impact), words::impact(impact)));
    }
    if change.reason == Reason::PendingAndDrift {
        for cause in attributes.iter().map(|attribute| words::cause(attribute.cause)).take(1) {
            plain.push(cause);
            painted.push(screen.paint(Tone::Quiet, cause));
        }
    }
    (plain.join(", "), painted.join(", "))
}

fn setting_lines(lines: &mut Vec<String>, change: &Change, setting: &Attribute, column: usize, screen: Screen) {
    let name = layout::pad(&setting.path, column);
    let (before, after) = (value(&setting.before), value(&setting.after));
    let (plain_remarks, remarks) = remarks(change, std::slice::from_ref(setting), screen);
    let remarks = if plain_remarks.is_empty() { String::new() } else { format!("  ({remarks})") };
    let start = INDENT.len() + column + 2;
    let (old, new) = (screen.paint(Tone::Removed, &before), screen.paint(Tone::Added, &after));
    match (&setting.before, &setting.after) {
        (Shown::Absent, _) => folded(lines, &name, &after, screen, &remarks),
        (_, Shown::Absent) => folded(lines, &name, &before, screen, &remarks),
        _ if start + layout::columns(&before) + layout::columns(&after) + plain_remarks.len() + 7
            <= screen.columns() =>
        {
            lines.push(format!("{INDENT}{name}  {old} → {new}{remarks}"));
        }
        _ => {
            folded(lines, &name, &before, screen, "");
            folded(lines, &layout::pad("", column), &format!("→ {after}"), screen, &remarks);
        }
    }
}

/// A value that may take several lines beside its name.
fn folded(lines: &mut Vec<String>, name: &str, value: &str, screen: Screen, end: &str) {
    let start = INDENT.len() + layout::columns(name) + 2;
    let mut pieces = layout::wrap(value, screen.columns().saturating_sub(start).max(8)).into_iter();
    let first = pieces.next().unwrap_or_default();
    lines.push(format!("{INDENT}{name}  {first}"));
    lines.extend(pieces.map(|piece| format!("{}{piece}", " ".repeat(start))));
    if let Some(last) = lines.last_mut() {
        last.push_str(end);
    }
}

pub(super) fn value(shown: &Shown) -> String {
    match shown {
        Shown::Absent => "absent".into(),
        Shown::Plain(text) | Shown::Text(text) => scrub::line(text).into_owned(),
        Shown::Digest { digest, size } => format!("{digest} ({size} bytes)"),
        Shown::Secret { seal: Some(seal) } => format!("secret hmac:{}", seal.short()),
        Shown::Secret { seal: None } => "secret".into(),
        Shown::KnownAfterApply => "known after apply".into(),
    }
}

/// One file: a line with its path and everything short, then the difference of its text.
fn file_lines(lines: &mut Vec<String>, change: &Change, file: &[Attribute], length: Length, screen: Screen) {
    let action = file_action(file);
    lines.extend(file_heading(change, file, action, screen));
    for attribute in file {
        let (before, after) = match (&attribute.before, &attribute.after) {
            (Shown::Text(before), Shown::Text(after)) => (before.as_str(), after.as_str()),
            (Shown::Text(before), Shown::Absent) => (before.as_str(), ""),
            (_, Shown::Text(after)) => ("", after.as_str()),
            _ => continue,
        };
        lines.extend(diff::unified(before, after, length, DIFF_INDENT, screen));
    }
}

/// The path with everything short, on one line if it fits.
fn file_heading(change: &Change, file: &[Attribute], action: Action, screen: Screen) -> Vec<String> {
    let path = file.first().map_or("", |attribute| &attribute.path);
    let title = format!("{} {path}", words::glyph(action));
    let paint = |text: &str| screen.paint(words::tone(action), text);
    let mut extras: Vec<(String, String)> =
        file.iter().filter_map(|attribute| brief(attribute, action)).map(|text| (text.clone(), text)).collect();
    let (plain, painted) = remarks(change, file, screen);
    if !plain.is_empty() {
        extras.push((format!("({plain})"), format!("({painted})")));
    }
    let used: usize = extras.iter().map(|(plain, _)| 2 + layout::columns(plain)).sum();
    if INDENT.len() + layout::columns(&title) + used <= screen.columns() {
        let extras: String = extras.iter().map(|(_, painted)| format!("  {painted}")).collect();
        return vec![format!("{INDENT}{}{extras}", paint(&title))];
    }
    let width = screen.columns() - DIFF_INDENT.len();
    let title = layout::cut(&title, screen.columns() - INDENT.len())
        .into_iter()
        .map(|piece| format!("{INDENT}{}", paint(piece)));
    let extras = extras.iter().flat_map(|(plain, painted)| {
        let whole = layout::columns(plain) <= width;
        if whole { vec![painted.clone()] } else { layout::wrap(plain, width) }
    });
    title.chain(extras.map(|line| format!("{DIFF_INDENT}{line}"))).collect()
}

fn file_action(file: &[Attribute]) -> Action {
    if file.iter().all(|attribute| attribute.before == Shown::Absent) {
        Action::Create
    } else if file.iter().all(|attribute| attribute.after == Shown::Absent) {
        Action::Destroy
    } else {
        Action::Update
    }
}

/// What is said on the file's own line. Text is not: it follows as a diff.
fn brief(attribute: &Attribute, action: Action) -> Option<String> {
    let name = words::aspect(attribute.aspect);
    match (&attribute.before, &attribute.after) {
        (Shown::Text(_), _) | (_, Shown::Text(_)) => None,
        (Shown::Absent, after) if action == Action::Create => Some(value(after)),
        (before, Shown::Absent) if action == Action::Destroy => Some(value(before)),
        (before, after) => Some(format!("{name} {} → {}", value(before), value(after))),
    }
}
