//! What a step does on a host or in a guest: the real [`Perform`](crate::exec::Perform) and the read-only observation.

mod cpio;
mod debootstrap;
pub mod doctor;
mod ext4;
mod failure;
mod fan_out;
pub mod files;
mod fleet;
pub mod image;
pub mod inputs;
pub mod kernel;
mod local;
mod meter;
pub mod microvm;
mod namespace;
pub mod network;
pub mod pins;
pub mod privilege;
pub mod proxmox;
mod record;
mod rehearsal;
pub mod secrets;
pub mod sessions;
mod side_by_side;
mod state;
mod store;
mod tools;
mod undo;
mod used;

pub use fan_out::{Endings, Errand, FanOut, Line, Source};
pub use fleet::FleetDriver;
pub use local::LocalDriver;
pub use rehearsal::rehearse;
pub use state::{GuestDir, StateDir};
pub use store::{Garbage, KernelPaths, Store};
pub use used::used;
