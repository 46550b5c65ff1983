//! Whether the tokens of a piece make nodes, checked before the parser sees it.
//!
//! The parser recovers from a mistake by starting over at the next character, one call inside the other: a line of
//! closing parentheses overflows its stack, and what it reads again may cost exponential time. So it is given only what is
//! right, and the mistakes are said here: at most one in each node, in our words.
//!
//! ```text
//! node  := '/-'? type? name (space '/-'? entry)* block* end
//! entry := type? value | name '=' type? value
//! block := '/-'? '{' node* '}'          at most one without slashdash
//! ```

use std::ops::Range;

use super::token::{Kind, Token};

/// What does not fit, and what was expected there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Bytes of the piece.
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) label: &'static str,
}

/// Where a token does not fit.
struct Misfit {
    expected: &'static str,
}

type Checked = Result<(), Misfit>;

/// Checks the tokens of a sound piece of `length` bytes. When it is right: the places that slashdashes take out.
///
/// # Errors
/// All its mistakes.
pub(super) fn check(tokens: &[Token<'_>], length: usize) -> Result<Vec<Range<usize>>, Vec<Fault>> {
    let mut checker = Checker { tokens, at: 0, end: 0, length, faults: Vec::new(), taken_out: Vec::new() };
    checker.nodes();
    if checker.faults.is_empty() { Ok(checker.taken_out) } else { Err(checker.faults) }
}

struct Checker<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    /// Where the token taken last ended.
    end: usize,
    length: usize,
    faults: Vec<Fault>,
    taken_out: Vec<Range<usize>>,
}

