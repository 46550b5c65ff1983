//! The end of a guest's console for people: what a guest prints is untrusted and meant for a terminal.

/// Characters kept of one line of an excerpt.
const WIDTH: usize = 160;

/// The last `count` lines that say something, without terminal escapes, control characters and what reorders text.
pub(in crate::driver::microvm) fn last_lines(console: &[u8], count: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(console);
    // A carriage return alone starts the line again, as boot progress does: each part is a line to us.
    let said = text.split(['\n', '\r']).map(plain_line).filter(|line| !line.trim().is_empty());
    let mut lines: Vec<String> = said.map(|line| line.chars().take(WIDTH).collect()).collect();
    lines.drain(..lines.len().saturating_sub(count));
    lines
}

/// A line without terminal escapes, control characters and what reorders text.
pub fn plain_line(line: &str) -> String {
    let mut rest = line;
    let mut kept = String::new();
    while let Some(at) = rest.find('\u{1b}') {
        kept.push_str(&rest[..at]);
        rest = after_escape(&rest[at + 1..]);
    }
    kept.push_str(rest);
    let kept: String = kept.chars().filter(|c| !c.is_control() && !reorders(*c)).collect();
    kept.trim_end().to_owned()
}

/// What follows an escape sequence (ECMA-48, 5.3 and 5.4), given what follows its ESC.
fn after_escape(text: &str) -> &str {
    let end = match text.as_bytes().first() {
        // Control sequence: up to a final byte from `@` to `~`.
        Some(b'[') => text[1..].find(|c: char| ('@'..='~').contains(&c)).map(|at| at + 2),
        // A string, such as a title: up to a bell or the ESC of its terminator.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => text.find(['\u{7}', '\u{1b}']),
        Some(byte) if byte.is_ascii() => Some(1),
        _ => Some(0),
    };
    end.map_or("", |end| &text[end..])
}

/// Unicode's bidirectional embeddings, overrides and isolates: they make a line read otherwise than it is.
const fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_that_say_something_are_kept() {
        let console = b"one\n\ntwo\r\n  three \r\n\x1b[0m\n";
        assert_eq!(last_lines(console, 2), ["two", "  three"]);
        assert_eq!(last_lines(console, 9), ["one", "two", "  three"]);
        assert_eq!(last_lines(b"", 9), [""; 0]);
        assert_eq!(last_lines("x".repeat(500).as_bytes(), 1), ["x".repeat(WIDTH)]);
    }

    #[test]
    fn nothing_that_moves_a_terminal_gets_through() {
        let console = b"\x1b[1;31mFAILED\x1b[0m a\x07b\x08c\n\x1b]0;title\x07after\n\x1b]0;t\x1b\\next\n\x1bcreset\n\xff\xfe\xe2\x80\xaeX\nlast\x1b[3";
        assert_eq!(last_lines(console, 9), ["FAILED abc", "after", "next", "reset", "\u{fffd}\u{fffd}X", "last"]);
        assert_eq!(last_lines("\u{1b}é\u{9b}31mred".as_bytes(), 1), ["é31mred"]);
    }
}
