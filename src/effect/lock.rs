//! A lock that dies with its holder, and says who that is.
//!
//! The lock is `flock` on an open file: the kernel releases it when the process ends, however it ends, so there is
//! nothing stale to break. The file's content only tells people who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use super::files::{self, FileError};

/// Time between two tries while waiting.
const RETRY: Duration = Duration::from_millis(100);

/// Bytes read of a lock file.
const LIMIT: u64 = 4096;

/// Who holds a lock, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its pid.
    pub pid: u32,
    /// What it does, as typed: `regatta apply`.
    pub command: String,
    /// When it took the lock.
    pub since: jiff::Timestamp,
}

impl Holder {
    /// This process, taking a lock now.
    pub fn this_process(command: impl Into<String>, now: jiff::Timestamp) -> Self {
        Self { pid: std::process::id(), command: command.into(), since: now }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let command: String = self.command.chars().filter(|c| !c.is_control()).collect();
        write!(f, "`{command}` (pid {}, since {:.0})", self.pid, self.since)
    }
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} holds the lock `{path}`", match holder { Some(holder) => holder.to_string(), None => "another process".to_owned() })]
    Held {
        /// The lock's file.
        path: Utf8PathBuf,
        /// Who, when its note could be read.
        holder: Option<Holder>,
    },
    /// The lock's file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A lock that is held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock if it is free. The file is made when missing, with mode 0600, and never removed: another process
    /// may be waiting on it.
    ///
    /// # Errors
    /// [`LockError::Held`] at once when another process has it.
    pub fn try_acquire(path: &Utf8Path, holder: &Holder) -> Result<Self, LockError> {
        let fail = |cause| FileError::Io { doing: "lock", path: path.to_owned(), cause };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = files::open(path, &mut options, OFlag::O_NONBLOCK).map_err(fail)?;
        files::expect_own(path, &file.metadata().map_err(fail)?, "a lock file of our own")?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { path: path.to_owned(), holder: read_note(&file) });
            }
            Err(TryLockError::Error(cause)) => return Err(fail(cause).into()),
        }
        write_note(&file, holder).map_err(fail)?;
        Ok(Self { file })
    }

    /// Takes the lock, waiting until it is free or the deadline has passed.
    ///
    /// # Errors
    /// [`LockError::Held`] with the last holder seen, when the deadline passes.
    pub async fn acquire(path: &Utf8Path, holder: &Holder, deadline: Duration) -> Result<Self, LockError> {
        let end = tokio::time::Instant::now() + deadline;
        loop {
            match Self::try_acquire(path, holder) {
                Err(LockError::Held { .. }) if tokio::time::Instant::now() + RETRY <= end => {
                    tokio::time::sleep(RETRY).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// The open file that holds the lock, to be given to a program that works under it
    /// ([`Command::stdin_file`](super::Command::stdin_file)): should we be killed, the lock is free only when that
    /// program is done as well.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated.
    pub fn share(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A note of a holder that is gone must not be shown; that the lock is free does not depend on it.
        let _ = self.file.set_len(0);
        // Not left to closing: a child that is just being started shares the descriptor until it executes.
        let _ = self.file.unlock();
    }
}

/// The note is a hint: one that is torn, empty or foreign is no holder.
fn read_note(file: &File) -> Option<Holder> {
    let mut note = Vec::new();
    file.take(LIMIT).read_to_end(&mut note).ok()?;
    serde_json::from_slice(&note).ok()
}

fn write_note(mut file: &File, holder: &Holder) -> std::io::Result<()> {
    let mut note = serde_json::to_vec(holder)?;
    note.push(b'\n');
    file.set_len(0)?;
    file.write_all_at(&note, 0)?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn holder(command: &str) -> Holder {
        Holder { pid: 7, command: command.to_owned(), since: "2026-11-22T10:00:00Z".parse().unwrap() }
    }

    fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("host.lock")).unwrap();
        (dir, path)
    }

    #[test]
    fn the_second_taker_is_told_who_holds_it_and_gets_it_when_it_is_dropped() {
        let (_guard, path) = scratch();
        let first = Lock::try_acquire(&path, &holder("regatta apply")).unwrap();
        let refusal = Lock::try_acquire(&path, &holder("regatta destroy")).unwrap_err().to_string();
        assert_eq!(refusal, format!("`regatta apply` (pid 7, since 2026-11-22T10:00:00Z) holds the lock `{path}`"));
        drop(first);
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        Lock::try_acquire(&path, &holder("regatta destroy")).unwrap();
    }

    #[tokio::test]
    async fn waiting_ends_at_the_deadline_or_with_the_lock() {
        let (_guard, path) = scratch();
        let first = Lock::try_acquire(&path, &holder("regatta apply")).unwrap();
        let refused = Lock::acquire(&path, &holder("regatta apply"), Duration::from_millis(150)).await;
        assert!(matches!(refused, Err(LockError::Held { holder: Some(_), .. })));
        let next = holder("regatta destroy");
        let release = async { drop(first) };
        let (second, ()) = tokio::join!(Lock::acquire(&path, &next, Duration::from_secs(10)), release);
        second.unwrap();
    }

    /// Released by death: nothing is left to break after SIGKILL, although the note is still there.
    #[test]
    fn a_killed_holder_leaves_no_lock() {
        if crate::effect::testing::lacks("flock") {
            return;
        }
        let (_guard, path) = scratch();
        let mut child = Command::new("flock")
            .args(["--no-fork", path.as_str(), "sh", "-c", "echo held; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(matches!(Lock::try_acquire(&path, &holder("a")), Err(LockError::Held { holder: None, .. })));
        child.kill().unwrap();
        child.wait().unwrap();
        Lock::try_acquire(&path, &holder("a")).unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_lock_file_is_refused() {
        let (_guard, path) = scratch();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(matches!(Lock::try_acquire(&path, &holder("a")), Err(LockError::File(_))));
    }
}
