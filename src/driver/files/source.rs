//! Where the bytes of a new file come from.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;

use sha2::{Digest as _, Sha256};

use crate::driver::secrets::SecretBytes;
use crate::effect::walk;
use crate::exec::Failure;
use crate::resource::{Digest, HostFile};

/// The bytes of a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// These.
    Bytes(Vec<u8>),
    /// These, which must not be shown.
    Secret(SecretBytes),
    /// Those of a host file, as long as they are what was planned.
    Host(Box<HostFile>),
}

impl Source {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Secret(secret) => secret.expose().len() as u64,
            Self::Host(file) => file.size,
        }
    }

    /// Digest of the bytes.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::Secret(secret) => Digest::of(secret.expose()),
            Self::Host(file) => file.digest.clone(),
        }
    }

    /// Opens it for one reading.
    ///
    /// # Errors
    /// When a host file is gone or cannot be read.
    pub(super) fn open(&self) -> Result<Opened<'_>, Failure> {
        match self {
            Self::Bytes(bytes) => Ok(Opened { modified: None, bytes: Bytes::Given(bytes) }),
            Self::Secret(secret) => Ok(Opened { modified: None, bytes: Bytes::Given(secret.expose()) }),
            Self::Host(planned) => {
                let file = open_host(planned)?;
                let modified = file.metadata().map_err(|cause| unreadable(planned, &cause))?.mtime();
                let bytes = Bytes::Host { file, planned, hash: Sha256::new(), read: 0 };
                Ok(Opened { modified: Some(modified), bytes })
            }
        }
    }
}

fn open_host(planned: &HostFile) -> Result<File, Failure> {
    walk::open_file(&planned.root, planned.below.as_bytes()).map_err(|cause| unreadable(planned, &cause))
}

fn unreadable(planned: &HostFile, cause: &io::Error) -> Failure {
    match cause.kind() {
        io::ErrorKind::NotFound => stale(planned, "is gone").into(),
        _ => Failure::permanent(format!("cannot read `{}`: {cause}", name(planned))),
    }
}

/// A source that is being read. What comes out of it is only good when the end was reached without an error: a host
/// file that is not what was planned is told there at the latest.
pub(super) struct Opened<'a> {
    /// When a host file was last modified, in seconds since 1970.
    pub(super) modified: Option<i64>,
    bytes: Bytes<'a>,
}

enum Bytes<'a> {
    Given(&'a [u8]),
    Host { file: File, planned: &'a HostFile, hash: Sha256, read: u64 },
}

impl Read for Opened<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::Given(bytes) => bytes.read(buffer),
            Bytes::Host { file, planned, hash, read } => {
                let count = file.read(buffer)?;
                hash.update(&buffer[..count]);
                *read += count as u64;
                let ends = count == 0 && !buffer.is_empty();
                let differs = || Digest::from_hash(&hash.clone().finalize()) != planned.digest;
                if *read > planned.size || ends && (*read < planned.size || differs()) {
                    return Err(io::Error::other(stale(planned, "changed")));
                }
                Ok(count)
            }
        }
    }
}

/// A host file is no longer what was planned.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` {what} since the plan was made")]
struct Stale {
    name: String,
    what: &'static str,
}

fn stale(planned: &HostFile, what: &'static str) -> Stale {
    Stale { name: name(planned), what }
}

fn name(planned: &HostFile) -> String {
    match planned.below.as_bytes() {
        [] => planned.root.to_string(),
        below => format!("{}/{}", planned.root, String::from_utf8_lossy(below).escape_debug()),
    }
}

impl From<Stale> for Failure {
    fn from(stale: Stale) -> Self {
        Self::permanent(stale.to_string()).hint("plan again")
    }
}

/// What a copy from a source failed of: the source, or what `doing` names.
pub(super) fn copy_failure(doing: &str, cause: io::Error) -> Failure {
    match cause.downcast::<Stale>() {
        Ok(stale) => stale.into(),
        Err(cause) => Failure::permanent(format!("cannot {doing}: {cause}")),
    }
}

/// The closest date that both roads can write: after 1970 (0 means «now» to debugfs), and within ext4's years.
pub(super) fn storable(seconds: i64) -> i64 {
    seconds.clamp(1, 0x3_7fff_ffff)
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::resource::GuestPath;

    #[test]
    fn a_host_file_is_used_only_as_it_was_planned() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        let path = root.join("f");
        std::fs::write(&path, "planned").unwrap();
        let below = GuestPath::new("f").unwrap();
        let source = Source::Host(Box::new(HostFile {
            root: root.clone(),
            below,
            digest: Digest::of(b"planned"),
            size: 7,
            text: None,
        }));
        let copy = || {
            let mut out = Vec::new();
            source.open()?.read_to_end(&mut out).map_err(|cause| copy_failure("copy", cause))?;
            Ok::<_, Failure>(out)
        };
        assert_eq!(copy().unwrap(), b"planned");
        for other in ["plannes", "plan", "planned and more"] {
            std::fs::write(&path, other).unwrap();
            assert_eq!(copy().unwrap_err().causes, [format!("`{path}` changed since the plan was made")]);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(copy().unwrap_err().causes, [format!("`{path}` is gone since the plan was made")]);
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(copy().unwrap_err().causes[0].starts_with(&format!("cannot read `{path}`")));
    }
}
