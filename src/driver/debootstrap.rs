//! Running mmdebstrap, as root or as an ordinary user: it writes a tree with right owners into a tar file.
//!
//! An ordinary user's tree belongs to subordinate users (`/etc/subuid`), who must be able to reach it: the state
//! directory is closed to them, so the tree grows in a folder of its own below `/var/tmp`.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::store::{Staging, storage_failure};
use super::tools::{self, DISK_FULL_HINT, MMDEBSTRAP, NEWUIDMAP, Tool};
use crate::effect::{Command, CommandError, Output, Run, process};
use crate::exec::Failure;

/// Where trees grow. Unlike `/tmp`, not kept in memory on any common system.
const SCRATCH: &str = "/var/tmp";

/// Downloading and installing packages: minutes on a slow line.
const INSTALL_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Removing a tree.
const REMOVE_DEADLINE: Duration = Duration::from_secs(5 * 60);

/// apt's words for a line or a server that is down.
const NETWORK_ERRORS: [&str; 4] =
    ["Could not resolve", "Temporary failure resolving", "Could not connect", "Connection timed out"];

/// One call of mmdebstrap.
#[derive(Debug)]
pub(super) struct Debootstrap<'a> {
    /// The build: names the folder the tree grows in, so that leftovers can be found, and holds the lock.
    pub(super) staging: &'a Staging,
    /// Release name.
    pub(super) suite: &'a str,
    /// Archive address, or mmdebstrap's default.
    pub(super) mirror: Option<&'a str>,
    /// Options before suite and target.
    pub(super) options: Vec<String>,
    /// Environment variable for the hooks.
    pub(super) env: Option<(&'a str, &'a str)>,
    /// The tar file to write.
    pub(super) target: &'a Utf8Path,
}

/// The programs [`Debootstrap::make`] needs.
pub(super) fn tools() -> Vec<Tool> {
    if is_root() { vec![MMDEBSTRAP] } else { vec![MMDEBSTRAP, NEWUIDMAP] }
}

/// Makes sure that an ordinary user can be root in a namespace of subordinate users; root needs none.
///
/// # Errors
/// When not, with what to do about it.
pub(super) async fn require_namespace(run: &dyn Run) -> Result<(), Failure> {
    if is_root() {
        return Ok(());
    }
    let probe = unshared(["true"]).deadline(Duration::from_secs(20));
    let hint = "an ordinary user needs subordinate ids and user namespaces: \
        `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`, \
        and `sysctl kernel.unprivileged_userns_clone=1` where that exists; or run as root";
    run.run_ok(&probe).await.map(drop).map_err(|error| tools::failure(error).hint(hint))
}

impl Debootstrap<'_> {
    /// Clears what a killed call left, then runs mmdebstrap. The tree it grew is gone afterwards, the tar file remains.
    ///
    /// # Errors
    /// When packages cannot be found, fetched or installed, the disk is full, or it takes too long.
    pub(super) async fn make(&self, run: &dyn Run) -> Result<(), Failure> {
        let prefix = format!("regatta-{}-{}.", process::user_id(), self.staging.name());
        for leftover in own_folders(&prefix).map_err(|cause| storage_failure("cannot read `/var/tmp`", &cause))? {
            remove_tree(run, &leftover).await?;
        }
        let scratch = make_scratch(&prefix)?;
        let made = run.run_ok(&self.command(&scratch)).await.map(drop).map_err(failure);
        // Both errors matter little together: the first is the cause, and the next build sweeps again.
        let removed = remove_tree(run, &scratch).await;
        made.and(removed)
    }

    fn command(&self, scratch: &Utf8Path) -> Command {
        let mode = if is_root() { "--mode=root" } else { "--mode=unshare" };
        let command = self
            .staging
            .under_lock(Command::new(MMDEBSTRAP.program))
            .arg(mode)
            .args(self.options.iter().cloned())
            .args(["--", self.suite, self.target.as_str()])
            .args(self.mirror)
            .env("TMPDIR", scratch.as_str())
            .deadline(INSTALL_DEADLINE);
        match self.env {
            Some((name, value)) => command.env(name, value),
            None => command,
        }
    }
}

fn is_root() -> bool {
    process::user_id() == 0
}

/// A command run as root of the user's namespace of subordinate users.
fn unshared<'a>(argv: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new(MMDEBSTRAP.program).arg("--unshare-helper").args(argv)
}

