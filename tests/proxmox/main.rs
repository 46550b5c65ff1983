//! Proxmox VE: the driver against a cluster in memory, with everything going wrong that may; against recordings of genuine
//! servers; and, as a process over TLS, against somebody else's fake.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a fake that contradicts itself is a failed test")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod adopt;
mod apply;
mod beside;
#[path = "../common/cases.rs"]
mod cases;
mod entered;
mod fake;
mod faults;
mod fence;
mod fleet;
mod golden;
#[path = "../common/golden.rs"]
mod golden_files;
mod house;
mod inside;
mod mounts;
mod node;
mod node_disks;
mod obstacles;
mod origins;
mod peer;
mod process;
mod process_mounts;
mod profiles;
mod random;
mod real_mount;
mod real_node;
mod recorded;
mod replay;
mod schema;
mod sessions;
mod snapshots;
mod transport;
mod vms;
