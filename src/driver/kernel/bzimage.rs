//! Getting the uncompressed kernel out of a bzImage: VMMs other than QEMU's PC machines want the ELF file.
//!
//! Layout from Linux, `Documentation/arch/x86/boot.rst`: the setup header says how many sectors of setup code come first
//! and where behind them the compressed kernel lies; its last four bytes are the uncompressed size.

use std::io::Read as _;

/// Largest uncompressed kernel that is believed.
const SIZE_LIMIT: usize = 256 << 20;

/// How ELF files begin.
const ELF: &[u8] = b"\x7fELF";

/// How xz files begin.
const XZ: &[u8] = b"\xfd7zXZ";

/// Bytes of a sector of setup code.
const SECTOR: usize = 512;

/// Why a file is not usable as a kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KernelError {
    /// It is no bzImage, or ends too early.
    #[error("the kernel is neither an ELF file nor a bzImage: {0}")]
    Malformed(&'static str),
    /// Its compression is not one we can undo.
    #[error("the kernel is compressed with {0}, expected gzip, LZ4, xz or zstd")]
    Compression(&'static str),
    /// It cannot be decompressed.
    #[error("the kernel cannot be decompressed: {0}")]
    Corrupt(String),
}

/// What was found in a file that is to be a kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The ELF file.
    Elf(Vec<u8>),
    /// What the program `xz` decompresses: then it is for [`whole`].
    Xz {
        /// The compressed bytes.
        compressed: Vec<u8>,
        /// How many they become.
        size: usize,
    },
}

/// The ELF file that a file is, or that lies inside of a bzImage.
///
/// # Errors
/// See [`KernelError`].
pub(super) fn open(image: Vec<u8>) -> Result<Found, KernelError> {
    if image.starts_with(ELF) {
        return Ok(Found::Elf(image));
    }
    let (compressed, size) = payload(&image)?;
    if compressed.starts_with(XZ) {
        return Ok(Found::Xz { compressed: compressed.to_vec(), size });
    }
    whole(decompress(compressed, size)?, size).map(Found::Elf)
}

/// Checks what came out of a compressed kernel.
///
/// # Errors
/// When it has another size than the setup header says, or is no ELF file.
pub(super) fn whole(elf: Vec<u8>, size: usize) -> Result<Vec<u8>, KernelError> {
    if elf.len() != size {
        return Err(KernelError::Corrupt(format!("found {} bytes, expected {size}", elf.len())));
    }
    if !elf.starts_with(ELF) {
        return Err(KernelError::Malformed("what it holds is no ELF file"));
    }
    Ok(elf)
}

/// The compressed bytes, and how many they become.
fn payload(image: &[u8]) -> Result<(&[u8], usize), KernelError> {
    const SHORT: KernelError = KernelError::Malformed("it ends too early");
    if image.get(0x202..0x206) != Some(b"HdrS") {
        return Err(KernelError::Malformed("it has no setup header"));
    }
    let sectors = match image.get(0x1f1).copied().ok_or(SHORT)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let offset = u32_at(image, 0x248).ok_or(SHORT)?;
    let length = u32_at(image, 0x24c).ok_or(SHORT)?;
    let start = (sectors + 1) * SECTOR + offset;
    let payload = image.get(start..).and_then(|rest| rest.get(..length)).ok_or(SHORT)?;
    let (compressed, _) = payload.split_last_chunk::<4>().ok_or(SHORT)?;
    match u32_at(payload, compressed.len()).ok_or(SHORT)? {
        size if size <= SIZE_LIMIT => Ok((compressed, size)),
        _ => Err(KernelError::Malformed("its uncompressed size is beyond belief")),
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let field = bytes.get(offset..)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*field)).ok()
}

