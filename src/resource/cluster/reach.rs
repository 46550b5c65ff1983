//! How a guest of a cluster is logged in to.

use serde::{Deserialize, Serialize};

/// What is declared of the way into a guest. What is `None` is found out when somebody goes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Name of its cluster.
    pub cluster: String,
    /// Its name.
    pub guest: String,
    /// By which way it is gone into.
    #[serde(default, skip_serializing_if = "Via::is_ssh")]
    pub via: Via,
    /// Address or name of its SSH server; `None` asks the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// TCP port.
    pub port: u16,
    /// File of the private key that logs in, absolute or below `~/`; `None` is regatta's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The only host key that is accepted, as `ssh-ed25519 AAAA…`; `None` takes one that was read over a channel that is
    /// trusted already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

/// The way into a guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// Its own SSH server, as root.
    #[default]
    Ssh,
    /// Its node, where root goes into containers (`pct exec`).
    Node,
}

impl Via {
    /// Whether it is SSH.
    #[must_use]
    pub fn is_ssh(&self) -> bool {
        *self == Self::Ssh
    }
}
