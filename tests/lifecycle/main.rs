//! A guest's life as a list of actions, with what must hold after each of them: on Firecracker (a strict fake, and the real
//! program when `REGATTA_FIRECRACKER` names one), and on real QEMU guests.
//!
//! ```text
//! cargo test --test lifecycle                                           # the fake
//! cargo test --test lifecycle -- --ignored --nocapture --exact real::a_guest_lives_on_qemu          # a package archive
//! cargo test --test lifecycle -- --ignored --nocapture --exact real::a_guest_lives_on_firecracker   # and root, KVM, firecracker
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here is the test")]
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a scenario says what it skips, a fake what its guest says"
)]

mod fake;
mod firecracker;
mod openapi;
mod real;

use std::path::Path;

/// A process: its pid and command line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: i32,
    arguments: Vec<String>,
}

/// Every process of this machine that has not ended.
fn processes() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let process = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let bytes = std::fs::read(entry.path().join("cmdline")).ok().filter(|bytes| !bytes.is_empty())?;
        let arguments = bytes.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
        Some(Process { pid, arguments })
    };
    entries.filter_map(process).collect()
}

/// The keepers of consoles whose files are below this directory.
fn keepers(below: &Path) -> Vec<Process> {
    let below = below.to_str().unwrap();
    let is_ours = |process: &Process| {
        process.arguments.get(1).is_some_and(|command| command == "keep-console")
            && process.arguments.get(2).is_some_and(|socket| socket.starts_with(below))
    };
    processes().into_iter().filter(is_ours).collect()
}

/// Ends a process of ours.
fn end(pid: i32, signal: &str) {
    let status = std::process::Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(status.unwrap().success(), "cannot send {signal} to {pid}");
}

/// Waits until something holds; it must within a minute.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < end, "not within a minute: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
