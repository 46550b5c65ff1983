//! What a step does on a host or in a guest: the real [`Perform`](crate::exec::Perform) and the read-only observation.

mod cpio;
mod debootstrap;
pub mod files;
pub mod image;
pub mod inputs;
pub mod kernel;
pub mod microvm;
mod state;
mod store;
mod tools;

pub use state::{GuestDir, StateDir};
pub use store::{KernelPaths, Store};
