//! ext4 file systems in files, in process: no root, no mount, no program per file. Reading them ([`look`]), and filling new
//! ones ([`Writer`]).

mod attributes;
mod blocks;
mod bytes;
mod checksum;
mod directory;
mod ink;
mod inode;
mod layout;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use camino::Utf8Path;
use ext4_view::{Ext4, Ext4Read};

use crate::exec::Failure;

pub(super) use attributes::Attribute;
pub(super) use inode::Kind;
pub(super) use layout::FEATURES;
pub(super) use writer::{Child, Content, FillError, Number, Writer, extended};

/// What is said of a file beside its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Permission bits, with setuid, setgid and sticky.
    pub(super) mode: u16,
    /// Numbers of user and group.
    pub(super) owner: (u32, u32),
    /// Seconds since 1970.
    pub(super) mtime: u64,
    /// Extended attributes.
    pub(super) extended: Vec<Attribute>,
}

struct Disk {
    file: File,
    checksums: Checksums,
}

/// Who verifies the checksums of a file system's directories and inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksums {
    /// The reader, each time it passes one: most of the time it takes to find a file.
    Reader,
    /// e2fsck, which looks at the same disk while nobody writes to it.
    E2fsck,
}

/// Where the superblock says that there are checksums: the second byte of `s_feature_ro_compat` (0x64), of which this bit
/// is `metadata_csum` (the kernel's ext4 documentation, "Super Block").
const CHECKSUMS_AT: u64 = 1024 + 0x65;
const CHECKSUMS_BIT: u8 = 0x04;

impl Ext4Read for Disk {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        self.file.read_exact_at(dst, start_byte)?;
        if self.checksums == Checksums::E2fsck
            && let Some(at) = CHECKSUMS_AT.checked_sub(start_byte)
            && let Some(byte) = usize::try_from(at).ok().and_then(|at| dst.get_mut(at))
        {
            *byte &= !CHECKSUMS_BIT;
        }
        Ok(())
    }
}

/// Runs `look` on a file system. Its bytes come from guests and from strangers: one that trips the reader up is
/// unreadable, and nothing worse.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn look<T>(disk: &Utf8Path, look: impl FnOnce(Ext4) -> Result<T, String>) -> Result<T, Failure> {
    look_with(disk, Checksums::Reader, look)
}

/// As [`look`], and somebody else may verify the checksums.
///
/// # Errors
/// As [`look`].
pub(super) fn look_with<T>(
    disk: &Utf8Path,
    checksums: Checksums,
    look: impl FnOnce(Ext4) -> Result<T, String>,
) -> Result<T, Failure> {
    let open = || {
        let file = File::open(disk).map_err(|cause| cause.to_string())?;
        Ext4::load(Box::new(Disk { file, checksums })).map_err(|error| error.to_string())
    };
    let attempt = catch_unwind(AssertUnwindSafe(|| look(open()?)));
    let outcome = attempt.unwrap_or_else(|_| Err("its file system is damaged".into()));
    outcome.map_err(|why| Failure::permanent(format!("cannot read `{disk}`: {why}")))
}
