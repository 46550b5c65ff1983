//! What the tests of this layer share.

use std::io::Write as _;

/// Whether a program is missing; says loudly that the test which asks is skipped then.
pub(crate) fn lacks(program: &str) -> bool {
    let started = std::process::Command::new("sh").args(["-c", "command -v \"$1\" >&2", "sh", program]).output();
    if started.unwrap().status.success() {
        return false;
    }
    // Past the test harness, which would swallow it.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}, because `{program}` is not installed");
    true
}
