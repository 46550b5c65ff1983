//! What the user's own `~/.ssh/config` says of the way to a host, as `ssh -G` tells it: `Match`, `Include` and patterns mean
//! what they mean to `ssh`.
//!
//! Only jump hosts are taken from there (`ProxyJump`), with what is said of those: address, port, user, keys, agent and known
//! hosts. The host itself is whom the fleet file says, and its key is pinned.

use std::time::Duration;

use camino::Utf8PathBuf;

use super::{ConnectError, Login, plain};
use crate::effect::{Command, CommandError, Run, paths};

/// A server on the way to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// As `ProxyJump` names it, after those that come before it: `outer,user@inner:2222`.
    pub named: String,
    /// Address or name to connect to.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// What is tried to log in, in this order.
    pub logins: Vec<Login>,
    /// Files that name the host keys that are accepted. Nobody else is trusted.
    pub known_hosts: Vec<Utf8PathBuf>,
    /// The server through which it is reached itself.
    pub via: Option<Box<Jump>>,
}

/// Asking `ssh` takes at most this long. A `Match exec` of the user's may take its time.
const DEADLINE: Duration = Duration::from_secs(10);

/// More servers on one way are a configuration that names itself.
const MOST_HOPS: usize = 6;

/// The user's home and the agent that `SSH_AUTH_SOCK` names: what a configuration means by `~/` and by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The home directory.
    pub home: Option<Utf8PathBuf>,
    /// Socket of the agent.
    pub agent: Option<Utf8PathBuf>,
    /// Another configuration than the user's own (`ssh -F`).
    pub config: Option<Utf8PathBuf>,
}

impl Surroundings {
    /// The server through which a host is reached; `None` when it is reached directly, or this machine has no `ssh`.
    ///
    /// # Errors
    /// The configuration is wrong, or says something of a jump host that we do not understand.
    pub async fn way(&self, run: &dyn Run, host: &str) -> Result<Option<Jump>, ConnectError> {
        let Some(said) = self.ask(run, &[host]).await? else { return Ok(None) };
        match said.jumps() {
            None => Ok(None),
            Some(hops) => self.chain(run, hops, MOST_HOPS).await.map(Some),
        }
    }

    /// The last of some hops, reached through those before it.
    async fn chain(&self, run: &dyn Run, named: &str, left: usize) -> Result<Jump, ConnectError> {
        if left == 0 {
            return Err(wrong(named, "the way has too many servers, or names itself"));
        }
        let (before, last) = match named.rsplit_once(',') {
            Some((before, last)) => (Some(before), last),
            None => (None, named),
        };
        let hop = Hop::parse(last).ok_or_else(|| wrong(named, "expected names as `user@host:port`"))?;
        let Some(said) = self.ask(run, &hop.arguments()).await? else {
            return Err(wrong(named, "this machine has no `ssh` any more"));
        };
        // Only the first of a list may have a way of its own (`man ssh_config`, ProxyJump).
        let via = match before.or_else(|| said.jumps()) {
            None => None,
            Some(through) => Some(Box::new(Box::pin(self.chain(run, through, left - 1)).await?)),
        };
        let jump = self.jump(&said, named).ok_or_else(|| wrong(named, "`ssh -G` does not tell where it is"))?;
        match said.one("hostkeyalias") {
            Some(_) => Err(wrong(named, "`HostKeyAlias` is not understood")),
            None => Ok(Jump { via, ..jump }),
        }
    }

    fn jump(&self, said: &Said, named: &str) -> Option<Jump> {
        let words = |key: &'static str| said.one(key).into_iter().flat_map(str::split_whitespace);
        let known_hosts = words("userknownhostsfile").chain(words("globalknownhostsfile"));
        Some(Jump {
            named: named.to_owned(),
            host: said.one("hostname")?.to_owned(),
            port: said.one("port")?.parse().ok()?,
            user: said.one("user")?.to_owned(),
            logins: self.logins(said),
            known_hosts: known_hosts.filter_map(|path| self.path(path)).collect(),
            via: None,
        })
    }

    /// The agent first, as `ssh` does it, unless only the files count; of those, the ones that are there.
    fn logins(&self, said: &Said) -> Vec<Login> {
        let agent = match said.one("identityagent") {
            _ if said.one("identitiesonly") == Some("yes") => None,
            Some("none") => None,
            None | Some("SSH_AUTH_SOCK") => self.agent.clone(),
            Some(path) => self.path(path),
        };
        let files = said.all("identityfile").filter_map(|path| self.path(path));
        let there = files.filter(|path| paths::exists(path).unwrap_or(false));
        agent.map(Login::Agent).into_iter().chain(there.map(Login::KeyFile)).collect()
    }

