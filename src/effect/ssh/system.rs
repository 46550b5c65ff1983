//! The system's own `ssh`, for people: its arguments and the `known_hosts` file that holds our pins.

use camino::Utf8Path;

use super::quote::remote_command;
use super::user_config::proxy_command;
use super::{ConnectError, SshTarget};
use crate::effect::KeyError;
use crate::effect::keys;

/// Arguments for `ssh` (without the program's name) to log in to `target`, or to run `command` there if it has words.
/// The user's own configuration, agent and known hosts play no part, and there is never a question.
///
/// # Errors
/// [`ConnectError::Command`] when the command or the target cannot be passed on.
pub fn ssh_arguments(
    target: &SshTarget,
    known_hosts: &Utf8Path,
    command: &[&str],
) -> Result<Vec<String>, ConnectError> {
    let mut arguments = vec!["-F".to_owned(), "/dev/null".to_owned()];
    for (option, value) in options(target, known_hosts)? {
        arguments.extend(["-o".to_owned(), format!("{option}={value}")]);
    }
    arguments.extend(["-p".to_owned(), target.port.to_string(), "-l".to_owned(), target.user.clone()]);
    arguments.extend(["--".to_owned(), target.host.clone()]);
    if !command.is_empty() {
        arguments.push(remote_command(command)?);
    }
    Ok(arguments)
}

/// What `ssh` has to be told to log in with our key, to the server with the pinned key and no other, without a question.
pub(super) fn options(target: &SshTarget, known_hosts: &Utf8Path) -> Result<Vec<(&'static str, String)>, ConnectError> {
    let mut options = vec![
        ("UserKnownHostsFile", option_path(known_hosts)?),
        ("GlobalKnownHostsFile", "/dev/null".to_owned()),
        ("StrictHostKeyChecking", "yes".to_owned()),
        // Servers offer further keys after login, and ssh would add them to our file.
        ("UpdateHostKeys", "no".to_owned()),
        ("IdentityFile", option_path(&target.identity)?),
        ("IdentitiesOnly", "yes".to_owned()),
        ("IdentityAgent", "none".to_owned()),
        ("PreferredAuthentications", "publickey".to_owned()),
        ("ServerAliveInterval", "5".to_owned()),
        ("LogLevel", "ERROR".to_owned()),
    ];
    if let Some(jump) = &target.via {
        options.push(("ProxyCommand", proxy_command(jump)?));
    }
    Ok(options)
}

/// A path as the value of an option: `ssh` splits these at spaces outside double quotes and replaces `%` and `${}` (`man
/// ssh_config`, TOKENS and ENVIRONMENT VARIABLES). What it has no escape for is refused.
fn option_path(path: &Utf8Path) -> Result<String, ConnectError> {
    let text = path.as_str();
    if text.contains(['"', '\\', '$']) || text.contains(char::is_control) {
        let why = format!("ssh cannot take the path {text:?} as an option: it has a quote, a backslash or a `$`");
        return Err(ConnectError::Command(why));
    }
    let escaped = text.replace('%', "%%");
    Ok(if escaped.contains(' ') { format!("\"{escaped}\"") } else { escaped })
}

/// A pinned host key as one line of a `known_hosts` file, with its end. Not hashed: it is our own file.
///
/// # Errors
/// When the key is none.
pub fn known_hosts_line(host: &str, port: u16, host_key: &str) -> Result<String, KeyError> {
    let mut key = keys::parse_public(host_key)?;
    key.set_comment("");
    let key = key.to_openssh().map_err(|cause| KeyError::Parse(cause.to_string()))?;
    Ok(format!("{} {}\n", known_hosts_name(host, port), key.trim_end()))
}

