//! The directory of a fleet's journals: one file per run, named by its id, so that names sort by time.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::log::{LogFile, UNNAMED, read_shared};
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

/// A fleet's journals. Runs are begun, taken up and rotated by who holds the host's lock; anybody may read.
#[derive(Debug, Clone)]
pub struct Journals {
    dir: Utf8PathBuf,
}

/// How many journals are kept: the newest, as long as they are within both bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Runs.
    pub runs: usize,
    /// Bytes of all of them together.
    pub bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { runs: 100, bytes: 256 << 20 }
    }
}

/// Whether a run is going on, by the lock on its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pulse {
    /// Its process lives.
    Alive,
    /// It does not.
    Dead,
}

/// A run whose process died before it was finished. While this value lives, its journal is locked: nobody else takes it up.
#[derive(Debug)]
pub struct OpenRun {
    path: Utf8PathBuf,
    log: LogFile,
    run: RunId,
    loaded: super::read::Loaded,
}

/// A run as far as its journal can be read.
#[derive(Debug)]
pub struct Listed {
    /// The run.
    pub run: RunId,
    /// Whether its process lives.
    pub pulse: Pulse,
    /// What it tells.
    pub story: Result<Story, JournalError>,
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
        let mut runs: Vec<RunId> = self.files()?.iter().filter_map(|path| run_of(path)).collect();
        runs.sort_unstable();
        Ok(runs)
    }

    /// Everything in the directory; nothing when there is none.
    fn files(&self) -> Result<Vec<Utf8PathBuf>, JournalError> {
        let list = || -> io::Result<Vec<Utf8PathBuf>> {
            self.dir.read_dir_utf8()?.map(|entry| Ok(entry?.into_path())).collect()
        };
        match list() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(|cause| failed("list", &self.dir, cause)),
        }
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

    /// Every run, oldest first; one that cannot be read is in the list all the same.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, JournalError> {
        self.runs()?.into_iter().map(|run| self.look(run)).collect()
    }

    /// One run.
    ///
    /// # Errors
    /// When there is no such journal.
    pub fn look(&self, run: RunId) -> Result<Listed, JournalError> {
        Ok(Listed { run, pulse: self.pulse(run)?, story: self.story(run) })
    }

    /// Whether a run's process lives.
    ///
    /// # Errors
    /// When the journal cannot be opened.
    pub fn pulse(&self, run: RunId) -> Result<Pulse, JournalError> {
        let path = self.path(run);
        let taken = LogFile::take_over(&path).map_err(|cause| failed("open", &path, cause))?;
        Ok(if taken.is_some() { Pulse::Dead } else { Pulse::Alive })
    }

    /// Removes the journals of closed runs beyond what is kept, and files whose process died before they had a name.
    /// What cannot be read, and what is open, stays.
    ///
    /// # Errors
    /// When the directory cannot be read, or a file cannot be removed.
    pub fn rotate(&self, keep: Keep) -> Result<(), JournalError> {
        let (mut runs, mut bytes) = (0, 0);
        for run in self.runs()?.into_iter().rev() {
            let path = self.path(run);
            runs += 1;
            bytes += path.metadata().map_err(|cause| failed("read", &path, cause))?.len();
            if (runs > keep.runs || bytes > keep.bytes) && self.is_closed(run) {
                remove(&path)?;
            }
        }
        for path in self.files()?.iter().filter(|path| path.extension() == Some(UNNAMED)) {
            remove(path)?;
        }
        Ok(())
    }

    fn is_closed(&self, run: RunId) -> bool {
        self.story(run).is_ok_and(|story| matches!(story.phase, RunPhase::Closed(_)))
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
            return remove(&path);
        };
        let fleet = beginning.fleet.clone();
        log.truncate(loaded.whole as u64).map_err(|cause| failed("truncate", &path, cause))?;
        let mut journal =
            Journal { log: Box::new(log), sum: loaded.sum, story: loaded.story, run, fleet, broken: false };
        journal.record(at, [Fact::Interrupted { by }]).map_err(|cause| JournalError::Record { path, cause })
    }
}

fn remove(path: &Utf8Path) -> Result<(), JournalError> {
    std::fs::remove_file(path).map_err(|cause| failed("remove", path, cause))
}

fn failed(verb: &'static str, path: &Utf8Path, cause: io::Error) -> JournalError {
    JournalError::Io { verb, path: path.to_owned(), cause }
}

/// The run a journal's name belongs to.
fn run_of(path: &Utf8Path) -> Option<RunId> {
    (path.extension() == Some(ENDING)).then(|| path.file_stem()?.parse().ok()).flatten()
}
