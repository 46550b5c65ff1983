//! Layers, written by the test itself: no tool of an ordinary user could make what is in them.

use tar::{Builder, EntryType, Header};

pub(crate) use tar::EntryType as Type;

/// A layer being written.
pub(crate) struct Layer(Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// A file.
    pub(crate) fn file(self, path: &[u8], mode: u32, owner: u64, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, mode, owner, content, b"")
    }

    /// A program with an extended attribute.
    pub(crate) fn with_attribute(mut self, path: &[u8], content: &[u8], (name, value): (&str, &[u8])) -> Self {
        self.0.append_pax_extensions([(format!("SCHILY.xattr.{name}").as_str(), value)]).unwrap();
        self.entry(EntryType::Regular, path, 0o755, 0, content, b"")
    }

    /// A link of either kind.
    pub(crate) fn link(self, kind: EntryType, path: &[u8], target: &[u8]) -> Self {
        self.entry(kind, path, 0o777, 0, b"", target)
    }

    /// A character device.
    pub(crate) fn device(mut self, path: &[u8], major: u32, minor: u32) -> Self {
        let mut header = header(EntryType::Char, path, 0o666, 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        header.set_cksum();
        self.0.append(&header, &b""[..]).unwrap();
        self
    }

    fn entry(mut self, kind: EntryType, path: &[u8], mode: u32, owner: u64, content: &[u8], target: &[u8]) -> Self {
        let mut header = header(kind, path, mode, owner);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    /// The tar file.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn header(kind: EntryType, path: &[u8], mode: u32, owner: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_size(0);
    header
}
