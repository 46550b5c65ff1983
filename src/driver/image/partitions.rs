//! Partition tables: GPT (UEFI specification 2.10, section 5.3) and MBR, as far as finding a root file system needs them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;

/// Disk images have sectors of this size.
const SECTOR: u64 = 512;

/// The GPT type "Linux root (x86-64)", as it lies on the disk (Discoverable Partitions Specification).
const ROOT_X86_64: [u8; 16] =
    [0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09];

/// Partitions of one table; GPT has room for 128.
const MAX_PARTITIONS: u64 = 256;

/// Bytes that are copied at a time, and left out when they are all zero.
const PIECE: usize = 1 << 20;

/// Where the root file system lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The disk has no partitions and is one.
    Whole,
    /// In this range of bytes.
    Part {
        /// Where it begins.
        offset: u64,
        /// How long it is.
        length: u64,
    },
    /// Nowhere, for this reason.
    None(String),
}

struct Partition {
    offset: u64,
    length: u64,
    is_root: bool,
}

/// Finds the ext4 file system that is the root: the partition of that type, or the only one with such a file system.
///
/// # Errors
/// When the disk cannot be read.
pub(super) fn root(disk: &File) -> io::Result<Found> {
    if is_ext4(disk, 0)? {
        return Ok(Found::Whole);
    }
    let size = disk.metadata()?.len();
    let mut partitions = match gpt(disk)? {
        Some(partitions) => partitions,
        None => mbr(disk)?,
    };
    let count = partitions.len();
    let inside = |one: &Partition| one.length > 0 && one.offset.checked_add(one.length).is_some_and(|end| end <= size);
    partitions.retain(inside);
    let mut roots = Vec::new();
    for partition in partitions {
        if is_ext4(disk, partition.offset)? {
            roots.push(partition);
        }
    }
    if roots.iter().any(|partition| partition.is_root) {
        roots.retain(|partition| partition.is_root);
    }
    Ok(match roots[..] {
        [Partition { offset, length, .. }] => Found::Part { offset, length },
        [] => Found::None(format!("none of its {count} partitions has an ext4 file system")),
        _ => Found::None(format!("{} of its {count} partitions have an ext4 file system", roots.len())),
    })
}

/// Copies a range to a file of its own, zeros as holes.
///
/// # Errors
/// When the disk cannot be read or the file not be written.
pub(super) fn copy(disk: &File, offset: u64, length: u64, to: &Utf8Path) -> io::Result<()> {
    let target = File::create(to)?;
    target.set_len(length)?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        let count = usize::try_from(length - at).unwrap_or(PIECE).min(PIECE);
        disk.read_exact_at(&mut piece[..count], offset + at)?;
        if piece[..count].iter().any(|byte| *byte != 0) {
            target.write_all_at(&piece[..count], at)?;
        }
        at += count as u64;
    }
    Ok(())
}

/// The magic number of ext2, 3 and 4, in the superblock at byte 1024.
fn is_ext4(disk: &File, offset: u64) -> io::Result<bool> {
    Ok(read(disk, offset.saturating_add(1024 + 56))? == Some([0x53, 0xef]))
}

/// `None` beyond the end.
fn read<const N: usize>(disk: &File, offset: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match disk.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(cause) => Err(cause),
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..at + N).unwrap_or_default();
    field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The partitions of a GPT; `None` when the disk has none.
fn gpt(disk: &File) -> io::Result<Option<Vec<Partition>>> {
    let Some(header) = read::<92>(disk, SECTOR)?.filter(|header| header.starts_with(b"EFI PART")) else {
        return Ok(None);
    };
    let (first, count, length) = (number::<8>(&header, 72), number::<4>(&header, 80), number::<4>(&header, 84));
    let mut partitions = Vec::new();
    for index in 0..count.min(MAX_PARTITIONS) {
        let at = first.saturating_mul(SECTOR).saturating_add(index.saturating_mul(length));
        let Some(entry) = read::<48>(disk, at)? else { break };
        if entry[..16] == [0; 16] {
            continue;
        }
        let (start, last) = (number::<8>(&entry, 32), number::<8>(&entry, 40));
        partitions.push(Partition {
            offset: start.saturating_mul(SECTOR),
            length: last.saturating_add(1).saturating_sub(start).saturating_mul(SECTOR),
            is_root: entry[..16] == ROOT_X86_64,
        });
    }
    Ok(Some(partitions))
}

