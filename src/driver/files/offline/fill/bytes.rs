//! Numbers in the structures of ext4, all of them little-endian: what is read, and what is written.

pub(super) use crate::driver::ext4::bytes::{u16_at, u32_at};
pub(super) use crate::driver::ext4::checksum::crc32c;

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
