//! Access control lists, from the form in which Linux hands them out to the one in which ext4 keeps them.
//!
//! Both have a version (4 bytes) and an entry for each who: tag and permissions (2 bytes each), all little-endian. Linux's
//! version is 2, and each entry ends in the number of a user or group (4 bytes; `posix_acl_xattr.h`). ext4's version is 1, and only
//! entries that are about somebody by number have one (`fs/ext4/acl.h`).

/// The extended attributes that are ACLs, by the number that stands for the whole name.
pub(super) const NAMES: [(u8, &str); 2] = [(2, "system.posix_acl_access"), (3, "system.posix_acl_default")];

const LINUX: [u8; 4] = 2_u32.to_le_bytes();
const EXT4: [u8; 4] = 1_u32.to_le_bytes();

/// Tags: of the owner, a user by number, the group, a group by number, the mask, and others.
const OWNER: u16 = 1;
const USER: u16 = 2;
const OWNING_GROUP: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHERS: u16 = 32;

/// The value that ext4 keeps; `None` for what is no ACL.
pub(super) fn stored(value: &[u8]) -> Option<Vec<u8>> {
    let (entries, rest) = value.strip_prefix(&LINUX)?.as_chunks::<8>();
    if entries.is_empty() || !rest.is_empty() {
        return None;
    }
    let mut stored = EXT4.to_vec();
    for entry in entries {
        let length = match u16::from_le_bytes([entry[0], entry[1]]) {
            USER | GROUP => 8,
            OWNER | OWNING_GROUP | MASK | OTHERS => 4,
            _ => return None,
        };
        stored.extend_from_slice(&entry[..length]);
    }
    Some(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_users_and_groups_have_numbers() {
        let entry = |tag: u16, permissions: u16, id: u32| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let value =
            [LINUX.to_vec(), entry(OWNER, 7, u32::MAX), entry(USER, 5, 1000), entry(OTHERS, 0, u32::MAX)].concat();
        assert_eq!(stored(&value).unwrap(), [1, 0, 0, 0, 1, 0, 7, 0, 2, 0, 5, 0, 0xe8, 3, 0, 0, 32, 0, 0, 0]);
        let unknown = [LINUX.to_vec(), entry(3, 7, 0)].concat();
        for wrong in [&b""[..], b"\x02\0\0\0", &value[..19], &unknown, &[&EXT4, &value[4..]].concat()] {
            assert_eq!(stored(wrong), None, "{wrong:?}");
        }
    }
}