/// The four primary partitions of an MBR. Disk images do not use extended ones.
fn mbr(disk: &File) -> io::Result<Vec<Partition>> {
    let Some(sector) = read::<512>(disk, 0)?.filter(|sector| sector.ends_with(&[0x55, 0xaa])) else {
        return Ok(Vec::new());
    };
    let entries = sector[446..510].chunks_exact(16).filter(|entry| entry[4] != 0);
    let partition = |entry: &[u8]| Partition {
        offset: number::<4>(entry, 8) * SECTOR,
        length: number::<4>(entry, 12) * SECTOR,
        is_root: false,
    };
    Ok(entries.map(partition).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn disk(write: impl Fn(&File)) -> File {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(16 * MIB).unwrap();
        write(&disk);
        disk
    }

    fn ext4(disk: &File, offset: u64) {
        disk.write_all_at(&[0x53, 0xef], offset + 1080).unwrap();
    }

    fn gpt_entry(disk: &File, index: u64, kind: [u8; 16], start_mib: u64, mib: u64) {
        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[72..80].copy_from_slice(&2_u64.to_le_bytes());
        header[80..84].copy_from_slice(&128_u32.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        disk.write_all_at(&header, 512).unwrap();
        let mut entry = [0; 48];
        entry[..16].copy_from_slice(&kind);
        entry[32..40].copy_from_slice(&(start_mib * 2048).to_le_bytes());
        entry[40..48].copy_from_slice(&((start_mib + mib) * 2048 - 1).to_le_bytes());
        disk.write_all_at(&entry, 1024 + index * 128).unwrap();
    }

    #[test]
    fn the_root_partition_is_found() {
        let part = |offset, length| Found::Part { offset: offset * MIB, length: length * MIB };
        assert_eq!(root(&disk(|disk| ext4(disk, 0))).unwrap(), Found::Whole);
        let boot_and_root = |disk: &File| {
            gpt_entry(disk, 14, [1; 16], 1, 2);
            gpt_entry(disk, 0, ROOT_X86_64, 4, 8);
            ext4(disk, 4 * MIB);
        };
        assert_eq!(root(&disk(boot_and_root)).unwrap(), part(4, 8));
        // An ext4 file system for /boot is not the root when another one says that it is.
        let with_ext4_boot = disk(|disk| {
            boot_and_root(disk);
            ext4(disk, MIB);
        });
        assert_eq!(root(&with_ext4_boot).unwrap(), part(4, 8));
        let old = disk(|disk| {
            let mut entry = [0; 16];
            entry[4] = 0x83;
            entry[8..12].copy_from_slice(&(2 * 2048_u32).to_le_bytes());
            entry[12..16].copy_from_slice(&(3 * 2048_u32).to_le_bytes());
            disk.write_all_at(&entry, 446).unwrap();
            disk.write_all_at(&[0x55, 0xaa], 510).unwrap();
            ext4(disk, 2 * MIB);
        });
        assert_eq!(root(&old).unwrap(), part(2, 3));
    }

    #[test]
    fn what_cannot_be_decided_is_said() {
        let none = |found: io::Result<Found>| match found.unwrap() {
            Found::None(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(none(root(&disk(|_| ()))), "none of its 0 partitions has an ext4 file system");
        let two = disk(|disk| {
            for (index, start) in [(0, 1), (1, 4)] {
                gpt_entry(disk, index, [2; 16], start, 2);
                ext4(disk, start * MIB);
            }
        });
        assert_eq!(none(root(&two)), "2 of its 2 partitions have an ext4 file system");
        let outside = disk(|disk| gpt_entry(disk, 0, ROOT_X86_64, 8, 800));
        assert_eq!(none(root(&outside)), "none of its 1 partitions has an ext4 file system");
    }

    #[test]
    fn a_copy_has_holes() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let to = Utf8Path::from_path(dir.path()).unwrap().join("part");
        let disk = disk(|disk| disk.write_all_at(b"end", 12 * MIB - 3).unwrap());
        copy(&disk, 4 * MIB, 8 * MIB, &to).unwrap();
        let read = std::fs::read(&to).unwrap();
        assert_eq!((read.len() as u64, &read[read.len() - 3..]), (8 * MIB, &b"end"[..]));
        assert!(to.metadata().unwrap().blocks() * 512 <= 2 * MIB);
    }
}
