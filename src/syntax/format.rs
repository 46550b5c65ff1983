//! One way to write a document: white space only, so that comments and spelling stay as they are.
//!
//! Four spaces for each level, one space between the parts of a node, none around `=`, at most one empty line in a row and
//! none at the edges of a block. Blocks stay on one line or on several, as they were. Strings of several lines keep
//! every byte: their indentation means something.

use super::parse::parse;
use super::token::{Kind, Token, tokens};
use super::{Diagnostic, Node, SourceId, SourceMap, Span, Spanned};

/// Spaces of one level.
const INDENT: usize = 4;

/// A file of the map, written the one way. Formatting twice changes nothing more.
///
/// # Errors
/// The file is no valid document: its syntax errors.
pub fn format(sources: &SourceMap, source: SourceId) -> Result<String, Vec<Diagnostic>> {
    let text = &sources.file(source).text;
    let (tree, problems) = parse(sources, source);
    if !problems.is_empty() {
        return Err(problems);
    }
    let formatted = layout(&tokens(text));
    let mut check = SourceMap::default();
    let again = check.add("formatted", formatted.clone(), None);
    let (formatted_tree, problems) = parse(&check, again);
    if !problems.is_empty() || !same(&tree.nodes, &formatted_tree.nodes) {
        let message = "this file cannot be formatted without changing what it means";
        let span = Span { source, start: 0, end: 0 };
        return Err(vec![Diagnostic::error("syntax::format", message, span, "left as it is")]);
    }
    Ok(formatted)
}

/// Whether two lists of nodes say the same, wherever it is written.
fn same(one: &[Node], other: &[Node]) -> bool {
    said(one) == said(other)
}

/// What nodes say, without their places, as a text to compare: unlike the values, it has `#nan` equal to itself.
fn said(nodes: &[Node]) -> String {
    let annotated =
        |annotation: &Option<Box<Spanned<String>>>| annotation.as_ref().map(|written| written.value.clone());
    let node = |node: &Node| {
        let arguments: Vec<_> = node.arguments.iter().map(|a| (&a.value.value, annotated(&a.annotation))).collect();
        let properties: Vec<_> =
            node.properties.iter().map(|p| (&p.key.value, &p.value.value, annotated(&p.annotation))).collect();
        let own = (annotated(&node.annotation), &node.name.value, arguments, properties);
        // Never through `Debug`: it would escape the escapes of every level below.
        match node.children.as_deref() {
            Some(children) => format!("{own:?} {{\n{}\n}}", said(children)),
            None => format!("{own:?}"),
        }
    };
    nodes.iter().map(node).collect::<Vec<_>>().join("\n")
}

fn layout(tokens: &[Token<'_>]) -> String {
    let mut writer = Writer { out: String::new(), depth: 0, empty_lines: 0, previous: None, continues: false };
    for (index, token) in tokens.iter().enumerate() {
        writer.token(*token, tokens.get(index + 1).map(|next| next.kind));
    }
    let text = writer.out.trim_end();
    if text.is_empty() { String::new() } else { format!("{text}\n") }
}

struct Writer {
    out: String,
    depth: usize,
    /// Empty lines since the last line with something on it.
    empty_lines: usize,
    /// What was written last on this line; nothing at its start.
    previous: Option<Kind>,
    /// What was written last, comments aside, is a line's promise to go on in the next.
    continues: bool,
}

impl Writer {
    fn token(&mut self, token: Token<'_>, next: Option<Kind>) {
        match token.kind {
            Kind::Newline => return self.newline(),
            // At the end of a line it says nothing.
            Kind::Semicolon
                if matches!(next, Some(Kind::Newline | Kind::LineComment) | None) && self.previous.is_some() =>
            {
                return;
            }
            Kind::Close => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        match self.previous {
            None => self.start_line(token.kind),
            Some(previous) if spaced(previous, token.kind) => self.out.push(' '),
            Some(_) => {}
        }
        self.out.push_str(token.text);
        if token.kind == Kind::Open {
            self.depth += 1;
        }
        self.continues = match token.kind {
            Kind::LineComment | Kind::BlockComment => self.continues,
            kind => kind == Kind::Continuation,
        };
        self.previous = Some(token.kind);
    }

    fn newline(&mut self) {
        match self.previous.take() {
            Some(_) => {
                self.out.push('\n');
                self.empty_lines = 0;
            }
            None => self.empty_lines += 1,
        }
    }

    fn start_line(&mut self, kind: Kind) {
        let opened = self.out.trim_end().ends_with('{') || self.out.is_empty();
        if self.empty_lines > 0 && !opened && kind != Kind::Close {
            self.out.push('\n');
        }
        self.empty_lines = 0;
        let level = self.depth + usize::from(self.continues);
        self.out.extend(std::iter::repeat_n(' ', level * INDENT));
    }
}

/// Whether a space stands between two parts of a line.
const fn spaced(previous: Kind, next: Kind) -> bool {
    !matches!(
        (previous, next),
        (Kind::Equals | Kind::OpenAnnotation | Kind::Slashdash, _)
            | (Kind::CloseAnnotation, Kind::Atom)
            | (Kind::Open, Kind::Close)
            | (_, Kind::Equals | Kind::CloseAnnotation | Kind::Semicolon)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> String {
        let mut sources = SourceMap::default();
        let source = sources.add("fleet.kdl", text.into(), None);
        format(&sources, source).unwrap_or_else(|problems| panic!("{text:?}: {problems:?}"))
    }

    #[test]
    fn white_space_is_all_that_changes() {
        let text = "\n\n// head\nvm   \"web\"  count = 2{\n\n  cpus 2;   // two\n\n\n\n\tuse \"a\"   \"b\" ;\n     \
                    /* c */ memory (x)\"1GiB\"\n\n}\n/-  vm \"b\" { }\n";
        let expected = "// head\nvm \"web\" count=2 {\n    cpus 2 // two\n\n    use \"a\" \"b\"\n    \
                        /* c */ memory (x)\"1GiB\"\n}\n/-vm \"b\" {}\n";
        assert_eq!(formatted(text), expected);
        assert_eq!(formatted(expected), expected);
    }

    #[test]
    fn text_of_several_lines_and_continued_lines_keep_their_meaning() {
        let text = "a \"\"\"\n    x\n      y\n    \"\"\" {\nb 1 \\ // why\n2\nc \\\n  3; d\n}";
        let expected =
            "a \"\"\"\n    x\n      y\n    \"\"\" {\n    b 1 \\ // why\n        2\n    c \\\n        3; d\n}\n";
        assert_eq!(formatted(text), expected);
        assert_eq!(formatted(expected), expected);
    }

    #[test]
    fn a_document_with_mistakes_is_left_alone() {
        let mut sources = SourceMap::default();
        let source = sources.add("fleet.kdl", "vm \"a\" {".into(), None);
        assert_eq!(format(&sources, source).map_err(|problems| problems[0].code), Err("syntax::unclosed"));
    }

    proptest::proptest! {
        /// Formatting keeps what a document says, and formatting twice is formatting once.
        #[test]
        fn formatting_is_idempotent(text in r#"([ab]|"[a{};/ =]{0,3}"|[0-9]|=1| \{|\}|;|// c\n|/\* c \*/|\n|\n\n| |/- |\(t\)|\\\n|[ab] "x"|\}\n){0,20}"#) {
            let mut sources = SourceMap::default();
            let source = sources.add("fleet.kdl", text.clone(), None);
            if parse(&sources, source).1.is_empty() {
                let once = formatted(&text);
                proptest::prop_assert_eq!(formatted(&once), once);
            }
        }
    }
}
