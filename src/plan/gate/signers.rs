//! Whose signatures count: a file of the form of OpenSSH's `allowed_signers` (ssh-keygen(1)), and keys that were revoked.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Refusal;
use crate::plan::pattern::glob;

/// No file has more lines.
const LINES_MAX: usize = 10_000;

/// One line: a key, and what it counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signer {
    principal: String,
    namespaces: Option<String>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    key: String,
}

/// Everybody whose signatures count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    lines: Vec<Signer>,
    revoked: Vec<String>,
}

/// A signers' file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct SignersError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

impl Signers {
    /// Reads both files. Keys are compared as `TYPE BASE64`, without their comments.
    ///
    /// # Errors
    /// The first line that is not understood: leaving it out could mean to leave out a limit.
    pub fn parse(signers: &str, revoked: &str) -> Result<Self, SignersError> {
        Ok(Self { lines: parsed(signers, signer)?, revoked: parsed(revoked, revoked_key)? })
    }

    /// Who a key is, if its signatures count for this purpose now.
    ///
    /// # Errors
    /// Why they do not.
    pub fn find(&self, key: &str, namespace: &str, now: Timestamp) -> Result<&str, Refusal> {
        if self.revoked.iter().any(|it| it == key) {
            return Err(Refusal::Revoked);
        }
        let of_key = self.lines.iter().filter(|line| line.key == key);
        let mut refusal = Refusal::UnknownSigner;
        for line in of_key.filter(|line| line.namespaces.as_ref().is_none_or(|list| matches(list, namespace))) {
            match (line.from, line.until) {
                (Some(from), _) if now < from => refusal = Refusal::SignerNotYetValid,
                (_, Some(until)) if until <= now => refusal = Refusal::SignerExpired,
                _ => return Ok(&line.principal),
            }
        }
        Err(refusal)
    }

    /// Everybody of whom a key counts for this purpose now.
    pub fn principals(&self, namespace: &str, now: Timestamp) -> BTreeSet<&str> {
        self.lines.iter().filter_map(|line| self.find(&line.key, namespace, now).ok()).collect()
    }

    /// Every key: who has it, the key as `TYPE BASE64`, and whether it counts for this purpose now.
    pub fn keys(&self, namespace: &str, now: Timestamp) -> impl Iterator<Item = (&str, &str, Result<(), Refusal>)> {
        self.lines.iter().map(move |line| {
            (line.principal.as_str(), line.key.as_str(), self.find(&line.key, namespace, now).map(drop))
        })
    }
}

fn parsed<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, SignersError> {
    let wrong = |index: usize| move |why: String| SignersError { line: index + 1, why };
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if index == LINES_MAX {
            return Err(wrong(index)(format!("the file has more than {LINES_MAX} lines")));
        }
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            all.push(parse(line).map_err(wrong(index))?);
        }
    }
    Ok(all)
}

/// `PRINCIPALS [OPTIONS] TYPE BASE64 [COMMENT]`
fn signer(line: &str) -> Result<Signer, String> {
    let (principals, rest) = word(line)?;
    let principal = principals.split(',').next().unwrap_or_default();
    if principal.is_empty() || principal.contains(['*', '?', '!']) {
        return Err("expected the name of one person as its first principal, without `*`, `?` and `!`".into());
    }
    let (mut namespaces, mut from, mut until) = (None, None, None);
    let (first, after) = word(rest)?;
    let (options, key) = if is_type(&first) { (String::new(), rest) } else { (first, after) };
    for option in split_options(&options)? {
        match option.split_once('=') {
            Some(("namespaces", list)) if !list.is_empty() => namespaces = Some(list.to_owned()),
            Some(("valid-after", at)) => from = Some(time(at)?),
            Some(("valid-before", at)) => until = Some(time(at)?),
            _ => return Err(format!("found the option `{}`, which is not understood", option.escape_debug())),
        }
    }
    Ok(Signer { principal: principal.to_owned(), namespaces, from, until, key: key_of(key)? })
}

/// `TYPE BASE64 [COMMENT]`
fn revoked_key(line: &str) -> Result<String, String> {
    key_of(line)
}

fn key_of(text: &str) -> Result<String, String> {
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(kind), Some(base64)) if is_type(kind) && base64.starts_with("AAAA") => Ok(format!("{kind} {base64}")),
        _ => Err("expected a public key, such as `ssh-ed25519 AAAA…`".into()),
    }
}

fn is_type(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|prefix| word.starts_with(prefix))
}

/// The first word, which may have blanks inside of quotes, without them; and what comes after it.
fn word(text: &str) -> Result<(String, &str), String> {
    let (mut quoted, mut end) = (false, text.len());
    for (index, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                end = index;
                break;
            }
            _ => {}
        }
    }
    let (word, rest) = text.split_at(end);
    if quoted || word.is_empty() {
        Err("expected `PRINCIPALS TYPE KEY`".into())
    } else {
        Ok((word.to_owned(), rest.trim_start()))
    }
}

/// Options are separated by commas, but not by those inside of quotes.
fn split_options(text: &str) -> Result<Vec<String>, String> {
    let (mut options, mut option, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => options.push(std::mem::take(&mut option)),
            c => option.push(c),
        }
    }
    if !text.is_empty() {
        options.push(option);
    }
    if quoted { Err("found a quote without its end".into()) } else { Ok(options) }
}

/// `YYYYMMDDZ` or `YYYYMMDDHHMM[SS]Z`. Without the `Z` it would depend on the time zone of whoever reads it.
fn time(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("found the time `{}`, expected one as `20260102030405Z`, in UTC", text.escape_debug());
    let digits = text.strip_suffix('Z').ok_or_else(wrong)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 8 | 12 | 14) {
        return Err(wrong());
    }
    let number = |from: usize, to: usize| digits.get(from..to).unwrap_or("0").parse::<i16>().map_err(|_| wrong());
    let small = |from: usize| number(from, from + 2).and_then(|it| i8::try_from(it).map_err(|_| wrong()));
    let (hour, minute) = if digits.len() > 8 { (small(8)?, small(10)?) } else { (0, 0) };
    let second = if digits.len() == 14 { small(12)? } else { 0 };
    let civil = DateTime::new(number(0, 4)?, small(4)?, small(6)?, hour, minute, second, 0).map_err(|_| wrong())?;
    civil.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|_| wrong())
}

/// OpenSSH's lists of patterns: one that matches and none with `!` that does.
fn matches(list: &str, text: &str) -> bool {
    let refused = list.split(',').any(|it| it.strip_prefix('!').is_some_and(|it| glob(it, text)));
    !refused && list.split(',').any(|it| !it.starts_with('!') && glob(it, text))
}