impl Checker<'_> {
    /// The next token, comments between the parts of a node and continued lines left out; and whether space is before it.
    fn peek(&self) -> (Option<Token<'_>>, bool) {
        let (mut at, mut spaced) = (self.at, false);
        while let Some(token) = self.tokens.get(at) {
            spaced |= token.spaced;
            match token.kind {
                Kind::BlockComment => at += 1,
                Kind::Continuation => match self.continued(at) {
                    Some(next) => at = next,
                    None => return (Some(*token), spaced),
                },
                _ => return (Some(*token), spaced),
            }
            spaced = true;
        }
        (None, true)
    }

    /// The token after a continuation and its line end.
    fn continued(&self, at: usize) -> Option<usize> {
        let rest = self.tokens.get(at + 1..)?;
        let skipped = rest.iter().take_while(|t| matches!(t.kind, Kind::BlockComment | Kind::LineComment)).count();
        match rest.get(skipped).map(|token| token.kind) {
            Some(Kind::Newline) => Some(at + skipped + 2),
            None => Some(at + skipped + 1),
            Some(_) => None,
        }
    }

    fn kind(&self) -> Option<Kind> {
        self.peek().0.map(|token| token.kind)
    }

    /// Takes the token that [`Self::peek`] shows.
    fn take(&mut self) {
        while let Some(token) = self.tokens.get(self.at) {
            match token.kind {
                Kind::BlockComment => self.at += 1,
                Kind::Continuation if self.continued(self.at).is_some() => {
                    self.at = self.continued(self.at).unwrap_or(self.at + 1);
                }
                _ => {
                    self.at += 1;
                    self.end = token.at + token.text.len();
                    return;
                }
            }
        }
    }

    /// Takes a slashdash, if one is next, with the line ends after it; where it starts.
    fn slashdash(&mut self) -> Option<usize> {
        let start = self.peek().0.filter(|token| token.kind == Kind::Slashdash)?.at;
        self.take();
        self.lines();
        Some(start)
    }

    /// Line ends and comments, in any number.
    fn lines(&mut self) {
        while let Some(Kind::Newline | Kind::LineComment) = self.kind() {
            self.take();
        }
    }

    /// Nodes up to a `}` or the end. Blocks are nested as deep as the scanner allows.
    fn nodes(&mut self) {
        loop {
            self.lines();
            if matches!(self.kind(), None | Some(Kind::Close)) {
                return;
            }
            if let Err(misfit) = self.node() {
                self.record(&misfit);
                self.recover();
            }
        }
    }

    fn record(&mut self, misfit: &Misfit) {
        let (range, found) = match self.peek().0 {
            Some(token) if token.kind == Kind::Newline => (token.at..token.at, "the end of the line".to_owned()),
            Some(token) => (token.at..token.at + token.text.len(), format!("`{}`", super::shown(token.text))),
            None => (self.length..self.length, "the end of the file".to_owned()),
        };
        let message = format!("found {found}, expected {}", misfit.expected);
        self.faults.push(Fault { range, message, label: "does not fit here" });
    }

    /// Goes on after the end of the node, blocks inside of it included.
    fn recover(&mut self) {
        let mut depth = 0usize;
        while let Some(kind) = self.kind() {
            match kind {
                Kind::Open => depth += 1,
                Kind::Close if depth == 0 => return,
                Kind::Close => depth -= 1,
                Kind::Newline | Kind::Semicolon | Kind::LineComment if depth == 0 => {
                    self.take();
                    return;
                }
                _ => {}
            }
            self.take();
        }
    }

    fn node(&mut self) -> Checked {
        let out = self.slashdash();
        self.annotation()?;
        self.name("the name of a node")?;
        self.entries()?;
        self.blocks()?;
        let mut end = self.end;
        match self.kind() {
            None | Some(Kind::Close) => {}
            Some(kind @ (Kind::Newline | Kind::Semicolon | Kind::LineComment)) => {
                self.take();
                if kind == Kind::Semicolon {
                    end = self.end;
                }
            }
            Some(_) => return Err(Misfit { expected: "a new line or `;` after the node" }),
        }
        self.taken_out.extend(out.map(|start| start..end));
        Ok(())
    }

    /// `(type)`, if there is one.
    fn annotation(&mut self) -> Checked {
        if self.kind() != Some(Kind::OpenAnnotation) {
            return Ok(());
        }
        self.take();
        self.name("a name between the parentheses")?;
        match self.kind() {
            Some(Kind::CloseAnnotation) => {
                self.take();
                Ok(())
            }
            _ => Err(Misfit { expected: "`)`" }),
        }
    }

    fn name(&mut self, expected: &'static str) -> Checked {
        match self.peek().0 {
            Some(token) if is_name(token) => {
                self.take();
                Ok(())
            }
            _ => Err(Misfit { expected }),
        }
    }

    fn entries(&mut self) -> Checked {
        loop {
            let start = self.at;
            let spaced = self.peek().1;
            let out = self.slashdash();
            let kind = self.kind();
            match kind {
                Some(Kind::Open) if out.is_some() => {
                    // A block that is taken out: for the caller.
                    self.at = start;
                    return Ok(());
                }
                Some(Kind::Atom | Kind::OpenAnnotation) => {}
                _ if out.is_some() => return Err(Misfit { expected: "what the slashdash takes out" }),
                _ => {}
            }
            match kind {
                Some(Kind::Atom | Kind::OpenAnnotation) if spaced => self.entry()?,
                Some(Kind::Atom | Kind::OpenAnnotation) => return Err(Misfit { expected: "a space before it" }),
                Some(Kind::Equals) => return Err(Misfit { expected: "a property's name before it" }),
                Some(Kind::CloseAnnotation) => return Err(Misfit { expected: "`(` before it" }),
                _ => return Ok(()),
            }
            self.taken_out.extend(out.map(|start| start..self.end));
        }
    }

    fn entry(&mut self) -> Checked {
        let annotated = self.kind() == Some(Kind::OpenAnnotation);
        self.annotation()?;
        let key = self.peek().0.is_some_and(is_name);
        self.value()?;
        if self.kind() != Some(Kind::Equals) {
            return Ok(());
        }
        if annotated || !key {
            return Err(Misfit { expected: "a property's name before it, without annotation" });
        }
        self.take();
        self.annotation()?;
        self.value()
    }

    fn value(&mut self) -> Checked {
        match self.peek().0 {
            Some(token) if is_value(token) => {
                self.take();
                Ok(())
            }
            _ => Err(Misfit { expected: "a value" }),
        }
    }

    /// Blocks: one, and any number that are taken out.
    fn blocks(&mut self) -> Checked {
        let mut filled = false;
        loop {
            let start = self.at;
            let out = self.slashdash();
            if self.kind() != Some(Kind::Open) {
                if out.is_some() {
                    self.at = start;
                    return Err(Misfit { expected: "a new line or `;` after the block" });
                }
                return Ok(());
            }
            if filled && out.is_none() {
                return Err(Misfit { expected: "one block at most" });
            }
            filled |= out.is_none();
            self.take();
            self.nodes();
            if self.kind() == Some(Kind::Close) {
                self.take();
            }
            self.taken_out.extend(out.map(|start| start..self.end));
        }
    }
}

