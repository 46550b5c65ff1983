//! The kernel of an image's own `/boot`, with the modules that its initramfs needs, read from the finished image.

use std::cmp::Ordering;
use std::io::{self, Read as _};

use camino::Utf8Path;
use ext4_view::{Ext4, PathBuf};

use super::modules;
use super::packages::{FILE_LIMIT, MODULE_FOLDERS, Packages};
use crate::driver::ext4;
use crate::exec::Failure;

/// Where kernels are, and how their names begin.
const BOOT: &str = "/boot";
const KERNEL: &str = "vmlinuz-";

/// What was found: the kernel, and modules that only the program `xz` decompresses, by name.
#[derive(Debug, Default)]
pub(super) struct FromImage {
    /// Kernel, modules and what is built in; no busybox.
    pub(super) packages: Packages,
    /// Modules as they are.
    pub(super) xz: Vec<(String, Vec<u8>)>,
}

/// Takes the newest kernel of an image.
///
/// # Errors
/// When there is none, or the image cannot be read.
pub(super) fn read(image: &Utf8Path) -> Result<FromImage, Failure> {
    ext4::look(image, |files| {
        let names = names(&files, BOOT)?;
        let versions = names.iter().filter_map(|name| name.strip_prefix(KERNEL));
        let version = versions.max_by(|a, b| compare(a, b)).ok_or("it has no kernel: there is no `/boot/vmlinuz-…`")?;
        let kernel = content(&files, &format!("{BOOT}/{KERNEL}{version}"))?;
        let tree = format!("/lib/modules/{version}");
        let mut found = FromImage::default();
        let builtin = content(&files, &format!("{tree}/modules.builtin")).unwrap_or_default();
        found.packages.builtin = String::from_utf8_lossy(&builtin).lines().filter_map(modules::name).collect();
        found.packages.bzimage = Some(kernel);
        for folder in MODULE_FOLDERS {
            let folder = format!("{tree}/kernel/{folder}");
            if !files.exists(folder.as_str()).map_err(|error| error.to_string())? {
                continue;
            }
            for name in names_of_modules(&files, &folder)? {
                found.take(&name, content(&files, &format!("{folder}/{name}"))?)?;
            }
        }
        Ok(found)
    })
}

impl FromImage {
    fn take(&mut self, file: &str, bytes: Vec<u8>) -> Result<(), String> {
        let (plain, ending) = file.split_once(".ko").map_or((file, ""), |(plain, ending)| (plain, ending));
        let Some(name) = modules::name(&format!("{plain}.ko")) else { return Ok(()) };
        let unpacked = match ending {
            "" => Ok(bytes),
            ".xz" => {
                self.xz.push((name, bytes));
                return Ok(());
            }
            ".gz" => limited(flate2::read::GzDecoder::new(&bytes[..])),
            ".zst" => limited(ruzstd::decoding::StreamingDecoder::new(&bytes[..]).map_err(|error| error.to_string())?),
            _ => return Ok(()),
        }
        .map_err(|cause| format!("its module `{file}` cannot be decompressed: {cause}"))?;
        self.packages.modules.insert(name, unpacked);
        Ok(())
    }
}

fn limited(from: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn content(files: &Ext4, path: &str) -> Result<Vec<u8>, String> {
    let length = files.metadata(path).map_err(|error| format!("`{path}`: {error}"))?.len();
    if length > FILE_LIMIT {
        return Err(format!("`{path}` is larger than any kernel's files"));
    }
    files.read(path).map_err(|error| format!("`{path}`: {error}"))
}

/// The names in a folder, without those that are no text.
fn names(files: &Ext4, folder: &str) -> Result<Vec<String>, String> {
    let entries = files.read_dir(&PathBuf::new(folder)).map_err(|error| format!("`{folder}`: {error}"))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        names.extend(entry.file_name().as_str().ok().map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn names_of_modules(files: &Ext4, folder: &str) -> Result<Vec<String>, String> {
    Ok(names(files, folder)?.into_iter().filter(|name| name.contains(".ko")).collect())
}

/// Compares versions as people read them: numbers as numbers, everything else as text.
fn compare(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let mut parts: Vec<(u64, String)> = Vec::new();
        for part in text.split(['.', '-', '+', '~', '_']) {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            parts.push((part[..digits].parse().unwrap_or_default(), part[digits..].to_owned()));
        }
        parts
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_the_one_with_the_largest_numbers() {
        let mut versions = ["6.1.0-9-amd64", "6.12.3-cloud", "6.1.0-31-amd64", "5.10.0-40"];
        versions.sort_by(|a, b| compare(a, b));
        assert_eq!(versions, ["5.10.0-40", "6.1.0-9-amd64", "6.1.0-31-amd64", "6.12.3-cloud"]);
    }

    #[test]
    fn modules_are_taken_however_they_are_compressed() {
        let mut found = FromImage::default();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, b"B").unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(&b"C"[..], ruzstd::encoding::CompressionLevel::Fastest);
        for (file, bytes) in [
            ("a.ko", b"A".to_vec()),
            ("virtio-b.ko.gz", gzip.finish().unwrap()),
            ("c.ko.zst", zstd),
            ("d.ko.xz", b"D".to_vec()),
            ("e.kopf", b"".to_vec()),
        ] {
            found.take(file, bytes).unwrap();
        }
        let expected =
            [("a", b"A"), ("c", b"C"), ("virtio_b", b"B")].map(|(name, text)| (name.to_owned(), text.to_vec()));
        assert_eq!(found.packages.modules, expected.into());
        assert_eq!(found.xz, [("d".to_owned(), b"D".to_vec())]);
    }
}
