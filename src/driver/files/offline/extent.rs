//! Where on a disk a file's bytes are.

/// Blocks of a file that follow one another on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first of them, counted from the start of the disk.
    pub(super) place: u64,
    /// How many there are, up to [`LENGTH_MAX`].
    pub(super) length: u64,
}

/// The longest extent of blocks that were written (the kernel's ext4 documentation, "Extent Tree").
pub(super) const LENGTH_MAX: u64 = 32_768;