/// The name under which `ssh` looks a server up: with brackets and port unless it is the standard port.
pub(super) fn known_hosts_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use camino::Utf8PathBuf;

    use super::super::loopback::Sshd;
    use super::*;
    use crate::effect::KeyPair;
    use crate::effect::testing;

    fn target(identity: &str) -> SshTarget {
        SshTarget {
            host: "127.0.0.1".to_owned(),
            port: 2201,
            user: "root".to_owned(),
            host_key: String::new(),
            identity: Utf8PathBuf::from(identity),
            via: None,
        }
    }

    #[test]
    fn the_arguments_are_these() {
        let known_hosts = Utf8Path::new("/state/a b/100%/known_hosts");
        let arguments = ssh_arguments(&target("/state/identity"), known_hosts, &["echo", "it's"]).unwrap();
        let expected = r#"-F /dev/null
-o UserKnownHostsFile="/state/a b/100%%/known_hosts"
-o GlobalKnownHostsFile=/dev/null
-o StrictHostKeyChecking=yes
-o UpdateHostKeys=no
-o IdentityFile=/state/identity
-o IdentitiesOnly=yes
-o IdentityAgent=none
-o PreferredAuthentications=publickey
-o ServerAliveInterval=5
-o LogLevel=ERROR
-p 2201
-l root
-- 127.0.0.1
'echo' 'it'\''s'"#;
        let (options, rest) = arguments.split_at(26);
        let mut lines: Vec<String> = options.chunks(2).map(|pair| pair.join(" ")).collect();
        lines.push(rest[..2].join(" "));
        lines.extend(rest[2..].iter().cloned());
        assert_eq!(lines.join("\n"), expected);
        let login = ssh_arguments(&target("/state/identity"), known_hosts, &[]).unwrap();
        assert_eq!(login.last().unwrap(), "127.0.0.1");
    }

    #[test]
    fn a_path_that_ssh_would_read_otherwise_is_refused() {
        for path in ["/a\"b", "/a\\b", "/${HOME}", "/a\nb"] {
            let refused = ssh_arguments(&target(path), Utf8Path::new("/known_hosts"), &[]);
            assert!(matches!(refused, Err(ConnectError::Command(_))), "{path}");
        }
    }

    #[test]
    fn a_line_names_the_port_unless_it_is_22() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        let line = |host, port| known_hosts_line(host, port, &format!("{key} a comment")).unwrap();
        assert_eq!(line("127.0.0.1", 2201), format!("[127.0.0.1]:2201 {key}\n"));
        assert_eq!(line("Web.Example", 22), format!("web.example {key}\n"));
        assert!(known_hosts_line("127.0.0.1", 22, &format!("{key}\n{key}")).is_err());
    }

    /// Runs the real `ssh` with our arguments in a directory whose name needs escaping.
    fn ssh(server: &Sshd, host_key: &str, command: &[&str]) -> Output {
        let target = server.target();
        let dir = server.file("known hosts 100%");
        std::fs::create_dir_all(&dir).unwrap();
        let known_hosts = dir.join("known_hosts");
        std::fs::write(&known_hosts, known_hosts_line(&target.host, target.port, host_key).unwrap()).unwrap();
        let identity = dir.join("identity");
        std::fs::copy(&target.identity, &identity).unwrap();
        let arguments = ssh_arguments(&SshTarget { identity, ..target }, &known_hosts, command).unwrap();
        Command::new("ssh").args(arguments).stdin(std::process::Stdio::null()).output().unwrap()
    }

    /// LESSON 19: without our quoting this exits with 0.
    #[test]
    fn the_real_ssh_passes_the_command_unharmed_and_returns_its_exit_code() {
        if testing::lacks("ssh") {
            return;
        }
        let Some(server) = Sshd::start() else { return };
        let output = ssh(&server, &server.target().host_key, &["sh", "-c", r#"printf %s "a b"; exit 42"#]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout, &*text), (Some(42), b"a b".to_vec(), ""));
    }

    #[test]
    fn the_real_ssh_refuses_a_changed_host_key() {
        if testing::lacks("ssh") {
            return;
        }
        let Some(server) = Sshd::start() else { return };
        let other = KeyPair::generate("other").unwrap().public_line().unwrap();
        let output = ssh(&server, &other, &["true"]);
        assert_eq!(output.status.code(), Some(255));
        assert!(String::from_utf8_lossy(&output.stderr).contains("Host key verification failed"));
    }
}
