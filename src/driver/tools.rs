//! The external programs drivers run: which Debian package has them, and what their failures mean.

use std::time::Duration;

use crate::effect::{Command, Run};
use crate::exec::Failure;

/// A program and the Debian package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tool {
    /// The program.
    pub(super) program: &'static str,
    /// Its package on Debian and Ubuntu.
    pub(super) package: &'static str,
}

/// Makes Debian root file systems.
pub(super) const MMDEBSTRAP: Tool = Tool { program: "mmdebstrap", package: "mmdebstrap" };
/// Lets an ordinary user be root among subordinate users.
pub(super) const NEWUIDMAP: Tool = Tool { program: "newuidmap", package: "uidmap" };
/// Makes ext4 file systems.
pub(super) const MKE2FS: Tool = Tool { program: "mke2fs", package: "e2fsprogs" };
/// Converts disk images.
pub(super) const QEMU_IMG: Tool = Tool { program: "qemu-img", package: "qemu-utils" };
/// Checks ext4 file systems.
pub(super) const E2FSCK: Tool = Tool { program: "e2fsck", package: "e2fsprogs" };
/// Runs guests.
pub(super) const QEMU: Tool = Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" };
/// Writes into ext4 file systems.
pub(super) const DEBUGFS: Tool = Tool { program: "debugfs", package: "e2fsprogs" };
/// Answers DHCP and DNS.
pub(super) const DNSMASQ: Tool = Tool { program: "dnsmasq", package: "dnsmasq-base" };
/// Ends processes by what their pid files name.
pub(super) const PKILL: Tool = Tool { program: "pkill", package: "procps" };
/// Unpacks archives.
pub(super) const TAR: Tool = Tool { program: "tar", package: "tar" };
/// Unpacks what is compressed with LZMA.
pub(super) const XZ: Tool = Tool { program: "xz", package: "xz-utils" };
/// Lists which kernel modules need which others.
pub(super) const DEPMOD: Tool = Tool { program: "depmod", package: "kmod" };
/// Unpacks Debian packages.
pub(super) const DPKG_DEB: Tool = Tool { program: "dpkg-deb", package: "dpkg" };

/// Prints those of its arguments that are no program on `PATH`.
const MISSING_SCRIPT: &str = r#"for tool; do command -v "$tool" >/dev/null || printf '%s\n' "$tool"; done"#;

/// Makes sure that all these programs are installed, before any work is done.
///
/// # Errors
/// Names every missing program, and the packages to install.
pub(super) async fn require(run: &dyn Run, tools: &[Tool]) -> Result<(), Failure> {
    let command = Command::new("sh")
        .args(["-c", MISSING_SCRIPT, "sh"])
        .args(tools.iter().map(|tool| tool.program))
        .deadline(Duration::from_secs(10));
    let output = run.run_ok(&command).await?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let missing: Vec<&Tool> = tools.iter().filter(|tool| listed.lines().any(|line| line == tool.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<String> = missing.iter().map(|tool| format!("`{}`", tool.program)).collect();
    let mut packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    packages.dedup();
    Err(Failure::permanent(format!("not installed: {}", programs.join(", ")))
        .hint(format!("on Debian and Ubuntu: apt install {}", packages.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::CommandRunner;
    use crate::exec::FailureKind;

    #[tokio::test]
    async fn missing_programs_are_all_named_with_their_packages() {
        const SHELL: Tool = Tool { program: "sh", package: "dash" };
        const ONE: Tool = Tool { program: "regatta-no-such-a", package: "a" };
        const TWO: Tool = Tool { program: "regatta-no-such-b", package: "b" };
        assert_eq!(require(&CommandRunner, &[SHELL]).await, Ok(()));
        assert_eq!(
            require(&CommandRunner, &[ONE, SHELL, TWO]).await,
            Err(Failure {
                kind: FailureKind::Permanent,
                causes: vec!["not installed: `regatta-no-such-a`, `regatta-no-such-b`".into()],
                hint: Some("on Debian and Ubuntu: apt install a b".into()),
            })
        );
    }
}
