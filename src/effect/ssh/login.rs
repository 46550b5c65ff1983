//! Logging in: the ways in order, until one is accepted.

use std::sync::Arc;

use camino::Utf8Path;
use russh::client::{AuthResult, Handle};
use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg};

use super::ConnectError;
use super::destination::Login;
use super::trust::{HostKeyChecker, Notes};
use crate::effect::files;

/// Bytes read of a private key's file.
const KEY_FILE_LIMIT: u64 = 64 << 10;

/// Something to log in with, ready for use.
pub(super) enum Credential {
    Key(Arc<PrivateKey>),
}

/// Prepares the ways to log in before anything is connected: what is wrong here is known without the server.
///
/// # Errors
/// When none can be used: why the first cannot.
pub(super) fn prepare(logins: &[Login]) -> Result<Vec<Credential>, ConnectError> {
    let (mut ready, mut failure) = (Vec::new(), None);
    for login in logins {
        match credential(login) {
            Ok(credential) => ready.push(credential),
            Err(cause) => failure = failure.or(Some(cause)),
        }
    }
    match failure {
        Some(failure) if ready.is_empty() => Err(failure),
        _ => Ok(ready),
    }
}

fn credential(login: &Login) -> Result<Credential, ConnectError> {
    match login {
        Login::KeyFile(path) => Ok(Credential::Key(Arc::new(read_key(path)?))),
    }
}

fn read_key(path: &Utf8Path) -> Result<PrivateKey, ConnectError> {
    let fail = |cause: String| ConnectError::Identity { path: path.to_owned(), cause };
    let pem = files::read_bounded(path, KEY_FILE_LIMIT)
        .map_err(|error| fail(error.to_string()))?
        .ok_or_else(|| fail("there is no such file".to_owned()))?;
    PrivateKey::from_openssh(pem).map_err(|error| fail(error.to_string()))
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
        for credential in credentials {
            let accepted = match credential {
                Credential::Key(key) => self.offer_key(key).await?,
            };
            if accepted {
                return Ok(());
            }
        }
        Err(ConnectError::KeyRefused { user: self.user.to_owned() })
    }

    async fn offer_key(&mut self, key: Arc<PrivateKey>) -> Result<bool, ConnectError> {
        let hash = match key.algorithm() {
            Algorithm::Rsa { .. } => {
                self.handle.best_supported_rsa_hash().await.map_err(|cause| self.hung_up(&cause))?.flatten()
            }
            _ => None,
        };
        let result = self.handle.authenticate_publickey(self.user, PrivateKeyWithHashAlg::new(key, hash)).await;
        self.verdict(result.map_err(|cause| self.hung_up(&cause))?)
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
