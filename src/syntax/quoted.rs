//! The inside of strings, checked before the parser sees it.
//!
//! A string that the parser does not accept is read again by it as if it were nodes, with all the costs that the scanner
//! keeps from it: so what is a string for the scanner must be one for the parser.

use std::ops::Range;

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
}
