//! [`Tree`](crate::syntax::Tree) → [`Fleet`]: the user's words, typed, merged and checked for shape.
//!
//! Nothing here reads a file, the environment or a clock. What the fleet file names on the host (keys, synced trees,
//! the git identity) stays a name until the composition root has read it.

mod fleet;
mod units;

pub use fleet::{
    Accelerator, AuthorizedKey, FileSync, Fleet, Forward, GitIdentity, Image, ImageSource, Kernel, KernelSource,
    Network, NetworkMode, Origin, Setting, Vm,
};
pub use units::ByteSize;