/// Whether an atom is a string, bare or quoted.
fn is_name(token: Token<'_>) -> bool {
    let numeric = |text: &str| {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        unsigned.starts_with(|c: char| c.is_ascii_digit())
    };
    is_value(token) && !numeric(token.text) && (!token.text.starts_with('#') || token.text.ends_with(['"', '#']))
}

/// Whether an atom can stand as a value: no stray character that belongs nowhere, and no unknown keyword.
fn is_value(token: Token<'_>) -> bool {
    let text = token.text;
    let keyword = matches!(text, "#true" | "#false" | "#null" | "#nan" | "#inf" | "#-inf");
    let stray = text.starts_with(['[', ']', '/', '\\', ',']) && text.len() == 1 && text != ",";
    token.kind == Kind::Atom && !stray && (keyword || !text.starts_with('#') || text.contains('"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::token::tokens;

    fn found(text: &str) -> Vec<(Range<usize>, String)> {
        check(&tokens(text), text.len())
            .map_or_else(|faults| faults.into_iter().map(|fault| (fault.range, fault.message)).collect(), |_| vec![])
    }

    #[test]
    fn nodes_are_what_the_language_says() {
        for right in [
            "",
            "a; b 1 c=2 { d }\n",
            "(t)a (t)1 b = (t) 2 \"c\"=#\"d\"#{ }",
            "/- a\nb /- 1 /- c=2 /-{ } { } /- { }",
            "a \\ // c\n 1 /* x */ 2 // end",
            "/-\n\n a { /- b\n }",
            "a /-\n 1",
        ] {
            assert_eq!(found(right), [], "{right:?}");
        }
    }

    #[test]
    fn what_slashdashes_take_out_is_known() {
        let text = "/- a { /- b }; c /- 1 2 /-\n x=1 /- { d } { /-\ne\n }";
        let out: Vec<&str> =
            check(&tokens(text), text.len()).unwrap_or_default().into_iter().map(|range| &text[range]).collect();
        assert_eq!(out, ["/- b", "/- a { /- b };", "/- 1", "/-\n x=1", "/- { d }", "/-\ne"]);
    }

    #[test]
    fn what_does_not_fit_is_said_once_for_each_node() {
        let closing = |at: usize| (at..at + 1, "found `)`, expected `(` before it".to_owned());
        assert_eq!(found("a ) ) )\nb\nc )"), [closing(2), closing(12)]);
        for (text, at, expected) in [
            ("a 1=2", 3..4, "a property's name before it, without annotation"),
            ("a b=", 4..4, "a value"),
            ("a \"b\"c", 5..6, "a space before it"),
            ("1 a", 0..1, "the name of a node"),
            ("a { } { }", 6..7, "one block at most"),
            ("a { } b", 6..7, "a new line or `;` after the node"),
            ("a (t", 4..4, "`)`"),
            ("a [", 2..3, "a value"),
            ("a #yes", 2..6, "a value"),
            ("a;;b", 2..3, "the name of a node"),
            ("a /-", 4..4, "what the slashdash takes out"),
        ] {
            let messages = found(text);
            assert_eq!(messages.len(), 1, "{text}: {messages:?}");
            assert_eq!(messages[0].0, at, "{text}");
            assert!(messages[0].1.ends_with(&format!("expected {expected}")), "{text}: {messages:?}");
        }
    }
}
