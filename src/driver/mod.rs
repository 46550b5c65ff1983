//! What a step does on a host or in a guest: the real [`Perform`](crate::exec::Perform) and the read-only observation.

pub mod inputs;
pub mod microvm;
mod state;

pub use state::{GuestDir, StateDir};
