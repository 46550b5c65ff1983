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

/// What goes into an archive.
pub(super) enum Packed {
    /// A file.
    File(NewFile),
    /// A symbolic link.
    Link {
        /// Where.
        path: GuestPath,
        /// Where it leads.
        target: String,
        /// User and group.
        owner: (u32, u32),
    },
}

/// Starts writing an archive, in the order of what goes into it; all of it below `tree/`, the manifest as [`MANIFEST_NAME`].
/// What has no date of its own gets `now`. The task says whether all of it was written.
pub(super) fn archive(files: Vec<Packed>, now: i64) -> (Pieces, JoinHandle<Result<(), Failure>>) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let task = tokio::task::spawn_blocking(move || {
        let out = io::BufWriter::with_capacity(PIECE, Sender(sender));
        write(files, out, now)
    });
    (Pieces { receiver, piece: Vec::new(), taken: 0 }, task)
}

fn write(files: Vec<Packed>, out: impl Write, now: i64) -> Result<(), Failure> {
    let failed = |cause| copy_failure("send files to the guest", cause);
    let mut archive = tar::Builder::new(out);
    for packed in files {
        match packed {
            Packed::File(file) => {
                // The date stands before the bytes, which are checked as they pass: with a wrong one among them, the
                // archive is never finished.
                let source = file.source.open()?;
                let modified = source.modified.unwrap_or(now);
                let mut header = header(tar::EntryType::Regular, file.mode, file.owner, modified);
                header.set_size(file.source.size());
                archive.append_data(&mut header, name(&file.path), source).map_err(failed)?;
            }
            Packed::Link { path, target, owner } => {
                let mut header = header(tar::EntryType::Symlink, 0o777, owner, now);
                header.set_size(0);
                archive.append_link(&mut header, name(&path), target).map_err(failed)?;
            }
        }
    }
    archive.into_inner().and_then(|mut out| out.flush()).map_err(failed)
}

fn header(kind: tar::EntryType, mode: u32, (user, group): (u32, u32), modified: i64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(user.into());
    header.set_gid(group.into());
    header.set_mtime(storable(modified).unsigned_abs());
    header
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
