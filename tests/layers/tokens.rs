//! Rust text as tokens, as far as reading paths and signatures needs: comments, strings and character literals are gone,
//! so that words in them count for nothing.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// Line it starts on, from 1.
    pub(crate) line: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or keyword; raw identifiers without their `r#`.
    Word(String),
    /// `::`.
    PathSeparator,
    /// Any other single character.
    Mark(char),
    /// A string, character or number.
    Literal,
}

impl Token {
    /// Whether this is that word.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(found) if found == word)
    }

    /// Whether this is that character.
    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }
}

/// Splits Rust source into tokens. Text that is no Rust gives some tokens, never a panic.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { rest: text, line: 1 };
    let mut found = Vec::new();
    while let Some(next) = reader.rest.chars().next() {
        let line = reader.line;
        if let Some(kind) = reader.token(next) {
            found.push(Token { kind, line });
        }
    }
    found
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Takes what starts with `next`; `None` for what is skipped.
    fn token(&mut self, next: char) -> Option<Kind> {
        if self.rest.starts_with("//") {
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            return None;
        }
        if self.rest.starts_with("/*") {
            self.block_comment();
            return None;
        }
        if next.is_whitespace() {
            self.take(next.len_utf8());
            return None;
        }
        if self.rest.starts_with("::") {
            self.take(2);
            return Some(Kind::PathSeparator);
        }
        if self.string() || self.character_or_lifetime() {
            return Some(Kind::Literal);
        }
        if next.is_ascii_digit() {
            self.word();
            return Some(Kind::Literal);
        }
        if next == '_' || next.is_alphabetic() {
            if self.rest.starts_with("r#") {
                self.take(2);
            }
            return Some(Kind::Word(self.word().to_owned()));
        }
        self.take(next.len_utf8());
        Some(Kind::Mark(next))
    }

    /// Moves on by that many bytes and returns them.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        taken
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|next: char| next != '_' && !next.is_alphanumeric()).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// Block comments nest.
    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.take_one();
            }
        }
    }

    fn take_one(&mut self) {
        let bytes = self.rest.chars().next().map_or(0, char::len_utf8);
        self.take(bytes);
    }

    /// Takes a string with any prefix (`b`, `c`, `r##`, `br#`); `false` when none starts here.
    fn string(&mut self) -> bool {
        let after_prefix = self.rest.trim_start_matches(['b', 'c', 'r']);
        let prefix = &self.rest[..self.rest.len() - after_prefix.len()];
        if !matches!(prefix, "" | "b" | "c" | "r" | "br" | "cr") {
            return false;
        }
        let body = after_prefix.trim_start_matches('#');
        let hashes = &after_prefix[..after_prefix.len() - body.len()];
        let raw = prefix.ends_with('r');
        if !body.starts_with('"') || (!raw && !hashes.is_empty()) {
            return false;
        }
        self.take(prefix.len() + hashes.len() + 1);
        if raw {
            let end = format!("\"{hashes}");
            let length = self.rest.find(&end).map_or(self.rest.len(), |at| at + end.len());
            self.take(length);
        } else {
            self.until_quote('"');
        }
        true
    }

    /// Takes `'x'`, `b'x'`, `'\''` and `'lifetime`; `false` when none starts here.
    fn character_or_lifetime(&mut self) -> bool {
        let prefix = usize::from(self.rest.starts_with("b'"));
        if !self.rest[prefix..].starts_with('\'') {
            return false;
        }
        self.take(prefix + 1);
        let mut ahead = self.rest.chars();
        match (ahead.next(), ahead.next()) {
            (Some('\\'), _) | (Some(_), Some('\'')) => self.until_quote('\''),
            _ => {
                self.word();
            }
        }
        true
    }

    fn until_quote(&mut self, quote: char) {
        while let Some(next) = self.rest.chars().next() {
            self.take(next.len_utf8());
            if next == quote {
                return;
            }
            if next == '\\' {
                self.take_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text)
            .into_iter()
            .filter_map(|token| if let Kind::Word(word) = token.kind { Some(word) } else { None })
            .collect()
    }

    #[test]
    fn comments_and_literals_hide_their_words() {
        let text = r####"
            // one crate::a
            /* two /* nested */ still */
            /// three
            let a = "four \" five"; let b = r##"six "# seven"##; let c = b"eight"; let d = br#"nine"#;
            let e = 'x'; let f = '\''; let g = b'"'; let h: &'ten str = "";
        "####;
        assert_eq!(
            words(text),
            ["let", "a", "let", "b", "let", "c", "let", "d", "let", "e", "let", "f", "let", "g", "let", "h", "str"]
        );
    }

    #[test]
    fn lines_count_through_comments_and_strings() {
        let found = tokens("/* a\nb */ x \"\n\n\" y");
        assert_eq!(found.iter().map(|token| token.line).collect::<Vec<_>>(), [2, 2, 4]);
    }

    #[test]
    fn raw_identifiers_and_prefix_letters_are_words() {
        assert_eq!(words("r#type b c r br crate bar"), ["type", "b", "c", "r", "br", "crate", "bar"]);
    }

    #[test]
    fn text_that_is_no_rust_is_survived() {
        for text in ["\"", "'", "/*", "r#\"", "b'\\", "'é", "\u{202e}"] {
            tokens(text);
        }
    }
}
