//! What a session runs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::resource::Digest;

/// What a session is called: it is a directory and part of a unit's name in the guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionName(String);

/// Characters of the longest name.
const NAME_MAX: usize = 63;

impl SessionName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > NAME_MAX || !text.chars().all(plain) || text.starts_with('-') {
            let shown = text.escape_debug();
            return Err(format!(
                "found the name `{shown}`, expected letters a to z, digits and `-`, at most {NAME_MAX}"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a job's standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Nowhere.
    None,
    /// From whoever attaches.
    Pipe,
}

/// A command to be kept running in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What the session is called.
    pub name: SessionName,
    /// The command and its arguments.
    pub argv: Vec<String>,
    /// Its working directory, absolute; the home directory when `None`.
    pub directory: Option<String>,
    /// Its environment, besides `HOME`, `PATH` and the like. Values are not shown anywhere.
    pub variables: BTreeMap<String, String>,
    /// Where its input comes from.
    pub input: Input,
    /// Commands that must be there before it is started.
    pub require: Vec<String>,
    /// Digest of the declaration that it comes from. One of the same name that has ended makes room for it, and leaves it
    /// its logs; `None` is what somebody starts by hand, and takes nobody's place.
    pub declared: Option<Digest>,
}

/// What is kept beside a session for those who list it; one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) command: Vec<String>,
    pub(super) input: Input,
}

/// The last line of a job. No word is like it: those come after their kind.
const END: &str = "end\n";

impl Job {
    pub(super) fn meta(&self) -> String {
        let meta = Meta { command: self.argv.clone(), input: self.input };
        // Text and lists of it: serialising them cannot fail.
        serde_json::to_string(&meta).unwrap_or_default()
    }

    /// The job as the guest's shell reads it: a word or a variable on each line, everything but plain letters as octal
    /// escapes, so that no shell and no `read` sees anything in it that means something. The last line says that all of it
    /// arrived.
    pub(super) fn encoded(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.variables {
            line(&mut text, "variable", &format!("{name}={value}"));
        }
        for word in &self.argv {
            line(&mut text, "word", word);
        }
        text.push_str(END);
        text
    }
}

fn line(text: &mut String, kind: &str, word: &str) {
    text.push_str(kind);
    text.push(' ');
    for byte in word.bytes() {
        if byte.is_ascii_alphanumeric() || b"_./=:,+-@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "\\0{byte:03o}");
        }
    }
    text.push('\n');
}
