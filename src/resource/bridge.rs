//! Bridged networks: what one should be on the host, and what its interfaces are called.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Digest;
use crate::config::network::spread;
use crate::config::{Mac, Subnet4, Subnet6};

/// The name of an interface of ours: `rgt` and twelve hexadecimal digits, the longest name Linux allows (`IFNAMSIZ`).
/// Nothing else on a host is called so by accident.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkName(String);

/// What all names of ours begin with.
const PREFIX: &str = "rgt";

/// What names of our nftables tables begin with.
const TABLE_PREFIX: &str = "regatta_";

impl LinkName {
    /// The bridge of a network.
    pub fn bridge(fleet: &str, network: &str) -> Self {
        Self::of(spread(&["bridge", fleet, network]))
    }

    /// The host's end of a guest's cable to a network.
    pub fn tap(fleet: &str, network: &str, guest: &str) -> Self {
        Self::of(spread(&["tap", fleet, network, guest]))
    }

    /// The same for a guest in a jail. Another name, because a tap's owner is decided when it is made.
    pub fn jailed_tap(fleet: &str, network: &str, guest: &str, owner: &str) -> Self {
        Self::of(spread(&["tap", fleet, network, guest, owner]))
    }

    fn of(number: u64) -> Self {
        Self(format!("{PREFIX}{:012x}", number >> 16))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nftables table, of the family `inet`, that belongs to a bridge.
    pub fn table(&self) -> String {
        format!("{TABLE_PREFIX}{}", self.0.trim_start_matches(PREFIX))
    }
}

impl TryFrom<String> for LinkName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix(PREFIX).unwrap_or_default();
        let ours = digits.len() == 12 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if ours { Ok(Self(text)) } else { Err(format!("`{}` is no interface of regatta's", text.escape_debug())) }
    }
}

impl From<LinkName> for String {
    fn from(name: LinkName) -> Self {
        name.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A bridged network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeSpec {
    /// Its name in the fleet file.
    pub name: String,
    /// Its bridge.
    pub bridge: LinkName,
    /// Its addresses: the first is the host's.
    pub subnet: Subnet4,
    /// Its IPv6 addresses.
    pub subnet6: Option<Subnet6>,
    /// Whether guests reach the outside.
    pub nat: bool,
    /// Whether guests are kept from each other.
    pub isolate: bool,
    /// Whether its guests are given their addresses by DHCP, too.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub dhcp: bool,
    /// Whether the host answers questions for the names of its guests, and passes on all others.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub dns: bool,
    /// The guests' cables, by guest.
    pub taps: BTreeMap<String, Tap>,
    /// Ports of the host that lead to guests.
    pub forwards: BTreeSet<PortForward>,
}

/// The host's end of a guest's cable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tap {
    /// Its interface.
    pub link: LinkName,
    /// The guest's address.
    pub address: Ipv4Addr,
    /// The guest's IPv6 address.
    pub address6: Option<Ipv6Addr>,
    /// The guest's MAC address, where DHCP asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The user who opens it, when that is not whoever applies: that of its guest's jail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A port of the host that leads to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortForward {
    /// TCP port of the host.
    pub host: u16,
    /// The guest's address.
    pub address: Ipv4Addr,
    /// The guest's IPv6 address.
    pub address6: Option<Ipv6Addr>,
    /// TCP port of the guest.
    pub guest: u16,
}

impl BridgeSpec {
    /// Names this state of the network: part of the mark on its bridge, so that what was last applied can be told.
    pub fn digest(&self) -> String {
        // Plain structs with text keys: serialising them cannot fail.
        let canonical = serde_json::to_vec(self).unwrap_or_default();
        Digest::of(&canonical).as_str().chars().take(12).collect()
    }

    /// The host's addresses with the length of their prefixes.
    pub fn addresses(&self) -> BTreeSet<String> {
        let four = format!("{}/{}", self.subnet.gateway(), self.subnet.prefix());
        let six = self.subnet6.map(|subnet| format!("{}/{}", subnet.gateway(), Subnet6::PREFIX));
        std::iter::once(four).chain(six).collect()
    }
}

impl fmt::Display for PortForward {
    /// `8080:172.31.7.5:80`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.host, self.address, self.guest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ours_and_fit() {
        let bridge = LinkName::bridge("shop", "lan");
        assert_eq!((bridge.as_str().len(), bridge.table().len()), (15, 20));
        assert_eq!(LinkName::try_from(bridge.to_string()), Ok(bridge.clone()));
        assert_ne!(bridge, LinkName::bridge("shop", "dmz"));
        assert_ne!(LinkName::tap("shop", "lan", "web"), LinkName::tap("shop", "lan", "db"));
        for wrong in ["eth0", "rgt", "rgt0123456789a", "rgt0123456789abc", "rgt0123456789aB", "rgt0123456789 b", "rgt*"]
        {
            assert!(LinkName::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
