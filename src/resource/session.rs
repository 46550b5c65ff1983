//! Commands that are kept running in guests: what is declared of one, as it lies in the guest, and what is seen of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Content, Digest, FileSet, FileSetKind, GuestPath};
use crate::config::{Restart, Session, Stdin};

/// A session as it is declared. Its text is a file in the guest, so that it is written, compared, diffed and removed like
/// every other file; what runs carries the digest of the text that it was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSpec {
    /// Its name: a DNS label.
    pub name: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Its working directory in the guest: absolute, `~` or below `~/`; `None` is the home directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where its standard input comes from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stdin: Stdin,
    /// Commands that the guest must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<String>,
    /// What its end means.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: Restart,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<Session> for SessionSpec {
    fn from(declared: Session) -> Self {
        let Session { name, command, cwd, env, stdin, require, restart } = declared;
        Self { name, command, cwd, env, stdin, require, restart }
    }
}

/// The directory of a guest's declared sessions, below its work directory.
const DECLARED: &str = ".regatta/declared";

impl SessionSpec {
    /// Where the declaration of a session lies in its guest.
    ///
    /// # Errors
    /// The name is none.
    pub fn path(name: &str) -> Result<GuestPath, String> {
        GuestPath::new(format!("{DECLARED}/{name}.json"))
    }

    /// The text that lies there.
    pub fn text(&self) -> String {
        // Text and maps with text keys: serialising them cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// What tells it from others of its name.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// The session that a set of files declares; `None` when it declares none.
    pub fn of(set: &FileSet) -> Option<Self> {
        if set.kind != FileSetKind::Session {
            return None;
        }
        set.files.values().find_map(|file| match &file.content {
            Content::Text(text) => serde_json::from_str(text).ok(),
            _ => None,
        })
    }

    /// Whether a session that was found is as it should be, or what is wrong with it.
    pub fn judge(&self, found: Option<&ObservedSession>) -> Standing {
        let Some(found) = found else { return Standing::Missing };
        match &found.declared {
            None => return Standing::Foreign,
            Some(digest) if *digest != self.digest() => return Standing::Outdated,
            Some(_) => {}
        }
        match (&found.state, self.restart) {
            (SessionState::Running, _) | (_, Restart::Never) | (SessionState::Exited(0), Restart::OnFailure) => {
                Standing::Right
            }
            _ => Standing::Ended,
        }
    }
}

/// How a session that was found stands to what is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is as it should be.
    Right,
    /// There is none.
    Missing,
    /// Somebody started it by hand: it is not ours.
    Foreign,
    /// It was started with another declaration.
    Outdated,
    /// It ended, and should run.
    Ended,
}

/// A session as it was found in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedSession {
    /// What becomes of it.
    pub state: SessionState,
    /// Digest of the declaration that it was started with; `None` when it was started by hand.
    pub declared: Option<Digest>,
}

/// Whether a session runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionState {
    /// It does, or is being started or stopped.
    Running,
    /// It ended with this code.
    Exited(i32),
    /// It does not, for this reason.
    Failed(String),
}

impl std::fmt::Display for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Exited(code) => write!(f, "exited {code}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(restart: Restart) -> SessionSpec {
        SessionSpec {
            name: "worker".into(),
            command: vec!["sleep".into(), "inf".into()],
            cwd: None,
            env: BTreeMap::new(),
            stdin: Stdin::None,
            require: Vec::new(),
            restart,
        }
    }

    #[test]
    fn only_what_ended_against_the_declaration_is_started_again() {
        let ends = [
            SessionState::Running,
            SessionState::Exited(0),
            SessionState::Exited(1),
            SessionState::Failed(String::new()),
        ];
        let table = [
            (Restart::Always, [Standing::Right, Standing::Ended, Standing::Ended, Standing::Ended]),
            (Restart::OnFailure, [Standing::Right, Standing::Right, Standing::Ended, Standing::Ended]),
            (Restart::Never, [Standing::Right; 4]),
        ];
        for (restart, expected) in table {
            let spec = spec(restart);
            let found = |state: &SessionState| ObservedSession { state: state.clone(), declared: Some(spec.digest()) };
            assert_eq!(ends.each_ref().map(|state| spec.judge(Some(&found(state)))), expected, "{restart:?}");
        }
    }

    #[test]
    fn what_somebody_started_by_hand_is_not_ours() {
        let spec = spec(Restart::Always);
        let by_hand = ObservedSession { state: SessionState::Exited(1), declared: None };
        assert_eq!(spec.judge(Some(&by_hand)), Standing::Foreign);
        let before = ObservedSession { declared: Some(Digest::of(b"before")), ..by_hand };
        assert_eq!((spec.judge(Some(&before)), spec.judge(None)), (Standing::Outdated, Standing::Missing));
    }

    #[test]
    fn the_text_says_what_was_declared_and_nothing_else() {
        let text = spec(Restart::Always).text();
        assert_eq!(text, "{\n  \"name\": \"worker\",\n  \"command\": [\n    \"sleep\",\n    \"inf\"\n  ]\n}\n");
        assert_eq!(serde_json::from_str::<SessionSpec>(&text).unwrap(), spec(Restart::Always));
    }
}
