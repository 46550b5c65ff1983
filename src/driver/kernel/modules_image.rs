//! The file system with all modules of a kernel, which its guests see at `/lib/modules/VERSION`: read-only, one for all of them.

use std::io;

use camino::Utf8Path;

use super::packages::ModuleTree;
use crate::config::ByteSize;
use crate::driver::image::{FileSystem, Reader, fill_file_system};
use crate::driver::store::{Staging, storage_failure};
use crate::effect::Run;
use crate::exec::Failure;

/// Room beside the modules: the journal, and what the file system says of itself.
const BESIDE: u64 = 24 << 20;

/// Makes it of what the packages have, as `modules.img`.
///
/// # Errors
/// When the disk is full, or the packages cannot be read.
pub(super) async fn make(run: &dyn Run, staging: &Staging, tar: &Utf8Path, tree: &ModuleTree) -> Result<(), Failure> {
    let name = format!("the modules of `{}`", tree.version());
    let fail = |cause: io::Error| storage_failure(&format!("cannot read `{tar}`"), &cause);
    let reader = Reader::of_file(&name, tar).map_err(fail)?;
    let reader = reader.ok_or_else(|| Failure::permanent(format!("{name} are compressed, expected a tar file")))?;
    let size = ByteSize::mib((tree.bytes + tree.files * 4096 + BESIDE).div_ceil(1 << 20));
    let image = staging.result("modules.img");
    let wanted = FileSystem { image: &image, label: "modules", size, files: Some(tree.files + 64) };
    fill_file_system(run, staging, &wanted, reader.below(tree.folder.as_bytes())).await
}
