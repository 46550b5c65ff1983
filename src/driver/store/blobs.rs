//! What was fetched, under its digest: one download for everybody, resumed after an interruption, verified before it is
//! seen.
//!
//! ```text
//! store/blobs/<sha256>      whole and verified
//! store/partial/<sha256>    what arrived so far
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, Write as _};
use std::time::Duration;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};

use super::{Store, storage_failure};
use crate::driver::meter::Meter;
use crate::effect::files::private_dir;
use crate::effect::{Clock as _, Holder, Lock, LockError, SystemClock, http};
use crate::exec::Failure;
use crate::resource::Digest;

/// How long another process may fetch what we wait for.
const FETCH_DEADLINE: Duration = Duration::from_secs(4 * 60 * 60);

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 20;

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver) struct Wanted {
    /// What it is called in errors, such as `layer 2 of web`.
    pub(in crate::driver) name: String,
    /// The digest that it must have.
    pub(in crate::driver) digest: Digest,
    /// The length that it must have; what is longer is not read to its end.
    pub(in crate::driver) size: Option<u64>,
}

/// Where a file comes from.
#[async_trait]
pub(in crate::driver) trait Source: Send + Sync {
    /// Begins to read it, from an offset if the server can do that: says where it really begins.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn open(&self, from: u64) -> Result<(u64, http::Body), Failure>;
}

impl Store {
    /// Where a file of this digest is, once it was fetched.
    pub(in crate::driver) fn blob_path(&self, digest: &Digest) -> Utf8PathBuf {
        self.root.join("blobs").join(digest.as_str())
    }

    /// Fetches a file, unless it is there. Who asks for the same at the same time waits, and shares it.
    ///
    /// # Errors
    /// When it cannot be fetched or stored (what arrived is kept, and continued next time), or is not what it should be
    /// (then nothing is kept).
    pub(in crate::driver) async fn fetch(
        &self,
        wanted: &Wanted,
        source: &dyn Source,
        meter: &Meter<'_>,
    ) -> Result<Utf8PathBuf, Failure> {
        for folder in ["blobs", "partial", "locks"] {
            private_dir(&self.root.join(folder))?;
        }
        let path = self.blob_path(&wanted.digest);
        let _lock = self.blob_lock(wanted, meter).await?;
        if is_whole(&path, wanted) {
            meter.skip(path.metadata().map_or(0, |found| found.len()));
            return Ok(path);
        }
        let partial = self.root.join("partial").join(wanted.digest.as_str());
        let mut download = Download::begin(&partial, wanted, meter)?;
        let outcome = download.run(source).await;
        match outcome.and_then(|()| download.finish(&path)) {
            Ok(()) => Ok(path),
            Err(Ending::Interrupted(failure)) if download.length > 0 => Err(failure),
            Err(Ending::Interrupted(failure) | Ending::Useless(failure)) => {
                // What is wrong, or nothing, is in nobody's way when it cannot be removed: the next download finds the same.
                let _ = fs::remove_file(&partial);
                Err(failure)
            }
        }
    }

    /// Stores a file of unknown content under the digest that it turns out to have.
    ///
    /// # Errors
    /// When it cannot be received or stored; nothing is kept then.
    pub(in crate::driver) async fn take(
        &self,
        mut body: http::Body,
        name: &str,
        meter: &Meter<'_>,
    ) -> Result<Digest, Failure> {
        for folder in ["blobs", "partial"] {
            private_dir(&self.root.join(folder))?;
        }
        let fail = |cause: io::Error| storage_failure(&format!("cannot store `{name}`"), &cause);
        let mut file = tempfile::Builder::new().prefix("new.").tempfile_in(self.root.join("partial")).map_err(fail)?;
        let mut hash = Sha256::new();
        while let Some(chunk) =
            body.chunk().await.map_err(|error| Failure::from(error).context(format!("cannot fetch `{name}`")))?
        {
            hash.update(&chunk);
            file.write_all(&chunk).map_err(fail)?;
            meter.add(chunk.len() as u64);
        }
        let digest = Digest::from_hash(&hash.finalize());
        file.as_file().sync_all().map_err(fail)?;
        file.persist(self.blob_path(&digest)).map_err(|error| fail(error.error))?;
        File::open(self.root.join("blobs")).and_then(|folder| folder.sync_all()).map_err(fail)?;
        Ok(digest)
    }

