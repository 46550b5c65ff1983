//! Judging the key that a server shows, and remembering the verdict for the error.

use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{self, DisconnectReason};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{HashAlg, PublicKeyOrCertificate};

use super::destination::Trusted;
use super::known_hosts::Standing;
use super::{ConnectError, plain};

/// What the library's errors leave out.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    refusal: Option<ConnectError>,
    goodbye: Option<String>,
}

impl Notes {
    /// Why the host key was refused, if it was.
    pub(super) fn refusal(&self) -> Option<ConnectError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refusal.clone()
    }

    /// The server's last words, in front of the cause if it had any.
    pub(super) fn with_goodbye(&self, cause: &russh::Error) -> String {
        match &self.0.lock().unwrap_or_else(PoisonError::into_inner).goodbye {
            Some(words) => format!("{} ({cause})", plain(words)),
            None => cause.to_string(),
        }
    }
}

/// Accepts the host keys that are trusted. `russh` has checked that the server holds the key it shows.
#[derive(Debug)]
pub(super) struct HostKeyChecker {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) trusted: Trusted,
    pub(super) notes: Notes,
}

impl HostKeyChecker {
    fn judge(&self, shown: &PublicKeyOrCertificate) -> Result<(), ConnectError> {
        let found = || fingerprint(shown.public_key().key_data());
        let host = || format!("{}:{}", self.host, self.port);
        let standing = match &self.trusted {
            // A certificate over the pinned key is not the pinned key: we never ask for one.
            Trusted::Pinned(key) => {
                match shown.certificate().is_none() && shown.public_key().key_data() == key.key_data() {
                    true => Standing::Trusted,
                    false => Standing::Changed(vec![key.key_data().clone()]),
                }
            }
            Trusted::KnownHosts(known) => known.standing(&self.host, self.port, shown),
        };
        match standing {
            Standing::Trusted => Ok(()),
            Standing::Unknown => Err(ConnectError::HostUnknown { host: host(), found: found() }),
            Standing::Revoked => Err(ConnectError::HostRevoked { host: host(), found: found() }),
            Standing::Changed(known) => {
                let pinned: Vec<String> = known.iter().map(fingerprint).collect();
                Err(ConnectError::HostKey { found: found(), pinned: pinned.join(" or ") })
            }
        }
    }
}

impl client::Handler for HostKeyChecker {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let refusal = self.judge(shown).err();
        let accepted = refusal.is_none();
        self.notes.0.lock().unwrap_or_else(PoisonError::into_inner).refusal = refusal;
        Ok(accepted)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(words) => {
                self.notes.0.lock().unwrap_or_else(PoisonError::into_inner).goodbye = Some(words.message);
                Ok(())
            }
            DisconnectReason::Error(cause) => Err(cause),
        }
    }
}

fn fingerprint(key: &KeyData) -> String {
    format!("{} {}", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}
