//! Arguments for the system's `scp`: files into a guest and out of it.

use camino::Utf8Path;

use super::system::options;
use super::{ConnectError, SshTarget};

/// Which files go where. Relative paths start at the working directory here, and at the home directory there; a
/// directory that is there already takes files into itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer<'a> {
    /// From here to the server.
    ToServer {
        /// Here.
        from: &'a [&'a str],
        /// There.
        to: &'a str,
    },
    /// From the server to here.
    FromServer {
        /// There.
        from: &'a [&'a str],
        /// Here.
        to: &'a str,
    },
}

/// What becomes of directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// They are refused.
    Files,
    /// They are copied with all they hold.
    Trees,
}

/// Arguments for `scp` (without the program's name). Modes and times are kept. Names mean themselves on both sides: they
/// are no patterns, no options, and not read by any shell.
///
/// # Errors
/// [`ConnectError::Command`] when a path is empty or cannot be passed on.
pub fn scp_arguments(
    target: &SshTarget,
    known_hosts: &Utf8Path,
    transfer: Transfer<'_>,
    depth: Depth,
) -> Result<Vec<String>, ConnectError> {
    // Over SFTP always (`-s`): the older protocol has the server's shell read the names.
    let mut arguments: Vec<String> = ["-s", "-p", "-F", "/dev/null"].map(str::to_owned).into();
    if depth == Depth::Trees {
        arguments.push("-r".to_owned());
    }
    for (option, value) in options(target, known_hosts)? {
        arguments.extend(["-o".to_owned(), format!("{option}={value}")]);
    }
    arguments.extend(["-P".to_owned(), target.port.to_string(), "--".to_owned()]);
    let there = |path: &str| format!("{}@{}:{path}", target.user, bracketed(&target.host));
    let (from, to) = match transfer {
        Transfer::ToServer { from, to } => (from, to),
        Transfer::FromServer { from, to } => (from, to),
    };
    if from.is_empty() || from.iter().chain([&to]).any(|path| path.is_empty() || path.contains('\0')) {
        return Err(ConnectError::Command("found an empty path, expected a file's".to_owned()));
    }
    match transfer {
        Transfer::ToServer { .. } => {
            arguments.extend(from.iter().map(|path| here(path)));
            arguments.push(there(to));
        }
        Transfer::FromServer { .. } => {
            arguments.extend(from.iter().map(|path| there(&literal(path))));
            arguments.push(here(to));
        }
    }
    Ok(arguments)
}

/// A name with a colon would be one on a server, unless it begins with a directory.
fn here(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("./{path}") }
}

/// Files to fetch are patterns to `scp`.
fn literal(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// An address of the Internet protocol version 6 has colons itself.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::super::loopback::Sshd;
    use super::super::system::known_hosts_line;
    use super::*;
    use crate::effect::{KeyPair, testing};

    #[test]
    fn names_mean_themselves() {
        let target = SshTarget {
            host: "::1".to_owned(),
            port: 2201,
            user: "root".to_owned(),
            host_key: String::new(),
            identity: "/state/identity".into(),
            via: None,
        };
        let arguments = |transfer| scp_arguments(&target, Utf8Path::new("/state/known_hosts"), transfer, Depth::Trees);
        let there = arguments(Transfer::ToServer { from: &["/a b", "-r", "web-1:x"], to: "~/it's *" }).unwrap();
        assert_eq!(there[..5], ["-s", "-p", "-F", "/dev/null", "-r"]);
        let expected = ["-P", "2201", "--", "/a b", "./-r", "./web-1:x", "root@[::1]:~/it's *"];
        assert_eq!(there[there.len() - 7..], expected);
        let here = arguments(Transfer::FromServer { from: &[r"a*?[b]{c}\"], to: "." }).unwrap();
        assert_eq!(here[here.len() - 2..], [r"root@[::1]:a\*\?\[b\]\{c\}\\", "./."]);
        for (from, to) in [(&[][..], "x"), (&[""], "x"), (&["x"], ""), (&["a\0"], "x")] {
            assert!(matches!(arguments(Transfer::ToServer { from, to }), Err(ConnectError::Command(_))));
        }
    }

    /// Runs the real `scp` in `dir`; its exit code and what it said.
    fn scp(server: &Sshd, host_key: &str, dir: &Utf8Path, transfer: Transfer<'_>) -> (Option<i32>, String) {
        let (target, known_hosts) = (server.target(), server.file("known_hosts"));
        std::fs::write(&known_hosts, known_hosts_line(&target.host, target.port, host_key).unwrap()).unwrap();
        let arguments = scp_arguments(&target, &known_hosts, transfer, Depth::Trees).unwrap();
        let output = Command::new("scp").args(arguments).current_dir(dir).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn the_real_scp_copies_hostile_names_both_ways() {
        if testing::lacks("scp") {
            return;
        }
        let Some(server) = Sshd::start() else { return };
        let (near, far, back) = (server.file("near"), server.file("far"), server.file("back"));
        let names = ["a b", "it's \"$HOME\" `id`", "[x]*?{y}", "-rf", "web-1:x", r"back\slash"];
        for dir in [&near.join("tree/below"), &far, &back] {
            std::fs::create_dir_all(dir).unwrap();
        }
        // What a pattern would take instead.
        std::fs::write(near.join("x1{y}"), "another").unwrap();
        for name in names {
            std::fs::write(near.join(name), name).unwrap();
            std::fs::write(near.join("tree/below").join(name), name).unwrap();
        }
        let key = server.target().host_key;
        let went_well = (Some(0), String::new());
        let from: Vec<&str> = names.into_iter().chain(["tree"]).collect();
        let copied = scp(&server, &key, &near, Transfer::ToServer { from: &from, to: far.as_str() });
        assert_eq!(copied, went_well);
        let paths: Vec<String> = from.iter().map(|name| format!("{far}/{name}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let copied = scp(&server, &key, &near, Transfer::FromServer { from: &paths, to: "../back" });
        assert_eq!(copied, went_well);
        for name in names {
            assert_eq!(std::fs::read_to_string(back.join(name)).unwrap(), name);
            assert_eq!(std::fs::read_to_string(back.join("tree/below").join(name)).unwrap(), name);
        }
        assert_eq!(back.read_dir_utf8().unwrap().count(), names.len() + 1);

        let other = KeyPair::generate("other").unwrap().public_line().unwrap();
        let (code, said) = scp(&server, &other, &near, Transfer::ToServer { from: &["a b"], to: far.as_str() });
        assert!(code != Some(0) && said.contains("Host key verification failed"), "{said}");
    }
}
