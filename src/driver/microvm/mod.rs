//! Guests as QEMU microVMs on this machine.

mod qemu;
mod qmp;

pub use qemu::{Launch, mac};
pub use qmp::QmpError;
