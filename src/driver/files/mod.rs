//! Files in guests. One list of [`Edit`]s says what to do; two roads do it, and leave the same tree:
//!
//! ```text
//! FileSets + current files ─edits→ [Edit] ─┬─ offline: debugfs on the work disk of a stopped guest
//!                                          └─ live:    tar and rename over SSH into a running one
//! ```
//!
//! **Invariant:** a disk that a guest may be using is never opened for writing (offline asks again right before it
//! writes), and on both roads a reader finds each file old or new, never torn.
//!
//! What we wrote last stands in the manifest on the guest's own disk, so it travels with the files it describes.

mod current;
mod edits;
pub mod live;
mod manifest;
pub mod offline;
mod room;
mod source;
#[cfg(test)]
mod tests;

pub use current::Wanted;
pub use edits::{Edit, NewFile, Request, Seed, edits};
pub use source::Source;

use crate::effect::{Clock, Run};

/// What writing to a disk needs of the world.
#[derive(Clone, Copy)]
pub struct Effects<'a> {
    /// Runs e2fsprogs.
    pub run: &'a dyn Run,
    /// Dates lock notes and files that have no date of their own.
    pub clock: &'a dyn Clock,
}
