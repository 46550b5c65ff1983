//! The guard before the parser: finds where top-level nodes begin and end, and stops what the parser must not see.
//!
//! It reads the lexical structure only (strings, comments, slashdashes, braces, words) in one pass, with a constant
//! amount of work per byte. A piece with a lexical mistake never reaches the parser: its braces and quotes do not mean
//! what they seem to, and the parser's own recovery would add follow-on errors, or take exponential time.

use std::ops::Range;

use super::limits::{MAX_BYTES, MAX_DEPTH, MAX_ERRORS, MAX_SLASHDASH};
use super::{Diagnostic, SourceId, Span};
use super::{multiline, quoted, word};

/// One top-level node with the comments before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Bytes of the document.
    pub(super) range: Range<usize>,
    /// Whether the scanner found nothing wrong in it.
    pub(super) sound: bool,
}

/// What the scanner found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Pieces in order; together they are the whole document.
    pub(super) pieces: Vec<Piece>,
    /// Lexical mistakes, in order.
    pub(super) problems: Vec<Diagnostic>,
}

/// Scans one document.
pub(super) fn scan(source: SourceId, text: &str) -> Scan {
    if text.len() > MAX_BYTES {
        let message = format!("found a file of {} bytes, the limit is {MAX_BYTES}", text.len());
        let problem = Diagnostic::error("syntax::too-large", message, Span { source, start: 0, end: 0 }, "too large")
            .help("split the file and `import` the parts");
        return Scan { pieces: Vec::new(), problems: vec![problem] };
    }
    let mut scanner = Scanner::new(source, text);
    scanner.run();
    scanner.found
}

/// An open `{`.
struct Block {
    /// Where it opened.
    at: usize,
    /// Whether a slashdash stands before it on its node.
    slashdashed: bool,
}

struct Scanner<'a> {
    source: SourceId,
    text: &'a str,
    at: usize,
    /// Start of the piece being scanned.
    start: usize,
    sound: bool,
    blocks: Vec<Block>,
    /// How many of `blocks` are slashdashed.
    slashdashes: usize,
    /// A slashdash was seen on the node being scanned.
    pending: bool,
    /// Something other than space and comments was seen on the node being scanned.
    filled: bool,
    /// Words and strings of the node so far: its name, then keys and values.
    words: usize,
    found: Scan,
}

impl<'a> Scanner<'a> {
    fn new(source: SourceId, text: &'a str) -> Self {
        Self {
            source,
            text,
            at: 0,
            start: 0,
            sound: true,
            blocks: Vec::new(),
            slashdashes: 0,
            pending: false,
            filled: false,
            words: 0,
            found: Scan::default(),
        }
    }