    async fn blob_lock(&self, wanted: &Wanted, meter: &Meter<'_>) -> Result<Lock, Failure> {
        let path = self.root.join("locks").join(format!("blob-{}.lock", wanted.digest.as_str()));
        let holder = Holder::this_process(format!("fetch {}", wanted.name), SystemClock.now());
        let lock = match Lock::try_acquire(&path, &holder) {
            Err(LockError::Held { .. }) => {
                meter.say("waiting for another download of the same");
                Lock::acquire(&path, &holder, FETCH_DEADLINE).await
            }
            lock => lock,
        };
        lock.map_err(|error| Failure::transient(error.to_string()))
    }
}

/// Names are given after verification and files never changed: the length tells a file that the disk lost.
fn is_whole(path: &Utf8Path, wanted: &Wanted) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file() && wanted.size.is_none_or(|size| size == found.len()))
}

/// Why a download ended early.
enum Ending {
    /// What arrived is good, and can be continued.
    Interrupted(Failure),
    /// What arrived is good for nothing.
    Useless(Failure),
}

/// A download that is going on.
struct Download<'a> {
    wanted: &'a Wanted,
    meter: &'a Meter<'a>,
    partial: &'a Utf8Path,
    file: BufWriter<File>,
    hash: Sha256,
    length: u64,
}

impl<'a> Download<'a> {
    /// Opens what is there, and reads it for the digest.
    fn begin(partial: &'a Utf8Path, wanted: &'a Wanted, meter: &'a Meter<'a>) -> Result<Self, Failure> {
        let fail = |cause: io::Error| storage_failure(&format!("cannot write `{partial}`"), &cause);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(partial).map_err(fail)?;
        let mut hash = Sha256::new();
        let mut length = 0;
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = file.read(&mut buffer).map_err(fail)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            length += read as u64;
        }
        meter.skip(length);
        Ok(Self { wanted, meter, partial, file: BufWriter::with_capacity(BUFFER, file), hash, length })
    }

    async fn run(&mut self, source: &dyn Source) -> Result<(), Ending> {
        if self.wanted.size == Some(self.length) {
            return Ok(());
        }
        let (from, mut body) = source.open(self.length).await.map_err(Ending::Interrupted)?;
        if from != self.length {
            self.start_over()?;
        }
        loop {
            let chunk = match body.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    self.write(io::Write::flush)?;
                    let failure = Failure::from(error).context(format!("cannot fetch {}", self.wanted.name));
                    return Err(Ending::Interrupted(failure));
                }
            };
            self.length += chunk.len() as u64;
            if let Some(size) = self.wanted.size.filter(|size| self.length > *size) {
                return Err(self.wrong(&format!("it is longer than the {size} bytes that were announced")));
            }
            self.hash.update(&chunk);
            self.write(|file| file.write_all(&chunk))?;
            self.meter.add(chunk.len() as u64);
        }
        Ok(())
    }

    /// The server does not continue, and sends all of it.
    fn start_over(&mut self) -> Result<(), Ending> {
        self.write(|file| {
            file.seek(io::SeekFrom::Start(0))?;
            file.get_ref().set_len(0)
        })?;
        (self.hash, self.length) = (Sha256::new(), 0);
        Ok(())
    }

    fn finish(&mut self, path: &Utf8Path) -> Result<(), Ending> {
        if let Some(size) = self.wanted.size.filter(|size| *size != self.length) {
            return Err(self.wrong(&format!("found {} bytes, expected {size}", self.length)));
        }
        let found = Digest::from_hash(&self.hash.clone().finalize());
        if found != self.wanted.digest {
            let (found, expected) = (found.as_str(), self.wanted.digest.as_str());
            return Err(self.wrong(&format!("found the digest sha256:{found}, expected sha256:{expected}")));
        }
        let partial = self.partial;
        self.write(|file| {
            file.flush()?;
            file.get_ref().sync_all()?;
            fs::rename(partial, path)?;
            path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        })
    }

    fn wrong(&self, why: &str) -> Ending {
        let hint = "it was changed on its way or where it is kept, and was thrown away";
        Ending::Useless(Failure::permanent(format!("{} is not what it should be: {why}", self.wanted.name)).hint(hint))
    }

    /// A disk that is full is not filled further by what cannot be finished.
    fn write(&mut self, act: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), Ending> {
        let what = format!("cannot store {}", self.wanted.name);
        act(&mut self.file).map_err(|cause| Ending::Useless(storage_failure(&what, &cause)))
    }
}

#[cfg(test)]
mod tests;
