//! Logging in: the ways in order, until one is accepted.

use std::fmt::Display;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{AgentAuthError, keys};
use tokio::net::UnixStream;

use super::destination::{Login, Passphrase};
use super::trust::{HostKeyChecker, Notes};
use super::{ConnectError, plain};
use crate::effect::files;

/// Bytes read of a private key's file.
const KEY_FILE_LIMIT: u64 = 64 << 10;

/// Keys offered of one agent: OpenSSH hangs up after six attempts (`MaxAuthTries`).
const AGENT_KEYS: usize = 5;

/// Something to log in with, ready for use.
pub(super) enum Credential {
    Key(Arc<PrivateKey>),
    Agent(Box<Agent>),
}

/// A running agent and the keys it holds.
pub(super) struct Agent {
    socket: Utf8PathBuf,
    client: AgentClient<UnixStream>,
    keys: Vec<PublicKey>,
}

/// Prepares the ways to log in before anything is connected: what is wrong here is known without the server.
///
/// # Errors
/// When none can be used: why the first cannot.
pub(super) async fn prepare(logins: &[Login]) -> Result<Vec<Credential>, ConnectError> {
    let (mut ready, mut failure) = (Vec::new(), None);
    for login in logins {
        match credential(login).await {
            Ok(credential) => ready.push(credential),
            Err(cause) => failure = failure.or(Some(cause)),
        }
    }
    match failure {
        Some(failure) if ready.is_empty() => Err(failure),
        _ => Ok(ready),
    }
}

async fn credential(login: &Login) -> Result<Credential, ConnectError> {
    match login {
        Login::KeyFile(path) => {
            let key = read_key(path)?;
            if key.is_encrypted() {
                let cause = "it is encrypted: load it into an SSH agent, or give its passphrase";
                return Err(unusable(path, &cause));
            }
            Ok(Credential::Key(Arc::new(key)))
        }
        Login::EncryptedKeyFile(path, passphrase) => {
            Ok(Credential::Key(Arc::new(decrypted(path, read_key(path)?, passphrase).await?)))
        }
        Login::Agent(socket) => agent(socket).await.map(|agent| Credential::Agent(Box::new(agent))),
    }
}

fn unusable(path: &Utf8Path, cause: &dyn Display) -> ConnectError {
    ConnectError::Identity { path: path.to_owned(), cause: plain(&cause.to_string()) }
}

fn read_key(path: &Utf8Path) -> Result<PrivateKey, ConnectError> {
    let pem = files::read_bounded(path, KEY_FILE_LIMIT).map_err(|error| unusable(path, &error))?;
    let pem = pem.ok_or_else(|| unusable(path, &"there is no such file"))?;
    PrivateKey::from_openssh(pem).map_err(|error| unusable(path, &error))
}

async fn decrypted(path: &Utf8Path, key: PrivateKey, passphrase: &Passphrase) -> Result<PrivateKey, ConnectError> {
    if !key.is_encrypted() {
        return Ok(key);
    }
    let passphrase = passphrase.clone();
    // Deriving the key is slow on purpose, and would hold up everything else on this thread.
    let decrypting = tokio::task::spawn_blocking(move || key.decrypt(passphrase.reveal()));
    let decrypted = decrypting.await.map_err(|error| unusable(path, &error))?;
    decrypted.map_err(|_| unusable(path, &"its passphrase is another one"))
}

async fn agent(socket: &Utf8Path) -> Result<Agent, ConnectError> {
    let mut client = AgentClient::connect_uds(socket).await.map_err(|error| unusable(socket, &error))?;
    let identities = client.request_identities().await.map_err(|error| unusable(socket, &error))?;
    let keys: Vec<PublicKey> = identities
        .into_iter()
        .filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, .. } => Some(key),
            AgentIdentity::Certificate { .. } => None,
        })
        .take(AGENT_KEYS)
        .collect();
    if keys.is_empty() {
        return Err(unusable(socket, &"the agent holds no keys"));
    }
    Ok(Agent { socket: socket.to_owned(), client, keys })
}

/// A connection whose server is trusted and does not know us yet.
pub(super) struct Door<'a> {
    pub(super) handle: &'a mut Handle<HostKeyChecker>,
    pub(super) notes: &'a Notes,
    pub(super) user: &'a str,
}

impl Door<'_> {
    /// Tries one credential after the other.
    ///
    /// # Errors
    /// [`ConnectError::KeyRefused`] when the server has refused all of them.
    pub(super) async fn log_in(&mut self, credentials: Vec<Credential>) -> Result<(), ConnectError> {
        let mut unusable = None;
        for credential in credentials {
            let offered = match credential {
                Credential::Key(key) => self.offer_key(key).await,
                Credential::Agent(agent) => self.offer_agent(*agent).await,
            };
            match offered {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(ConnectError::Identity { path, cause }) => unusable = Some(ConnectError::Identity { path, cause }),
                Err(other) => return Err(other),
            }
        }
        Err(unusable.unwrap_or_else(|| ConnectError::KeyRefused { user: self.user.to_owned() }))
    }

    async fn offer_key(&mut self, key: Arc<PrivateKey>) -> Result<bool, ConnectError> {
        let hash = self.hash_for(&key.algorithm()).await?;
        let result = self.handle.authenticate_publickey(self.user, PrivateKeyWithHashAlg::new(key, hash)).await;
        self.verdict(result.map_err(|cause| self.hung_up(&cause))?)
    }

    async fn offer_agent(&mut self, mut agent: Agent) -> Result<bool, ConnectError> {
        for key in std::mem::take(&mut agent.keys) {
            let hash = self.hash_for(&key.algorithm()).await?;
            let result = self.handle.authenticate_publickey_with(self.user, key, hash, &mut agent.client).await;
            let result = result.map_err(|cause| match cause {
                AgentAuthError::Send(_) => self.hung_up(&russh::Error::SendError),
                AgentAuthError::Key(keys::Error::AgentFailure) => unusable(&agent.socket, &"the agent does not sign"),
                AgentAuthError::Key(cause) => unusable(&agent.socket, &cause),
            })?;
            if self.verdict(result)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// RSA keys sign with the best digest that the server takes.
    async fn hash_for(&self, algorithm: &Algorithm) -> Result<Option<HashAlg>, ConnectError> {
        match algorithm {
            Algorithm::Rsa { .. } => {
                let best = self.handle.best_supported_rsa_hash().await.map_err(|cause| self.hung_up(&cause))?;
                // A server that does not say is asked with what every one since 2018 takes.
                Ok(best.unwrap_or(Some(HashAlg::Sha512)))
            }
            _ => Ok(None),
        }
    }

    fn verdict(&self, result: AuthResult) -> Result<bool, ConnectError> {
        match result {
            AuthResult::Success => Ok(true),
            // The library's answer for a connection that ended without one: a server's names what else could be tried.
            AuthResult::Failure { remaining_methods, .. }
                if remaining_methods.is_empty() && self.handle.is_closed() =>
            {
                Err(self.hung_up(&russh::Error::HUP))
            }
            AuthResult::Failure { .. } => Ok(false),
        }
    }

    fn hung_up(&self, cause: &russh::Error) -> ConnectError {
        ConnectError::NotUp(format!("the server hung up while logging in: {}", self.notes.with_goodbye(cause)))
    }
}
