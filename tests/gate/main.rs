//! The gate on the real binary: policies, approvals, the audit log. Guests are records and files, as an apply left them; only
//! those of `real` are started.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what cannot be run here is a failed test")]
#![allow(clippy::print_stdout, reason = "a test says what it skips")]

mod approvals;
mod policy;
mod real;
mod rotation;
mod security_key;
mod watch;
mod world;
