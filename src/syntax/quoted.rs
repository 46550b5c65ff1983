//! The inside of strings, checked before the parser sees it.
//!
//! A string that the parser does not accept is read again by it as if it were nodes, with all the costs that the scanner
//! keeps from it: so what is a string for the scanner must be one for the parser.

use std::ops::Range;

use super::limits::MAX_SLASHDASH;
use super::word::{is_newline, is_space};

/// What is wrong with a string.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Bytes of the body.
    pub(super) range: Range<usize>,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) label: &'static str,
    pub(super) help: &'static str,
}

/// The first escape of a body that means nothing. Raw strings have none.
pub(super) fn bad_escape(body: &str) -> Option<Fault> {
    let mut at = 0;
    while let Some(found) = body[at..].find('\\') {
        let start = at + found;
        let rest = &body[start + 1..];
        let length = match rest.chars().next() {
            Some('n' | 'r' | 't' | '\\' | '"' | 'b' | 'f' | 's') => 1,
            Some('u') => match unicode(rest) {
                Some(length) => length,
                None => return Some(fault(body, start)),
            },
            Some(c) if is_space(c) || is_newline(c) => c.len_utf8(),
            _ => return Some(fault(body, start)),
        };
        at = start + 1 + length;
    }
    None
}

/// Bytes of `u{…}` with one to six digits that name a character.
fn unicode(rest: &str) -> Option<usize> {
    let digits = rest.strip_prefix("u{")?.split_once('}')?.0;
    let valid = (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = valid.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
    char::from_u32(number).map(|_| digits.len() + 3)
}

fn fault(body: &str, start: usize) -> Fault {
    let length = body[start + 1..].chars().next().map_or(0, char::len_utf8);
    let range = start..start + 1 + length;
    let shown: String = body[range.clone()].chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Fault {
        range,
        code: "syntax::escape",
        message: format!("found the escape `{shown}`, which means nothing"),
        label: "no escape of KDL 2",
        help: "write `\\\\` for a backslash, or use a raw string: `#\"…\"#`; `\\/` was an escape of KDL 1",
    }
}

/// The first line of a string of several lines that is not indented as its last line is. `body` is what stands between
/// the quotes.
pub(super) fn bad_indentation(body: &str, escapes: bool) -> Option<Fault> {
    let last = body.rfind(is_newline).map_or(0, |at| at + body[at..].chars().next().map_or(0, char::len_utf8));
    let indentation = &body[last..];
    if escapes && body.split_inclusive(is_newline).any(|line| ends_in_escape(line.trim_end_matches(is_newline))) {
        return joined(body);
    }
    let fault = |range: Range<usize>, message: &str| Fault {
        range,
        code: "syntax::indentation",
        message: message.to_owned(),
        label: "not indented as the last line",
        help: "every line starts with the same white space as the line of the closing quotes",
    };
    if !indentation.chars().all(is_space) {
        return Some(fault(last..body.len(), "found text before the closing `\"\"\"`, expected a line of their own"));
    }
    let mut start = 0;
    for line in body[..last].split_inclusive(is_newline) {
        let text = line.trim_end_matches(is_newline);
        let blank = text.chars().all(is_space);
        // The first line is that of the opening quotes.
        if start > 0 && !blank && !text.starts_with(indentation) {
            return Some(fault(
                start..start + text.len(),
                "found a line that is not indented as the last line of its string",
            ));
        }
        start += line.len();
    }
    None
}

/// Lines joined by escaped line ends are indented in ways that only the parser knows. Should it refuse them, it must not
/// find nested slashdashes in there.
fn joined(body: &str) -> Option<Fault> {
    (body.matches("/-").count() > MAX_SLASHDASH).then(|| Fault {
        range: 0..body.len(),
        code: "syntax::slashdash-depth",
        message: format!("found more than {MAX_SLASHDASH} times `/-` in a string with escaped line ends"),
        label: "too many",
        help: "use a raw string: `#\"\"\"`",
    })
}

/// Whether a line ends with a backslash that is not itself escaped, white space aside.
fn ends_in_escape(line: &str) -> bool {
    let line = line.trim_end_matches(is_space);
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_kdl_2() {
        for good in ["", "\\n\\r\\t\\\\\\\"\\b\\f\\s", "\\u{0}\\u{10FFFF}", "a\\ \n  b", "\\\n"] {
            assert_eq!(bad_escape(good), None, "{good}");
        }
        for (bad, range) in
            [("a\\/", 1..3), ("\\u{110000}", 0..2), ("\\u{}", 0..2), ("\\ud800", 0..2), ("\\é", 0..3), ("\\", 0..1)]
        {
            assert_eq!(bad_escape(bad).map(|fault| fault.range), Some(range), "{bad}");
        }
    }

    #[test]
    fn lines_are_indented_as_the_last_one() {
        for good in ["\n  a\n    b\n\n  ", "\n", "\na\n", "\n  a \\\nb\n  ", "\n  a\n  b \\\n  ", "\r\n  a\r\n  "] {
            assert_eq!(bad_indentation(good, true), None, "{good:?}");
        }
        for (bad, range) in [("\n  a\n b\n  ", 5..7), ("\n  a", 1..4), ("\n\ta\n  ", 1..3)] {
            assert_eq!(bad_indentation(bad, true).map(|fault| fault.range), Some(range), "{bad:?}");
        }
        assert!(bad_indentation(&format!("\n{}\\\n", "a /-{".repeat(5)), true).is_some());
    }
}
