//! A copy of a disk beside it, as sparse as the disk.

use camino::{Utf8Path, Utf8PathBuf};

use super::tool::io_failure;
use crate::effect::copy_sparse;
use crate::exec::Failure;

/// A copy; removed when dropped. One that a killed process left is overwritten by the next.
pub(super) struct DiskCopy {
    image: Utf8PathBuf,
}

impl DiskCopy {
    /// Where the copy of a disk with this suffix is.
    pub(super) fn path(disk: &Utf8Path, suffix: &str) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{disk}.{suffix}"))
    }

    /// Copies a disk. Only one at a time with a suffix: the disk is locked.
    pub(super) async fn of(disk: &Utf8Path, suffix: &str) -> Result<Self, Failure> {
        let copy = Self { image: Self::path(disk, suffix) };
        let (from, to) = (disk.to_owned(), copy.image.clone());
        let copied = tokio::task::spawn_blocking(move || {
            copy_sparse(&from, &to)?;
            std::fs::set_permissions(&to, from.metadata()?.permissions())
        });
        let copied = copied.await.map_err(std::io::Error::other).flatten();
        copied.map_err(|cause| io_failure("copy", disk, &cause))?;
        Ok(copy)
    }

    /// Where it is.
    pub(super) fn image(&self) -> &Utf8Path {
        &self.image
    }
}

impl Drop for DiskCopy {
    fn drop(&mut self) {
        // Gone already when it took its disk's place.
        let _ = std::fs::remove_file(&self.image);
    }
}
