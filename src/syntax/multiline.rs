//! Strings of several lines, `"""…"""`, read here and not by the parser.
//!
//! Their rules are subtle where line ends are escaped, the parser has its own idea of them, and a string that it refuses
//! is read again by it as if it were nodes. So it is given a string of one line in its place, as long as the original.
//!
//! The order is that of the specification: white space that follows a backslash goes first, then the indentation of the
//! last line is taken off every other, then the other escapes are resolved. Line ends become LF, lines of nothing but
//! white space become empty.

use std::ops::Range;

use super::quoted::Fault;
use super::token::{Kind, Token};
use super::word::{is_newline, is_space};

/// A string of several lines in a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Multiline {
    /// Bytes of the piece, quotes and hashes included.
    pub(super) range: Range<usize>,
    /// What it says.
    pub(super) value: String,
}

impl Multiline {
    /// A string of one line that is as long.
    pub(super) fn stand_in(&self) -> Vec<u8> {
        let mut text = vec![b'x'; self.range.len()];
        if let [first, .., last] = text.as_mut_slice() {
            (*first, *last) = (b'"', b'"');
        }
        text
    }
}

/// All strings of several lines among the tokens of a sound piece.
pub(super) fn all(tokens: &[Token<'_>]) -> Vec<Multiline> {
    tokens.iter().filter(|token| token.kind == Kind::Atom).filter_map(multiline).collect()
}

fn multiline(token: &Token<'_>) -> Option<Multiline> {
    let inside = token.text.trim_start_matches('#');
    let hashes = token.text.len() - inside.len();
    let body = inside.strip_prefix("\"\"\"")?.get(..inside.len().checked_sub(6 + hashes)?)?;
    let value = read(body, hashes == 0).ok()?;
    Some(Multiline { range: token.at..token.at + token.text.len(), value })
}

/// What a string says whose quotes enclose `body`.
///
/// # Errors
/// Its first line that is not indented as its last one. Escapes that mean nothing are left as they are: they are
/// reported by [`super::quoted::bad_escape`].
pub(super) fn read(body: &str, escapes: bool) -> Result<String, Fault> {
    let mut lines = if escapes { joined(body) } else { split(body) };
    let Some(last) = lines.pop() else { return Ok(String::new()) };
    if !last.text.chars().all(is_space) {
        return Err(fault(last.range, "found text before the closing `\"\"\"`, expected a line of their own"));
    }
    let mut value = String::new();
    // The first line is that of the opening quotes.
    for (index, line) in lines.iter().skip(1).enumerate() {
        if index > 0 {
            value.push('\n');
        }
        if line.text.chars().all(is_space) {
            continue;
        }
        let Some(text) = line.text.strip_prefix(&last.text) else {
            let message = "found a line that is not indented as the last line of its string";
            return Err(fault(line.range.clone(), message));
        };
        if escapes { unescape(text, &mut value) } else { value.push_str(text) }
    }
    Ok(value)
}

fn fault(range: Range<usize>, message: &str) -> Fault {
    Fault {
        range,
        code: "syntax::indentation",
        message: message.to_owned(),
        label: "not indented as the last line",
        help: "every line starts with the same white space as the line of the closing quotes",
    }
}

/// One line, with the lines joined to it by escaped line ends.
#[derive(Debug, Default)]
struct Line {
    text: String,
    /// Bytes of the body, without the line end.
    range: Range<usize>,
}

/// The lines of a body as they stand.
fn split(body: &str) -> Vec<Line> {
    let mut lines = vec![Line::default()];
    let mut at = 0;
    while let Some(c) = body[at..].chars().next() {
        match line_end(&body[at..]) {
            Some(length) => {
                at += length;
                lines.push(Line { text: String::new(), range: at..at });
            }
            None => {
                at += c.len_utf8();
                push(&mut lines, c, at);
            }
        }
    }
    lines
}

/// The lines of a body without what follows a backslash and is white space; other escapes stay as they are.
fn joined(body: &str) -> Vec<Line> {
    let mut lines = vec![Line::default()];
    let mut at = 0;
    while let Some(c) = body[at..].chars().next() {
        if let Some(length) = line_end(&body[at..]) {
            at += length;
            lines.push(Line { text: String::new(), range: at..at });
            continue;
        }
        at += c.len_utf8();
        if c != '\\' {
            push(&mut lines, c, at);
            continue;
        }
        let rest = &body[at..];
        let blank = rest.find(|c: char| !is_space(c) && !is_newline(c)).unwrap_or(rest.len());
        if blank > 0 {
            at += blank;
            continue;
        }
        push(&mut lines, c, at);
        if let Some(escaped) = rest.chars().next() {
            at += escaped.len_utf8();
            push(&mut lines, escaped, at);
        }
    }
    lines
}

fn push(lines: &mut [Line], c: char, end: usize) {
    if let Some(line) = lines.last_mut() {
        line.text.push(c);
        line.range.end = end;
    }
}

/// Bytes of the line end that a text starts with. CR LF is one.
fn line_end(text: &str) -> Option<usize> {
    if text.starts_with("\r\n") {
        return Some(2);
    }
    text.chars().next().filter(|c| is_newline(*c)).map(char::len_utf8)
}

/// Resolves escapes of characters.
fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let (c, length) = escaped(after).unwrap_or(('\\', 0));
        out.push(c);
        rest = &after[length..];
    }
    out.push_str(rest);
}

