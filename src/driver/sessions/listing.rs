//! What a guest says about its sessions.

use super::SessionName;
use super::job::{Input, Meta};
use crate::resource::Digest;

/// One session as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub name: SessionName,
    /// How it stands.
    pub status: SessionStatus,
    /// When it was started, in seconds since 1970, by the guest's clock.
    pub created: Option<i64>,
    /// Bytes that are kept of its output.
    pub stdout: u64,
    /// Bytes that are kept of its error output.
    pub stderr: u64,
    /// The command and its arguments; empty when the guest does not know any more.
    pub command: Vec<String>,
    /// Where its input comes from.
    pub input: Input,
    /// Digest of the declaration that it comes from; `None` when it was started by hand.
    pub declared: Option<Digest>,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    /// It is being started.
    Starting,
    /// Its job runs.
    Running,
    /// Its job was sent a signal and still runs.
    Stopping,
    /// Its job ended with this code; 128 and the number of a signal when one ended it.
    Exited(i32),
    /// Its end, or that it ever began, is not known.
    Failed(Why),
}

/// Why a session failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The guest was restarted while it ran.
    Restarted,
    /// It was not ready in time.
    NotReady,
    /// It and its watcher were killed.
    Lost,
}

/// Reads the listing that the script prints.
///
/// # Errors
/// The first line that is none of it.
pub(super) fn parse(listing: &[u8]) -> Result<Vec<Session>, String> {
    let text = String::from_utf8_lossy(listing);
    let wrong = |line: &str| {
        let shown: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
        format!("found `{shown}` in the list of sessions")
    };
    text.lines().map(|line| session(line).ok_or_else(|| wrong(line))).collect()
}

fn session(line: &str) -> Option<Session> {
    let mut fields = line.splitn(8, '\t');
    let mut next = || fields.next();
    let (name, status, detail) = (next()?, next()?, next()?);
    let (created, stdout, stderr, declared, meta) = (next()?, next()?, next()?, next()?, next()?);
    // A session that is being started may lack what comes later.
    let meta = serde_json::from_str::<Meta>(meta).unwrap_or(Meta { command: Vec::new(), input: Input::None });
    Some(Session {
        name: name.parse().ok()?,
        status: parse_status(status, detail)?,
        created: created.trim().parse().ok(),
        stdout: stdout.trim().parse().ok()?,
        stderr: stderr.trim().parse().ok()?,
        command: meta.command,
        input: meta.input,
        declared: Digest::parse(declared.trim()),
    })
}

fn parse_status(status: &str, detail: &str) -> Option<SessionStatus> {
    Some(match (status, detail) {
        ("starting", _) => SessionStatus::Starting,
        ("running", _) => SessionStatus::Running,
        ("stopping", _) => SessionStatus::Stopping,
        ("exited", code) => SessionStatus::Exited(code.parse().ok()?),
        ("failed", "restarted") => SessionStatus::Failed(Why::Restarted),
        ("failed", "not-ready") => SessionStatus::Failed(Why::NotReady),
        ("failed", "lost") => SessionStatus::Failed(Why::Lost),
        _ => return None,
    })
}
