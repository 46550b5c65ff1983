//! Hostile input through what reads it: see `fuzz/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken property is a failed test")]
#![allow(clippy::print_stderr, reason = "a long run says what it did")]

mod audit;
mod fleet;
mod gate;
#[path = "../common/hostile.rs"]
#[allow(unreachable_pub, reason = "shared with a bench")]
mod hostile;
mod runner;