/// What an escape stands for and how long it is, without its backslash.
fn escaped(text: &str) -> Option<(char, usize)> {
    let c = match text.chars().next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        's' => ' ',
        same @ ('\\' | '"') => same,
        'u' => {
            let digits = text.strip_prefix("u{")?.split_once('}')?.0;
            return Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, digits.len() + 3));
        }
        _ => return None,
    };
    Some((c, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indentation_of_the_last_line_is_taken_off() {
        for (body, value) in [
            ("\n", ""),
            ("\n  ", ""),
            ("\n  a\n    b\n\n   \n  ", "a\n  b\n\n"),
            ("\r\n\ta\r\n\t", "a"),
            ("\n  a\\n\\u{e9}\\\\ \\\"\\s\n  ", "a\né\\ \" "),
            // White space after a backslash goes first.
            ("\n  a \\\nb\n  ", "a b"),
            ("\n  a\n  b \\\n\n     c\n  ", "a\nb c"),
            ("\n  a\n  \\  ", "a"),
            ("\n  a\n\\\n  ", "  a"),
        ] {
            assert_eq!(read(body, true), Ok(value.to_owned()), "{body:?}");
        }
        assert_eq!(read("\n  a\\\n  \\s\n  ", false), Ok("a\\\n\\s".to_owned()));
    }

    #[test]
    fn lines_that_are_not_indented_are_named() {
        for (bad, range) in [
            ("\n  a\n b\n  ", 5..7),
            ("\n  a", 1..4),
            ("\n\ta\n  ", 1..3),
            ("\n  a\\\n  ", 1..4),
            ("\n\\\n  a\n  ", 1..6),
        ] {
            assert_eq!(read(bad, true).map_err(|fault| fault.range), Err(range), "{bad:?}");
        }
    }

    #[test]
    fn a_stand_in_is_a_string_as_long() {
        let text = "a \"\"\"\n  é\n  \"\"\" #\"\"\"\nx\n\"\"\"# \"y\"";
        let found = all(&super::super::token::tokens(text));
        assert_eq!(found.iter().map(|found| found.value.as_str()).collect::<Vec<_>>(), ["é", "x"]);
        assert_eq!(found[0].stand_in(), b"\"xxxxxxxxxxxx\"");
        assert_eq!(&text[found[1].range.clone()], "#\"\"\"\nx\n\"\"\"#");
    }
}
