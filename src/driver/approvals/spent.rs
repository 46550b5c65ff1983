//! Which approvals were spent, by which run, and how that ended. Entries go when their approval has expired, and not before.

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Accepted;
use crate::effect::files::{self, FileError};
use crate::exec::{Failure, Outcome, RunId};
use crate::plan::gate::Refusal;
use crate::resource::Digest;

/// The store is small: approvals live for hours.
const LIMIT: u64 = 16 << 20;

const FORMAT_VERSION: u32 = 1;

/// An approval that was spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// Its nonce.
    pub nonce: String,
    /// The digest of its file.
    pub file: Digest,
    /// Until then it has to be remembered.
    pub expires: Timestamp,
    /// The run that spent it.
    pub run: RunId,
    /// How that ended; `None` until it did, and for ever when it died.
    pub outcome: Option<Outcome>,
}

impl Spent {
    /// The refusal of whoever comes with it again: it tells what became of it.
    pub(super) fn refusal(&self) -> Refusal {
        let word = |outcome: &Outcome| serde_json::to_value(outcome).ok()?.as_str().map(str::to_owned);
        Refusal::Replayed { run: self.run.to_string(), outcome: self.outcome.as_ref().and_then(word) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format_version: u32,
    /// The latest moment that was ever seen: a clock that is set back does not make an approval good again.
    latest: Timestamp,
    spent: Vec<Spent>,
}

/// The store of one fleet. Who changes it holds the host's lock.
#[derive(Debug, Clone)]
pub struct SpentStore {
    path: Utf8PathBuf,
    document: Document,
}

impl SpentStore {
    /// Reads the store; it is empty when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read: nobody knows then what was spent, and nothing may be.
    pub fn open(path: &Utf8Path) -> Result<Self, Failure> {
        let unreadable = |why: String| {
            Failure::permanent(format!("cannot read which approvals were spent, in `{path}`: {why}"))
                .hint("move it away only when every approval that was given has expired")
        };
        let bytes = files::read_bounded(path, LIMIT).map_err(|error| unreadable(error.to_string()))?;
        let document = match bytes {
            None => Document { format_version: FORMAT_VERSION, latest: Timestamp::UNIX_EPOCH, spent: Vec::new() },
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?,
        };
        if document.format_version != FORMAT_VERSION {
            return Err(unreadable(format!("found format version {}", document.format_version)));
        }
        Ok(Self { path: path.to_owned(), document })
    }

    /// The time: never earlier than it was when something was last spent.
    pub fn latest(&self, now: Timestamp) -> Timestamp {
        now.max(self.document.latest)
    }

    /// What is known of a nonce.
    pub fn find(&self, nonce: &str) -> Option<&Spent> {
        self.document.spent.iter().find(|spent| spent.nonce == nonce)
    }

    /// Remembers that a run spends these, durably. Those that have expired are forgotten.
    ///
    /// # Errors
    /// When it cannot be written: the run must not begin then.
    pub fn spend(&mut self, accepted: &[&Accepted], run: RunId, now: Timestamp) -> Result<(), FileError> {
        let now = self.latest(now);
        self.document.latest = now;
        self.document.spent.retain(|spent| spent.expires > now);
        for Accepted { file, approval, .. } in accepted {
            let (nonce, expires) = (approval.nonce.clone(), approval.expires);
            self.document.spent.push(Spent { nonce, file: file.clone(), expires, run, outcome: None });
        }
        self.write()
    }

    /// Remembers how a run ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&mut self, run: RunId, outcome: Outcome) -> Result<(), FileError> {
        self.document.spent.iter_mut().filter(|spent| spent.run == run).for_each(|spent| spent.outcome = Some(outcome));
        self.write()
    }

    fn write(&self) -> Result<(), FileError> {
        // Times, numbers and texts: serialising them cannot fail.
        files::write_atomic(&self.path, &serde_json::to_vec(&self.document).unwrap_or_default())
    }
}
