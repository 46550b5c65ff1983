//! What the tests of this layer share.

use std::io::Write as _;

use camino::Utf8PathBuf;

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

/// A directory of the test's own with its path, links resolved; it goes with the guard.
pub(crate) fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
    (dir, path)
}
