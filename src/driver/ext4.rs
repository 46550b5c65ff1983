//! Reading an ext4 file in process: no root, no mount, no program per file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use camino::Utf8Path;
use ext4_view::{Ext4, Ext4Read};

use crate::exec::Failure;

struct Disk(File);

impl Ext4Read for Disk {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.0.read_exact_at(dst, start_byte)?)
    }
}

/// Runs `look` on a file system. Its bytes come from guests and from strangers: one that trips the reader up is
/// unreadable, and nothing worse.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn look<T>(disk: &Utf8Path, look: impl FnOnce(Ext4) -> Result<T, String>) -> Result<T, Failure> {
    let open = || {
        let file = File::open(disk).map_err(|cause| cause.to_string())?;
        Ext4::load(Box::new(Disk(file))).map_err(|error| error.to_string())
    };
    let attempt = catch_unwind(AssertUnwindSafe(|| look(open()?)));
    let outcome = attempt.unwrap_or_else(|_| Err("its file system is damaged".into()));
    outcome.map_err(|why| Failure::permanent(format!("cannot read `{disk}`: {why}")))
}