    /// A path as `ssh -G` prints it; `None` for what has tokens and variables in it.
    fn path(&self, text: &str) -> Option<Utf8PathBuf> {
        if text == "none" || text.contains(['%', '$']) {
            return None;
        }
        match text.strip_prefix("~/") {
            Some(below) => Some(self.home.as_ref()?.join(below)),
            None => Some(text.into()).filter(|path: &Utf8PathBuf| path.is_absolute()),
        }
    }

    /// What the configuration says of a host; `None` where there is no `ssh`.
    async fn ask(&self, run: &dyn Run, about: &[&str]) -> Result<Option<Said>, ConnectError> {
        let mut command = Command::new("ssh").arg("-G").deadline(DEADLINE);
        if let Some(config) = &self.config {
            command = command.args(["-F", config.as_str()]);
        }
        let (options, host) = about.split_at(about.len().saturating_sub(1));
        command = command.args(options.iter().copied()).arg("--").args(host.iter().copied());
        match run.run_ok(&command).await {
            Ok(output) => Ok(Some(Said::parse(&String::from_utf8_lossy(&output.stdout)))),
            Err(CommandError::Missing { .. }) => Ok(None),
            Err(error) => Err(ConnectError::Protocol(plain(&format!("cannot read the ssh configuration: {error}")))),
        }
    }
}

fn wrong(named: &str, why: &str) -> ConnectError {
    let named = plain(named);
    ConnectError::Protocol(format!("cannot use the jump host `{named}` of the ssh configuration: {why}"))
}

/// One entry of a `ProxyJump`.
#[derive(Debug, PartialEq, Eq)]
struct Hop<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
}

impl<'a> Hop<'a> {
    /// Plain words only: they become arguments, and part of a command of `ssh`'s.
    fn parse(text: &'a str) -> Option<Self> {
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (host, port) = match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        };
        let plain = |word: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !word.is_empty() && !word.starts_with('-') && word.bytes().all(allowed)
        };
        let number = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        (user.is_none_or(plain) && plain(host) && port.is_none_or(number)).then_some(Self { user, host, port })
    }

    fn arguments(&self) -> Vec<&'a str> {
        let user = self.user.into_iter().flat_map(|user| ["-l", user]);
        let port = self.port.into_iter().flat_map(|port| ["-p", port]);
        user.chain(port).chain([self.host]).collect()
    }
}

/// What `ssh` has to be told to go the same way: its configuration knows the servers by their names.
///
/// # Errors
/// A name that is no plain word.
pub(super) fn proxy_command(jump: &Jump) -> Result<String, ConnectError> {
    let hops: Vec<&str> = jump.named.split(',').collect();
    if hops.iter().any(|hop| Hop::parse(hop).is_none()) {
        return Err(wrong(&jump.named, "expected names as `user@host:port`"));
    }
    let (last, before) = hops.split_last().map_or(("", &[][..]), |(last, before)| (*last, before));
    let through = if before.is_empty() { String::new() } else { format!(" -J {}", before.join(",")) };
    Ok(format!("ssh -W '[%h]:%p'{through} -- ssh://{last}"))
}

/// Lines of `ssh -G`.
#[derive(Debug)]
struct Said(Vec<(String, String)>);

