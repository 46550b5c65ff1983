//! `.gitconfig`: `user.name` and `user.email` are ours, every other byte is somebody else's.
//!
//! The syntax is that of git-config(1), "Syntax": sections, keys in any case, comments, quotes, escapes and values
//! continued over lines.

use std::ops::Range;

/// Sets `user.name` and `user.email` and keeps everything else, byte by byte. A value that is right already stays as
/// it is written; of several the last is changed and the others go, so that git has only one answer.
///
/// # Errors
/// When git would not read the file either, with the line; or when a value holds a NUL byte.
pub fn git_config(current: &[u8], name: &str, email: &str) -> Result<Vec<u8>, String> {
    let addressed = set(current, "email", email)?;
    set(&addressed, "name", name)
}

fn set(text: &[u8], key: &str, value: &str) -> Result<Vec<u8>, String> {
    if value.contains('\0') {
        return Err(format!("found a NUL byte in user.{key}"));
    }
    let parsed = Parser::new(text).parse()?;
    let mut found: Vec<&Entry> = parsed.entries.iter().filter(|entry| entry.key == key.as_bytes()).collect();
    let Some(last) = found.pop() else {
        return Ok(insert(text, &parsed, &format!("\t{key} = {}\n", quoted(value))));
    };
    if found.is_empty() && last.value.as_deref() == Some(value.as_bytes()) {
        return Ok(text.to_vec());
    }
    let mut merged = text.to_vec();
    merged.splice(last.span.clone(), format!("{key} = {}", quoted(value)).into_bytes());
    for surplus in found.iter().rev() {
        merged.splice(whole_line(text, &surplus.span), []);
    }
    Ok(merged)
}

/// Adds a line at the head of the last `[user]` section, or a section at the end.
fn insert(text: &[u8], parsed: &Parsed, line: &str) -> Vec<u8> {
    let mut merged = text.to_vec();
    if let Some(header) = parsed.user_header {
        // What follows the header on its line (an entry, a comment) moves to the next one.
        merged.splice(header..header, format!("\n{}", line.trim_end_matches('\n')).into_bytes());
        let after = header + line.len();
        if merged.get(after).is_some_and(|next| *next != b'\n' && *next != b'\r') {
            merged.insert(after, b'\n');
        }
        return merged;
    }
    if merged.last().is_some_and(|last| *last != b'\n') {
        merged.push(b'\n');
    }
    if parsed.ends_continued {
        merged.push(b'\n');
    }
    merged.extend_from_slice(b"[user]\n");
    merged.extend_from_slice(line.as_bytes());
    merged
}

/// The span with its line, when nothing else is on it.
fn whole_line(text: &[u8], span: &Range<usize>) -> Range<usize> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let indent = text[..span.start].iter().rev().take_while(|b| blank(b)).count();
    let start = span.start - indent;
    let alone = start == 0 || text[start - 1] == b'\n';
    match text.get(span.end..) {
        Some([b'\n', ..]) if alone => start..span.end + 1,
        Some([b'\r', b'\n', ..]) if alone => start..span.end + 2,
        _ => span.clone(),
    }
}

/// A value as git reads it back: quoted, and with what git unescapes escaped.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    let mut plain = !value.is_empty() && value.trim_matches([' ', '\t']) == value;
    for c in value.chars() {
        plain &= c.is_alphanumeric() || " @.-_+'(),".contains(c);
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            _ => text.push(c),
        }
    }
    if plain { text } else { format!("\"{text}\"") }
}

/// One `key = value` of a `[user]` section.
struct Entry {
    /// Lower case.
    key: Vec<u8>,
    /// `None` for a key without `=`, and for a value whose spacing git versions read differently.
    value: Option<Vec<u8>>,
    /// From the key to the end of the value, without the line's end and without a comment.
    span: Range<usize>,
}

