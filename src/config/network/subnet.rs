//! Private networks and the places in them. Places are numbers from the start of the network: 1 is the host, guests have
//! 2 and up. A guest has the same number in the IPv4 and in the IPv6 network, so that one check finds every clash.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A private IPv4 network: RFC 1918, from a /16 to a /29.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet4 {
    base: u32,
    prefix: u8,
}

/// A unique local IPv6 network: RFC 4193, always a /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet6 {
    base: u128,
}

/// The host's place.
const HOST: u32 = 1;

impl Subnet4 {
    /// Length of the prefix in bits.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The host's own address, which is the guests' gateway.
    pub fn gateway(self) -> Ipv4Addr {
        self.address(HOST)
    }

    /// The address of a place.
    pub fn address(self, place: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base | place)
    }

    /// Places for guests: all but the network's own address, the host's, and the broadcast address.
    pub const fn places(self) -> std::ops::RangeInclusive<u32> {
        HOST + 1..=self.size() - 2
    }

    /// The place of an address; `None` when it lies elsewhere.
    pub fn place(self, address: Ipv4Addr) -> Option<u32> {
        let address = u32::from(address);
        (address & self.mask() == self.base).then_some(address & !self.mask())
    }

    /// Whether two networks share addresses.
    pub const fn overlaps(self, other: Self) -> bool {
        let mask = if self.prefix < other.prefix { self.mask() } else { other.mask() };
        self.base & mask == other.base & mask
    }

    const fn mask(self) -> u32 {
        u32::MAX << (32 - self.prefix)
    }

    const fn size(self) -> u32 {
        1 << (32 - self.prefix)
    }
}

impl Subnet6 {
    /// Length of the prefix in bits.
    pub const PREFIX: u8 = 64;

    /// The host's own address, which is the guests' gateway.
    pub fn gateway(self) -> Ipv6Addr {
        self.address(HOST)
    }

    /// The address of a place.
    pub fn address(self, place: u32) -> Ipv6Addr {
        Ipv6Addr::from(self.base | u128::from(place))
    }
}

/// What a network must be.
const EXPECTED4: &str = "a private IPv4 network such as `172.31.7.0/24`, from /16 to /29";
const EXPECTED6: &str = "a unique local IPv6 network such as `fd12:3456:789a::/64`";

impl FromStr for Subnet4 {
    type Err = String;

    /// Reads `172.31.7.0/24`.
    ///
    /// # Errors
    /// What was expected: the text has another form, names an address inside of the network, or is not private.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').ok_or(EXPECTED4)?;
        let address: Ipv4Addr = address.parse().map_err(|_| EXPECTED4)?;
        let prefix = prefix.parse::<u8>().ok().filter(|number| number.to_string() == prefix).ok_or(EXPECTED4)?;
        if !(16..=29).contains(&prefix) || !address.is_private() {
            return Err(EXPECTED4.into());
        }
        let wide = Self { base: u32::from(address), prefix };
        let subnet = Self { base: wide.base & wide.mask(), prefix };
        if subnet.base == wide.base { Ok(subnet) } else { Err(format!("the network's first address, `{subnet}`")) }
    }
}

impl FromStr for Subnet6 {
    type Err = String;

    /// Reads `fd12:3456:789a::/64`.
    ///
    /// # Errors
    /// As for [`Subnet4`].
    fn from_str(text: &str) -> Result<Self, String> {
        let address: Ipv6Addr = text.strip_suffix("/64").ok_or(EXPECTED6)?.parse().map_err(|_| EXPECTED6)?;
        let whole = u128::from(address);
        // fd00::/8: the half of fc00::/7 that everybody may number for himself.
        if whole >> 120 != 0xfd {
            return Err(EXPECTED6.into());
        }
        let subnet = Self { base: whole >> 64 << 64 };
        if subnet.base == whole { Ok(subnet) } else { Err(format!("the network's first address, `{subnet}`")) }
    }
}

impl fmt::Display for Subnet4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl fmt::Display for Subnet6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv6Addr::from(self.base), Self::PREFIX)
    }
}

/// Both forms are written as people write them.
macro_rules! as_text {
    ($($subnet:ty),+) => {
        $(
            impl TryFrom<String> for $subnet {
                type Error = String;

                fn try_from(text: String) -> Result<Self, String> {
                    text.parse()
                }
            }

            impl From<$subnet> for String {
                fn from(subnet: $subnet) -> Self {
                    subnet.to_string()
                }
            }
        )+
    };
}

as_text!(Subnet4, Subnet6);

#[cfg(test)]
mod tests {
    use super::*;

    fn four(text: &str) -> Subnet4 {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_addresses_and_back() {
        let lan = four("172.31.7.0/24");
        assert_eq!((lan.gateway().to_string(), lan.places()), ("172.31.7.1".into(), 2..=254));
        assert_eq!(lan.place("172.31.7.77".parse().unwrap()), Some(77));
        assert_eq!(lan.place("172.31.8.77".parse().unwrap()), None);
        let six: Subnet6 = "fd12::/64".parse().unwrap();
        assert_eq!((six.address(77).to_string(), six.to_string()), ("fd12::4d".into(), "fd12::/64".into()));
    }

    #[test]
    fn networks_that_share_addresses_overlap() {
        assert!(four("10.1.0.0/16").overlaps(four("10.1.255.248/29")));
        assert!(four("10.1.255.248/29").overlaps(four("10.1.0.0/16")));
        assert!(!four("10.1.0.0/24").overlaps(four("10.1.1.0/24")));
    }

    #[test]
    fn only_private_networks_written_exactly_are_taken() {
        for wrong in
            ["", "10.0.0.0", "10.0.0.0/8", "10.0.0.0/30", "10.0.0.0/024", "10.0.0.0/+24", "8.8.8.0/24", "10.0.0.0/24 "]
        {
            assert_eq!(wrong.parse::<Subnet4>(), Err(EXPECTED4.to_owned()), "{wrong}");
        }
        assert_eq!("10.0.0.7/24".parse::<Subnet4>(), Err("the network's first address, `10.0.0.0/24`".into()));
        for wrong in ["", "fd12::", "fd12::/48", "2001:db8::/64", "fe80::/64", "fc00::/64"] {
            assert_eq!(wrong.parse::<Subnet6>(), Err(EXPECTED6.to_owned()), "{wrong}");
        }
    }
}