fn decompress(compressed: &[u8], size: usize) -> Result<Vec<u8>, KernelError> {
    let corrupt = |error: &dyn std::fmt::Display| KernelError::Corrupt(error.to_string());
    let reader: Box<dyn std::io::Read + '_> = match compressed {
        [0x02, 0x21, 0x4c, 0x18, ..] => Box::new(lz4_flex::frame::FrameDecoder::new(compressed)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(ruzstd::decoding::StreamingDecoder::new(compressed).map_err(|error| corrupt(&error))?)
        }
        [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(compressed)),
        [b'B', b'Z', b'h', ..] => return Err(KernelError::Compression("bzip2")),
        [0x5d, 0x00, 0x00, ..] => return Err(KernelError::Compression("LZMA")),
        _ => return Err(KernelError::Compression("an unknown method")),
    };
    let mut elf = Vec::with_capacity(size);
    // One byte more than expected tells a kernel that is too long.
    reader.take(size as u64 + 1).read_to_end(&mut elf).map_err(|error| corrupt(&error))?;
    Ok(elf)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage with two sectors of setup code, 16 bytes before the payload, and something behind it.
    fn bzimage(compressed: &[u8], size: u32) -> Vec<u8> {
        let mut image = vec![0; 3 * SECTOR + 16];
        image[0x1f1] = 2;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(compressed.len() as u32 + 4).to_le_bytes());
        image.extend_from_slice(compressed);
        image.extend_from_slice(&size.to_le_bytes());
        image.extend_from_slice(b"trailing signature");
        image
    }

    fn elf() -> Vec<u8> {
        let mut elf = b"\x7fELF".to_vec();
        elf.extend((0..3_000_000_u32).flat_map(|n| (n / 7).to_le_bytes()));
        elf
    }

    /// The kernel's build uses LZ4's legacy frame: a magic number, then blocks of 8 MiB, each with its length.
    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let mut frame = 0x184c_2102_u32.to_le_bytes().to_vec();
        for chunk in bytes.chunks(8 << 20) {
            let block = lz4_flex::block::compress(chunk);
            frame.extend_from_slice(&(block.len() as u32).to_le_bytes());
            frame.extend_from_slice(&block);
        }
        frame
    }

    fn vmlinux(image: &[u8]) -> Result<Vec<u8>, KernelError> {
        match open(image.to_vec())? {
            Found::Elf(elf) => Ok(elf),
            Found::Xz { .. } => Err(KernelError::Compression("xz")),
        }
    }

    #[test]
    fn kernels_come_out_whole_however_they_are_compressed() {
        let elf = elf();
        let gzip = {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, &elf).unwrap();
            encoder.finish().unwrap()
        };
        assert!(vmlinux(&bzimage(&gzip, elf.len() as u32)).is_ok_and(|found| found == elf));
        assert!(vmlinux(&elf).is_ok_and(|found| found == elf));
        let xz = [XZ, b"..."].concat();
        assert_eq!(open(bzimage(&xz, 7)), Ok(Found::Xz { compressed: xz, size: 7 }));
        assert!(vmlinux(&bzimage(&lz4(&elf), elf.len() as u32)).is_ok_and(|found| found == elf));
        let zstd = ruzstd::encoding::compress_to_vec(&elf[..], ruzstd::encoding::CompressionLevel::Fastest);
        assert!(vmlinux(&bzimage(&zstd, elf.len() as u32)).is_ok_and(|found| found == elf));
    }

    #[test]
    fn damaged_and_foreign_kernels_are_told_apart() {
        let elf = elf();
        let good = bzimage(&lz4(&elf), elf.len() as u32);
        assert_eq!(vmlinux(b"MZ"), Err(KernelError::Malformed("it has no setup header")));
        assert_eq!(vmlinux(&good[..good.len() / 2]), Err(KernelError::Malformed("it ends too early")));
        let short = bzimage(&lz4(&elf), elf.len() as u32 - 1);
        let found = format!("found {} bytes, expected {}", elf.len(), elf.len() - 1);
        assert_eq!(vmlinux(&short), Err(KernelError::Corrupt(found)));
        assert_eq!(vmlinux(&bzimage(b"BZh9", 9)), Err(KernelError::Compression("bzip2")));
        assert_eq!(
            vmlinux(&bzimage(&lz4(b"#!/bin/sh"), 9)),
            Err(KernelError::Malformed("what it holds is no ELF file"))
        );
        let huge = bzimage(&lz4(&elf), u32::MAX);
        assert_eq!(vmlinux(&huge), Err(KernelError::Malformed("its uncompressed size is beyond belief")));
    }
}