/// What matters of a file.
struct Parsed {
    /// Entries of `[user]` sections.
    entries: Vec<Entry>,
    /// Just after the `]` of the last `[user]`.
    user_header: Option<usize>,
    /// The file ends in a backslash, or in one and a line end, that would swallow the next line.
    ends_continued: bool,
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    /// Skips the byte order mark, as git does.
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 } }
    }

    fn parse(mut self) -> Result<Parsed, String> {
        let mut parsed = Parsed { entries: Vec::new(), user_header: None, ends_continued: false };
        let mut in_user = false;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b'\x0b' | b'\x0c' => self.at += 1,
                b'#' | b';' => self.skip_comment(),
                b'[' => {
                    in_user = self.header()?;
                    if in_user {
                        parsed.user_header = Some(self.at);
                    }
                }
                _ if byte.is_ascii_alphabetic() => {
                    let entry = self.entry(&mut parsed.ends_continued)?;
                    if in_user {
                        parsed.entries.push(entry);
                    }
                }
                _ => return Err(self.malformed()),
            }
        }
        Ok(parsed)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Whether the line ends here, with LF or CRLF.
    fn at_line_end(&self) -> bool {
        matches!(self.text.get(self.at..), Some([] | [b'\n', ..] | [b'\r', b'\n', ..]) | None)
    }

    fn skip_comment(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn malformed(&self) -> String {
        let line = self.text[..self.at.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not valid git configuration, correct or remove it")
    }

    /// `[section]` or `[section "subsection"]`; says whether it is `[user]`.
    fn header(&mut self) -> Result<bool, String> {
        self.at += 1;
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.') {
            self.at += 1;
        }
        let name = &self.text[start..self.at];
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(name.eq_ignore_ascii_case(b"user"));
        }
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        if self.peek() != Some(b'"') {
            return Err(self.malformed());
        }
        loop {
            self.at += 1;
            match self.peek() {
                None | Some(b'\n') => return Err(self.malformed()),
                Some(b'\\') => self.at += 1,
                Some(b'"') => break,
                Some(_) => {}
            }
        }
        self.at += 1;
        if self.peek() != Some(b']') {
            return Err(self.malformed());
        }
        self.at += 1;
        Ok(false)
    }

    fn entry(&mut self, ends_continued: &mut bool) -> Result<Entry, String> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            self.at += 1;
        }
        let key = self.text[start..self.at].to_ascii_lowercase();
        let key_end = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        if self.at_line_end() {
            return Ok(Entry { key, value: None, span: start..key_end });
        }
        if self.peek() != Some(b'=') {
            return Err(self.malformed());
        }
        self.at += 1;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        let value = self.value(ends_continued)?;
        Ok(Entry { key, value: value.bytes, span: start..value.end })
    }

    fn value(&mut self, ends_continued: &mut bool) -> Result<Value, String> {
        let mut value = Value { bytes: Some(Vec::new()), end: self.at };
        let mut in_quotes = false;
        let mut spaces = 0;
        loop {
            if self.at_line_end() {
                return if in_quotes { Err(self.malformed()) } else { Ok(value) };
            }
            let byte = self.text[self.at];
            self.at += 1;
            match byte {
                b'#' | b';' if !in_quotes => {
                    self.skip_comment();
                    return Ok(value);
                }
                b' ' if !in_quotes => {
                    spaces += 1;
                    continue;
                }
                b'\t' | b'\r' | b'\x0b' | b'\x0c' if !in_quotes => {
                    // Kept or turned into a space, depending on git's version: only trailing ones are certain.
                    spaces += 1;
                    value.bytes = value.bytes.filter(|_| self.rest_is_blank());
                    continue;
                }
                _ => {}
            }
            value.push(&vec![b' '; std::mem::take(&mut spaces)]);
            match byte {
                b'"' => in_quotes = !in_quotes,
                b'\\' => self.escape(&mut value, ends_continued)?,
                _ => value.push(&[byte]),
            }
            value.end = self.at;
        }
    }

    /// Whether only blanks follow on this line, or a comment.
    fn rest_is_blank(&self) -> bool {
        let rest = &self.text[self.at..];
        let blank = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c')).count();
        matches!(rest.get(blank), None | Some(b'\n' | b'#' | b';'))
    }

    fn escape(&mut self, value: &mut Value, ends_continued: &mut bool) -> Result<(), String> {
        let unescaped = match self.text.get(self.at..) {
            Some([b'\n', rest @ ..]) => {
                *ends_continued |= rest.is_empty();
                return self.skip(1);
            }
            Some([b'\r', b'\n', rest @ ..]) => {
                *ends_continued |= rest.is_empty();
                return self.skip(2);
            }
            Some([]) | None => {
                *ends_continued = true;
                return Ok(());
            }
            Some([b'n', ..]) => b'\n',
            Some([b't', ..]) => b'\t',
            Some([b'b', ..]) => b'\x08',
            Some([byte @ (b'"' | b'\\'), ..]) => *byte,
            Some(_) => return Err(self.malformed()),
        };
        value.push(&[unescaped]);
        self.skip(1)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), String> {
        self.at += bytes;
        Ok(())
    }
}

