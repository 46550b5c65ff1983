//! Sessions in guests, one line each, or one of them at length. `schema/sessions.schema.json` describes the JSON.

use serde::Serialize;

use super::layout::pad;
use super::screen::{Screen, Tone};
use super::scrub;
use super::table::{Cell, table};

/// The version of the JSON form. It grows by new members; it changes only when a member changes its meaning.
pub const SESSIONS_FORMAT_VERSION: u32 = 1;

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The guest it is in.
    pub guest: String,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: SessionState,
    /// When it was started, in seconds since 1970, by the guest's clock.
    pub created: Option<i64>,
    /// Bytes that are kept of its output.
    pub stdout: u64,
    /// Bytes that are kept of its error output.
    pub stderr: u64,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Whether somebody can attach to its input.
    pub input: bool,
}

/// How a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionState {
    /// It is being started.
    Starting,
    /// It runs.
    Running,
    /// It was asked to end and runs.
    Stopping,
    /// It ended with this code.
    Exited(i32),
    /// It failed, for this reason.
    Failed(&'static str),
}

impl SessionState {
    const fn word(&self) -> (Tone, &'static str) {
        match self {
            Self::Starting => (Tone::Changed, "starting"),
            Self::Running => (Tone::Added, "running"),
            Self::Stopping => (Tone::Changed, "stopping"),
            Self::Exited(0) => (Tone::Quiet, "exited"),
            Self::Exited(_) => (Tone::Changed, "exited"),
            Self::Failed(_) => (Tone::Alarm, "failed"),
        }
    }
}

/// The table as text, each line ending in a line break.
pub fn sessions(rows: &[SessionRow], screen: Screen) -> String {
    if rows.is_empty() {
        return "No sessions.\n".into();
    }
    table(["GUEST", "SESSION", "STATE", "CODE", "COMMAND"], rows.iter().map(cells), screen)
}

fn cells(row: &SessionRow) -> [Cell; 5] {
    let (tone, word) = row.state.word();
    let code = if let SessionState::Exited(code) = row.state { code.to_string() } else { "-".into() };
    [
        (Tone::Plain, row.guest.clone()),
        (Tone::Strong, row.name.clone()),
        (tone, word.into()),
        (Tone::Plain, code),
        (Tone::Plain, scrub::line(&row.command.join(" ")).into_owned()),
    ]
}

/// One session at length.
pub fn session_story(row: &SessionRow, screen: Screen) -> String {
    let (tone, word) = row.state.word();
    let how = match &row.state {
        SessionState::Exited(code) => format!(" with {code}"),
        SessionState::Failed(why) => format!(": {why}"),
        _ => String::new(),
    };
    let since = row.created.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let lines = [
        ("session", format!("{} in {}", screen.paint(Tone::Strong, &row.name), row.guest)),
        ("state", format!("{}{how}", screen.paint(tone, word))),
        ("command", scrub::line(&row.command.join(" ")).into_owned()),
        ("started", since.map_or("unknown".into(), |at| at.to_string())),
        ("input", if row.input { "whoever attaches" } else { "none" }.into()),
        ("logs", format!("{} bytes of output, {} bytes of error output", row.stdout, row.stderr)),
    ];
    lines.iter().map(|(name, value)| format!("{}  {value}\n", screen.paint(Tone::Quiet, &pad(name, 7)))).collect()
}

#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    sessions: Vec<SessionDocument<'a>>,
    silent: Vec<Silent<'a>>,
}

#[derive(Serialize)]
struct SessionDocument<'a> {
    guest: &'a str,
    name: &'a str,
    state: &'static str,
    code: Option<i32>,
    reason: Option<&'static str>,
    created: Option<i64>,
    stdout_bytes: u64,
    stderr_bytes: u64,
    command: &'a [String],
    stdin: &'static str,
}

impl<'a> From<&'a SessionRow> for SessionDocument<'a> {
    fn from(row: &'a SessionRow) -> Self {
        let (code, reason) = match &row.state {
            SessionState::Exited(code) => (Some(*code), None),
            SessionState::Failed(why) => (None, Some(*why)),
            _ => (None, None),
        };
        Self {
            guest: &row.guest,
            name: &row.name,
            state: row.state.word().1,
            code,
            reason,
            created: row.created,
            stdout_bytes: row.stdout,
            stderr_bytes: row.stderr,
            command: &row.command,
            stdin: if row.input { "pipe" } else { "none" },
        }
    }
}

#[derive(Serialize)]
struct Silent<'a> {
    guest: &'a str,
    error: &'a str,
}

/// Everything as indented JSON with a line break at the end; `silent` are guests that gave no answer, and why.
///
/// # Errors
/// Never: every map key is text.
pub fn sessions_json(rows: &[SessionRow], silent: &[(String, String)]) -> serde_json::Result<String> {
    let document = Document {
        format_version: SESSIONS_FORMAT_VERSION,
        sessions: rows.iter().map(SessionDocument::from).collect(),
        silent: silent.iter().map(|(guest, error)| Silent { guest, error }).collect(),
    };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, state: SessionState) -> SessionRow {
        SessionRow {
            guest: "web-1".into(),
            name: name.into(),
            state,
            created: Some(1_795_341_600),
            stdout: 12,
            stderr: 0,
            command: vec!["make".into(), "\x1b[2J".into()],
            input: false,
        }
    }

    #[test]
    fn a_table_and_one_at_length() {
        let rows = [row("a", SessionState::Running), row("build", SessionState::Exited(2))];
        let expected = "GUEST  SESSION  STATE    CODE  COMMAND\n\
                        web-1  a        running  -     make \\u{1b}[2J\n\
                        web-1  build    exited   2     make \\u{1b}[2J\n";
        assert_eq!(sessions(&rows, Screen::plain(80)), expected);
        assert_eq!(sessions(&[], Screen::plain(80)), "No sessions.\n");
        let expected = "session  b in web-1\nstate    failed: nobody saw its end\ncommand  make \\u{1b}[2J\n\
                        started  2026-11-22T10:00:00Z\ninput    none\nlogs     12 bytes of output, 0 bytes of error output\n";
        assert_eq!(session_story(&row("b", SessionState::Failed("nobody saw its end")), Screen::plain(80)), expected);
    }
}
