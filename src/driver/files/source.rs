//! Where the bytes of a new file come from.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;

use sha2::{Digest as _, Sha256};

use crate::effect::walk;
use crate::exec::Failure;
use crate::resource::{Digest, HostFile};

/// The bytes of a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// These.
    Bytes(Vec<u8>),
    /// Those of a host file, as long as they are what was planned.
    Host(HostFile),
}

impl Source {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Host(file) => file.size,
        }
    }

    /// Digest of the bytes.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::Host(file) => file.digest.clone(),
        }
    }

    /// Copies the bytes out and says when a host file was last modified, in seconds since 1970.
    ///
    /// # Errors
    /// When a host file is not what was planned: its bytes must not be used then, wherever they were copied.
    pub(super) fn copy_to(&self, out: &mut impl Write) -> Result<Option<i64>, Failure> {
        match self {
            Self::Bytes(bytes) => {
                out.write_all(bytes).map_err(|cause| Failure::permanent(format!("cannot stage a file: {cause}")))?;
                Ok(None)
            }
            Self::Host(file) => copy_host_file(file, out).map(Some),
        }
    }
}

fn copy_host_file(planned: &HostFile, out: &mut impl Write) -> Result<i64, Failure> {
    let name = || match planned.below.as_bytes() {
        [] => planned.root.to_string(),
        below => format!("{}/{}", planned.root, String::from_utf8_lossy(below).escape_debug()),
    };
    let unreadable = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => stale(&name(), "is gone"),
        _ => Failure::permanent(format!("cannot read `{}`: {cause}", name())),
    };
    let file = walk::open_file(&planned.root, planned.below.as_bytes()).map_err(unreadable)?;
    let modified = file.metadata().map_err(unreadable)?.mtime();
    if copy_hashed(file, planned.size, out).map_err(unreadable)? != Some(planned.digest.clone()) {
        return Err(stale(&name(), "changed"));
    }
    Ok(modified)
}

fn stale(name: &str, what: &str) -> Failure {
    Failure::permanent(format!("`{name}` {what} since the plan was made")).hint("plan again")
}

/// Copies exactly `size` bytes and gives their digest; `None` when there are more or fewer.
fn copy_hashed(mut file: File, size: u64, out: &mut impl Write) -> io::Result<Option<Digest>> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut copied = 0;
    loop {
        let read = file.read(&mut buffer)?;
        copied += read as u64;
        if read == 0 || copied > size {
            return Ok((copied == size).then(|| Digest::from_hash(&hash.finalize())));
        }
        hash.update(&buffer[..read]);
        out.write_all(&buffer[..read])?;
    }
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
        let source =
            Source::Host(HostFile { root: root.clone(), below, digest: Digest::of(b"planned"), size: 7, text: None });
        let copy = || {
            let mut out = Vec::new();
            source.copy_to(&mut out).map(|_| out)
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
