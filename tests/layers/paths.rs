//! The paths that a source file names, made absolute: `use` trees are spread out, `self` and `super` are resolved.

use std::ops::Range;

use crate::tokens::{Kind, Token};

/// A path that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// `["crate", "plan", "Step"]`, `["kdl", "KdlDocument"]`; a glob ends with `*`.
    pub(crate) segments: Vec<String>,
    /// Where, from 1.
    pub(crate) line: usize,
    /// Whether only test builds contain it.
    pub(crate) in_test: bool,
}

/// All paths of a file. `module` is the file's own, such as `["crate", "plan", "change"]`.
pub(crate) fn paths(tokens: &[Token], module: &[String]) -> Vec<Path> {
    let tests = test_ranges(tokens);
    let mut scan = Scan { tokens, at: 0, module: module.to_vec(), opened: Vec::new(), depth: 0, found: Vec::new() };
    scan.run();
    let mut found = scan.found;
    for (index, path) in &mut found {
        path.in_test = tests.iter().any(|range| range.contains(index));
    }
    found.into_iter().map(|(_, path)| path).collect()
}

/// The files, relative to this one's module, that `#[cfg(test)] mod NAME;` takes in.
pub(crate) fn test_only_modules(tokens: &[Token]) -> Vec<String> {
    let mut found = Vec::new();
    for range in test_ranges(tokens) {
        let item = &tokens[range];
        let declared = item.windows(3).find(|three| three[0].is_word("mod") && three[2].is_mark(';'));
        if let Some([_, Token { kind: Kind::Word(name), .. }, _]) = declared {
            found.push(name.clone());
        }
    }
    found
}

/// Token ranges of items under `#[cfg(test)]`.
fn test_ranges(tokens: &[Token]) -> Vec<Range<usize>> {
    let attribute = |at: usize| {
        let words = tokens.get(at..at + 6)?;
        let [hash, open, cfg, paren, test, close] = words else { return None };
        (hash.is_mark('#')
            && open.is_mark('[')
            && cfg.is_word("cfg")
            && paren.is_mark('(')
            && test.is_word("test")
            && close.is_mark(')'))
        .then_some(at + 6)
    };
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match attribute(at) {
            Some(after) => {
                let end = item_end(tokens, after);
                ranges.push(at..end);
                at = end;
            }
            None => at += 1,
        }
    }
    ranges
}

/// The end of the item that starts at or after `at`: its `;` or the brace that closes its body.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.kind {
            Kind::Mark('{') => depth += 1,
            Kind::Mark('}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            Kind::Mark(';') if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

struct Scan<'a> {
    tokens: &'a [Token],
    at: usize,
    /// The module the scan stands in.
    module: Vec<String>,
    /// Brace depths at which inline modules were opened.
    opened: Vec<usize>,
    depth: usize,
    found: Vec<(usize, Path)>,
}

