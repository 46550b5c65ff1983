//! The directory of a fleet's journals: one file per run, named by its id, so that names sort by time.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::log::{LogFile, read_shared};
use super::read::{Damaged, load};
use super::story::{RunPhase, Story};
use super::{Fact, Identity, Journal, RecordError};
use crate::exec::RunId;
use crate::plan::Graph;

/// Why journals could not be read or begun.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refuses.
    #[error("cannot {verb} the journal `{path}`: {cause}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file or directory.
        path: Utf8PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// A line in the middle is damaged.
    #[error(
        "the journal `{path}` cannot be trusted: {cause}; move it away to go on: the next plan looks at the world itself"
    )]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// Where and how.
        cause: Damaged,
    },
    /// Something could not be recorded.
    #[error("cannot write the journal `{path}`: {cause}")]
    Record {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        cause: RecordError,
    },
}

/// A fleet's journals.
#[derive(Debug, Clone)]
pub struct Journals {
    dir: Utf8PathBuf,
}

/// A run whose process died before it was finished. While this value lives, its journal is locked: nobody else takes it up.
#[derive(Debug)]
pub struct OpenRun {
    path: Utf8PathBuf,
    log: LogFile,
    run: RunId,
    loaded: super::read::Loaded,
}

/// The ending of a journal's name.
const ENDING: &str = "jsonl";

impl Journals {
    /// The journals in a directory, which need not exist: `fleets/FLEET/runs` in the state directory.
    pub fn new(dir: impl Into<Utf8PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Where a run's journal is.
    pub fn path(&self, run: RunId) -> Utf8PathBuf {
        self.dir.join(format!("{run}.{ENDING}"))
    }

    /// Begins the journal of a new run, with all of the graph's steps in it.
    ///
    /// # Errors
    /// When it could not be made durable: nothing may be done then.
    pub fn begin(&self, identity: Identity, graph: &Graph, at: Timestamp) -> Result<Journal, JournalError> {
        let path = self.path(identity.run);
        let log = LogFile::create(&path).map_err(|cause| failed("create", &path, cause))?;
        Journal::begin(Box::new(log), identity, graph, at).map_err(|cause| JournalError::Record { path, cause })
    }

    /// Every run that has a journal, oldest first. Files with other names are not ours and are left out.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        let entries = match self.dir.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(failed("list", &self.dir, cause)),
        };
        let mut runs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|cause| failed("list", &self.dir, cause))?;
            runs.extend(run_of(entry.path()));
        }
        runs.sort_unstable();
        Ok(runs)
    }

    /// What a run's journal tells; the run may be going on.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn story(&self, run: RunId) -> Result<Story, JournalError> {
        let path = self.path(run);
        let bytes = read_shared(&path).map_err(|cause| failed("read", &path, cause))?;
        load(&bytes).map(|loaded| loaded.story).map_err(|cause| JournalError::Damaged { path, cause })
    }

    /// The runs that were never finished and whose process is dead, oldest first.
    ///
    /// # Errors
    /// When one cannot be read or is damaged: what it did cannot be told then.
    pub fn unfinished(&self) -> Result<Vec<OpenRun>, JournalError> {
        let mut open = Vec::new();
        for run in self.runs()? {
            let path = self.path(run);
            let Some(mut log) = LogFile::take_over(&path).map_err(|cause| failed("open", &path, cause))? else {
                continue;
            };
            let bytes = log.read().map_err(|cause| failed("read", &path, cause))?;
            let loaded = load(&bytes).map_err(|cause| JournalError::Damaged { path: path.clone(), cause })?;
            if !matches!(loaded.story.phase, RunPhase::Closed(_)) {
                open.push(OpenRun { path, log, run, loaded });
            }
        }
        Ok(open)
    }
}

impl OpenRun {
    /// The run.
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// What it got done before its process died.
    pub const fn story(&self) -> &Story {
        &self.loaded.story
    }

    /// Closes the journal: the run is interrupted, and another takes its work up. A run that died before its beginning
    /// was written has done nothing, and its file is removed.
    ///
    /// # Errors
    /// When that could not be made durable.
    pub fn close(self, by: RunId, at: Timestamp) -> Result<(), JournalError> {
        let Self { path, mut log, run, loaded } = self;
        let Some(beginning) = &loaded.story.beginning else {
            return std::fs::remove_file(&path).map_err(|cause| failed("remove", &path, cause));
        };
        let fleet = beginning.fleet.clone();
        log.truncate(loaded.whole as u64).map_err(|cause| failed("truncate", &path, cause))?;
        let mut journal =
            Journal { log: Box::new(log), sum: loaded.sum, story: loaded.story, run, fleet, broken: false };
        journal.record(at, [Fact::Interrupted { by }]).map_err(|cause| JournalError::Record { path, cause })
    }
}

fn failed(verb: &'static str, path: &Utf8Path, cause: io::Error) -> JournalError {
    JournalError::Io { verb, path: path.to_owned(), cause }
}

/// The run a journal's name belongs to.
fn run_of(path: &Utf8Path) -> Option<RunId> {
    (path.extension() == Some(ENDING)).then(|| path.file_stem()?.parse().ok()).flatten()
}
