//! Rows below headings, as wide as what is in them.

use super::layout::{columns, pad};
use super::screen::{Screen, Tone};

/// What is in one place of a table, and how it is painted.
pub(super) type Cell = (Tone, String);

/// The table as text, each line ending in a line break. The last column is as long as it is.
pub(super) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl Iterator<Item = [Cell; N]>,
    screen: Screen,
) -> String {
    let heading = headings.map(|heading| (Tone::Quiet, heading.to_owned()));
    let lines: Vec<[Cell; N]> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| columns(&line[column].1)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(|column| if column + 1 == N { 0 } else { width(column) }).collect();
    let mut text = String::new();
    for line in &lines {
        let filled = line.iter().zip(&widths).map(|((tone, cell), width)| screen.paint(*tone, &pad(cell, *width)));
        text.push_str(&format!("{}\n", filled.collect::<Vec<_>>().join("  ").trim_end()));
    }
    text
}
