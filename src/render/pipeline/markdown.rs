//! Markdown for merge requests: a table of counts, and one fold per change. The first line marks the comment, so that
//! a pipeline finds its own and writes it anew instead of adding another.

use crate::plan::{Action, Change, Drift, Impact, Plan};
use crate::render::screen::Screen;
use crate::render::{attributes, diff, scrub, words};

/// Bytes a comment may have: GitHub takes 65,536 characters, GitLab a million.
const LIMIT: usize = 60_000;

/// Columns of the text inside folds.
const WIDTH: usize = 120;

/// A plan as a comment.
pub fn plan_markdown(plan: &Plan) -> String {
    let sum = plan.summary();
    let mut text = format!("<!-- regatta plan {} -->\n", plain(&plan.fleet));
    if sum.changes() + sum.unreadable + plan.refusals.len() == 0 {
        text.push_str(&format!(
            "### Plan for `{}`: no changes\n\n{} as declared.\n",
            plain(&plan.fleet),
            words::are(sum.none, "resource")
        ));
        return text;
    }
    text.push_str(&format!("### Plan for `{}`: {}\n\n", plain(&plan.fleet), headline(plan)));
    text.push_str(
        "| create | update | replace | destroy | adopt | forget | unchanged | unreadable | refused |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    text.push_str(&format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n\n",
        sum.create,
        sum.update,
        sum.replace,
        sum.destroy,
        sum.adopt,
        sum.forget,
        sum.none,
        sum.unreadable,
        plan.refusals.len()
    ));
    for refusal in &plan.refusals {
        let (message, help) = (plain(&refusal.message), plain(&refusal.help));
        text.push_str(&format!("- **refused** `{}`: {message} ({help})\n", plain(refusal.address.as_str())));
    }
    folds(text, plan.changes.iter().filter(|change| change.action != Action::None))
}

/// Drift as a comment or a ticket; its marker holds the fingerprint.
pub fn drift_markdown(drift: &Drift) -> String {
    let fingerprint = drift.fingerprint.as_ref().map_or("none", |digest| digest.as_str());
    let mut text = format!("<!-- regatta drift {} {fingerprint} -->\n", plain(&drift.fleet));
    if drift.is_clean() {
        text.push_str(&format!(
            "### No drift in `{}`\n\n{} as applied.\n",
            plain(&drift.fleet),
            words::are(drift.compared, "resource")
        ));
        return text;
    }
    text.push_str(&format!(
        "### Drift in `{}`: {} of {}\n\n",
        plain(&drift.fleet),
        words::count(drift.attributes(), "attribute"),
        words::count(drift.moved.len(), "resource")
    ));
    folds(text, drift.moved.iter().chain(&drift.unreadable))
}

fn headline(plan: &Plan) -> String {
    let sum = plan.summary();
    match plan.impact() {
        Impact::None | Impact::Live => words::count(sum.changes(), "change"),
        worst => format!("{}, worst impact **{}**", words::count(sum.changes(), "change"), words::impact(worst)),
    }
}

/// Adds a fold per change as long as there is room; then only their titles, and then only their number.
fn folds<'a>(mut text: String, changes: impl Iterator<Item = &'a Change>) -> String {
    let mut left_out = 0;
    for change in changes {
        let whole = fold(change);
        let title = format!("- {}\n", title(change));
        if text.len() + whole.len() <= LIMIT {
            text.push_str(&whole);
        } else if text.len() + title.len() <= LIMIT {
            text.push_str(&title);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        text.push_str(&format!("\n… and {left_out} more changes, left out for their size.\n"));
    }
    text
}

fn title(change: &Change) -> String {
    let verdict = match change.action {
        Action::Unreadable => "unreadable".to_owned(),
        action => {
            format!("{} · {} · {}", words::action(action), words::reason(change.reason), words::impact(change.impact))
        }
    };
    format!("<code>{}</code> {verdict}", html(&plain(change.address.as_str())))
}

fn fold(change: &Change) -> String {
    let mut lines: Vec<String> = change.note.iter().map(|note| plain(note)).collect();
    attributes::lines(&mut lines, change, diff::Length::Short, Screen::plain(WIDTH));
    let place = change.source.as_ref().map(|place| format!(" <sub>{}</sub>", html(&plain(&place.to_string()))));
    let title = format!("{}{}", title(change), place.unwrap_or_default());
    if lines.is_empty() {
        return format!("- {title}\n");
    }
    // Signs of a diff stand at the start of the line for the highlighter; the indentation is not needed here.
    let flush = |line: &'_ String| {
        line.strip_prefix("      ").or_else(|| line.strip_prefix("    ")).map_or_else(|| line.clone(), str::to_owned)
    };
    let body: Vec<String> = lines.iter().map(flush).collect();
    let body = body.join("\n");
    let fence = "`".repeat(longest_run(&body).max(2) + 1);
    format!("\n<details><summary>{title}</summary>\n\n{fence}diff\n{body}\n{fence}\n\n</details>\n")
}

/// The longest run of backticks: a fence has to be longer.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn plain(text: &str) -> String {
    scrub::line(text).replace("-->", "-- >")
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
