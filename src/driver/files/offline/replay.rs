//! A readable form of a disk whose guest was killed: its last writes are in the journal only.
//!
//! The reader's own handling of journals stops silently where a journal wraps around and lets later revocations pass,
//! so it would show old content as if it were current. e2fsck replays on a copy instead: the disk itself is not written
//! to for the sake of reading it.

use super::copy::DiskCopy;
use super::tool::Tool;
use crate::exec::Failure;

/// A copy of a locked disk, its journal replayed.
///
/// # Errors
/// When it cannot be copied or replayed.
pub(super) async fn replayed(tool: &Tool<'_>) -> Result<DiskCopy, Failure> {
    let copy = DiskCopy::of(tool.disk, "replayed").await?;
    tool.on(copy.image()).repair().await?;
    Ok(copy)
}
