//! Networks as they are declared.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Setting, Subnet4, Subnet6};
use crate::syntax::{Span, Spanned};

/// `network NAME { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The node.
    pub span: Span,
    /// How guests are connected.
    pub mode: Setting<NetworkMode>,
    /// What a bridged network says; `None` in user mode.
    pub bridge: Option<Bridge>,
}

/// What a bridged network says.
#[derive(Debug, Clone, PartialEq)]
pub struct Bridge {
    /// Addresses.
    pub subnet: Spanned<Subnet4>,
    /// IPv6 addresses.
    pub subnet6: Option<Spanned<Subnet6>>,
    /// Whether guests reach the outside with the host's address.
    pub nat: Setting<bool>,
    /// Whether guests are kept from each other.
    pub isolate: Setting<bool>,
    /// Whether guests are given their addresses by DHCP, too.
    pub dhcp: Setting<bool>,
    /// Whether the host answers for the names of its guests.
    pub dns: Setting<bool>,
    /// DNS servers of its guests.
    pub nameservers: Vec<Spanned<IpAddr>>,
}

/// How guests of a network are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// The VMM's own user-mode stack: no privileges, no guest-to-guest traffic, ports forwarded from loopback.
    User,
    /// A bridge on the host, to which guests are plugged with addresses of their own.
    Bridge,
}
