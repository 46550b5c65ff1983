//! Sizes with units.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A size in bytes. Written with a binary unit in fleet files (`512MiB`, `4GiB`): a bare number is refused there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(u64);

/// Units a fleet file may use, largest first.
const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl ByteSize {
    /// From bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// From binary megabytes.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// From binary gigabytes.
    pub const fn gib(gib: u64) -> Self {
        Self(gib << 30)
    }

    /// In bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// In whole binary megabytes, rounded down.
    pub const fn as_mib(self) -> u64 {
        self.0 >> 20
    }

    /// Reads `512MiB`, `4GiB`, `1.5GiB`.
    ///
    /// # Errors
    /// Says what was found and what is expected; never guesses a unit.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        if number.is_empty() {
            return Err(format!("found `{text}`, expected a size such as `512MiB` or `4GiB`"));
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(match unit {
                "" => format!("found `{text}` without a unit, expected a size such as `{number}MiB`"),
                _ => format!("found the unit `{unit}`, expected KiB, MiB, GiB or TiB"),
            });
        };
        scale(number, *factor)
            .map(Self)
            .ok_or_else(|| format!("found `{text}`, expected a size below 16 EiB in whole bytes"))
    }
}

/// `number × factor` exactly, or `None` when it is no number, overflows, or is not a whole count of bytes.
fn scale(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let whole = whole.checked_mul(factor)?;
    if fraction.is_empty() {
        return (!number.ends_with('.')).then_some(whole);
    }
    let numerator = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor);
    let denominator = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    if numerator % denominator != 0 {
        return None;
    }
    whole.checked_add(u64::try_from(numerator / denominator).ok()?)
}

impl fmt::Display for ByteSize {
    /// The largest unit that divides the size; plain bytes when none does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_always_carries_a_unit() {
        assert_eq!(ByteSize::parse("512MiB"), Ok(ByteSize::mib(512)));
        assert_eq!(ByteSize::parse("1.5GiB"), Ok(ByteSize::mib(1536)));
        for wrong in ["", "512", "512MB", "512mib", "MiB", "-1MiB", "1.GiB", "0.3KiB", "99999999999999TiB"] {
            assert!(ByteSize::parse(wrong).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn printing_and_parsing_agree() {
        for size in [ByteSize::mib(512), ByteSize::gib(4), ByteSize::mib(1536), ByteSize::bytes(3 << 10)] {
            assert_eq!(ByteSize::parse(&size.to_string()), Ok(size));
        }
    }
}
