//! Writing `newc` archives: the format the kernel reads an initramfs from
//! (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`).

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// A folder, mode 0755.
    Directory,
    /// A file with its permission bits and content.
    File(u32, &'a [u8]),
    /// A character device: permission bits, major and minor number.
    CharDevice(u32, u32, u32),
}

/// An archive that is being written. Every entry belongs to root and has no time, so the same entries give the same bytes.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds an entry. Folders come before what lies in them.
    pub(super) fn add(&mut self, name: &str, entry: Entry<'_>) {
        let (mode, device, content) = match entry {
            Entry::Directory => (0o040_755, (0, 0), &[][..]),
            Entry::File(mode, content) => (0o100_000 | mode, (0, 0), content),
            Entry::CharDevice(mode, major, minor) => (0o020_000 | mode, (major, minor), &[][..]),
        };
        self.entries += 1;
        self.write(self.entries, mode, device, name, content);
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.write(0, 0, (0, 0), "TRAILER!!!", &[]);
        self.bytes
    }

    fn write(&mut self, inode: u32, mode: u32, device: (u32, u32), name: &str, content: &[u8]) {
        // Lengths fit: an initramfs of 4 GiB would not be loaded.
        let (size, name_size) = (content.len() as u32, name.len() as u32 + 1);
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        // inode, mode, uid, gid, links, time, size, device (2), device it is (2), name's size, checksum (unused).
        let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_byte_by_byte() {
        let mut archive = Archive::default();
        archive.add("a", Entry::File(0o644, b"hello"));
        let expected = concat!(
            "070701",
            "00000001",
            "000081A4",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000005",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000002",
            "00000000",
            "a\0",
            "hello\0\0\0",
            "070701",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "0000000B",
            "00000000",
            "TRAILER!!!\0",
            "\0\0\0",
        );
        let written = archive.finish();
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    /// The reference reader agrees about names, types, modes and owners.
    #[test]
    #[allow(clippy::print_stderr, reason = "a skipped test says so")]
    fn cpio_lists_what_was_written() {
        use std::io::Write as _;
        let mut archive = Archive::default();
        archive.add("dev", Entry::Directory);
        archive.add("dev/console", Entry::CharDevice(0o600, 5, 1));
        archive.add("init", Entry::File(0o755, &[0; 4097]));
        let listing = std::process::Command::new("cpio")
            .args(["-itv", "--quiet", "--numeric-uid-gid"])
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(mut cpio) = listing else {
            return eprintln!("SKIPPED cpio_lists_what_was_written: the program `cpio` is not installed");
        };
        cpio.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        let output = cpio.wait_with_output().unwrap();
        let expected = "\
            drwxr-xr-x   2 0        0               0 Jan  1  1970 dev\n\
            crw-------   1 0        0          5,   1 Jan  1  1970 dev/console\n\
            -rwxr-xr-x   1 0        0            4097 Jan  1  1970 init\n";
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
