//! ext4 file systems in files, in process: no root, no mount, no program per file. Reading them ([`look`]), and filling new
//! ones ([`Writer`]).

mod acl;
mod attributes;
mod blocks;
pub(super) mod bytes;
pub(super) mod checksum;
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
    windows: Vec<Window>,
}

/// A piece of the disk as it was read. The library asks for a few bytes at a time, often for the same ones.
#[derive(Clone, Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

/// Bytes of a window, and how many are kept.
const WINDOW: u64 = 128 << 10;
const WINDOWS: u64 = 32;

impl Disk {
    fn open(path: &Utf8Path, checksums: Checksums) -> std::io::Result<Self> {
        let windows = (0..WINDOWS).map(|_| Window::default()).collect();
        Ok(Self { file: File::open(path)?, checksums, windows })
    }

    /// Reads across windows.
    fn fill(&mut self, mut at: u64, mut dst: &mut [u8]) -> std::io::Result<()> {
        while !dst.is_empty() {
            let start = at - at % WINDOW;
            let offset = usize::try_from(at - start).unwrap_or_default();
            let bytes = self.window(start)?;
            let Some(found) = bytes.get(offset..).filter(|found| !found.is_empty()) else {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            };
            let count = found.len().min(dst.len());
            let (now, later) = dst.split_at_mut(count);
            now.copy_from_slice(&found[..count]);
            (at, dst) = (at + count as u64, later);
        }
        Ok(())
    }

    /// The window that starts there; shorter at the end of the disk.
    fn window(&mut self, start: u64) -> std::io::Result<&[u8]> {
        let slot = usize::try_from(start / WINDOW % WINDOWS).unwrap_or_default();
        let window = &mut self.windows[slot];
        if window.start != start || window.bytes.is_empty() {
            window.bytes.resize(usize::try_from(WINDOW).unwrap_or_default(), 0);
            let mut filled = 0;
            while filled < window.bytes.len() {
                match self.file.read_at(&mut window.bytes[filled..], start + filled as u64) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(cause) => {
                        window.bytes.clear();
                        return Err(cause);
                    }
                }
            }
            window.bytes.truncate(filled);
            window.start = start;
        }
        Ok(&window.bytes)
    }
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
        self.fill(start_byte, dst)?;
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
        let disk = Disk::open(disk, checksums).map_err(|cause| cause.to_string())?;
        Ext4::load(Box::new(disk)).map_err(|error| error.to_string())
    };
    let attempt = catch_unwind(AssertUnwindSafe(|| look(open()?)));
    let outcome = attempt.unwrap_or_else(|_| Err("its file system is damaged".into()));
    outcome.map_err(|why| Failure::permanent(format!("cannot read `{disk}`: {why}")))
}
