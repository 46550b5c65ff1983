//! The parser's nodes → our [`Node`]s, with spans in the whole file.

use kdl::{KdlEntry, KdlIdentifier, KdlNode, KdlValue};

use super::multiline::Multiline;
use super::{Argument, Node, Property, SourceId, Span, Spanned, Value};

/// Where the piece being converted stands in its file.
#[derive(Clone, Copy)]
pub(super) struct Converter<'a> {
    pub(super) source: SourceId,
    /// The whole file.
    pub(super) text: &'a str,
    /// Byte offset of the piece.
    pub(super) base: usize,
    /// The strings of several lines in it, in order, for which the parser was given stand-ins.
    pub(super) multilines: &'a [Multiline],
}

impl Converter<'_> {
    /// Converts one node with everything below it. Depth is bounded by the scanner.
    pub(super) fn node(self, node: &KdlNode) -> Node {
        // Exact sizes: a large fleet has hundreds of thousands of these lists, of one or two elements each.
        let named = node.entries().iter().filter(|entry| entry.name().is_some()).count();
        let mut arguments = Vec::with_capacity(node.entries().len() - named);
        let mut properties = Vec::with_capacity(named);
        for entry in node.entries() {
            let value = self.value(entry);
            let annotation = self.annotation(entry.ty());
            match entry.name() {
                Some(key) => properties.push(Property { key: self.identifier(key), value, annotation }),
                None => arguments.push(Argument { value, annotation }),
            }
        }
        let children = node.children().map(|block| block.nodes().iter().map(|child| self.node(child)).collect());
        Node {
            name: self.identifier(node.name()),
            annotation: self.annotation(node.ty()),
            arguments,
            properties,
            children,
            span: self.trimmed(self.span(node.span().offset(), node.span().len())),
        }
    }

    /// Without the white space at the end: the parser counts what stands before a comment as part of the node.
    fn trimmed(self, span: Span) -> Span {
        let written = self.text.get(span.start..span.end).unwrap_or_default();
        Span { end: span.start + written.trim_end().len(), ..span }
    }

    fn span(self, offset: usize, length: usize) -> Span {
        let start = self.base + offset;
        Span { source: self.source, start, end: start + length }
    }

    fn identifier(self, identifier: &KdlIdentifier) -> Spanned<String> {
        let span = self.span(identifier.span().offset(), identifier.span().len());
        let text = self.multiline(identifier.span().offset()).unwrap_or(identifier.value());
        Spanned::new(text.to_owned(), span)
    }

    fn annotation(self, annotation: Option<&KdlIdentifier>) -> Option<Box<Spanned<String>>> {
        annotation.map(|identifier| Box::new(self.identifier(identifier)))
    }

    /// What a string of several lines says that starts here, in bytes of the piece.
    fn multiline(&self, at: usize) -> Option<&str> {
        let found = self.multilines.binary_search_by_key(&at, |multiline| multiline.range.start).ok()?;
        self.multilines.get(found).map(|multiline| multiline.value.as_str())
    }

    /// The parser gives the span of a whole entry; the value stands at its end, as long as it was written.
    fn value(self, entry: &KdlEntry) -> Spanned<Value> {
        let length = entry.format().map_or(0, |format| format.value_repr.len()).min(entry.span().len());
        let end = entry.span().offset() + entry.span().len();
        let value = match entry.value() {
            KdlValue::String(text) => Value::String(self.multiline(end - length).unwrap_or(text).to_owned()),
            KdlValue::Integer(number) => Value::Integer(*number),
            KdlValue::Float(number) => Value::Float(*number),
            KdlValue::Bool(truth) => Value::Bool(*truth),
            KdlValue::Null => Value::Null,
        };
        Spanned::new(value, self.span(end - length, length))
    }
}
