//! Drift for people and machines: nothing when there is none, one screen when there is.

use serde::Serialize;

use super::layout;
use super::screen::{Screen, Tone};
use super::{scrub, words};
use crate::plan::{Action, Aspect, Attribute, Change, Drift, Shown};
use crate::resource::Digest;
use crate::syntax::SourceRef;

/// The version of the JSON form.
pub const DRIFT_FORMAT_VERSION: u32 = 1;

/// Attributes that are named; the rest are counted. With headings and the sum they fit on a screen of 24 lines.
const NAMED: usize = 16;

/// The drift as text, each line ending in a line break; empty when there is none: cron sends no mail then.
pub fn drift(drift: &Drift, screen: Screen) -> String {
    if drift.is_clean() {
        return String::new();
    }
    let rows = drift.moved.iter().flat_map(|change| change.attributes.iter().map(move |attribute| (change, attribute)));
    let mut lines: Vec<String> =
        rows.clone().take(NAMED).flat_map(|(change, moved)| row(change, moved, screen)).collect();
    let more = rows.count().saturating_sub(NAMED);
    if more > 0 {
        lines.push(screen.paint(Tone::Quiet, &format!("… {more} more; `regatta plan` shows them with their contents")));
    }
    for change in &drift.unreadable {
        let note = change.note.as_deref().unwrap_or("it could not be read");
        lines.extend(folded("? ", change.address.as_str(), note, Tone::Alarm, screen));
    }
    lines.push(sum(drift));
    if let Some(fingerprint) = &drift.fingerprint {
        lines.push(screen.paint(Tone::Quiet, &format!("Fingerprint: {}", fingerprint.short())));
    }
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn row(change: &Change, moved: &Attribute, screen: Screen) -> Vec<String> {
    let what = match moved.aspect {
        Aspect::Value => moved.path.clone(),
        aspect => format!("{} {}", moved.path, words::aspect(aspect)),
    };
    let words = match (&moved.before, &moved.after) {
        (Shown::Plain(before), Shown::Plain(after)) => {
            format!("{what}: found {}, declared {}", scrub::line(before), scrub::line(after))
        }
        (Shown::Absent, _) => format!("{what}: gone"),
        _ => format!("{what}: changed"),
    };
    folded("~ ", change.address.as_str(), &words, Tone::Changed, screen)
}

/// `~ ADDRESS  words` on one line if it fits, the words below otherwise.
fn folded(sign: &str, address: &str, words: &str, tone: Tone, screen: Screen) -> Vec<String> {
    let (address, words) = (scrub::line(address), scrub::line(words));
    let title = screen.paint(tone, &format!("{sign}{address}"));
    if layout::columns(sign) + layout::columns(&address) + 2 + layout::columns(&words) <= screen.columns() {
        return vec![format!("{title}  {words}")];
    }
    let title = format!("{sign}{address}");
    let title =
        layout::cut(&title, screen.columns()).into_iter().map(|piece| screen.paint(tone, piece)).collect::<Vec<_>>();
    let words = layout::wrap(&words, screen.columns() - 4);
    title.into_iter().chain(words.into_iter().map(|line| format!("    {line}"))).collect()
}

fn sum(drift: &Drift) -> String {
    let mut parts = vec![format!(
        "{} of {} drifted",
        words::count(drift.attributes(), "attribute"),
        words::count(drift.moved.len(), "resource")
    )];
    if !drift.unreadable.is_empty() {
        parts.push(format!("{} unreadable", words::count(drift.unreadable.len(), "resource")));
    }
    if drift.muted > 0 {
        parts.push(format!("{} muted", drift.muted));
    }
    format!("Drift of fleet {}: {}.", drift.fleet, parts.join(", "))
}

#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    fleet: &'a str,
    /// Of the whole drift; `null` when there is none.
    fingerprint: Option<&'a Digest>,
    drifted: Vec<Entry<'a>>,
    unreadable: Vec<Unreadable<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct Entry<'a> {
    address: &'a str,
    action: Action,
    attributes: &'a [Attribute],
    source: Option<&'a SourceRef>,
}

#[derive(Serialize)]
struct Unreadable<'a> {
    address: &'a str,
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct Summary {
    compared: usize,
    resources: usize,
    attributes: usize,
    muted: usize,
    unreadable: usize,
}

/// The drift as indented JSON with a line break at the end.
///
/// # Errors
/// Never: every map key is text.
pub fn drift_json(drift: &Drift) -> serde_json::Result<String> {
    let document = Document {
        format_version: DRIFT_FORMAT_VERSION,
        fleet: &drift.fleet,
        fingerprint: drift.fingerprint.as_ref(),
        drifted: drift.moved.iter().map(entry).collect(),
        unreadable: drift.unreadable.iter().map(unreadable).collect(),
        summary: Summary {
            compared: drift.compared,
            resources: drift.moved.len(),
            attributes: drift.attributes(),
            muted: drift.muted,
            unreadable: drift.unreadable.len(),
        },
    };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

fn entry(change: &Change) -> Entry<'_> {
    let Change { address, action, attributes, source, .. } = change;
    Entry { address: address.as_str(), action: *action, attributes, source: source.as_ref() }
}

fn unreadable(change: &Change) -> Unreadable<'_> {
    Unreadable { address: change.address.as_str(), note: change.note.as_deref() }
}
