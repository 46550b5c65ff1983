//! A readable form of a disk whose guest was killed: its last writes are in the journal only.
//!
//! The reader's own handling of journals stops silently where a journal wraps around and lets later revocations pass,
//! so it would show old content as if it were current. e2fsck replays on a sparse copy instead: the disk itself is not
//! written to for the sake of reading it.

use camino::Utf8PathBuf;

use super::tool::{Tool, io_failure};
use crate::effect::copy_sparse;
use crate::exec::Failure;

/// A copy with its journal replayed; removed when dropped.
pub(super) struct Replayed {
    /// Where it is.
    pub(super) image: Utf8PathBuf,
}

impl Replayed {
    /// Copies a disk and replays the copy's journal. Only one at a time: the disk is locked.
    pub(super) async fn of(tool: &Tool<'_>) -> Result<Self, Failure> {
        let copy = Self { image: Utf8PathBuf::from(format!("{}.replayed", tool.disk)) };
        let (from, to) = (tool.disk.to_owned(), copy.image.clone());
        let copied = tokio::task::spawn_blocking(move || copy_sparse(&from, &to)).await;
        copied.map_err(std::io::Error::other).flatten().map_err(|cause| io_failure("copy", tool.disk, &cause))?;
        Tool { disk: &copy.image, run: tool.run, lock: tool.lock.clone() }.repair().await?;
        Ok(copy)
    }
}

impl Drop for Replayed {
    fn drop(&mut self) {
        // What stays behind is overwritten by the next copy.
        let _ = std::fs::remove_file(&self.image);
    }
}
