//! Extended attributes (file capabilities and access control lists among them): in the inode behind its fields, or in a block of their own.

use super::acl;
use super::bytes::put;
use super::checksum::crc32c;
use super::layout::{BLOCK, INODE};

const MAGIC: [u8; 4] = 0xea02_0000_u32.to_le_bytes();

/// Where they begin in an inode: behind its fields.
pub(super) const IN_INODE: usize = 160;

/// Bytes of an entry before its name.
const ENTRY: usize = 16;

/// The names that are kept, by the number that stands for their beginning.
const PREFIXES: [(u8, &str); 3] = [(1, "user."), (4, "trusted."), (6, "security.")];

/// An attribute: the number of its prefix, the rest of its name, its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::driver) struct Attribute {
    prefix: u8,
    // Before the name: the order of entries in a block.
    length: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Attribute {
    /// An attribute by its whole name, such as `security.capability`; `None` for one that is not kept.
    pub(in crate::driver) fn new(name: &str, value: &[u8]) -> Option<Self> {
        if let Some((prefix, _)) = acl::NAMES.iter().find(|(_, whole)| *whole == name) {
            return Some(Self { prefix: *prefix, length: 0, name: Vec::new(), value: acl::stored(value)? });
        }
        let (prefix, name) = PREFIXES.iter().find_map(|(prefix, text)| Some((*prefix, name.strip_prefix(text)?)))?;
        let known = !name.is_empty() && name.len() <= 255;
        known.then(|| Self { prefix, length: name.len(), name: name.into(), value: value.to_vec() })
    }

    fn entry_length(&self) -> usize {
        (ENTRY + self.name.len()).next_multiple_of(4)
    }
}

/// Where a file's attributes go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// There are none.
    Nowhere,
    /// In the inode: what stands there from [`IN_INODE`] on.
    InInode(Vec<u8>),
    /// In a block, but for its checksum.
    InBlock(Vec<u8>),
    /// Nowhere, because they are larger than a block.
    TooLarge,
}

/// Lays out the attributes of one file.
pub(super) fn store(attributes: &[Attribute]) -> Stored {
    if attributes.is_empty() {
        return Stored::Nowhere;
    }
    let mut sorted: Vec<&Attribute> = attributes.iter().collect();
    sorted.sort();
    let mut inside = vec![0; INODE - IN_INODE];
    put(&mut inside, 0, MAGIC);
    // Positions of values count from the first entry here, and from the start in a block.
    if lay(&sorted, &mut inside[4..], 0) {
        return Stored::InInode(inside);
    }
    let mut block = vec![0; BLOCK];
    put(&mut block, 0, MAGIC);
    for (at, one) in [(4, 1_u32), (8, 1)] {
        put(&mut block, at, one.to_le_bytes());
    }
    if lay(&sorted, &mut block, 32) { Stored::InBlock(block) } else { Stored::TooLarge }
}

/// Entries from `at` on, values from the end backwards; false when they would meet.
fn lay(sorted: &[&Attribute], area: &mut [u8], at: usize) -> bool {
    let entries: usize = sorted.iter().map(|one| one.entry_length()).sum();
    let values: usize = sorted.iter().map(|one| one.value.len().next_multiple_of(4)).sum();
    if at + entries + 4 + values > area.len() {
        return false;
    }
    let (mut at, mut end) = (at, area.len());
    for one in sorted {
        end -= one.value.len().next_multiple_of(4);
        area[end..end + one.value.len()].copy_from_slice(&one.value);
        area[at] = one.name.len().to_le_bytes()[0];
        area[at + 1] = one.prefix;
        let offset = if one.value.is_empty() { 0 } else { end as u16 };
        put(area, at + 2, offset.to_le_bytes());
        put(area, at + 8, (one.value.len() as u32).to_le_bytes());
        put(area, at + 12, hash(one).to_le_bytes());
        area[at + ENTRY..at + ENTRY + one.name.len()].copy_from_slice(&one.name);
        at += one.entry_length();
    }
    true
}

/// As `ext4_xattr_hash_entry` of Linux computes it.
fn hash(one: &Attribute) -> u32 {
    let name = one.name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
    one.value.chunks(4).fold(name, |hash, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}

/// Gives a block of attributes the checksum of its place.
pub(super) fn seal(block: &mut [u8], number: u64, seed: u32) {
    let checksum = crc32c(crc32c(seed, &number.to_le_bytes()), block);
    put(block, 16, checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ones_fit_into_the_inode() {
        let capability = Attribute::new("security.capability", &[1; 20]).unwrap();
        assert!(matches!(store(std::slice::from_ref(&capability)), Stored::InInode(inside) if inside.len() == 96));
        let user = Attribute::new("user.long", &[7; 200]).unwrap();
        assert!(matches!(store(&[capability, user]), Stored::InBlock(_)));
        assert_eq!(store(&[Attribute::new("user.huge", &[7; 5000]).unwrap()]), Stored::TooLarge);
        assert_eq!((store(&[]), Attribute::new("system.posix_acl_access", b"x")), (Stored::Nowhere, None));
        assert_eq!(Attribute::new("system.nfs4_acl", b"x"), None);
    }
}