impl Said {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        Self(lines.map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned())).collect())
    }

    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    fn one<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.all(key).next()
    }

    /// The servers on the way, as they are written.
    fn jumps(&self) -> Option<&str> {
        self.one("proxyjump").filter(|jumps| *jumps != "none" && !jumps.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::super::loopback::Sshd;
    use super::super::system::{known_hosts_line, ssh_arguments};
    use super::super::{Connect as _, SshClient, SshTarget};
    use super::*;
    use crate::effect::CommandRunner;
    use crate::effect::testing::{lacks, scratch};

    /// A configuration that leads to `server` through `jump`, which is called `bastion` in it.
    fn surroundings(dir: &Utf8Path, jump: &Sshd, trusted: &str) -> Surroundings {
        let target = jump.target();
        let known = known_hosts_line(&target.host, target.port, trusted).unwrap();
        std::fs::write(dir.join("known_hosts"), known).unwrap();
        let config = format!(
            "Host 127.0.0.1\n  ProxyJump bastion\nMatch host bastion\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  ProxyJump none\n  \
             IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {dir}/known_hosts\n  GlobalKnownHostsFile none\n",
            target.port, target.user, target.identity
        );
        std::fs::write(dir.join("config"), config).unwrap();
        Surroundings { config: Some(dir.join("config")), ..Surroundings::default() }
    }

    #[tokio::test]
    async fn a_jump_host_of_the_users_configuration_is_gone_through() {
        if lacks("ssh") {
            return;
        }
        let (Some(jump), Some(server)) = (Sshd::start(), Sshd::start()) else { return };
        let (_guard, dir) = scratch();
        let around = surroundings(&dir, &jump, &jump.target().host_key);
        let way = around.way(&CommandRunner, "127.0.0.1").await.unwrap().unwrap();
        let expected = Jump {
            named: "bastion".into(),
            host: "127.0.0.1".into(),
            port: jump.target().port,
            user: jump.target().user,
            logins: vec![Login::KeyFile(jump.target().identity)],
            known_hosts: vec![dir.join("known_hosts")],
            via: None,
        };
        assert_eq!(way, expected);
        let target = SshTarget { via: Some(Box::new(way)), ..server.target() };
        let shell = SshClient::default().connect(&target, Duration::from_secs(20)).await.unwrap();
        let said = shell.exec(&["sh", "-c", "printf %s \"${SSH_CONNECTION%% *}\""], b"", DEADLINE).await.unwrap();
        assert_eq!(said.stdout, b"127.0.0.1");
        // The program goes the same way, and is asked by its own configuration who the jump host is.
        let known_hosts = dir.join("guest");
        std::fs::write(&known_hosts, known_hosts_line(&target.host, target.port, &target.host_key).unwrap()).unwrap();
        let arguments = ssh_arguments(&target, &known_hosts, &["true"]).unwrap();
        assert!(arguments.contains(&"ProxyCommand=ssh -W '[%h]:%p' -- ssh://bastion".to_owned()), "{arguments:?}");
        let through = format!("ProxyCommand=ssh -F {dir}/config -W '[%h]:%p' -- ssh://bastion");
        let arguments =
            arguments.into_iter().map(|word| if word.starts_with("ProxyCommand=") { through.clone() } else { word });
        let output =
            std::process::Command::new("ssh").args(arguments).stdin(std::process::Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[tokio::test]
    async fn a_jump_host_that_nobody_knows_is_not_trusted() {
        if lacks("ssh") {
            return;
        }
        let (Some(jump), Some(server)) = (Sshd::start(), Sshd::start()) else { return };
        let (_guard, dir) = scratch();
        let around = surroundings(&dir, &jump, &server.target().host_key);
        let way = around.way(&CommandRunner, "127.0.0.1").await.unwrap().unwrap();
        let target = SshTarget { via: Some(Box::new(way)), ..server.target() };
        let refused = SshClient::default().connect(&target, Duration::from_secs(20)).await.err().unwrap();
        assert!(
            matches!(&refused, ConnectError::Jump { cause, .. } if matches!(**cause, ConnectError::HostKey { .. })),
            "{refused}"
        );
        std::fs::remove_file(dir.join("known_hosts")).unwrap();
        let refused = SshClient::default().connect(&target, Duration::from_secs(20)).await.err().unwrap();
        assert!(
            matches!(&refused, ConnectError::Jump { cause, .. } if matches!(**cause, ConnectError::HostUnknown { .. })),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_way_that_names_itself_or_is_not_understood_is_refused() {
        if lacks("ssh") {
            return;
        }
        let (_guard, dir) = scratch();
        let around = Surroundings { config: Some(dir.join("config")), ..Surroundings::default() };
        let ask = async |config: &str| {
            std::fs::write(dir.join("config"), config).unwrap();
            around.way(&CommandRunner, "10.0.0.5").await
        };
        assert_eq!(ask("Host other\n  ProxyJump bastion\n").await, Ok(None));
        assert_eq!(ask("Host 10.0.0.5\n  ProxyJump none\n").await, Ok(None));
        let two = ask("Host 10.0.0.5\n  ProxyJump outer,me@inner:2222\n").await.unwrap().unwrap();
        assert_eq!((two.user.as_str(), two.host.as_str(), two.port), ("me", "inner", 2222));
        assert_eq!(two.via.unwrap().host, "outer");
        let refused = ask("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\nHost 10.0.0.5\n  ProxyJump a\n")
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("too many servers, or names itself"), "{refused}");
        let refused = ask("Host 10.0.0.5\n  ProxyJump a\nHost a\n  HostKeyAlias b\n").await.unwrap_err().to_string();
        assert!(refused.contains("`HostKeyAlias` is not understood"), "{refused}");
        assert!(ask("Nonsense yes\n").await.unwrap_err().to_string().contains("cannot read the ssh configuration"));
    }

    #[test]
    fn only_plain_words_become_arguments() {
        let hop = Hop { user: Some("me"), host: "host", port: Some("22") };
        assert_eq!(Hop::parse("me@host:22"), Some(hop));
        for wrong in
            ["", "-oProxyCommand=x", "a b", "a;b", "me@", "@host", "host:0", "host:x", "[::1]", "a$(b)", "ssh://a"]
        {
            assert_eq!(Hop::parse(wrong), None, "{wrong}");
        }
    }
}
