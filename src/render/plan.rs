//! A plan for people: every change with its reason, its impact and its place in the fleet file, then the sum of it.

use camino::Utf8Path;

use super::attributes;
use super::diff::Length;
use super::screen::{Screen, Tone};
use super::{layout, link};
use super::{scrub, words};
use crate::plan::{Action, Change, Impact, Plan, Refusal};
use crate::syntax::SourceRef;

/// How a plan is shown.
#[derive(Debug, Clone, Copy)]
pub struct PlanView<'a> {
    /// Where.
    pub screen: Screen,
    /// How much of long texts.
    pub length: Length,
    /// The command that comes next, such as `regatta apply`; shown when there is something to do. Empty: none.
    pub next: &'a str,
    /// Where relative paths of fleet files start, when the terminal shows hyperlinks: places lead to their files.
    pub links: Option<&'a Utf8Path>,
}

/// The plan as text, each line ending in a line break.
pub fn plan(plan: &Plan, view: PlanView<'_>) -> String {
    let mut lines = Vec::new();
    // What is noted of a cluster, and of a disk that is not plugged in, is said in every plan.
    let noted = |change: &&Change| matches!(change.address.kind(), "cluster" | "mount") && change.note.is_some();
    for change in plan.changes.iter().filter(|change| change.action != Action::None || noted(change)) {
        change_lines(&mut lines, change, view);
        lines.push(String::new());
    }
    for refused in &plan.refusals {
        refusal(&mut lines, refused, view);
        lines.push(String::new());
    }
    lines.extend(selection(plan, view.screen));
    lines.extend(summary(plan, view));
    lines.push(String::new());
    lines.join("\n")
}

fn change_lines(lines: &mut Vec<String>, change: &Change, view: PlanView<'_>) {
    let screen = view.screen;
    let tone = words::tone(change.action);
    let title = format!("{} {}", words::glyph(change.action), scrub::line(change.address.as_str()));
    lines.extend(heading(&title, tone, &verdict(change), change.source.as_ref(), view));
    if let Some(note) = &change.note {
        lines.extend(paragraph(&scrub::line(note), 4, tone, screen));
    }
    attributes::lines(lines, change, view.length, screen);
}

/// Pieces of a line with their tones.
type Pieces = Vec<(Tone, String)>;

/// `update · drift · live`.
fn verdict(change: &Change) -> Pieces {
    let mut pieces = vec![(Tone::Plain, words::action(change.action).to_owned())];
    if change.action != Action::Unreadable {
        pieces.push((Tone::Plain, words::reason(change.reason).to_owned()));
        pieces.push((words::impact_tone(change.impact), words::impact(change.impact).to_owned()));
    }
    pieces
}

/// The column that places end at, as far as there is one.
const EDGE: usize = 120;

/// One line when it fits: title, verdict, and the place at the right edge. Otherwise one line each.
fn heading(title: &str, tone: Tone, verdict: &Pieces, place: Option<&SourceRef>, view: PlanView<'_>) -> Vec<String> {
    let screen = view.screen;
    let source = place.map(|place| scrub::line(&place.to_string()).into_owned()).unwrap_or_default();
    let plain: Vec<&str> = verdict.iter().map(|(_, text)| text.as_str()).collect();
    let plain = plain.join(" · ");
    let painted: Vec<String> = verdict.iter().map(|(tone, text)| screen.paint(*tone, text)).collect();
    let painted = painted.join(" · ");
    let used = layout::columns(title) + 2 + layout::columns(&plain);
    let free = screen.columns().checked_sub(used + 2 + layout::columns(&source));
    // At the far end of a wide terminal the eye loses the line.
    let free = free.map(|free| free.saturating_sub(screen.columns().saturating_sub(EDGE)));
    let painted_place = screen.paint(Tone::Quiet, &source);
    let place = match (view.links, place) {
        (Some(directory), Some(place)) => link::place(&painted_place, place, directory),
        _ => painted_place,
    };
    match free {
        Some(_) if source.is_empty() => vec![format!("{}  {painted}", screen.paint(tone, title))],
        Some(free) => vec![format!("{}  {painted}{}{place}", screen.paint(tone, title), " ".repeat(free + 2))],
        None => {
            let mut lines: Vec<String> =
                layout::cut(title, screen.columns()).into_iter().map(|piece| screen.paint(tone, piece)).collect();
            let together = layout::columns(&plain) + layout::columns(&source) + 6 <= screen.columns();
            match (source.is_empty(), together) {
                (true, _) => lines.push(format!("    {painted}")),
                (false, true) => lines.push(format!("    {painted}  {place}")),
                (false, false) => lines.extend([format!("    {painted}"), format!("    {place}")]),
            }
            lines
        }
    }
}

fn paragraph(text: &str, indent: usize, tone: Tone, screen: Screen) -> Vec<String> {
    let width = screen.columns() - indent;
    layout::wrap(text, width).iter().map(|line| format!("{}{}", " ".repeat(indent), screen.paint(tone, line))).collect()
}

