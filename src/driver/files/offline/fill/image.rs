//! The bytes of an image.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;

use crate::driver::files::offline::tool::io_failure;
use crate::exec::Failure;

/// An image that is read and written.
#[derive(Debug)]
pub(super) struct Image<'a> {
    file: File,
    path: &'a Utf8Path,
}

impl<'a> Image<'a> {
    /// Opens an image.
    pub(super) fn open(path: &'a Utf8Path) -> Result<Self, Failure> {
        let file = File::options().read(true).write(true).open(path);
        Ok(Self { file: file.map_err(|cause| io_failure("write", path, &cause))?, path })
    }

    /// So many bytes from there.
    pub(super) fn read(&self, at: u64, length: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at).map_err(|cause| io_failure("read", self.path, &cause))?;
        Ok(bytes)
    }

    /// These bytes to there.
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all_at(bytes, at).map_err(|cause| io_failure("write", self.path, &cause))
    }

    /// What it says of itself does not fit together.
    pub(super) fn damaged(&self, what: &str) -> Failure {
        Failure::permanent(format!("`{}` is damaged: {what}", self.path)).hint("look at it with: e2fsck -f")
    }
}
