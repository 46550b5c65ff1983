//! Words outside strings: what they may consist of, and which of them people write when they mean something else.

use std::ops::Range;

use super::limits::MAX_DIGITS;

/// What to do with a KDL 1 document.
pub(super) const UPGRADE: &str = "this looks like KDL 1; `regatta fmt --upgrade` rewrites it";

/// May stand at the very start of a document, and nowhere else.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// A word that cannot stand where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) label: &'static str,
    pub(super) help: String,
    /// Byte offset one past the whole word.
    pub(super) end: usize,
}

/// The newlines of KDL 2.
pub(super) const fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}')
}

/// The white space of KDL 2.
pub(super) const fn is_space(c: char) -> bool {
    matches!(c, '\t' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Code points that KDL 2 forbids everywhere: they change what people see, not what is there.
pub(super) const fn is_forbidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

/// Whether a bare word ends here.
fn ends(c: char) -> bool {
    is_newline(c) || is_space(c) || matches!(c, '\\' | '/' | '(' | ')' | '{' | '}' | ';' | '[' | ']' | '"' | '#' | '=')
}

/// Bytes of the bare word that `text` starts with.
pub(super) fn length(text: &str) -> usize {
    text.find(ends).unwrap_or(text.len())
}

/// Bytes up to the end of the line, without the newline.
pub(super) fn line_length(text: &str) -> usize {
    text.find(is_newline).unwrap_or(text.len())
}

/// What is wrong with the bare word at `range`, if anything.
pub(super) fn fault(text: &str, range: Range<usize>) -> Option<Fault> {
    let word = &text[range.clone()];
    let after = &text[range.end..];
    let reach = range.end + whole(after);
    let shown = || text[range.start..reach].escape_debug().to_string();
    if matches!(word, "true" | "false" | "null" | "nan" | "inf" | "-inf") {
        return Some(Fault {
            code: "syntax::keyword",
            message: format!("found `{word}`, expected `#{word}`"),
            label: "keywords start with `#` in KDL 2",
            help: format!("write `#{word}`, or quote it if it is meant as text; {UPGRADE}"),
            end: range.end,
        });
    }
    if word == "r" && after.starts_with(['"', '#']) {
        return Some(Fault {
            code: "syntax::raw-string",
            message: "found the raw string of KDL 1, expected `#\"…\"#`".into(),
            label: "no `r` in KDL 2",
            help: UPGRADE.into(),
            end: range.end,
        });
    }
    let slash = after.starts_with('/') && !["//", "/*", "/-"].iter().any(|comment| after.starts_with(comment));
    let unquoted = word.starts_with('/') || slash || (is_numeric(word) && !is_number(word));
    if unquoted {
        return Some(Fault {
            code: "syntax::unquoted",
            message: format!("found `{}`, expected a number or a quoted string", shown()),
            label: "needs quotes",
            help: format!("quote this value: `\"{}\"`", shown()),
            end: reach,
        });
    }
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    (is_numeric(word) && digits > MAX_DIGITS).then(|| Fault {
        code: "syntax::number",
        message: format!("found a number of {digits} digits, the limit is {MAX_DIGITS}"),
        label: "too long",
        help: "quote it if it is meant as text".into(),
        end: range.end,
    })
}

/// Bytes up to where a person would say that the word ends.
fn whole(text: &str) -> usize {
    text.find(|c| is_newline(c) || is_space(c) || matches!(c, '{' | '}' | ';' | '"' | '(' | ')')).unwrap_or(text.len())
}

/// Whether a word starts as only numbers may.
fn is_numeric(word: &str) -> bool {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a word is a whole number or float of KDL 2.
fn is_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            return is_digits(digits, radix);
        }
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    is_digits(whole, 10) && fraction.is_none_or(|f| is_digits(f, 10)) && exponent.is_none_or(|e| is_digits(e, 10))
}

/// A digit, then digits and underscores.
fn is_digits(text: &str, radix: u32) -> bool {
    text.starts_with(|c: char| c.is_digit(radix)) && text.chars().all(|c| c == '_' || c.is_digit(radix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_kdl_2() {
        for number in ["0", "-1", "+1_000", "0xff", "0o17", "0b1_0", "1.5", "1e10", "1.5E-3"] {
            assert!(is_number(number), "{number}");
        }
        for other in ["512MiB", "1.", ".5", "1.2.3.4", "0x", "1e", "1__x", "_1", "2024-01-01"] {
            assert!(!is_number(other), "{other}");
        }
    }

    #[test]
    fn what_people_mean_is_named() {
        let code = |text: &str| fault(text, 0..length(text).max(1)).map(|f| (f.code, f.end));
        assert_eq!(code("512MiB "), Some(("syntax::unquoted", 6)));
        assert_eq!(code("~/.config x"), Some(("syntax::unquoted", 9)));
        assert_eq!(code("/etc/x;"), Some(("syntax::unquoted", 6)));
        assert_eq!(code("10.0.2.15/24"), Some(("syntax::unquoted", 12)));
        assert_eq!(code("true"), Some(("syntax::keyword", 4)));
        assert_eq!(code("r#\"x\"#"), Some(("syntax::raw-string", 1)));
        assert_eq!(code("a//comment"), None);
        assert_eq!(code("web-1"), None);
        assert_eq!(code(&"9".repeat(39)), Some(("syntax::number", 39)));
    }
}
