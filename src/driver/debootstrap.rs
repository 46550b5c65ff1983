//! Running mmdebstrap, as root or as an ordinary user: it writes a tree with right owners into a tar file.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use camino::Utf8Path;

use super::failure::DISK_FULL_HINT;
use super::namespace;
use super::store::{Staging, storage_failure};
use super::tools::{self, MMDEBSTRAP, NEWUIDMAP, Tool};
use crate::effect::{Command, CommandError, Output, Run};
use crate::exec::Failure;

/// Downloading and installing packages: minutes on a slow line.
const INSTALL_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// apt's words for a line or a server that is down.
const NETWORK_ERRORS: [&str; 4] =
    ["Could not resolve", "Temporary failure resolving", "Could not connect", "Connection timed out"];

/// How errors begin that only say that there was one before.
const CONSEQUENCES: [&str; 4] = ["mmdebstrap failed to run", "apt-get ", "command failed: ", "setup failed: "];

/// One call of mmdebstrap.
#[derive(Debug)]
pub(super) struct Debootstrap<'a> {
    /// The build: has a folder for the tree to grow in, and holds the lock.
    pub(super) staging: &'a Staging,
    /// Release name.
    pub(super) suite: &'a str,
    /// Archive address, or mmdebstrap's default.
    pub(super) mirror: Option<&'a str>,
    /// Options before suite and target.
    pub(super) options: Vec<String>,
    /// Files for the hooks, by name: they find them in the folder `REGATTA_INPUTS`, which every user of this machine can
    /// read who guesses its name.
    pub(super) inputs: Vec<(String, Vec<u8>)>,
    /// Environment variable for the hooks.
    pub(super) env: Option<(&'a str, &'a str)>,
    /// The tar file to write.
    pub(super) target: &'a Utf8Path,
}

/// Makes sure that [`Debootstrap::make`] can do its work: that it has its programs and these others, and that an
/// ordinary user can be root in a namespace.
///
/// # Errors
/// Says what is missing, and what to do about it.
pub(super) async fn require(run: &dyn Run, others: &[Tool]) -> Result<(), Failure> {
    let own: &[Tool] = if namespace::is_root() { &[MMDEBSTRAP] } else { &[MMDEBSTRAP, NEWUIDMAP] };
    tools::require(run, &[own, others].concat()).await?;
    namespace::require(run).await
}

impl Debootstrap<'_> {
    /// Runs mmdebstrap. The tree it grew is gone afterwards, the tar file remains.
    ///
    /// # Errors
    /// When packages cannot be found, fetched or installed, the disk is full, or it takes too long.
    pub(super) async fn make(&self, run: &dyn Run) -> Result<(), Failure> {
        let scratch = self.staging.open_scratch()?;
        let made = match self.put_inputs(&scratch) {
            Ok(()) => run.run_ok(&self.command(&scratch)).await.map(drop).map_err(failure),
            Err(cause) => Err(storage_failure(&format!("cannot write below `{scratch}`"), &cause)),
        };
        // When both fail, the first is the cause, and the next build sweeps again.
        made.and(self.staging.close_scratch(run).await)
    }

    /// The namespace's root is a subordinate user: what it reads must be open to all.
    fn put_inputs(&self, scratch: &Utf8Path) -> io::Result<()> {
        for (name, content) in &self.inputs {
            let path = scratch.join(name);
            fs::write(&path, content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        }
        Ok(())
    }

    fn command(&self, scratch: &Utf8Path) -> Command {
        let mode = if namespace::is_root() { "--mode=root" } else { "--mode=unshare" };
        let command = self
            .staging
            .under_lock(Command::new(MMDEBSTRAP.program))
            .arg(mode)
            .args(self.options.iter().cloned())
            .args(["--", self.suite, self.target.as_str()])
            .args(self.mirror)
            .env("TMPDIR", scratch.as_str())
            .deadline(INSTALL_DEADLINE);
        let command = match self.inputs.is_empty() {
            true => command,
            false => command.env("REGATTA_INPUTS", scratch.as_str()),
        };
        match self.env {
            Some((name, value)) => command.env(name, value),
            None => command,
        }
    }
}

/// mmdebstrap's own error lines say more than its last lines.
fn failure(error: CommandError) -> Failure {
    let CommandError::Failed { output, .. } = &error else { return Failure::from(error) };
    let lines = error_lines(output);
    if lines.is_empty() {
        return Failure::from(error);
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

/// Up to four different errors (`E: …`, alone or at the end of a line), without control characters.
fn error_lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut kept: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some(error) = line.strip_prefix("E: ").or_else(|| Some(line.rsplit_once(" E: ")?.1)) else { continue };
        let error: String = error.trim().chars().filter(|c| !c.is_control()).take(300).collect();
        if kept.len() < 4 && !kept.contains(&error) && !CONSEQUENCES.iter().any(|words| error.starts_with(words)) {
            kept.push(error);
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
        let stderr = "I: automatically chosen mode: unshare\nE: Unable to locate package no-such\n\
            E: Unable to locate package no-such\nW: setup failed: E: apt-get -o Dir::Bin::dpkg=env failed\n\
            I: main() received signal PIPE: waiting for setup...\nE: mmdebstrap failed to run\n";
        assert_eq!(failed(stderr), Failure::permanent("mmdebstrap failed: Unable to locate package no-such"));
    }

    #[test]
    fn a_declared_command_that_fails_is_named_without_the_script_that_runs_it() {
        let stderr = "E: `systemctl enable x` failed: unit x.service does not exist.\n\
            E: setup failed: E: command failed: # Run by mmdebstrap\nset -eu\nE: mmdebstrap failed to run\n";
        let expected = "mmdebstrap failed: `systemctl enable x` failed: unit x.service does not exist.";
        assert_eq!(failed(stderr), Failure::permanent(expected));
    }

    #[test]
    fn a_line_that_is_down_may_come_back() {
        let failure = failed("E: Failed to fetch x  Could not connect to a.example:80\n");
        assert_eq!(failure.kind, FailureKind::Transient);
    }

    #[test]
    fn a_full_disk_has_a_hint() {
        let full = |stderr| assert_eq!(failed(stderr).hint.as_deref(), Some(DISK_FULL_HINT), "{stderr}");
        full("E: You don't have enough free space in /var/cache/apt/archives/.\n");
        full("W: creating tarball failed: E: cannot copy to root.tar: No space left on device\n");
    }
}
