//! Unified diffs of file contents, cut to a stated length.

use similar::{ChangeTag, TextDiff};

use super::layout;
use super::screen::{Screen, Tone};
use super::scrub;

/// How much of a file's difference is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Length {
    /// The first lines, with the number of those that are hidden.
    #[default]
    Short,
    /// All of it.
    Full,
}

/// Lines of one file that [`Length::Short`] shows.
const SHORT: usize = 24;

/// Unchanged lines around each change.
const CONTEXT: usize = 3;

/// The difference of two texts, one string per line, each starting with `indent`.
pub(super) fn unified(before: &str, after: &str, length: Length, indent: &str, screen: Screen) -> Vec<String> {
    let lines = difference(before, after);
    let shown = match length {
        Length::Full => lines.len(),
        // Hiding one line to say that one is hidden helps nobody.
        Length::Short if lines.len() <= SHORT + 1 => lines.len(),
        Length::Short => SHORT,
    };
    let width = screen.columns().saturating_sub(layout::columns(indent) + 1).max(1);
    let mut printed: Vec<String> = lines[..shown]
        .iter()
        .flat_map(|(tone, sign, text)| {
            layout::cut(text, width).into_iter().enumerate().map(move |(index, piece)| {
                let sign = if index == 0 { *sign } else { '┆' };
                if sign == ' ' && piece.is_empty() {
                    return String::new();
                }
                format!("{indent}{}", screen.paint(*tone, &format!("{sign}{piece}")))
            })
        })
        .collect();
    let hidden = lines.len() - shown;
    if hidden > 0 {
        printed.push(format!(
            "{indent}{}",
            screen.paint(Tone::Quiet, &format!("… {hidden} more lines; --full shows them"))
        ));
    }
    printed
}

/// Every line of the diff: its tone, its sign and its text.
fn difference(before: &str, after: &str) -> Vec<(Tone, char, String)> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(CONTEXT) {
        // A file that comes or goes as a whole needs no places in it.
        if let (Some(first), Some(last), false, false) =
            (group.first(), group.last(), before.is_empty(), after.is_empty())
        {
            let place = format!(
                "@ -{} +{} @@",
                range(first.old_range().start, last.old_range().end),
                range(first.new_range().start, last.new_range().end)
            );
            lines.push((Tone::Place, '@', place));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (tone, sign) = match change.tag() {
                ChangeTag::Equal => (Tone::Quiet, ' '),
                ChangeTag::Delete => (Tone::Removed, '-'),
                ChangeTag::Insert => (Tone::Added, '+'),
            };
            let text = change.value();
            lines.push((tone, sign, scrub::line(text.strip_suffix('\n').unwrap_or(text)).into_owned()));
            if change.missing_newline() {
                lines.push((Tone::Quiet, '\\', " no newline at the end".into()));
            }
        }
    }
    lines
}

/// The range of a hunk as `diff -u` writes it: 1-based start and length.
fn range(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        length => format!("{},{length}", start + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(before: &str, after: &str, length: Length) -> String {
        unified(before, after, length, "  ", Screen::plain(60)).join("\n")
    }

    #[test]
    fn changed_lines_stand_between_their_neighbours() {
        let before = "one\ntwo\nthree\nfour\nfive\nsix\n";
        let after = "one\ntwo\nthree\nfour\n5\nsix";
        assert_eq!(
            text(before, after, Length::Short),
            "  @@ -2,5 +2,5 @@\n   two\n   three\n   four\n  -five\n  -six\n  +5\n  +six\n  \\ no newline at the end"
        );
    }

    #[test]
    fn hidden_lines_are_counted() {
        let after: String = (0..40).map(|n| format!("{n}\n")).collect();
        let short = text("", &after, Length::Short);
        assert_eq!(short.lines().count(), 25);
        assert_eq!(short.lines().last(), Some("  … 16 more lines; --full shows them"));
        assert_eq!(text("", &after, Length::Full).lines().count(), 40);
    }

    #[test]
    fn long_lines_are_folded_and_escapes_are_visible() {
        let after = format!("\x1b[2J{}\n", "x".repeat(60));
        assert_eq!(
            text("", &after, Length::Short),
            format!("  +\\u{{1b}}[2J{}\n  ┆{}", "x".repeat(48), "x".repeat(12))
        );
    }
}
