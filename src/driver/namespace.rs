//! Being root without being it: an ordinary user is root in a user namespace made of his subordinate ids
//! (`/etc/subuid`, `/etc/subgid`). mmdebstrap makes such a namespace, and lends it to other commands.

use std::fs;
use std::time::Duration;

use super::tools::MMDEBSTRAP;
use crate::effect::{Command, Run, process};
use crate::exec::Failure;

/// Whether we are root, and need no namespace.
pub(super) fn is_root() -> bool {
    process::user_id() == 0
}

/// Whether we may give files to anybody and make device nodes: root of the machine itself, with the capability that
/// containers often lack.
pub(super) fn keeps_owners() -> bool {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    is_root() && maps_everybody(&read("/proc/self/uid_map")) && may_make_devices(&read("/proc/self/status"))
}

/// Whether a `/proc/PID/uid_map` is that of no namespace (user_namespaces(7)).
fn maps_everybody(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether a `/proc/PID/status` has `CAP_MKNOD`, number 27 (capabilities(7)).
fn may_make_devices(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|set| set & (1 << 27) != 0)
}

/// A command run as root of the namespace, or just run when we are root.
pub(super) fn command(program: &str, args: &[&str]) -> Command {
    let command = if is_root() {
        Command::new(program)
    } else {
        Command::new(MMDEBSTRAP.program).args(["--unshare-helper", program])
    };
    command.args(args.iter().copied())
}

/// Makes sure that an ordinary user can be root in a namespace of subordinate users; root needs none.
///
/// # Errors
/// When not, with what to do about it.
pub(super) async fn require(run: &dyn Run) -> Result<(), Failure> {
    if is_root() {
        return Ok(());
    }
    let probe = command("true", &[]).deadline(Duration::from_secs(20));
    let hint = "an ordinary user needs subordinate ids and user namespaces: \
        `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`, \
        and `sysctl kernel.unprivileged_userns_clone=1` where that exists; or run as root";
    run.run_ok(&probe).await.map(drop).map_err(|error| Failure::from(error).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_of_a_namespace_or_of_a_poor_container_keeps_no_owners() {
        assert!(maps_everybody("         0          0 4294967295\n"));
        assert!(!maps_everybody("         0       1000          1\n"));
        assert!(!maps_everybody("0 1000 1\n1 100000 65536\n") && !maps_everybody(""));
        assert!(may_make_devices("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(!may_make_devices("CapEff:\t0000000000000000\n") && !may_make_devices(""));
    }
}
