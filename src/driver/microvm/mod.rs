//! Guests as QEMU microVMs on this machine.

mod console;
mod qemu;
mod qmp;
mod ready;

pub use qemu::{Launch, mac};
pub use qmp::QmpError;
pub use ready::{Cause, Guest, NotReady, Pace, wait_until_ready};