impl Scan<'_> {
    fn run(&mut self) {
        while let Some(token) = self.tokens.get(self.at) {
            match &token.kind {
                Kind::Word(word) if word == "use" => {
                    self.at += 1;
                    self.use_tree(&[]);
                }
                Kind::Word(word) if word == "mod" => self.inline_module(),
                Kind::Word(word) if word == "extern" && self.word_at(self.at + 1) == Some("crate") => {
                    self.at += 2;
                    let name: Vec<String> = self.word_at(self.at).map(str::to_owned).into_iter().collect();
                    self.record(self.at, &name);
                }
                Kind::Word(_) => self.path(),
                Kind::Mark('{') => {
                    self.depth += 1;
                    self.at += 1;
                }
                Kind::Mark('}') => self.close_brace(),
                _ => self.at += 1,
            }
        }
    }

    fn word_at(&self, at: usize) -> Option<&str> {
        match self.tokens.get(at).map(|token| &token.kind) {
            Some(Kind::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is(&self, at: usize, kind: &Kind) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == *kind)
    }

    fn inline_module(&mut self) {
        if let Some(name) = self.word_at(self.at + 1).map(str::to_owned)
            && self.is(self.at + 2, &Kind::Mark('{'))
        {
            self.module.push(name);
            self.depth += 1;
            self.opened.push(self.depth);
            self.at += 3;
        } else {
            self.at += 1;
        }
    }

    fn close_brace(&mut self) {
        if self.opened.last() == Some(&self.depth) {
            self.opened.pop();
            self.module.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
    }

    /// `a::b::{c, d as e, f::*}` and so on, up to what ends it.
    fn use_tree(&mut self, prefix: &[String]) {
        let start = self.at;
        let mut segments = prefix.to_vec();
        loop {
            let at = self.at;
            if self.is(at, &Kind::PathSeparator) {
                self.at += 1;
            } else if self.is(at, &Kind::Mark('{')) {
                self.at += 1;
                while self.at < self.tokens.len() && !self.is(self.at, &Kind::Mark('}')) {
                    self.use_tree(&segments);
                    if self.is(self.at, &Kind::Mark(',')) {
                        self.at += 1;
                    }
                }
                self.at += 1;
                return;
            } else if self.is(at, &Kind::Mark('*')) {
                segments.push("*".to_owned());
                self.at += 1;
            } else if self.word_at(at) == Some("as") {
                self.at += 2;
            } else if let Some(word) = self.word_at(at) {
                segments.push(word.to_owned());
                self.at += 1;
            } else {
                break;
            }
        }
        self.record(start, &segments);
        if self.at == start {
            self.at += 1;
        }
    }

    /// `a::b::c` in an expression, a type or an attribute. A single word is no path, and `.a::<T>` is a method.
    fn path(&mut self) {
        let start = self.at;
        let mut segments = Vec::new();
        while let Some(word) = self.word_at(self.at) {
            segments.push(word.to_owned());
            self.at += 1;
            if !self.is(self.at, &Kind::PathSeparator) || self.word_at(self.at + 1).is_none() {
                break;
            }
            self.at += 1;
        }
        let method = start > 0 && self.is(start - 1, &Kind::Mark('.'));
        let continued = start > 1
            && self.is(start - 1, &Kind::PathSeparator)
            && (self.word_at(start - 2).is_some() || self.is(start - 2, &Kind::Mark('>')));
        if segments.len() > 1 && !method && !continued {
            self.record(start, &segments);
        }
    }

    /// Keeps a path, made absolute.
    fn record(&mut self, index: usize, segments: &[String]) {
        let Some(first) = segments.first() else { return };
        let mut absolute = match first.as_str() {
            "self" | "super" => self.module.clone(),
            _ => Vec::new(),
        };
        for segment in segments {
            match segment.as_str() {
                "self" => {}
                "super" => {
                    absolute.pop();
                }
                _ => absolute.push(segment.clone()),
            }
        }
        let line = self.tokens.get(index).map_or(0, |token| token.line);
        self.found.push((index, Path { segments: absolute, line, in_test: false }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tokens;

    fn named(text: &str) -> Vec<String> {
        let module = ["crate", "plan", "change"].map(str::to_owned);
        paths(&tokens(text), &module)
            .into_iter()
            .map(|path| format!("{}{}", path.segments.join("::"), if path.in_test { " (test)" } else { "" }))
            .collect()
    }

    #[test]
    fn use_trees_are_spread_out() {
        assert_eq!(
            named("use a::{b, c::{d as e, f::*}, self}; pub use ::g::h; use i;"),
            ["a::b", "a::c::d", "a::c::f::*", "a", "g::h", "i"]
        );
    }

    #[test]
    fn relative_paths_are_made_absolute() {
        assert_eq!(
            named("use super::Step; use super::super::effect::Run; mod inner { use super::x; } use self::y;"),
            ["crate::plan::Step", "crate::effect::Run", "crate::plan::change::x", "crate::plan::change::y"]
        );
    }

    #[test]
    fn paths_in_code_are_found_and_methods_are_not() {
        assert_eq!(
            named(
                "#[derive(a::B)] fn f(x: &c::D<e::F>) { x.iter::<u8>(); ::g::h(); <I as j::K>::l(); Vec::<u8>::new() }"
            ),
            ["a::B", "c::D", "e::F", "g::h", "j::K"]
        );
    }

    #[test]
    fn what_only_tests_contain_is_marked() {
        assert_eq!(
            named(
                "use a::b; #[cfg(test)] mod tests { use super::*; fn f() { c::d() } } #[cfg(test)] use e::f; use g::h;"
            ),
            ["a::b", "crate::plan::change::* (test)", "c::d (test)", "e::f (test)", "g::h"]
        );
        assert_eq!(test_only_modules(&tokens("mod a; #[cfg(test)] mod b; #[cfg(test)] mod c { }")), ["b"]);
    }
}
