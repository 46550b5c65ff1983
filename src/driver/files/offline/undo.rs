//! Taking a write back. debugfs saves every block before it changes it (`-z`); until that file is removed, the write
//! has not happened.
//!
//! ```text
//! no undo file ──debugfs -z──> undo file ──verified, synced──> removed: the write is done
//!      ^                           │ anything failed, or we died: e2undo, e2fsck
//!      └───────────────────────────┘
//! ```
//!
//! debugfs killed at any moment leaves a file that e2undo accepts: each block is in it before it is changed on the
//! disk. (Not so when the machine itself loses power: neither file is synced meanwhile.)

use std::fs::File;
use std::io::Read as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::tool::{Tool, io_failure};
use crate::effect::Status;
use crate::exec::Failure;

/// First bytes of an undo file. debugfs writes them before it changes anything.
const MAGIC: &[u8; 8] = b"E2UNDO02";

/// Where the undo file of a disk is.
pub(super) fn path(disk: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{disk}.undo"))
}

/// Takes back what a write that was not finished did. Without an undo file there is nothing to do.
///
/// # Errors
/// When the disk cannot be brought back; the undo file stays.
pub(super) async fn roll_back(tool: &Tool<'_>) -> Result<(), Failure> {
    let undo = path(tool.disk);
    if !undo.exists() {
        return Ok(());
    }
    if has_begun(&undo)? {
        let output = tool.run("e2undo", &[undo.as_str(), tool.disk.as_str()]).await?;
        let says = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        let mounted_since = says.contains("superblock doesn't match");
        if output.status != Status::Code(0) && !mounted_since {
            return Err(tool.failed("e2undo", &output).hint("the interrupted write could not be taken back"));
        }
        tool.repair().await?;
    }
    forget(tool.disk)
}

/// Makes a finished write final.
pub(super) fn forget(disk: &Utf8Path) -> Result<(), Failure> {
    let undo = path(disk);
    File::open(disk).and_then(|image| image.sync_all()).map_err(|cause| io_failure("sync", disk, &cause))?;
    std::fs::remove_file(&undo).map_err(|cause| io_failure("remove", &undo, &cause))?;
    sync_directory(disk)
}

/// Makes a rename or removal beside a disk durable.
pub(super) fn sync_directory(disk: &Utf8Path) -> Result<(), Failure> {
    let dir = disk.parent().unwrap_or(Utf8Path::new("/"));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|cause| io_failure("sync", dir, &cause))
}

fn has_begun(undo: &Utf8Path) -> Result<bool, Failure> {
    let mut magic = Vec::new();
    File::open(undo)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut magic))
        .map_err(|cause| io_failure("read", undo, &cause))?;
    Ok(magic == MAGIC)
}
