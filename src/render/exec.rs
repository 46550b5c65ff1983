//! How one command ended in several guests: for people, what did not go well; for machines, everything.
//! `schema/exec.schema.json` describes the latter.

use std::collections::BTreeMap;

use serde::Serialize;

use super::screen::{Screen, Tone};
use super::scrub;

/// The version of the form below. It grows by new members; it changes only when a member changes its meaning.
pub const EXEC_FORMAT_VERSION: u32 = 1;

/// Bytes of each output that are kept.
const KEPT: usize = 1 << 20;

/// How a command ended in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It was not run, or nobody knows how it ended.
    Failed(String),
}

/// What a command wrote, up to a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Said {
    /// Adds one line, given without its end.
    pub fn add(&mut self, line: &[u8]) {
        let room = KEPT.saturating_sub(self.bytes.len());
        self.truncated |= line.len() >= room;
        self.bytes.extend(line.iter().chain(b"\n").take(room));
    }
}

/// One guest's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// What it wrote to standard output.
    pub stdout: Said,
    /// What it wrote to standard error.
    pub stderr: Said,
}

impl Ran {
    /// A guest in which it was not run.
    pub fn not(why: String) -> Self {
        Self { ended: Ended::Failed(why), stdout: Said::default(), stderr: Said::default() }
    }
}

/// A line for each guest in which the command did not end well; nothing when it did everywhere.
pub fn exec_summary(ran: &BTreeMap<String, Ran>, screen: Screen) -> String {
    let mut text = String::new();
    for (guest, one) in ran {
        let how = match &one.ended {
            Ended::Exited(0) => continue,
            Ended::Exited(code) => format!("exited with {code}"),
            Ended::Signalled(signal) => format!("was ended by signal {signal}"),
            Ended::Failed(why) => why.clone(),
        };
        text.push_str(&format!("{}: {}\n", screen.paint(Tone::Alarm, guest), scrub::line(&how)));
    }
    text
}

#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    command: &'a [String],
    guests: Vec<GuestDocument<'a>>,
}

#[derive(Serialize)]
struct GuestDocument<'a> {
    name: &'a str,
    outcome: &'static str,
    code: Option<i32>,
    signal: Option<i32>,
    error: Option<&'a str>,
    stdout: String,
    stderr: String,
    truncated: bool,
}

/// Everything as indented JSON with a line break at the end. Bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
/// Never: every map key is text.
pub fn exec_json(command: &[String], ran: &BTreeMap<String, Ran>) -> serde_json::Result<String> {
    let guests = ran.iter().map(|(name, one)| {
        let (outcome, code, signal, error) = match &one.ended {
            Ended::Exited(code) => ("exited", Some(*code), None, None),
            Ended::Signalled(signal) => ("signalled", None, Some(*signal), None),
            Ended::Failed(why) => ("failed", None, None, Some(why.as_str())),
        };
        let text = |said: &Said| String::from_utf8_lossy(&said.bytes).into_owned();
        let (stdout, stderr) = (text(&one.stdout), text(&one.stderr));
        let truncated = one.stdout.truncated || one.stderr.truncated;
        GuestDocument { name, outcome, code, signal, error, stdout, stderr, truncated }
    });
    let document = Document { format_version: EXEC_FORMAT_VERSION, command, guests: guests.collect() };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran() -> BTreeMap<String, Ran> {
        let mut said = Said::default();
        said.add(b"a\xff");
        said.add(b"");
        let ended = |ended| Ran { ended, stdout: Said::default(), stderr: Said::default() };
        [
            ("a", Ran { stdout: said, ..ended(Ended::Exited(0)) }),
            ("b", ended(Ended::Exited(3))),
            ("c", ended(Ended::Signalled(9))),
            ("d", Ran::not("no\x1b[2J answer".into())),
        ]
        .map(|(name, one)| (name.to_owned(), one))
        .into()
    }

    #[test]
    fn people_are_told_what_did_not_end_well() {
        let expected = "b: exited with 3\nc: was ended by signal 9\nd: no\\u{1b}[2J answer\n";
        assert_eq!(exec_summary(&ran(), Screen::plain(80)), expected);
    }

    #[test]
    fn machines_are_told_everything() {
        let ran = ran().into_iter().take(2).collect();
        let expected = serde_json::json!({
            "format_version": 1,
            "command": ["x"],
            "guests": [
                {"name": "a", "outcome": "exited", "code": 0, "signal": null, "error": null, "stdout": "a\u{fffd}\n\n",
                 "stderr": "", "truncated": false},
                {"name": "b", "outcome": "exited", "code": 3, "signal": null, "error": null, "stdout": "",
                 "stderr": "", "truncated": false},
            ],
        });
        let text = exec_json(&["x".to_owned()], &ran).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let mut said = Said::default();
        (0..3).for_each(|_| said.add(&vec![b'x'; KEPT / 2]));
        assert_eq!((said.bytes.len(), said.truncated), (KEPT, true));
    }
}
