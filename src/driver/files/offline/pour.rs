//! Writes the bytes of host files to their blocks, several files at the same time.
//!
//! Only ever on a copy of a disk: what is wrong by then goes with the copy.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};

use camino::Utf8Path;
use sha2::{Digest as _, Sha256};

use super::extent::Extent;
use super::tool::io_failure;
use crate::driver::files::edits::NewFile;
use crate::driver::files::source::{copy_failure, storable};
use crate::exec::Failure;

/// Bytes read and written at once: a multiple of every block size.
const PIECE: usize = 256 << 10;

/// Bytes after which what was poured is sent on to the disk.
const SYNCED: u64 = 32 << 20;

/// Files at the same time, at most.
const THREADS_MAX: usize = 8;

/// A file and the blocks that it gets.
#[derive(Debug)]
pub(super) struct Poured<'a> {
    pub(super) file: &'a NewFile,
    pub(super) extents: Vec<Extent>,
}

/// What is known of a file once it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrived {
    /// When it was last modified, in seconds since 1970.
    pub(super) modified: i64,
    /// Digest of its [tail](tail), where that tells its place: its blocks follow one another, and all of its bytes were
    /// checked as they were written.
    pub(super) tail: Option<[u8; 32]>,
}

/// Bytes of a tail, at most.
pub(super) const TAIL: u64 = 4096;

/// Where the last bytes of a file of this size begin.
pub(super) const fn tail(size: u64) -> u64 {
    size.saturating_sub(1) / TAIL * TAIL
}

/// Writes each file to its place on the disk, and dates it: `now`, in seconds since 1970, for what has no date of its own.
/// The last block of each is filled up with zeros.
///
/// # Errors
/// When a host file is not what was planned, or cannot be read; when the disk cannot be written to.
pub(super) fn pour(disk: &Utf8Path, files: &[Poured<'_>], block_size: u64, now: i64) -> Result<Vec<Arrived>, Failure> {
    let image = File::options().write(true).open(disk).map_err(|cause| io_failure("write", disk, &cause))?;
    let next = AtomicUsize::new(0);
    let (poured, tell) = (AtomicU64::new(0), mpsc::sync_channel(1));
    let (enough, told) = tell;
    let work = |enough: SyncSender<()>| {
        let (mut buffer, mut arrived) = (vec![0; PIECE], Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(Poured { file, extents }) = files.get(number) else { return Ok(arrived) };
            let (modified, last) = one(&Place { image: &image, disk, extents, block_size }, file, &mut buffer)?;
            let (size, before) = (file.source.size(), poured.fetch_add(file.source.size(), Ordering::Relaxed));
            if (before + size) / SYNCED > before / SYNCED {
                // One that waits already stands for both.
                let _ = enough.try_send(());
            }
            let modified = storable(modified.unwrap_or(now));
            arrived.push((number, Arrived { modified, tail: Some(last).filter(|_| extents.len() <= 1) }));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(THREADS_MAX));
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| enough.clone()).map(|enough| scope.spawn(|| work(enough))).collect();
        drop(enough);
        // So that little is left to wait for when the whole disk is synced, where a failure would be told.
        scope.spawn(|| told.into_iter().for_each(|()| drop(image.sync_data())));
        let stopped = || Err(Failure::permanent(format!("writing to `{disk}` was stopped")));
        // All are waited for, whatever the first of them says.
        let done: Vec<_> = running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| stopped())).collect();
        let mut arrived: Vec<(usize, Arrived)> = done.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        arrived.sort_unstable();
        Ok(arrived.into_iter().map(|(_, arrived)| arrived).collect())
    })
}

/// Writes one file; its own date, and the digest of its tail.
fn one(place: &Place<'_>, file: &NewFile, buffer: &mut [u8]) -> Result<(Option<i64>, [u8; 32]), Failure> {
    let mut source = file.source.open()?;
    let mut done = 0;
    let mut last = Sha256::digest([]);
    loop {
        let read = fill(&mut source, buffer).map_err(|cause| copy_failure("read a file of the host", cause))?;
        if read == 0 {
            return Ok((source.modified, last.into()));
        }
        let whole = read.next_multiple_of(usize::try_from(place.block_size).unwrap_or(PIECE)).min(buffer.len());
        buffer[read..whole].fill(0);
        place.write(done, &buffer[..whole])?;
        // Pieces are whole numbers of tails, but for the last one.
        last = Sha256::digest(&buffer[usize::try_from(tail(read as u64)).unwrap_or_default()..read]);
        done += whole as u64;
    }
}

/// Reads until the buffer is full or the end is reached.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Where one file goes.
struct Place<'a> {
    image: &'a File,
    disk: &'a Utf8Path,
    extents: &'a [Extent],
    block_size: u64,
}

impl Place<'_> {
    /// Writes bytes that start so far into the file.
    fn write(&self, mut at: u64, mut bytes: &[u8]) -> Result<(), Failure> {
        let mut start = 0;
        for extent in self.extents {
            let end = start + extent.length * self.block_size;
            if at < end && !bytes.is_empty() {
                let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(end - at).unwrap_or(usize::MAX)));
                let written = self.image.write_all_at(now, extent.place * self.block_size + (at - start));
                written.map_err(|cause| io_failure("write", self.disk, &cause))?;
                (at, bytes) = (at + now.len() as u64, later);
            }
            start = end;
        }
        // Its blocks were counted, and so were its bytes as they were read.
        if bytes.is_empty() {
            Ok(())
        } else {
            Err(Failure::permanent("a file has more bytes than it was given room for"))
        }
    }
}
