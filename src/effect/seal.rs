//! Keyed digests: they tell whether something confidential changed, and to those without the key nothing else.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What the key is derived for: another use of the same secret gets another key.
const PURPOSE: &[u8] = b"regatta: seal of a secret, version 1";

/// A key for seals. Never printed.
#[derive(Clone)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// Derives the key from a secret that this machine keeps.
    pub fn derive(secret: &[u8]) -> Self {
        Self(mac(secret, PURPOSE))
    }

    /// HMAC-SHA-256 of some bytes.
    pub fn seal(&self, bytes: &[u8]) -> [u8; 32] {
        mac(&self.0, bytes)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

fn mac(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_needs_the_key() {
        let (one, other) = (SealKey::derive(b"one"), SealKey::derive(b"other"));
        assert_eq!(one.seal(b"hunter2"), SealKey::derive(b"one").seal(b"hunter2"));
        assert_ne!(one.seal(b"hunter2"), other.seal(b"hunter2"));
        assert_ne!(one.seal(b"hunter2"), one.seal(b"hunter3"));
        assert_eq!(format!("{one:?}"), "SealKey(…)");
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let found: String =
            mac(b"Jefe", b"what do ya want for nothing?").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, expected);
    }
}
