//! Pieces written in the plain part of KDL, read without the parser.
//!
//! Large fleets are thousands of nodes of bare names, simple strings and whole numbers. The parser keeps all formatting
//! and tries many alternatives at each byte: about 3 MB/s. This reads the plain part of the language, about fifty times as
//! fast, and gives up at the first byte that is anything else (annotations, escapes, raw strings, floats, slashdashes,
//! multi-line forms, mistakes), so that the piece goes to the parser. A test holds the two equal on every piece.

use super::{Argument, Node, Property, SourceId, Span, Spanned, Value};

/// Digits of a number that surely fits.
const MAX_DIGITS: usize = 18;

/// The nodes of a piece, or nothing when it is not plain. `base` is where the piece stands in its file. The caller has
/// bounded how deep blocks are nested.
pub(super) fn nodes(source: SourceId, base: usize, text: &str) -> Option<Vec<Node>> {
    let mut reader = Reader { source, base, text, bytes: text.as_bytes(), at: 0 };
    let nodes = reader.nodes()?;
    (reader.at == text.len()).then_some(nodes)
}

struct Reader<'a> {
    source: SourceId,
    base: usize,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The place from `start` to here.
    const fn span(&self, start: usize) -> Span {
        Span { source: self.source, start: self.base + start, end: self.base + self.at }
    }

    /// Nodes up to `}` or the end.
    fn nodes(&mut self) -> Option<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            self.between()?;
            match self.byte() {
                None | Some(b'}') => return Some(nodes),
                Some(_) => nodes.push(self.node()?),
            }
        }
    }

    /// Space, line ends and comments between nodes.
    fn between(&mut self) -> Option<()> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n') => self.at += 1,
                Some(b'/') => self.comment()?,
                _ => return Some(()),
            }
        }
    }

    /// A comment up to the end of its line.
    fn comment(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?.strip_prefix("//")?;
        let end = rest.bytes().position(|byte| byte == b'\n').unwrap_or(rest.len());
        // Line ends other than LF are for the parser.
        if rest[..end].contains(super::word::is_newline) {
            return None;
        }
        self.at += 2 + end;
        Some(())
    }

    fn node(&mut self) -> Option<Node> {
        let start = self.at;
        let name = self.name()?;
        let (mut arguments, mut properties, mut children) = (Vec::new(), Vec::new(), None);
        let mut end = self.at;
        loop {
            let spaced = self.spaces();
            match self.byte() {
                None | Some(b'}') => break,
                Some(b'\n' | b';') => {
                    self.at += 1;
                    break;
                }
                Some(b'/') => {
                    self.comment()?;
                    break;
                }
                Some(b'{') if spaced => {
                    self.at += 1;
                    children = Some(self.nodes()?);
                    (self.byte()? == b'}').then(|| self.at += 1)?;
                    end = self.at;
                    self.terminator()?;
                    break;
                }
                Some(_) if spaced => self.entry(&mut arguments, &mut properties)?,
                Some(_) => return None,
            }
            end = self.at;
        }
        let span = Span { source: self.source, start: self.base + start, end: self.base + end };
        Some(Node { name, annotation: None, arguments, properties, children, span })
    }

    /// What ends a node after its block.
    fn terminator(&mut self) -> Option<()> {
        self.spaces();
        match self.byte() {
            Some(b'\n' | b';') => self.at += 1,
            Some(b'/') => self.comment()?,
            None | Some(b'}') => {}
            Some(_) => return None,
        }
        Some(())
    }

    /// Skips spaces; whether there were any.
    fn spaces(&mut self) -> bool {
        let start = self.at;
        while let Some(b' ' | b'\t') = self.byte() {
            self.at += 1;
        }
        self.at > start
    }

    fn entry(&mut self, arguments: &mut Vec<Argument>, properties: &mut Vec<Property>) -> Option<()> {
        match self.byte()? {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let key = self.name()?;
                if self.byte() == Some(b'=') {
                    self.at += 1;
                    let value = self.value()?;
                    properties.reserve_exact(1);
                    properties.push(Property { key, value, annotation: None });
                    return Some(());
                }
                arguments.reserve_exact(1);
                arguments.push(Argument { value: key.map(Value::String), annotation: None });
            }
            _ => {
                let value = self.value()?;
                // A quoted key.
                if self.byte() == Some(b'=') {
                    return None;
                }
                arguments.reserve_exact(1);
                arguments.push(Argument { value, annotation: None });
            }
        }
        Some(())
    }

    /// A bare name of letters, digits, `-` and `_`.
    fn name(&mut self) -> Option<Spanned<String>> {
        let start = self.at;
        if !matches!(self.byte()?, b'a'..=b'z' | b'A'..=b'Z' | b'_') {
            return None;
        }
        while let Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_') = self.byte() {
            self.at += 1;
        }
        let name = &self.text[start..self.at];
        let keyword = matches!(name, "true" | "false" | "null" | "nan" | "inf");
        (!keyword && self.ends()).then(|| Spanned::new(name.to_owned(), self.span(start)))
    }

    /// Whether what comes next can stand after a name or value.
    fn ends(&self) -> bool {
        matches!(self.byte(), None | Some(b' ' | b'\t' | b'\n' | b';' | b'=' | b'}'))
    }

    fn value(&mut self) -> Option<Spanned<Value>> {
        let start = self.at;
        let value = match self.byte()? {
            b'"' => self.string()?,
            b'#' => self.keyword()?,
            b'0'..=b'9' | b'-' => self.number()?,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Value::String(self.name()?.value),
            _ => return None,
        };
        (self.ends() && self.byte() != Some(b'=')).then(|| Spanned::new(value, self.span(start)))
    }

    fn string(&mut self) -> Option<Value> {
        let body = self.at + 1;
        let length = self.bytes.get(body..)?.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n'))?;
        let (text, closing) = (self.text.get(body..body + length)?, self.bytes[body + length]);
        // Two quotes may open three; other line ends are for the parser.
        if closing != b'"' || self.text[self.at..].starts_with("\"\"\"") || text.contains(super::word::is_newline) {
            return None;
        }
        self.at = body + length + 1;
        Some(Value::String(text.to_owned()))
    }

    fn keyword(&mut self) -> Option<Value> {
        let words = [("#true", Value::Bool(true)), ("#false", Value::Bool(false)), ("#null", Value::Null)];
        let (word, value) = words.into_iter().find(|(word, _)| self.text[self.at..].starts_with(word))?;
        self.at += word.len();
        Some(value)
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        let digits = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        let number = (1..=MAX_DIGITS).contains(&(self.at - digits)).then(|| &self.text[start..self.at])?;
        number.parse().map(Value::Integer).ok()
    }
}
