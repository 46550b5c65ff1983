//! A piece of configuration for the system's `ssh`, for people who include it in their own: guests by name.

use std::fmt::Write as _;

use camino::Utf8Path;

use super::system::options;
use super::{ConnectError, SshTarget};

/// A server and what people call it.
#[derive(Debug, Clone, Copy)]
pub struct SshAlias<'a> {
    /// Its names: each of letters, digits, `.`, `-` and `_`.
    pub names: &'a [&'a str],
    /// Where it is and how to log in.
    pub target: &'a SshTarget,
    /// File with its host key.
    pub known_hosts: &'a Utf8Path,
}

/// The `Host` blocks for these servers (`man ssh_config`). Nothing outside of them is touched: a file that includes this
/// means the same as before for all other hosts.
///
/// # Errors
/// [`ConnectError::Command`] when a name would be a pattern to `ssh`, or a path cannot be written down.
pub fn ssh_config(aliases: &[SshAlias<'_>]) -> Result<String, ConnectError> {
    let mut text = String::new();
    for alias in aliases {
        if let Some(name) = alias.names.iter().find(|name| !is_name(name)) {
            return Err(ConnectError::Command(format!("{name:?} is no name for a host in ssh's configuration")));
        }
        let SshTarget { host, port, user, .. } = alias.target;
        let mut options = options(alias.target, alias.known_hosts)?;
        options.splice(0..0, [("HostName", host.clone()), ("Port", port.to_string()), ("User", user.clone())]);
        let lines = options.iter().map(|(option, value)| format!("    {option} {value}\n"));
        // Writing to a string does not fail.
        let _ = write!(text, "Host {}\n{}\n", alias.names.join(" "), lines.collect::<String>());
    }
    Ok(text)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::super::loopback::Sshd;
    use super::super::system::known_hosts_line;
    use super::*;
    use crate::effect::testing;

    fn target(port: u16) -> SshTarget {
        SshTarget {
            host: "127.0.0.1".to_owned(),
            port,
            user: "root".to_owned(),
            host_key: String::new(),
            identity: "/state/identity".into(),
            via: None,
        }
    }

    #[test]
    fn each_guest_has_its_block_and_patterns_are_refused() {
        let (web, known_hosts) = (target(2201), Utf8Path::new("/state/a b/known_hosts"));
        let expected = r#"Host web-1.dev web-1
    HostName 127.0.0.1
    Port 2201
    User root
    UserKnownHostsFile "/state/a b/known_hosts"
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    IdentityFile /state/identity
    IdentitiesOnly yes
    IdentityAgent none
    PreferredAuthentications publickey
    ServerAliveInterval 5
    LogLevel ERROR

"#;
        let alias = SshAlias { names: &["web-1.dev", "web-1"], target: &web, known_hosts };
        assert_eq!(ssh_config(&[alias]), Ok(expected.to_owned()));
        assert_eq!(ssh_config(&[]), Ok(String::new()));
        for name in ["*", "web-?", "!web", "", "a b", "a\nHost *", "-oProxyCommand=x"] {
            let alias = SshAlias { names: &[name], target: &web, known_hosts };
            assert!(matches!(ssh_config(&[alias]), Err(ConnectError::Command(_))), "{name:?}");
        }
    }

    /// LESSON 18: included in a configuration of the user's, it changes nothing for other hosts.
    #[test]
    fn the_real_ssh_logs_in_by_name_and_reads_the_rest_as_before() {
        if testing::lacks("ssh") {
            return;
        }
        let Some(server) = Sshd::start() else { return };
        let target = server.target();
        let dir = server.file("with space 100%");
        std::fs::create_dir(&dir).unwrap();
        let known_hosts = dir.join("known_hosts");
        std::fs::write(&known_hosts, known_hosts_line(&target.host, target.port, &target.host_key).unwrap()).unwrap();
        let alias = SshAlias { names: &["web-1.dev"], target: &target, known_hosts: &known_hosts };
        let (ours, users) = (server.file("fragment"), server.file("config"));
        std::fs::write(&ours, ssh_config(&[alias]).unwrap()).unwrap();
        let theirs = "User someone\nPort 99\nUserKnownHostsFile /dev/null\n";
        std::fs::write(&users, format!("Include {ours}\n{theirs}")).unwrap();

        let ssh = |args: &[&str]| Command::new("ssh").args(args).stdin(Stdio::null()).output().unwrap();
        let output = ssh(&["-F", users.as_str(), "web-1.dev", "echo", "hello"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &output.stdout[..], &*said), (Some(0), &b"hello\n"[..], ""));

        std::fs::write(&ours, "").unwrap();
        let before = ssh(&["-F", users.as_str(), "-G", "elsewhere"]).stdout;
        std::fs::write(&ours, ssh_config(&[alias]).unwrap()).unwrap();
        let after = ssh(&["-F", users.as_str(), "-G", "elsewhere"]).stdout;
        assert!(before == after && String::from_utf8(after).unwrap().contains("port 99"));
    }
}
