//! Fitting text into columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// Breaks a paragraph at spaces so that each line fits; a word that is longer than a line is cut.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        for (index, piece) in cut(word, width).into_iter().enumerate() {
            let last = lines.last_mut().filter(|line| index == 0 && columns(line) + 1 + columns(piece) <= width);
            match last {
                Some(line) if line.is_empty() => line.push_str(piece),
                Some(line) => {
                    line.push(' ');
                    line.push_str(piece);
                }
                None => lines.push(piece.into()),
            }
        }
    }
    if lines.len() > 1 && lines[0].is_empty() {
        lines.remove(0);
    }
    lines
}

/// Cuts a text into pieces that fit.
pub(super) fn cut(text: &str, width: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (index, c) in text.char_indices() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width && index > start {
            pieces.push(&text[start..index]);
            (start, used) = (index, 0);
        }
        used += wide;
    }
    pieces.push(&text[start..]);
    pieces
}

/// A text filled up with spaces.
pub(super) fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(columns(text));
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_break_at_spaces() {
        assert_eq!(wrap("found a work disk of 4GiB", 12), ["found a work", "disk of 4GiB"]);
        assert_eq!(wrap("a 0123456789abc", 5), ["a", "01234", "56789", "abc"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(cut("日本語", 4), ["日本", "語"]);
        assert_eq!(pad("日", 4), "日  ");
    }
}