/// A new folder that others can pass through but not list.
fn make_scratch(prefix: &str) -> Result<Utf8PathBuf, Failure> {
    let fail = |cause: io::Error| storage_failure("cannot make a folder in `/var/tmp`", &cause);
    let dir = tempfile::Builder::new().prefix(prefix).tempdir_in(SCRATCH).map_err(fail)?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).map_err(fail)?;
    // Kept: as an ordinary user only `remove_tree` can empty it.
    Utf8PathBuf::try_from(dir.keep()).map_err(|error| fail(error.into_io_error()))
}

/// Our own folders below `/var/tmp` with this prefix. Anybody may make a folder there under any name.
fn own_folders(prefix: &str) -> io::Result<Vec<Utf8PathBuf>> {
    let mut own = Vec::new();
    for entry in fs::read_dir(SCRATCH)? {
        let entry = entry?;
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        // Of the entry itself, not of what a link leads to; one that vanished meanwhile needs no removal.
        let Ok(found) = entry.metadata() else { continue };
        if named && found.is_dir() && found.uid() == process::user_id() {
            own.extend(Utf8PathBuf::try_from(entry.path()).ok());
        }
    }
    Ok(own)
}

/// Removes a tree in which folders belong to subordinate users.
async fn remove_tree(run: &dyn Run, tree: &Utf8Path) -> Result<(), Failure> {
    if fs::remove_dir_all(tree).is_ok() {
        return Ok(());
    }
    // The folders mmdebstrap made are emptied by their owners' root; they themselves lie in a folder of ours.
    if !is_root() {
        let empty = unshared(["find", tree.as_str(), "-xdev", "-mindepth", "2", "-delete"]).deadline(REMOVE_DEADLINE);
        run.run_ok(&empty).await.map_err(tools::failure)?;
    }
    fs::remove_dir_all(tree).map_err(|cause| Failure::permanent(format!("cannot remove `{tree}`: {cause}")))
}

/// mmdebstrap's own error lines say more than its last lines.
fn failure(error: CommandError) -> Failure {
    let CommandError::Failed { output, .. } = &error else { return tools::failure(error) };
    let lines = error_lines(output);
    if lines.is_empty() {
        return tools::failure(error);
    }
    let text = lines.join("; ");
    let has = |needle: &&str| text.contains(*needle);
    if has(&"No space left on device") || has(&"enough free space") {
        Failure::permanent(format!("mmdebstrap failed: {text}")).hint(DISK_FULL_HINT)
    } else if NETWORK_ERRORS.iter().any(has) {
        Failure::transient(format!("mmdebstrap failed: {text}"))
            .hint("the package archive could not be reached: try again")
    } else {
        Failure::permanent(format!("mmdebstrap failed: {text}"))
    }
}

/// Up to four different `E:` lines, without control characters.
fn error_lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut kept: Vec<String> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("E: ")) {
        let line: String = line.trim().chars().filter(|c| !c.is_control()).take(300).collect();
        if kept.len() < 4 && !kept.contains(&line) {
            kept.push(line);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Status;
    use crate::exec::FailureKind;

    fn failed(stderr: &str) -> Failure {
        let output = Output { status: Status::Code(1), stdout: Vec::new(), stderr: stderr.into() };
        failure(CommandError::Failed { command: "mmdebstrap".into(), output })
    }

    #[test]
    fn a_package_that_does_not_exist_is_named_and_permanent() {
        let stderr = "I: automatically chosen mode: unshare\nE: Unable to locate package no-such\nE: Unable to locate package no-such\n\
            E: apt-get --yes install failed\n";
        let expected = "mmdebstrap failed: Unable to locate package no-such; apt-get --yes install failed";
        assert_eq!(failed(stderr), Failure::permanent(expected));
    }

    #[test]
    fn a_line_that_is_down_may_come_back() {
        let failure = failed("E: Failed to fetch x  Could not connect to a.example:80\n");
        assert_eq!(failure.kind, FailureKind::Transient);
    }

    #[test]
    fn a_full_disk_has_a_hint() {
        let failure = failed("E: You don't have enough free space in /var/cache/apt/archives/.\n");
        assert_eq!((failure.kind, failure.hint.as_deref()), (FailureKind::Permanent, Some(DISK_FULL_HINT)));
    }
}
