//! Where to connect, whom to trust there, and how to log in: the general form of an [`SshTarget`].

use std::sync::Arc;

use camino::Utf8PathBuf;
use russh::Preferred;
use russh::keys::{Algorithm, PublicKey};

use super::known_hosts::KnownHosts;
use super::{ConnectError, Jump, SshTarget};
use crate::effect::{files, keys};

/// Bytes read of a `known_hosts` file.
const KNOWN_HOSTS_LIMIT: u64 = 4 << 20;

/// A server and how to log in to it.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Address or name to connect to.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// The host keys that are accepted.
    pub trust: Trust,
    /// What is tried to log in, in this order.
    pub logins: Vec<Login>,
    /// The server through which it is reached. It sees no more of the connection than the network does.
    pub via: Option<Box<Destination>>,
}

/// Which host keys are accepted. There is no "any", and no "first use".
#[derive(Debug, Clone)]
pub enum Trust {
    /// This one only, as `ssh-ed25519 AAAA…`.
    Pinned(String),
    /// Those that these lines name for the host.
    KnownHosts(Arc<KnownHosts>),
    /// Those that these `known_hosts` files name for the host. One that is not there names none.
    Files(Vec<Utf8PathBuf>),
}

/// A way to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// The private key in this file, which is not encrypted.
    KeyFile(Utf8PathBuf),
    /// The private key in this file, encrypted with this.
    EncryptedKeyFile(Utf8PathBuf, Passphrase),
    /// The keys of the SSH agent that listens on this socket.
    Agent(Utf8PathBuf),
}

/// What a private key is encrypted with. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(String);

impl Passphrase {
    /// Takes what somebody typed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

impl From<&SshTarget> for Destination {
    fn from(target: &SshTarget) -> Self {
        Self {
            host: target.host.clone(),
            port: target.port,
            user: target.user.clone(),
            trust: Trust::Pinned(target.host_key.clone()),
            logins: vec![Login::KeyFile(target.identity.clone())],
            via: target.via.as_deref().map(|jump| Box::new(Self::from(jump))),
        }
    }
}

impl From<&Jump> for Destination {
    fn from(jump: &Jump) -> Self {
        Self {
            host: jump.host.clone(),
            port: jump.port,
            user: jump.user.clone(),
            trust: Trust::Files(jump.known_hosts.clone()),
            logins: jump.logins.clone(),
            via: jump.via.as_deref().map(|jump| Box::new(Self::from(jump))),
        }
    }
}

/// What a server has to prove, ready for use.
#[derive(Debug, Clone)]
pub(super) enum Trusted {
    Pinned(Box<PublicKey>),
    KnownHosts(Arc<KnownHosts>),
}

impl Trusted {
    pub(super) fn prepare(trust: &Trust) -> Result<Self, ConnectError> {
        match trust {
            Trust::Pinned(line) => match keys::parse_public(line) {
                Ok(key) => Ok(Self::Pinned(Box::new(key))),
                Err(cause) => Err(ConnectError::Protocol(format!("the pinned host key is no key: {cause}"))),
            },
            Trust::KnownHosts(known) => Ok(Self::KnownHosts(known.clone())),
            Trust::Files(paths) => {
                let mut text = Vec::new();
                for path in paths {
                    let read = files::read_bounded(path, KNOWN_HOSTS_LIMIT);
                    let read =
                        read.map_err(|error| ConnectError::Protocol(format!("cannot read `{path}`: {error}")))?;
                    text.extend(read.unwrap_or_default());
                    text.push(b'\n');
                }
                Ok(Self::KnownHosts(Arc::new(KnownHosts::parse(&text))))
            }
        }
    }

    /// The algorithms to ask a server for. Those of known keys come first, so that a server with several keys shows the
    /// one that is known; the others follow, so that a server without it shows what it has, and is refused by name.
    pub(super) fn preferred(&self, host: &str, port: u16) -> Preferred {
        let (known, authority) = match self {
            Self::Pinned(key) => (vec![key.algorithm()], false),
            Self::KnownHosts(known) => (known.algorithms(host, port), known.has_authority(host, port)),
        };
        let all = &Preferred::DEFAULT.key;
        let (mut key, others): (Vec<_>, Vec<_>) =
            all.iter().cloned().partition(|algorithm| known.iter().any(|known| same_key_type(known, algorithm)));
        key.extend(others);
        let certificates = if authority { all.to_vec() } else { Vec::new() };
        Preferred { key: key.into(), host_key_certificates: certificates.into(), ..Preferred::DEFAULT }
    }
}

/// RSA keys have one type and several signature algorithms.
fn same_key_type(one: &Algorithm, other: &Algorithm) -> bool {
    matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })) || one == other
}
