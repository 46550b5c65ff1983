//! Being root without being it: an ordinary user is root in a user namespace made of his subordinate ids
//! (`/etc/subuid`, `/etc/subgid`). mmdebstrap makes such a namespace, and lends it to other commands.

use std::time::Duration;

use super::tools::MMDEBSTRAP;
use crate::effect::{Command, Run, process};
use crate::exec::Failure;

/// Whether we are root, and need no namespace.
pub(super) fn is_root() -> bool {
    process::user_id() == 0
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
