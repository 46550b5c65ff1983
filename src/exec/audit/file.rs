//! The log as a file: one writer at a time, appended, synced, and its end noted beside it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::Sum;
use super::{Audit, AuditEntry, AuditFact};

/// The wait between two tries to lock the log, and how many there are: ten seconds together. A writer holds it for milliseconds.
const LOCK_WAIT: Duration = Duration::from_millis(20);
const LOCK_TRIES: u32 = 500;

/// More than this is never written between two notes of the end, in bytes.
const UNNOTED_LIMIT: u64 = 64 << 20;

/// Where the log ends, as far as it was noted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
    /// The sum of the last line.
    pub(super) sum: Sum,
}

/// Takes a copy of each line to where whoever may write the log may not.
type Witness = fn(&str);

/// An audit log at a path, which is made when something is first appended.
#[derive(Debug, Clone)]
pub struct AuditFile {
    path: Utf8PathBuf,
    witness: Option<Witness>,
}

impl AuditFile {
    /// The log at this path.
    pub const fn new(path: Utf8PathBuf) -> Self {
        Self { path, witness: None }
    }

    /// The same, with each line given to somebody else as well.
    #[must_use]
    pub fn witnessed(self, witness: Witness) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// Where the end is noted.
    pub fn head_path(&self) -> Utf8PathBuf {
        self.path.with_extension("head")
    }

    /// The log's path.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    fn write(&self, at: Timestamp, facts: &[AuditFact]) -> io::Result<String> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        lock(&file)?;
        let mut head = self.catch_up(&mut file)?;
        let mut lines = String::new();
        for fact in facts {
            head.sum.write(&AuditEntry { at, fact: fact.clone() }, &mut lines)?;
        }
        file.write_all(lines.as_bytes())?;
        file.sync_data()?;
        head.lines += facts.len() as u64;
        head.bytes += lines.len() as u64;
        self.note(&head)?;
        Ok(lines)
    }

    /// The log's end: what was noted, and what a crash left after it. A line that was never whole was never acted on, and is cut off.
    fn catch_up(&self, file: &mut File) -> io::Result<AuditHead> {
        let broken = |problem: String| io::Error::other(format!("{problem}; `regatta audit verify` tells more"));
        let length = file.metadata()?.len();
        let mut head = match fs::read(self.head_path()) {
            Ok(bytes) => serde_json::from_slice::<AuditHead>(&bytes)
                .map_err(|error| broken(format!("the note of its end cannot be read: {error}")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && length == 0 => AuditHead::default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(broken("the note of its end is gone".into()));
            }
            Err(error) => return Err(error),
        };
        if length < head.bytes {
            return Err(broken(format!("it has {length} bytes, and had {}: its end was cut off", head.bytes)));
        }
        if length - head.bytes > UNNOTED_LIMIT {
            return Err(broken("much was added to it that regatta did not note".into()));
        }
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(head.bytes))?;
        file.take(UNNOTED_LIMIT).read_to_end(&mut rest)?;
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            let Some(body) = line.strip_suffix(b"\n") else { break };
            let text = std::str::from_utf8(body).map_err(|_| broken("a line is not text".into()))?;
            head.sum.read(text).map_err(broken)?;
            head.lines += 1;
            head.bytes += line.len() as u64;
        }
        if head.bytes < length {
            file.set_len(head.bytes)?;
        }
        Ok(head)
    }

    fn note(&self, head: &AuditHead) -> io::Result<()> {
        let beside = self.path.with_extension("head.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(head)?)?;
        fs::rename(&beside, self.head_path())
    }
}

impl Audit for AuditFile {
    fn append(&self, at: Timestamp, facts: &[AuditFact]) -> io::Result<()> {
        if facts.is_empty() {
            return Ok(());
        }
        let lines = self.write(at, facts).map_err(|cause| {
            io::Error::new(cause.kind(), format!("cannot write the audit log `{}`: {cause}", self.path))
        })?;
        if let Some(witness) = self.witness {
            lines.lines().for_each(witness);
        }
        Ok(())
    }
}

fn lock(file: &File) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_WAIT),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds it"))
}