    fn run(&mut self) {
        while let Some(byte) = self.byte(0) {
            match byte {
                b'"' => self.string(0),
                b'#' => self.hash(),
                b'/' => self.slash(),
                b'\\' => self.continuation(),
                b'{' => self.open(),
                b'}' => self.close(),
                b';' => self.end_node(1),
                b'=' => self.equals(),
                b'(' | b')' | b'[' | b']' => self.skip_filled(1),
                _ => self.character(),
            }
        }
        // A string that is never closed may have swallowed what closes the block.
        let swallowed = self.found.problems.iter().any(|problem| problem.code == "syntax::unclosed-string");
        for block in std::mem::take(&mut self.blocks) {
            if swallowed {
                self.sound = false;
                break;
            }
            self.problem(
                "syntax::unclosed",
                "found the end of the file inside a block, expected `}`",
                block.at..block.at + 1,
                "this block is never closed",
            );
        }
        self.end_piece();
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_filled(&mut self, bytes: usize) {
        self.at += bytes;
        self.filled = true;
    }

    /// `=`: between a key and its value. After the name of a node people mean the node's value.
    fn equals(&mut self) {
        if self.byte(1) == Some(b'=') {
            let help = "values are compared by properties: `when \"{stage}\" is=\"test\"`, `is-not=`".to_owned();
            let range = self.at..self.at + 2;
            self.report("syntax::comparison", "found `==`, which KDL does not have", range, "not here", Some(help));
            self.at += 1;
        } else if self.words == 1 {
            let help =
                "a node takes its value without `=`, as in `cpus 2`; `=` is for properties, as in `size=\"4GiB\"`";
            self.report(
                "syntax::assignment",
                "found `=` after the name of a node",
                self.at..self.at + 1,
                "not here",
                Some(help.into()),
            );
        }
        self.skip_filled(1);
    }

    /// Records a mistake; the piece it is in will not be parsed.
    fn problem(&mut self, code: &'static str, message: impl Into<String>, range: Range<usize>, label: &str) {
        self.report(code, message, range, label, None);
    }

    fn report(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        range: Range<usize>,
        label: &str,
        help: Option<String>,
    ) {
        self.sound = false;
        if self.found.problems.len() < MAX_ERRORS {
            let span = Span { source: self.source, start: range.start, end: range.end };
            let mut problem = Diagnostic::error(code, message, span, label);
            problem.help = help;
            self.found.problems.push(problem);
        }
    }

    /// `"…"`, `"""…"""`, and with `hashes` the raw forms; `at` stands on the first quote.
    fn string(&mut self, hashes: usize) {
        let start = self.at - hashes;
        let body = self.rest();
        let lines = body.starts_with("\"\"\"");
        let quotes = if lines { 3 } else { 1 };
        let mut closing = "\"".repeat(quotes);
        closing.push_str(&"#".repeat(hashes));
        self.filled = true;
        self.words += 1;
        if lines && !body[quotes..].starts_with(word::is_newline) {
            let help = "write the text on lines of its own, or between single quotation marks".to_owned();
            let message = "found text after `\"\"\"`, expected a new line";
            self.report("syntax::multi-line-string", message, start..self.at + quotes, "starts here", Some(help));
        }
        match find_closing(&body[quotes..], &closing, lines, hashes == 0) {
            Ok(length) => {
                self.check_inside(self.at + quotes, length, lines, hashes == 0);
                self.at += quotes + length + closing.len();
            }
            Err(length) => {
                let end = self.at + quotes + length;
                let help = match lines {
                    true => format!("close it with `{closing}` on a line of its own"),
                    false => format!("close it with `{closing}`; text of several lines stands between `\"\"\"` lines"),
                };
                self.report(
                    "syntax::unclosed-string",
                    "found a string that is never closed",
                    start..end,
                    "starts here",
                    Some(help),
                );
                self.at = end;
            }
        }
    }

    /// Reports what is wrong inside a string that is closed.
    fn check_inside(&mut self, start: usize, length: usize, lines: bool, escapes: bool) {
        let body = &self.text[start..start + length];
        let escape = if escapes { quoted::bad_escape(body) } else { None };
        let indentation = if lines { multiline::read(body, escapes).err() } else { None };
        for fault in escape.into_iter().chain(indentation) {
            let range = start + fault.range.start..start + fault.range.end;
            self.report(fault.code, fault.message, range, fault.label, Some(fault.help.into()));
        }
    }

    /// `#true` and other keywords, or a raw string.
    fn hash(&mut self) {
        let hashes = self.rest().bytes().take_while(|b| *b == b'#').count();
        self.skip_filled(hashes);
        if self.byte(0) == Some(b'"') {
            self.string(hashes);
        } else {
            self.words += 1;
            self.at += word::length(self.rest());
        }
    }

    /// `//`, `/*`, `/-`, or a path that was not quoted.
    fn slash(&mut self) {
        match self.byte(1) {
            Some(b'/') => self.at += word::line_length(self.rest()),
            Some(b'*') => self.comment(),
            Some(b'-') => self.slashdash(),
            _ => self.word(),
        }
    }

    /// `/* … */`, nested.
    fn comment(&mut self) {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(byte) = self.byte(0) {
            match (byte, self.byte(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
        self.problem(
            "syntax::unclosed-comment",
            "found a comment that is never closed, expected `*/`",
            start..start + 2,
            "starts here",
        );
    }

    fn slashdash(&mut self) {
        if self.rest().starts_with("/- kdl-version 1") {
            let end = self.at + "/- kdl-version 1".len();
            self.report(
                "syntax::kdl-1",
                "found a KDL 1 document, expected KDL 2",
                self.at..end,
                "declared here",
                Some(word::UPGRADE.into()),
            );
        }
        if self.slashdashes >= MAX_SLASHDASH {
            let message = format!("found slashdashes nested deeper than {MAX_SLASHDASH} levels");
            self.report(
                "syntax::slashdash-depth",
                message,
                self.at..self.at + 2,
                "too deep",
                Some("delete the block or use a comment".into()),
            );
        }
        self.pending = true;
        self.at += 2;
        // The slashdash may stand on a line of its own: the node ends only after what it takes out.
        self.filled = false;
    }

    /// `\`: the node goes on in the next line.
    fn continuation(&mut self) {
        self.at += 1;
        while let Some(c) = self.rest().chars().next() {
            if word::is_newline(c) {
                self.at += c.len_utf8();
                // CR LF is one newline.
                if c == '\r' && self.byte(0) == Some(b'\n') {
                    self.at += 1;
                }
                return;
            } else if word::is_space(c) {
                self.at += c.len_utf8();
            } else if self.rest().starts_with("//") {
                self.at += word::line_length(self.rest());
            } else if self.rest().starts_with("/*") {
                self.comment();
            } else {
                // Not a continuation: the parser says what it thinks of it.
                return;
            }
        }
    }

    fn open(&mut self) {
        if self.blocks.len() == MAX_DEPTH {
            let message = format!("found blocks nested deeper than {MAX_DEPTH} levels");
            self.problem("syntax::depth", message, self.at..self.at + 1, "too deep");
        }
        self.blocks.push(Block { at: self.at, slashdashed: self.pending });
        self.slashdashes += usize::from(self.pending);
        self.pending = false;
        self.at += 1;
        self.filled = false;
        self.words = 0;
    }

    fn close(&mut self) {
        match self.blocks.pop() {
            Some(block) => self.slashdashes -= usize::from(block.slashdashed),
            None => self.problem(
                "syntax::unopened",
                "found `}` without a block that it could close",
                self.at..self.at + 1,
                "nothing to close",
            ),
        }
        self.pending = false;
        self.skip_filled(1);
    }

    /// Space, a newline, or the start of a word.
    fn character(&mut self) {
        let Some(c) = self.rest().chars().next() else { return };
        if word::is_newline(c) {
            self.end_node(c.len_utf8());
        } else if word::is_space(c) || (c == word::BYTE_ORDER_MARK && self.at == 0) {
            self.at += c.len_utf8();
        } else {
            self.word();
        }
    }

    fn word(&mut self) {
        let length = word::length(self.rest()).max(self.rest().chars().next().map_or(1, char::len_utf8));
        let start = self.at;
        self.words += 1;
        self.skip_filled(length);
        if let Some(fault) = word::fault(self.text, start..self.at) {
            self.at = fault.end;
            self.report(fault.code, fault.message, start..fault.end, fault.label, Some(fault.help));
        }
    }

    /// A newline or `;`.
    fn end_node(&mut self, bytes: usize) {
        self.at += bytes;
        if !self.filled {
            return;
        }
        self.filled = false;
        self.pending = false;
        self.words = 0;
        if self.blocks.is_empty() {
            self.end_piece();
        }
    }

    /// Reports invisible characters anywhere in the piece, strings and comments included.
    fn refuse_forbidden(&mut self) {
        let piece = &self.text[self.start..self.at];
        for (offset, c) in piece.char_indices().filter(|(_, c)| word::is_forbidden(*c)) {
            let at = self.start + offset;
            if c == word::BYTE_ORDER_MARK && at == 0 {
                continue;
            }
            let message = format!("found the control character U+{:04X}", u32::from(c));
            let help = format!("delete it, or write it in a string as `\\u{{{:x}}}`", u32::from(c));
            self.report("syntax::control-character", message, at..at + c.len_utf8(), "not allowed in KDL", Some(help));
        }
    }

    fn end_piece(&mut self) {
        self.refuse_forbidden();
        if self.start < self.at {
            self.found.pieces.push(Piece { range: self.start..self.at, sound: self.sound });
        }
        self.start = self.at;
        self.sound = true;
    }
}

/// Length of a string's body up to `closing`; an error is where the search had to end.
pub(super) fn find_closing(body: &str, closing: &str, lines: bool, escapes: bool) -> Result<usize, usize> {
    let mut at = 0;
    while let Some(c) = body[at..].chars().next() {
        if body[at..].starts_with(closing) {
            return Ok(at);
        }
        if !lines && word::is_newline(c) {
            return Err(at);
        }
        at += c.len_utf8();
        if escapes && c == '\\' {
            let rest = &body[at..];
            let blank = rest.find(|c: char| !word::is_space(c) && !word::is_newline(c)).unwrap_or(rest.len());
            // An escape is one character, or all the white space that follows.
            at += if blank > 0 { blank } else { rest.chars().next().map_or(0, char::len_utf8) };
        }
    }
    Err(body.len())
}
