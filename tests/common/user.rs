//! Running a scenario as an ordinary user, when the tests run as root.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

/// Runs the test `name` of this test program again as the first ordinary user who has subordinate ids (image builds
/// need them), with `REGATTA_BIN` naming a copy of the binary that this user can execute. Says so when it cannot.
pub(crate) fn run_as_ordinary_user(name: &str) {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return eprintln!("SKIPPED: not root, so the other test of this file is that already");
    }
    let subuid = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    let Some(user) = subuid.lines().filter_map(|line| line.split(':').next()).find(|name| *name != "root") else {
        return eprintln!("SKIPPED: no ordinary user has subordinate ids in /etc/subuid");
    };
    // The build directory may be closed to that user.
    let open = std::fs::Permissions::from_mode(0o755);
    let dir = tempfile::Builder::new().permissions(open).tempdir().unwrap();
    let (program, binary) = (dir.path().join("scenario"), dir.path().join("regatta"));
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_regatta"), &binary).unwrap();
    let status = Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--init-groups", "--reset-env", "env"])
        .arg(format!("REGATTA_BIN={}", binary.display()))
        .arg(program)
        .args(["--ignored", "--nocapture", "--exact", name])
        .current_dir("/")
        .status();
    assert!(status.unwrap().success(), "failed as user {user}");
}
