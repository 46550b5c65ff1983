//! Connecting with `russh`: the pinned host key or nothing, our key, and a cause for every failure.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use russh::client::{self, AuthResult, Handle};
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Preferred, SshId};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::exec::Session;
use super::{Connect, ConnectError, Shell, SshTarget};
use crate::effect::{files, keys};

/// Bytes read of a private key's file.
const IDENTITY_LIMIT: u64 = 64 << 10;

/// A silent server is asked whether it lives after this long.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// So many unanswered questions end the connection: a dead link is noticed after three times [`KEEPALIVE`].
const UNANSWERED: usize = 2;

/// Connects over TCP.
#[derive(Debug, Clone, Copy)]
pub struct SshClient {
    keepalive: Duration,
}

impl Default for SshClient {
    fn default() -> Self {
        Self { keepalive: KEEPALIVE }
    }
}

#[async_trait]
impl Connect for SshClient {
    async fn connect(&self, target: &SshTarget, deadline: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        let pinned = keys::parse_public(&target.host_key)
            .map_err(|cause| ConnectError::Protocol(format!("the pinned host key is no key: {cause}")))?;
        let identity = read_identity(target)?;
        let end = Instant::now() + deadline;
        let timed_out = |doing: &str| ConnectError::Deadline { after: deadline, doing: doing.to_owned() };

        let stream = answering_server(target, end, deadline).await?;
        let seen = SeenKey::default();
        let checker = HostKeyChecker { pinned: pinned.clone(), seen: seen.clone() };
        let config = Arc::new(self.config(&pinned.algorithm()));
        let handshake = timeout_at(end, client::connect_stream(config, stream, checker))
            .await
            .map_err(|_| timed_out("agreeing on keys"))?;
        let mut handle = handshake.map_err(|cause| handshake_failure(&cause, &pinned, &seen))?;
        timeout_at(end, log_in(&mut handle, &target.user, identity)).await.map_err(|_| timed_out("logging in"))??;
        Ok(Box::new(Session::new(handle)))
    }
}

impl SshClient {
    #[cfg(test)]
    pub(super) const fn with_keepalive(keepalive: Duration) -> Self {
        Self { keepalive }
    }

    /// The pinned key's algorithm is asked for first. The others follow so that a server with another type of key
    /// shows it, and is refused with its fingerprint.
    fn config(&self, pinned: &Algorithm) -> client::Config {
        let (mut algorithms, others): (Vec<_>, Vec<_>) =
            Preferred::DEFAULT.key.iter().cloned().partition(|algorithm| {
                matches!((algorithm, pinned), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })) || algorithm == pinned
            });
        algorithms.extend(others);
        client::Config {
            client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-regatta_", env!("CARGO_PKG_VERSION")))),
            preferred: Preferred { key: Cow::Owned(algorithms), ..Preferred::DEFAULT },
            keepalive_interval: Some(self.keepalive),
            keepalive_max: UNANSWERED,
            nodelay: true,
            ..client::Config::default()
        }
    }
}

fn read_identity(target: &SshTarget) -> Result<PrivateKey, ConnectError> {
    let fail = |cause: String| ConnectError::Identity { path: target.identity.clone(), cause };
    let pem = files::read_bounded(&target.identity, IDENTITY_LIMIT)
        .map_err(|error| fail(error.to_string()))?
        .ok_or_else(|| fail("there is no such file".to_owned()))?;
    PrivateKey::from_openssh(pem).map_err(|error| fail(error.to_string()))
}

/// Connects and waits for the first byte of the server's greeting.
///
/// A listening port is no server: QEMU's user network accepts connections before the guest is up, and says nothing.
async fn answering_server(target: &SshTarget, end: Instant, deadline: Duration) -> Result<TcpStream, ConnectError> {
    let (place, waited) = (format!("{}:{}", target.host, target.port), deadline.as_secs());
    let not_up = |what: String| ConnectError::NotUp(format!("{place} {what}"));
    let stream = match timeout_at(end, TcpStream::connect((target.host.as_str(), target.port))).await {
        Err(_) => return Err(not_up(format!("did not accept a connection within {waited}s"))),
        Ok(Err(cause)) => return Err(not_up(format!("cannot be connected to: {cause}"))),
        Ok(Ok(stream)) => stream,
    };
    match timeout_at(end, stream.peek(&mut [0])).await {
        Err(_) => Err(not_up(format!("accepted the connection and said nothing within {waited}s"))),
        Ok(Err(cause)) => Err(not_up(format!("dropped the connection: {cause}"))),
        Ok(Ok(0)) => Err(not_up("closed the connection without a greeting".to_owned())),
        Ok(Ok(_)) => Ok(stream),
    }
}

/// The key a server showed, kept for the refusal.
type SeenKey = Arc<Mutex<Option<PublicKey>>>;

/// Accepts one host key. (`russh` has checked the server's signature with the key it shows.)
#[derive(Debug)]
pub(super) struct HostKeyChecker {
    pinned: PublicKey,
    seen: SeenKey,
}

impl client::Handler for HostKeyChecker {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let key = shown.public_key();
        // A certificate over the pinned key is not the pinned key: we never ask for one.
        let accepted = shown.certificate().is_none() && key.key_data() == self.pinned.key_data();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Ok(accepted)
    }
}

fn handshake_failure(cause: &russh::Error, pinned: &PublicKey, seen: &SeenKey) -> ConnectError {
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let (russh::Error::UnknownKey, Some(found)) = (cause, &*seen) {
        return ConnectError::HostKey { found: fingerprint(found), pinned: fingerprint(pinned) };
    }
    match cause {
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_) => {
            ConnectError::NotUp(format!("the server hung up while agreeing on keys: {cause}"))
        }
        _ => ConnectError::Protocol(cause.to_string()),
    }
}

fn fingerprint(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

async fn log_in(handle: &mut Handle<HostKeyChecker>, user: &str, identity: PrivateKey) -> Result<(), ConnectError> {
    let hung_up = |cause: russh::Error| ConnectError::NotUp(format!("the server hung up while logging in: {cause}"));
    let hash = match identity.algorithm() {
        Algorithm::Rsa { .. } => handle.best_supported_rsa_hash().await.map_err(hung_up)?.flatten(),
        _ => None,
    };
    let key = PrivateKeyWithHashAlg::new(Arc::new(identity), hash);
    match handle.authenticate_publickey(user, key).await {
        Ok(AuthResult::Success) => Ok(()),
        // The library's answer for a connection that ended without one: a server's names what else could be tried.
        Ok(AuthResult::Failure { remaining_methods, .. }) if remaining_methods.is_empty() && handle.is_closed() => {
            Err(hung_up(russh::Error::HUP))
        }
        Ok(AuthResult::Failure { .. }) => Err(ConnectError::KeyRefused { user: user.to_owned() }),
        Err(cause) => Err(hung_up(cause)),
    }
}
