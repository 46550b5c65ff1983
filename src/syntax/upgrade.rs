//! KDL 1 → KDL 2, by spelling: what the two write differently is rewritten, everything else stays as it is.
//!
//! Keywords get their `#`, raw strings lose their `r`, `\/` is no escape any more, and strings of several lines stand
//! between `"""` lines.

use super::token::{comment_length, string_length};
use super::{SourceMap, parse, word};

/// The text as KDL 2. What is KDL 2 already stays as it is.
pub fn upgrade(text: &str) -> String {
    let mut sources = SourceMap::default();
    let source = sources.add("upgraded", text.to_owned(), None);
    match parse(&sources, source).1.is_empty() {
        true => text.to_owned(),
        false => rewritten(text),
    }
}

fn rewritten(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (written, length) = match c {
            '/' if rest.starts_with("/*") => verbatim(rest, comment_length(rest)),
            '"' => quoted(rest),
            '/' if rest.starts_with("//") => verbatim(rest, word::line_length(rest)),
            '/' if rest.starts_with("/- kdl-version 1") => ("/- kdl-version 2".to_owned(), "/- kdl-version 1".len()),
            '#' => {
                let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
                let raw = rest[hashes..].starts_with('"');
                verbatim(rest, if raw { string_length(rest, hashes) } else { hashes + word::length(&rest[hashes..]) })
            }
            _ => bare(rest),
        };
        let length = length.max(c.len_utf8());
        out.push_str(if written.is_empty() { &rest[..length] } else { &written });
        at += length;
    }
    out
}

fn verbatim(rest: &str, length: usize) -> (String, usize) {
    (rest[..length].to_owned(), length)
}

/// A bare word, a raw string of KDL 1, or anything else up to the next of them.
fn bare(rest: &str) -> (String, usize) {
    let length = word::length(rest);
    match &rest[..length] {
        keyword @ ("true" | "false" | "null") => (format!("#{keyword}"), length),
        "r" if rest[1..].starts_with(['"', '#']) => {
            let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
            let closing = format!("\"{}", "#".repeat(hashes));
            let body = &rest[1 + hashes..];
            match body.strip_prefix('"').and_then(|inner| inner.find(&closing).map(|end| &inner[..end])) {
                Some(inner) => (raw(inner, hashes), 1 + hashes + 1 + inner.len() + closing.len()),
                None => verbatim(rest, length),
            }
        }
        _ => verbatim(rest, length),
    }
}

/// A raw string: at least one hash, and lines of their own when it has several.
fn raw(inner: &str, hashes: usize) -> String {
    let marks = "#".repeat(hashes.max(1));
    match inner.contains(word::is_newline) {
        true => format!("{marks}\"\"\"\n{inner}\n\"\"\"{marks}"),
        false => format!("{marks}\"{inner}\"{marks}"),
    }
}

/// A quoted string of KDL 1: it may have line ends in it. One of KDL 2 that starts with three quotes stays.
fn quoted(rest: &str) -> (String, usize) {
    if rest.starts_with("\"\"\"") {
        return verbatim(rest, string_length(rest, 0));
    }
    let mut escaped = false;
    let end = rest[1..].find(|c| match (escaped, c) {
        (false, '"') => true,
        (_, c) => {
            escaped = !escaped && c == '\\';
            false
        }
    });
    let Some(end) = end else { return verbatim(rest, rest.len()) };
    let inner = rest[1..=end].replace("\\/", "/");
    let written = match inner.contains(word::is_newline) {
        true => format!("\"\"\"\n{inner}\n\"\"\""),
        false => format!("\"{inner}\""),
    };
    (written, end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::Value;

    #[test]
    fn what_is_spelt_differently_is_rewritten() {
        for (old, new) in [
            ("a true x=null /* true */ // true\n", "a #true x=#null /* true */ // true\n"),
            ("a r\"C:\\x\" r#\"a\"b\"#", "a #\"C:\\x\"# #\"a\"b\"#"),
            ("a \"x\\/y\" \"\\\"true\\\"\"", "a \"x/y\" \"\\\"true\\\"\""),
            ("/- kdl-version 1\na", "/- kdl-version 2\na"),
            ("true-story r rtrue", "true-story r rtrue"),
        ] {
            assert_eq!(upgrade(old), new);
            assert_eq!(upgrade(new), new);
        }
    }

    #[test]
    fn strings_of_several_lines_keep_their_text() {
        let mut sources = SourceMap::default();
        let source = sources.add("a.kdl", upgrade("a \"x\n  y\" r#\"1\n2\"#"), None);
        let (tree, problems) = parse(&sources, source);
        assert_eq!(problems, []);
        let values: Vec<&Value> = tree.nodes[0].arguments.iter().map(|argument| &argument.value.value).collect();
        assert_eq!(values, [&Value::String("x\n  y".into()), &Value::String("1\n2".into())]);
    }
}
