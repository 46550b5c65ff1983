//! MAC addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The MAC address of one interface: written in lower case with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    /// A locally administered address (IEEE 802, second bit of the first byte) from 40 bits of a number.
    pub const fn local(number: u64) -> Self {
        let [_, _, _, a, b, c, d, e] = number.to_be_bytes();
        Self([0x02, a, b, c, d, e])
    }
}

impl FromStr for Mac {
    type Err = String;

    /// Reads `52:54:00:12:34:56`.
    ///
    /// # Errors
    /// It has another form, or is an address of several interfaces.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            let read = part.and_then(|part| u8::from_str_radix(part, 16).ok());
            *byte = read.ok_or_else(|| "six pairs of hexadecimal digits with colons".to_owned())?;
        }
        match parts.next() {
            Some(_) => Err("six pairs of hexadecimal digits with colons".into()),
            // The lowest bit of the first byte marks groups (IEEE 802).
            None if bytes[0] & 1 == 1 => Err("the address of one interface, its first byte being even".into()),
            None => Ok(Self(bytes)),
        }
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_spelling() {
        assert_eq!("52:54:00:AB:cd:ef".parse::<Mac>().unwrap().to_string(), "52:54:00:ab:cd:ef");
        assert_eq!(Mac::local(0xffff_ff01_0203_0405).to_string(), "02:01:02:03:04:05");
        for wrong in ["", "52:54:00:ab:cd", "52:54:00:ab:cd:ef:00", "52:54:00:ab:cd:+1", "01:00:5e:00:00:01"] {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }
}
