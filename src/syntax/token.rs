//! A document as tokens that keep every byte: for formatting, where comments and spelling have to survive.

use super::scan::find_closing;
use super::word;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, number, keyword or string.
    Atom,
    /// `// …` without its line end.
    LineComment,
    /// `/* … */`
    BlockComment,
    /// `/-`
    Slashdash,
    /// `\` at the end of a line, without the line end.
    Continuation,
    /// `{`
    Open,
    /// `}`
    Close,
    /// `;`
    Semicolon,
    /// `=`
    Equals,
    /// `(`
    OpenAnnotation,
    /// `)`
    CloseAnnotation,
    /// One line end.
    Newline,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// Byte offset.
    pub(super) at: usize,
    /// Whether white space is before it.
    pub(super) spaced: bool,
}

/// The tokens of a text, white space left out. Anything can be taken apart; what is no KDL gives some tokens as well.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut spaced) = (0, false);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if word::is_space(c) || c == word::BYTE_ORDER_MARK {
            at += c.len_utf8();
            spaced = true;
            continue;
        }
        let (kind, length) = token(rest, c);
        let length = length.max(c.len_utf8());
        tokens.push(Token { kind, text: &rest[..length], at, spaced });
        at += length;
        spaced = false;
    }
    tokens
}

fn token(rest: &str, first: char) -> (Kind, usize) {
    if word::is_newline(first) {
        return (Kind::Newline, if rest.starts_with("\r\n") { 2 } else { first.len_utf8() });
    }
    match first {
        '"' => (Kind::Atom, string_length(rest, 0)),
        '#' => {
            let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
            let raw = rest[hashes..].starts_with('"');
            (Kind::Atom, if raw { string_length(rest, hashes) } else { hashes + word::length(&rest[hashes..]) })
        }
        '{' => (Kind::Open, 1),
        '}' => (Kind::Close, 1),
        ';' => (Kind::Semicolon, 1),
        '=' => (Kind::Equals, 1),
        '(' => (Kind::OpenAnnotation, 1),
        ')' => (Kind::CloseAnnotation, 1),
        '\\' => (Kind::Continuation, 1),
        '/' if rest.starts_with("//") => (Kind::LineComment, word::line_length(rest)),
        '/' if rest.starts_with("/*") => (Kind::BlockComment, comment_length(rest)),
        '/' if rest.starts_with("/-") => (Kind::Slashdash, 2),
        _ => (Kind::Atom, word::length(rest)),
    }
}

/// Length of a string that starts with `hashes` hashes; to the end of the text when it is never closed.
pub(super) fn string_length(rest: &str, hashes: usize) -> usize {
    let body = &rest[hashes..];
    let lines = body.starts_with("\"\"\"");
    let quotes = if lines { 3 } else { 1 };
    let closing = "\"".repeat(quotes) + &"#".repeat(hashes);
    match find_closing(&body[quotes..], &closing, lines, hashes == 0) {
        Ok(length) => hashes + quotes + length + closing.len(),
        Err(length) => hashes + quotes + length,
    }
}

/// Length of a comment that may have others inside; to the end of the text when it is never closed.
pub(super) fn comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}