struct Value {
    bytes: Option<Vec<u8>>,
    end: usize,
}

impl Value {
    fn push(&mut self, more: &[u8]) {
        if let Some(bytes) = &mut self.bytes {
            bytes.extend_from_slice(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn merged(current: &str, name: &str, email: &str) -> String {
        String::from_utf8(git_config(current.as_bytes(), name, email).unwrap()).unwrap()
    }

    /// What git itself reads from these bytes.
    fn git_reads(config: &[u8], args: &[&str]) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let output = Command::new("git")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .current_dir("/")
            .args(["config", "-f"])
            .arg(file.path())
            .arg("--null")
            .args(args)
            .output()
            .unwrap();
        if output.status.success() || output.status.code() == Some(1) && output.stderr.is_empty() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    #[test]
    fn an_empty_file_gets_a_section() {
        assert_eq!(merged("", "Ann B", "ann@example.org"), "[user]\n\tname = Ann B\n\temail = ann@example.org\n");
    }

    #[test]
    fn other_sections_comments_and_keys_stay() {
        let before =
            "# mine\n[alias] st = status\n[User] ; me\n\tsigningkey = K\n\tNAME = Old # c\n[user \"x\"]\n\tname = X\n";
        let after = "# mine\n[alias] st = status\n[User]\n\temail = e@x\n ; me\n\tsigningkey = K\n\tname = New # c\n[user \"x\"]\n\tname = X\n";
        assert_eq!(merged(before, "New", "e@x"), after);
    }

    #[test]
    fn of_several_values_one_remains() {
        let before = "[user]\n\tname = A\n\temail = e@x\n[core]\n\tbare\n[user]\n\tname = \"B\\\n b\"\n";
        assert_eq!(merged(before, "C", "e@x"), "[user]\n\temail = e@x\n[core]\n\tbare\n[user]\n\tname = C\n");
    }

    #[test]
    fn a_value_that_is_right_stays_as_written() {
        let before = "[user]\r\n\tname = \"Ann\" \r\n\temail=e@x ; c\r\n";
        assert_eq!(merged(before, "Ann", "e@x"), before);
    }

    #[test]
    fn a_file_git_would_refuse_is_refused_with_its_line() {
        let refusal = git_config(b"[user]\n\tname = \"open\n", "A", "e@x").unwrap_err();
        assert_eq!(refusal, "line 2 is not valid git configuration, correct or remove it");
        assert!(git_config(b"", "a\0b", "e@x").is_err());
    }

    /// Whole files from pieces that are hard to read: continued lines, quotes, comments, CRLF, no last newline.
    fn config() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "[user]",
            "[USER] ",
            "[user \"a\\\"b\"]",
            "[core]",
            "[user.sub]",
            "\n",
            "\r\n",
            "\tname = A\n",
            "name=\"a;b\" # c\n",
            "email = x\\\n y\n",
            "  Email\n",
            "# [user]\n",
            "; c \\\n",
            "name = \"q\\n\\t\\\\\"z\n",
            "other = 1",
            "name =\n",
            "\\",
            "\"",
            "name = a  b\t\n",
            "name = a\tb\n",
            "\u{feff}",
            "é",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        /// LESSON 15: whatever is in the file, git reads our two values and the same others as before.
        #[test]
        fn git_reads_what_was_set_and_everything_else_as_before(
            current in config(), name in "[ -~éß\t\n]{0,12}", email in "[a-z@.\"\\\\#; ]{0,12}",
        ) {
            match git_config(current.as_bytes(), &name, &email) {
                Ok(once) => {
                    prop_assert_eq!(git_config(&once, &name, &email).unwrap(), once.clone());
                    prop_assert_eq!(git_reads(&once, &["--get-all", "user.name"]), Ok(format!("{name}\0")));
                    prop_assert_eq!(git_reads(&once, &["--get-all", "user.email"]), Ok(format!("{email}\0")));
                    let others = |config: &[u8]| -> Vec<String> {
                        let list = git_reads(config, &["--list"]).unwrap();
                        let ours = |line: &&str| ["user.name", "user.email"].contains(&line.split('\n').next().unwrap());
                        list.split('\0').filter(|line| !ours(line)).map(str::to_owned).collect()
                    };
                    prop_assert_eq!(others(&once), others(current.as_bytes()));
                }
                Err(_) => prop_assert!(git_reads(current.as_bytes(), &["--list"]).is_err()),
            }
        }
    }
}
