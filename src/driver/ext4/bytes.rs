//! Little-endian numbers in structures of the disk. Positions are constants of the format, within the structure's size.

/// Writes bytes at a position.
pub(in crate::driver) fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = bytes.get_mut(at..at + N) {
        field.copy_from_slice(&value);
    }
}

/// The number of 16 bits at a position; 0 beyond the end.
pub(in crate::driver) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |field| u16::from_le_bytes(*field))
}

/// The number of 32 bits at a position; 0 beyond the end.
pub(in crate::driver) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |field| u32::from_le_bytes(*field))
}

/// The lower and the upper half of a number, which most structures keep apart.
pub(in crate::driver) fn halves(value: u32) -> ([u8; 2], [u8; 2]) {
    let [a, b, c, d] = value.to_le_bytes();
    ([a, b], [c, d])
}
