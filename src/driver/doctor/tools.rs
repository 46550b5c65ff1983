//! Programs, and which of them are missing.

use std::time::Duration;

use super::Doctor;
use crate::driver::namespace;
use crate::effect::{Command, CommandError};
use crate::resource::Finding;

/// A program, how it tells its version, and its Debian package.
type Program = (&'static str, &'static [&'static str], &'static str);

/// What every fleet needs.
const ALWAYS: [Program; 10] = [
    ("qemu-system-x86_64", &["--version"], "qemu-system-x86"),
    ("qemu-img", &["--version"], "qemu-utils"),
    ("mmdebstrap", &["--version"], "mmdebstrap"),
    ("debugfs", &["-V"], "e2fsprogs"),
    ("dpkg-deb", &["--version"], "dpkg"),
    ("depmod", &["--version"], "kmod"),
    ("tar", &["--version"], "tar"),
    ("xz", &["--version"], "xz-utils"),
    ("ssh", &["-V"], "openssh-client"),
    ("git", &["--version"], "git"),
];

/// What an ordinary user needs to build images.
const NOT_ROOT: Program = ("newuidmap", &[], "uidmap");

/// What bridged networks need.
const BRIDGES: [Program; 2] = [("ip", &["-V"], "iproute2"), ("nft", &["--version"], "nftables")];

/// What an ordinary user needs for bridged networks.
const SUDO: Program = ("sudo", &["--version"], "sudo");

/// The first release whose rules may be regular expressions.
const SUDO_WITH_EXPRESSIONS: [u32; 3] = [1, 9, 10];

impl Doctor {
    /// Every program, with its version.
    pub(super) async fn tools(&self, bridges: bool) -> Vec<Finding> {
        let (user, network) = (!namespace::is_root(), bridges);
        let mut programs = ALWAYS.to_vec();
        programs.extend(user.then_some(&NOT_ROOT));
        programs.extend(BRIDGES.iter().filter(|_| network));
        programs.extend(Some(SUDO).filter(|_| network && user));
        let mut findings = Vec::new();
        for program in programs {
            findings.push(self.tool(program).await);
        }
        findings
    }

    async fn tool(&self, (program, version, package): Program) -> Finding {
        let command = Command::new(program).args(version.iter().copied()).deadline(Duration::from_secs(10));
        match self.run.run(&command).await {
            Err(CommandError::Missing { .. }) => {
                Finding::fail(program, "not installed", format!("on Debian and Ubuntu: apt install {package}"))
            }
            Err(error) => Finding::warn(program, error.to_string(), format!("try `{command}` by hand")),
            Ok(output) => {
                let text = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&text);
                let line = if version.is_empty() { "installed" } else { text.lines().next().unwrap_or("installed") };
                let line: String = line.chars().filter(|c| !c.is_control()).take(100).collect();
                match numbers(&line) {
                    Some(found) if program == "sudo" && found < SUDO_WITH_EXPRESSIONS => {
                        Finding::fail(program, line, "rules of `regatta sudoers` need sudo 1.9.10 or later")
                    }
                    _ => Finding::pass(program, line),
                }
            }
        }
    }
}

/// The first version in a text.
fn numbers(text: &str) -> Option<[u32; 3]> {
    let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = word.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    Some([parts.next()?, parts.next().unwrap_or(0), parts.next().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(numbers("Sudo version 1.9.13p3"), Some([1, 9, 13]));
        assert_eq!(numbers("Sudo version 1.9.9"), Some([1, 9, 9]));
        assert!(numbers("Sudo version 1.9.9").unwrap() < SUDO_WITH_EXPRESSIONS);
        assert_eq!(numbers("no version"), None);
    }
}