fn refusal(lines: &mut Vec<String>, refusal: &Refusal, view: PlanView<'_>) {
    let screen = view.screen;
    let title = format!("! {}", scrub::line(refusal.address.as_str()));
    let verdict = vec![(Tone::Plain, "refused".to_owned()), (Tone::Plain, words::rule(refusal.rule).to_owned())];
    lines.extend(heading(&title, Tone::Alarm, &verdict, refusal.source.as_ref(), view));
    lines.extend(paragraph(&scrub::line(&refusal.message), 4, Tone::Plain, screen));
    lines.extend(paragraph(&format!("help: {}", scrub::line(&refusal.help)), 4, Tone::Quiet, screen));
}

/// What part of the fleet this is, and what came along or stayed away because of it.
fn selection(plan: &Plan, screen: Screen) -> Vec<String> {
    let Some(selected) = &plan.selected else { return Vec::new() };
    let mut lines = vec![format!("Selected: {} of the fleet's resources are not planned.", selected.left_out)];
    for (address, needed_by) in &selected.along {
        lines.extend(paragraph(
            &format!("{address} comes along, because {needed_by} needs it"),
            2,
            Tone::Quiet,
            screen,
        ));
    }
    for (address, needs) in &selected.without {
        lines.extend(paragraph(&format!("{address} stays away, because it needs {needs}"), 2, Tone::Quiet, screen));
    }
    lines.push(String::new());
    lines
}

/// The counts, the worst impact, and what comes next.
fn summary(plan: &Plan, view: PlanView<'_>) -> Vec<String> {
    let screen = view.screen;
    let sum = plan.summary();
    let changes = [
        (sum.create, "to create", Tone::Added),
        (sum.update, "to update", Tone::Changed),
        (sum.replace, "to replace", Tone::Removed),
        (sum.destroy, "to destroy", Tone::Removed),
        (sum.adopt, "to adopt", Tone::Changed),
        (sum.forget, "to forget", Tone::Changed),
        (sum.unreadable, "unreadable", Tone::Alarm),
        (plan.refusals.len(), "refused", Tone::Alarm),
    ];
    let mut counts: Pieces = changes
        .into_iter()
        .filter(|(count, _, _)| *count > 0)
        .map(|(count, word, tone)| (tone, format!("{count} {word}")))
        .collect();
    let left = (sum.ignored > 0).then(|| format!("Left as it drifted: {}.", words::count(sum.ignored, "attribute")));
    if counts.is_empty() {
        let as_declared = format!("No changes: {} as declared.", words::are(sum.none, "resource"));
        return std::iter::once(screen.paint(Tone::Strong, &as_declared)).chain(left).collect();
    }
    if sum.none > 0 {
        counts.push((Tone::Quiet, format!("{} unchanged", sum.none)));
    }
    let mut lines = vec![flow("Plan: ", &counts, screen)];
    lines.extend(left);
    if plan.impact() > Impact::Live {
        lines.extend(paragraph(&worst(plan), 0, words::impact_tone(plan.impact()), screen));
    }
    if !plan.refusals.is_empty() {
        lines.extend(paragraph("Nothing can be applied until what is refused is resolved.", 0, Tone::Alarm, screen));
    } else if sum.changes() == 0 {
        lines.extend(paragraph("Nothing to apply: what cannot be read is left alone.", 0, Tone::Plain, screen));
    } else if sum.unreadable > 0 && !view.next.is_empty() {
        let next = format!("Next: {} --skip-unreachable, which leaves alone what cannot be read", view.next);
        lines.extend(paragraph(&next, 0, Tone::Strong, screen));
    } else if !view.next.is_empty() {
        lines.push(format!("Next: {}", screen.paint(Tone::Strong, view.next)));
    }
    lines
}

/// Resources that are named beside the worst impact.
const NAMED: usize = 3;

/// The worst impact and whom it meets: what somebody who approves a plan has to know.
fn worst(plan: &Plan) -> String {
    let impact = plan.impact();
    let hit: Vec<&Change> = plan.changes.iter().filter(|change| change.impact == impact).collect();
    let named: Vec<_> = hit.iter().take(NAMED).map(|change| scrub::line(change.address.as_str())).collect();
    let more = match hit.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("Worst impact: {} on {}{more}.", words::impact(impact), named.join(", "))
}

/// `Plan: 2 to create, 1 unchanged.`, folded between the counts.
fn flow(start: &str, pieces: &Pieces, screen: Screen) -> String {
    let mut text = screen.paint(Tone::Strong, start);
    let mut used = layout::columns(start);
    for (index, (tone, piece)) in pieces.iter().enumerate() {
        let end = if index + 1 == pieces.len() { "." } else { ", " };
        if used + layout::columns(piece) + 1 > screen.columns() {
            let indent = " ".repeat(layout::columns(start));
            text.truncate(text.trim_end_matches(' ').len());
            text.push_str(&format!("\n{indent}"));
            used = indent.len();
        }
        text.push_str(&screen.paint(*tone, piece));
        text.push_str(end);
        used += layout::columns(piece) + end.len();
    }
    text
}
