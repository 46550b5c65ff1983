//! Numbers in the structures of ext4, all of them little-endian, and the checksum over those structures.

/// The 16-bit number at an offset; 0 beyond the end.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_le_bytes)
}

/// The 32-bit number at an offset; 0 beyond the end.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Puts a 16-bit number at an offset.
pub(super) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// Puts a 32-bit number at an offset.
pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// The lower half of a number that is stored in two places.
pub(super) const fn low(value: u64) -> u32 {
    value as u32
}

/// The upper half of a number that is stored in two places.
pub(super) const fn high(value: u64) -> u32 {
    low(value >> 32)
}

/// The lower 16 bits of a number.
pub(super) const fn low16(value: u32) -> u16 {
    value as u16
}

/// The upper 16 bits of a number.
pub(super) const fn high16(value: u32) -> u16 {
    low16(value >> 16)
}

/// CRC-32C of `bytes`, continued from what came before; ext4 begins with all ones and does not invert the end.
pub(super) fn crc32c(before: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(before, |crc, byte| TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8))
}

/// What each byte does to the checksum (the polynomial of Castagnoli, reflected).
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut crc = low(index as u64);
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0x82f6_3b78 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the catalogue of CRCs.
    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(crc32c(!0, b"1234"), b"56789"), crc32c(!0, b"123456789"));
    }
}
