//! A tar archive that is written while it is sent: neither memory nor disk holds all of it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::write::MANIFEST_NAME;
use crate::driver::files::edits::NewFile;
use crate::driver::files::manifest;
use crate::driver::files::source::{copy_failure, storable};
use crate::exec::Failure;
use crate::resource::GuestPath;

/// Bytes sent at once, and how many of such pieces may wait to be sent.
const PIECE: usize = 64 << 10;
const PIECES: usize = 16;

/// Starts writing an archive of files, in their order; files below `tree/`, the manifest as [`MANIFEST_NAME`]. Those
/// without a date of their own get `now`. The task says whether all of it was written.
pub(super) fn archive(files: Vec<NewFile>, now: i64) -> (Pieces, JoinHandle<Result<(), Failure>>) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let task = tokio::task::spawn_blocking(move || {
        let out = io::BufWriter::with_capacity(PIECE, Sender(sender));
        write(files, out, now)
    });
    (Pieces { receiver, piece: Vec::new(), taken: 0 }, task)
}

fn write(files: Vec<NewFile>, out: impl Write, now: i64) -> Result<(), Failure> {
    let failed = |cause| copy_failure("send files to the guest", cause);
    let mut archive = tar::Builder::new(out);
    for file in files {
        // The date stands before the bytes, which are checked as they pass: with a wrong one among them, the archive is
        // never finished.
        let source = file.source.open()?;
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(file.source.size());
        header.set_mode(file.mode);
        header.set_uid(file.owner.0.into());
        header.set_gid(file.owner.1.into());
        header.set_mtime(storable(source.modified.unwrap_or(now)).unsigned_abs());
        archive.append_data(&mut header, name(&file.path), source).map_err(failed)?;
    }
    archive.into_inner().and_then(|mut out| out.flush()).map_err(failed)
}

/// Where a file stands in the archive.
fn name(path: &GuestPath) -> PathBuf {
    let mut name = OsString::from("tree/");
    if path.as_bytes() == manifest::PATH.as_bytes() {
        name = MANIFEST_NAME.into();
    } else {
        name.push(OsStr::from_bytes(path.as_bytes()));
    }
    name.into()
}

/// The end that the archive is written to; blocks while enough pieces wait.
struct Sender(mpsc::Sender<Vec<u8>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end that the archive is read from.
pub(super) struct Pieces {
    receiver: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    taken: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.taken == self.piece.len() {
            let Some(piece) = ready!(self.receiver.poll_recv(context)) else { return Poll::Ready(Ok(())) };
            (self.piece, self.taken) = (piece, 0);
        }
        let count = out.remaining().min(self.piece.len() - self.taken);
        out.put_slice(&self.piece[self.taken..][..count]);
        self.taken += count;
        Poll::Ready(Ok(()))
    }
}
