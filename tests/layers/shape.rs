//! The shape of the source: how long files are, and what public functions ask of those who call them.

use crate::tokens::{Kind, Token, tokens};

/// A file longer than this has more than one job.
const LINES_MAX: usize = 600;

/// A complaint when the file is too long.
pub(crate) fn too_long(file: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| format!("{file}: {lines} lines, at most {LINES_MAX}"))
}

/// Public functions with a `bool` parameter: at the call a bare `true` says nothing, an enum's variant does.
pub(crate) fn bool_parameters(file: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.is_word("fn")
            && is_public(&tokens[..at])
            && let Some(Token { kind: Kind::Word(name), line }) = tokens.get(at + 1)
            && parameters(&tokens[at + 2..]).iter().any(|parameter| is_bool(parameter))
        {
            found.push(format!("{file}:{line}: `{name}` takes a bool: name the two cases with an enum"));
        }
    }
    found
}

/// Whether the tokens before `fn` end in `pub` and qualifiers such as `(crate)`, `const` and `async`; what only the parent
/// module sees is private.
fn is_public(before: &[Token]) -> bool {
    let mut rest = before;
    while let [head @ .., last] = rest {
        match &last.kind {
            Kind::Word(word) if word == "pub" => return true,
            Kind::Word(word) if matches!(word.as_str(), "const" | "async" | "crate") => rest = head,
            Kind::Mark('(' | ')') => rest = head,
            _ => return false,
        }
    }
    false
}

/// The parameters of a function, of which its name was taken.
fn parameters(tokens: &[Token]) -> Vec<&[Token]> {
    let Some(open) = parenthesis(tokens) else { return Vec::new() };
    let mut found = Vec::new();
    let mut start = open + 1;
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Mark('(' | '[' | '<') => depth += 1,
            Kind::Mark('>') if tokens[at - 1].is_mark('-') => {}
            Kind::Mark(')' | ']' | '>') => depth = depth.saturating_sub(1),
            Kind::Mark(',') if depth == 1 => {
                found.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if depth == 0 {
            found.push(&tokens[start..at]);
            break;
        }
    }
    found
}

/// Where the parameters open: the first parenthesis outside of the generics, whose bounds may hold some as well.
fn parenthesis(tokens: &[Token]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Mark('<') => depth += 1,
            Kind::Mark('>') if at > 0 && tokens[at - 1].is_mark('-') => {}
            Kind::Mark('>') => depth = depth.saturating_sub(1),
            Kind::Mark('(') if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

fn is_bool(parameter: &[Token]) -> bool {
    matches!(parameter, [.., colon, kind] if colon.is_mark(':') && kind.is_word("bool"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_six_hundred_lines() {
        assert_eq!(too_long("a.rs", &"x\n".repeat(600)), None);
        assert_eq!(too_long("a.rs", &"x\n".repeat(601)), Some("a.rs: 601 lines, at most 600".to_owned()));
    }

    #[test]
    fn public_functions_with_bools_are_found() {
        let text = "pub fn one(a: u8, quiet: bool) {}\npub(crate) const fn two(a: bool,) {}\n\
                    pub async fn three<F: Fn(bool) -> u8>(f: F, x: bool) {}";
        assert_eq!(
            bool_parameters("a.rs", text),
            ["one", "two", "three"]
                .iter()
                .zip(1..)
                .map(|(name, line)| { format!("a.rs:{line}: `{name}` takes a bool: name the two cases with an enum") })
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn other_bools_are_fine() {
        let text = "fn private(a: bool) {} pub(super) fn also(a: bool) {} pub fn f(a: Option<bool>, b: &[bool], g: impl Fn(u8, bool)) -> bool { true }\
                    pub struct S { pub a: bool } pub fn g(self) { let a: bool = true; }";
        assert_eq!(bool_parameters("a.rs", text), [""; 0]);
    }
}
