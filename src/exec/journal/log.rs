//! Where a journal's bytes go: appended and durable, or not there.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use camino::Utf8Path;

/// Takes a journal's lines. Implemented by [`LogFile`], and by the model world of the tests.
pub trait Log: Send {
    /// Appends bytes; when it returns, they survive a crash of the machine.
    ///
    /// # Errors
    /// When they may not have been written, or not all of them. Nothing may be appended after that.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// The ending of a journal's file before it has its name.
pub(super) const UNNAMED: &str = "new";

/// No journal that is read is larger, in bytes.
const READ_LIMIT: u64 = 512 << 20;

/// A journal's file, held under an exclusive lock for as long as it is open. The lock goes with the process, however
/// that ends, and tells the runs of the living from those of the dead.
#[derive(Debug)]
pub struct LogFile {
    file: File,
}

impl LogFile {
    /// Makes a new file (0600) in a directory that is made as needed (0700). It gets its name when it is locked: nobody
    /// can take it for the journal of a dead process.
    ///
    /// # Errors
    /// When the file is already there, or the system refuses.
    pub(super) fn create(path: &Utf8Path) -> io::Result<Self> {
        let dir = path.parent().unwrap_or_else(|| Utf8Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let aside = path.with_extension(UNNAMED);
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&aside)?;
        file.lock()?;
        // A link, unlike a renaming, never replaces what is there.
        let named = std::fs::hard_link(&aside, path);
        std::fs::remove_file(&aside)?;
        named?;
        // The name must survive a crash as well.
        File::open(dir)?.sync_all()?;
        Ok(Self { file })
    }

    /// Opens the journal of a process that no longer lives; `None` when it does.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn take_over(path: &Utf8Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).append(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Everything in it.
    ///
    /// # Errors
    /// When the system refuses, or it is larger than 512 MiB.
    pub(super) fn read(&mut self) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(0))?;
        read_limited(&self.file)
    }

    /// Drops everything after the first `length` bytes: a torn tail, before something is appended.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_all()
    }
}

impl Log for LogFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_data()
    }
}

/// Reads a journal without locking it: it may be in use.
///
/// # Errors
/// When the system refuses, or it is larger than 512 MiB.
pub(super) fn read_shared(path: &Utf8Path) -> io::Result<Vec<u8>> {
    read_limited(&File::open(path)?)
}

fn read_limited(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(READ_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > READ_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {READ_LIMIT} bytes")));
    }
    Ok(bytes)
}
