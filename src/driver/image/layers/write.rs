//! Writing the merged tree as one tar file (GNU format: names of any bytes and length, owners of any number).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use camino::Utf8Path;
use tar::{EntryType, Header};

use super::Reader;
use super::tree::{Attributes, Inode, Tree, What};
use crate::driver::store::storage_failure;
use crate::exec::Failure;

/// Length of names in a header; longer ones have an entry of their own before it.
const NAME: usize = 100;

/// tar counts in blocks of this size.
const BLOCK: u64 = 512;

impl Tree {
    /// Writes everything, reading the layers once more for the content of files.
    ///
    /// # Errors
    /// When a layer cannot be read, or the file cannot be written.
    pub(in crate::driver::image) fn write(&self, layers: &[Reader], to: &Utf8Path) -> Result<(), Failure> {
        let fail = |cause: io::Error| storage_failure(&format!("cannot write `{to}`"), &cause);
        let file = BufWriter::with_capacity(1 << 20, File::create(to).map_err(fail)?);
        let mut out = Writer { out: file };
        for (path, what) in self.paths() {
            if let What::Directory(attributes) = what {
                out.entry(EntryType::Directory, path, b"", *attributes, 0).map_err(fail)?;
            }
        }
        let names = self.names();
        for (index, layer) in layers.iter().enumerate() {
            self.write_files(&mut out, index, layer, &names).map_err(fail)?;
        }
        for (path, what) in self.paths() {
            match what {
                What::Directory(_) | What::File(_) => {}
                What::Symlink(attributes, target) => {
                    out.entry(EntryType::Symlink, path, target, *attributes, 0).map_err(fail)?;
                }
                What::Special(attributes, kind, numbers) => {
                    out.special(*kind, path, *attributes, *numbers).map_err(fail)?;
                }
            }
        }
        out.finish().map_err(fail)
    }

    /// The paths of each file.
    fn names(&self) -> BTreeMap<Inode, Vec<&[u8]>> {
        let mut names: BTreeMap<Inode, Vec<&[u8]>> = BTreeMap::new();
        for (path, what) in self.paths() {
            if let What::File(inode) = what {
                names.entry(*inode).or_default().push(path);
            }
        }
        names
    }

    fn write_files(
        &self,
        out: &mut Writer<impl Write>,
        index: usize,
        layer: &Reader,
        names: &BTreeMap<Inode, Vec<&[u8]>>,
    ) -> io::Result<()> {
        let last = names.range((index, 0)..(index + 1, 0)).next_back().map(|(inode, _)| inode.1);
        let Some(last) = last else { return Ok(()) };
        let mut archive = tar::Archive::new(layer.open()?);
        for (number, entry) in archive.entries()?.enumerate().take_while(|(number, _)| *number <= last) {
            let inode = (index, number);
            let mut entry = entry?;
            let (Some(names), Some((attributes, length))) = (names.get(&inode), self.file(inode)) else { continue };
            let Some((first, others)) = names.split_first() else { continue };
            out.entry(EntryType::Regular, first, b"", *attributes, *length)?;
            out.content(&mut entry, *length)?;
            for other in others {
                out.entry(EntryType::Link, other, &dotted(first), *attributes, 0)?;
            }
        }
        Ok(())
    }
}

/// `./path`: no name can be mistaken for an option or an absolute path.
fn dotted(path: &[u8]) -> Vec<u8> {
    [b"./", path].concat()
}

struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    fn entry(
        &mut self,
        kind: EntryType,
        path: &[u8],
        target: &[u8],
        attributes: Attributes,
        length: u64,
    ) -> io::Result<()> {
        let mut header = header(kind, attributes);
        header.set_size(length);
        self.named(header, path, target)
    }

    fn special(
        &mut self,
        kind: EntryType,
        path: &[u8],
        attributes: Attributes,
        (major, minor): (u32, u32),
    ) -> io::Result<()> {
        let mut header = header(kind, attributes);
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
        self.named(header, path, b"")
    }

    fn named(&mut self, mut header: Header, path: &[u8], target: &[u8]) -> io::Result<()> {
        let path = dotted(path);
        self.long(b'K', target)?;
        self.long(b'L', &path)?;
        let fields = header.as_old_mut();
        copy(&mut fields.name, &path);
        copy(&mut fields.linkname, target);
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    /// The entry before an entry whose name does not fit.
    fn long(&mut self, kind: u8, name: &[u8]) -> io::Result<()> {
        if name.len() <= NAME {
            return Ok(());
        }
        let mut header = header(EntryType::new(kind), Attributes { mode: 0o644, owner: (0, 0), mtime: 0 });
        copy(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_size(name.len() as u64 + 1);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        let mut text = name.to_vec();
        text.push(0);
        self.content(&mut text.as_slice(), text.len() as u64)
    }

    fn content(&mut self, from: &mut impl Read, length: u64) -> io::Result<()> {
        let copied = io::copy(&mut from.take(length), &mut self.out)?;
        if copied != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let padding = (BLOCK - length % BLOCK) % BLOCK;
        io::copy(&mut io::repeat(0).take(padding), &mut self.out).map(drop)
    }

    fn finish(mut self) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(2 * BLOCK), &mut self.out)?;
        self.out.flush()
    }
}

fn header(kind: EntryType, attributes: Attributes) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(attributes.mode);
    header.set_uid(attributes.owner.0);
    header.set_gid(attributes.owner.1);
    header.set_mtime(attributes.mtime);
    header.set_size(0);
    header
}

fn copy(field: &mut [u8; NAME], text: &[u8]) {
    let length = text.len().min(NAME);
    field[..length].copy_from_slice(&text[..length]);
}
