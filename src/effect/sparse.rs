//! Sparse files: copies that stay sparse, holes made in them, and digests that do not read them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, lseek64};
use sha2::{Digest as _, Sha256};

/// Bytes that are read at a time, whole blocks.
const PIECE: usize = 1 << 20;

/// Bytes that are looked at together.
const BLOCK: usize = 4096;

/// Zeros that are written at a time.
const ZEROS: usize = 1 << 16;

/// Copies what is allocated and leaves holes as holes. A file at the target is replaced in place.
///
/// # Errors
/// In the system's words; the target is then incomplete.
pub fn copy_sparse(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    let (mut source, mut target) = (File::open(from)?, File::create(to)?);
    let size = source.metadata()?.len();
    target.set_len(size)?;
    let mut at = 0;
    while let Some((start, end)) = next_data(&source, at)? {
        source.seek(SeekFrom::Start(start))?;
        target.seek(SeekFrom::Start(start))?;
        io::copy(&mut (&source).take(end - start), &mut target)?;
        at = end;
    }
    Ok(())
}

/// SHA-256 of a file without its zeros, in hexadecimal digits: of each block of 4 KiB that is not zero, its offset (8 bytes,
/// little-endian) and its bytes. A hole and written zeros are the same.
///
/// # Errors
/// In the system's words.
pub fn sparse_digest(path: &Utf8Path) -> io::Result<String> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut digest = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while let Some((start, end)) = next_data(&file, at)? {
        at = start - start % BLOCK as u64;
        while at < end {
            let length = piece.len().min(usize::try_from(size - at).unwrap_or(PIECE));
            file.read_exact_at(&mut piece[..length], at)?;
            for block in piece[..length].chunks(BLOCK) {
                if block.iter().any(|byte| *byte != 0) {
                    digest.update(at.to_le_bytes());
                    digest.update(block);
                }
                at += block.len() as u64;
            }
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes a range zero: a hole where the file system can do that, written otherwise.
///
/// # Errors
/// In the system's words.
pub fn punch(file: &File, at: u64, length: u64) -> io::Result<()> {
    let number = |bytes: u64| i64::try_from(bytes).map_err(io::Error::other);
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    match fallocate(file, hole, number(at)?, number(length)?) {
        Err(Errno::EOPNOTSUPP) => {
            let (zeros, mut done) = (vec![0; ZEROS], 0);
            while done < length {
                let piece = zeros.len().min(usize::try_from(length - done).unwrap_or(ZEROS));
                file.write_all_at(&zeros[..piece], at + done)?;
                done += piece as u64;
            }
            Ok(())
        }
        punched => Ok(punched?),
    }
}

/// The next allocated range at or after an offset.
fn next_data(file: &File, at: u64) -> io::Result<Option<(u64, u64)>> {
    let offset = |bytes: u64| i64::try_from(bytes).map_err(io::Error::other);
    let bytes = |offset: i64| u64::try_from(offset).map_err(io::Error::other);
    match lseek64(file, offset(at)?, Whence::SeekData) {
        Ok(start) => Ok(Some((bytes(start)?, bytes(lseek64(file, start, Whence::SeekHole)?)?))),
        Err(Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_copy_is_equal_and_as_sparse() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let source = File::create(dir.join("a")).unwrap();
        source.set_len(64 << 20).unwrap();
        for at in [0, 5 << 20, (64 << 20) - 3] {
            source.write_all_at(b"abc", at).unwrap();
        }
        copy_sparse(&dir.join("a"), &dir.join("b")).unwrap();
        assert!(std::fs::read(dir.join("a")).unwrap() == std::fs::read(dir.join("b")).unwrap());
        assert!(dir.join("b").metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
