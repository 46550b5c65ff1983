//! SSH to guests: a connection that runs commands, host keys pinned, every wait with a deadline.
//!
//! **Invariant:** there is no way to connect without a pinned host key, and no "first use": the pin is known before the
//! guest boots for the first time.

use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use tokio::io::{AsyncRead, AsyncWrite};

use super::command::CappedOutput;
use super::{Output, Status};

mod client;
mod config;
mod copy;
mod destination;
mod exec;
mod include;
mod known_hosts;
mod login;
#[cfg(test)]
pub(crate) mod loopback;
mod over;
mod quote;
mod system;
#[cfg(test)]
mod tests;
mod trust;
mod user_config;

pub use client::SshClient;
pub use config::{SshAlias, ssh_config};
pub use copy::{Depth, Transfer, scp_arguments};
pub use destination::{Destination, Login, Passphrase, Trust};
pub use include::{with_include, without_include};
pub use known_hosts::KnownHosts;
pub use over::OverShell;
pub use quote::remote_command;
pub use system::{known_hosts_line, ssh_arguments};
pub use user_config::{Jump, Surroundings};

/// A guest's SSH server and how to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// Address to connect to.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// The only host key accepted, as `ssh-ed25519 AAAA…`.
    pub host_key: String,
    /// File of the private key that logs in.
    pub identity: Utf8PathBuf,
    /// The server through which it is reached.
    pub via: Option<Box<Jump>>,
}

/// Why no connection was made. "Key refused" is not "not up yet".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nothing listens, or it hangs up before the SSH banner: the guest may still be starting.
    #[error("no SSH server answers: {0}")]
    NotUp(String),
    /// It answered with another host key than the pinned one.
    #[error("the host key is {found}, pinned is {pinned}")]
    HostKey {
        /// Fingerprint of the key it showed.
        found: String,
        /// Fingerprint of the pinned key.
        pinned: String,
    },
    /// Nothing is known about its host key, and unknown keys are never accepted.
    #[error("the host key of {host} is {found}, and none is known for it")]
    HostUnknown {
        /// The host and port.
        host: String,
        /// Fingerprint of the key it showed.
        found: String,
    },
    /// It answered with a key that is marked as revoked.
    #[error("the host key of {host} is {found}, which is revoked")]
    HostRevoked {
        /// The host and port.
        host: String,
        /// Fingerprint of the key it showed.
        found: String,
    },
    /// It answered with the right host key and refused ours.
    #[error("our key was refused for user `{user}`")]
    KeyRefused {
        /// The user.
        user: String,
    },
    /// Our own key could not be read.
    #[error("cannot use the key {path}: {cause}")]
    Identity {
        /// Its file.
        path: Utf8PathBuf,
        /// Why.
        cause: String,
    },
    /// The deadline passed.
    #[error("no answer within {}s while {doing}", after.as_secs())]
    Deadline {
        /// The deadline.
        after: Duration,
        /// What was being done.
        doing: String,
    },
    /// A command did not end in time, and nobody knows what it did or will do.
    #[error("`{command}` did not end within {}s, and may still be running", after.as_secs())]
    Overdue {
        /// The deadline.
        after: Duration,
        /// The program.
        command: String,
    },
    /// The server on the way to it could not be used.
    #[error("jump host {host}: {cause}")]
    Jump {
        /// The host and port of the server on the way.
        host: String,
        /// Why.
        cause: Box<ConnectError>,
    },
    /// It is gone into by way of its node, which did not work.
    #[error("by way of its node: {0}")]
    Node(String),
    /// The command cannot be passed on as it is.
    #[error("cannot run this command: {0}")]
    Command(String),
    /// The connection ended while a command ran: what the command did is not known.
    #[error("the connection was lost while {0}")]
    Lost(String),
    /// Something else, in the library's words.
    #[error("SSH failed: {0}")]
    Protocol(String),
}

/// Makes connections.
#[async_trait]
pub trait Connect: Send + Sync {
    /// Connects and logs in within the deadline.
    ///
    /// # Errors
    /// See [`ConnectError`].
    async fn connect(&self, target: &SshTarget, deadline: Duration) -> Result<Box<dyn Shell>, ConnectError>;
}

/// Where a remote command's input comes from and its output goes, as it is produced.
pub struct Streams<'a> {
    /// Read to its end and passed on; an error while reading it ends the command's connection, not its input.
    pub stdin: &'a mut (dyn AsyncRead + Send + Unpin),
    /// Takes its output. While it takes none, nothing else moves on this connection either.
    pub stdout: &'a mut (dyn AsyncWrite + Send + Unpin),
    /// Takes its error output.
    pub stderr: &'a mut (dyn AsyncWrite + Send + Unpin),
}

/// A logged-in connection, closed when dropped. Several commands may run on it at the same time.
#[async_trait]
pub trait Shell: Send + Sync {
    /// Runs one command with these arguments (quoted for the remote POSIX shell by us) between these streams, and waits
    /// for it. A missing exit status is an error. After an error, or when the future is dropped, the command loses its
    /// streams and may still be running.
    ///
    /// # Errors
    /// [`ConnectError`] when the connection breaks or the deadline passes; any exit is a [`Status`].
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, deadline: Duration) -> Result<Status, ConnectError>;

    /// As [`Shell::stream`], fed from memory, with its output captured and capped like a local command's.
    ///
    /// # Errors
    /// As [`Shell::stream`]; a command that fails is an [`Output`].
    async fn exec(&self, argv: &[&str], stdin: &[u8], deadline: Duration) -> Result<Output, ConnectError> {
        let mut stdin = stdin;
        let (mut stdout, mut stderr) = (CappedOutput::default(), CappedOutput::default());
        let streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
        let status = self.stream(argv, streams, deadline).await?;
        Ok(Output { status, stdout: stdout.into_bytes(), stderr: stderr.into_bytes() })
    }
}

/// Untrusted or long text for a message.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(240).collect()
}
