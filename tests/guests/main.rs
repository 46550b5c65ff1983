//! The commands that work in guests, with the real binary on real SSH servers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "surroundings that cannot be made are a failed test"
)]

mod commands;
mod houses;
mod sessions;
