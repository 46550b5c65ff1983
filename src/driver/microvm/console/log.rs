//! A log that cannot fill the disk: two files, of which the older one is given up when the newer one is full.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use camino::Utf8PathBuf;

/// Where a console's output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// What was said last.
    pub current: Utf8PathBuf,
    /// What was said before that.
    pub previous: Utf8PathBuf,
}

/// Appends, and never takes more than twice its limit.
#[derive(Debug)]
pub(super) struct BoundedLog {
    paths: Paths,
    file: File,
    length: u64,
    limit: u64,
}

impl BoundedLog {
    /// Opens the log for appending. `limit`: bytes of one file.
    pub(super) fn open(paths: Paths, limit: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&paths.current)?;
        let length = file.metadata()?.len();
        Ok(Self { paths, file, length, limit })
    }

    /// Appends bytes, at most as many as the limit. After an error some of them may be lost, and the log goes on.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length > 0 && self.length + bytes.len() as u64 > self.limit {
            match std::fs::rename(&self.paths.current, &self.paths.previous) {
                Ok(()) => *self = Self::open(self.paths.clone(), self.limit)?,
                // The guest was renamed: the directory has another name now, and the open file is all there is.
                Err(_) => {
                    self.file.set_len(0)?;
                    self.length = 0;
                }
            }
        }
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Bytes read of a log in one go.
const PIECE: u64 = 64 << 10;

/// Reads a log as it grows, also over the change from one file to the next.
#[derive(Debug)]
pub struct Follow {
    paths: Paths,
    open: Option<File>,
}

impl Follow {
    /// From the beginning of what is kept.
    pub fn new(paths: Paths) -> Self {
        let open = File::open(&paths.previous).ok();
        Self { paths, open }
    }

    /// What was said since the last call, at most 64 KiB; nothing when nothing was.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read_on(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(file) = &self.open {
            file.take(PIECE).read_to_end(&mut bytes)?;
        }
        if !bytes.is_empty() {
            return Ok(bytes);
        }
        // The file at hand is read to its end: another one with its name means that it was full.
        let newer = match File::open(&self.paths.current) {
            Ok(newer) => newer,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(bytes),
            Err(cause) => return Err(cause),
        };
        let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        if self.open.as_ref().is_some_and(|open| identity(open).ok() == identity(&newer).ok()) {
            return Ok(bytes);
        }
        (&newer).take(PIECE).read_to_end(&mut bytes)?;
        self.open = Some(newer);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(dir: &tempfile::TempDir) -> Paths {
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        Paths { current: root.join("console.log"), previous: root.join("console.log.1") }
    }

    fn kept(paths: &Paths) -> (Vec<u8>, Vec<u8>) {
        let read = |path| std::fs::read(path).unwrap_or_default();
        (read(&paths.previous), read(&paths.current))
    }

    /// A guest that talks without end takes two files' worth of disk.
    #[test]
    fn the_log_is_bounded_and_ends_with_what_was_said_last() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(&dir);
        let mut log = BoundedLog::open(paths.clone(), 10).unwrap();
        for piece in ["aaaa", "bbbb", "cccc", "dddd", "eeee"] {
            log.append(piece.as_bytes()).unwrap();
            let (previous, current) = kept(&paths);
            assert!(previous.len() + current.len() <= 20);
        }
        assert_eq!(kept(&paths), (b"ccccdddd".to_vec(), b"eeee".to_vec()));
        drop(log);
        BoundedLog::open(paths.clone(), 10).unwrap().append(b"ffff").unwrap();
        assert_eq!(kept(&paths), (b"ccccdddd".to_vec(), b"eeeeffff".to_vec()));
    }

    #[test]
    fn following_loses_nothing_when_files_change() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(&dir);
        let mut log = BoundedLog::open(paths.clone(), 8).unwrap();
        let mut follow = Follow::new(paths);
        let mut read = Vec::new();
        for piece in ["aaaa", "bbbb", "cccc", "dddd", "eeee"] {
            log.append(piece.as_bytes()).unwrap();
            read.extend(follow.read_on().unwrap());
            read.extend(follow.read_on().unwrap());
        }
        assert_eq!(String::from_utf8(read).unwrap(), "aaaabbbbccccddddeeee");
        assert_eq!(follow.read_on().unwrap(), b"");
    }
}
