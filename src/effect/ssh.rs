//! SSH to guests: a connection that runs commands, host keys pinned, every wait with a deadline.

use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;

use super::Output;

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

/// A logged-in connection.
#[async_trait]
pub trait Shell: Send + Sync {
    /// Runs one command with these arguments (quoted for the remote shell by us), feeds it `stdin`, and waits.
    /// Output is capped like a local command's; a missing exit status is an error.
    ///
    /// # Errors
    /// [`ConnectError`] when the connection breaks or the deadline passes; a command that fails is an [`Output`].
    async fn exec(&self, argv: &[&str], stdin: &[u8], deadline: Duration) -> Result<Output, ConnectError>;
}
