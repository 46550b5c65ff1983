//! Output of a guest, kept up to a limit: more is an error, never silently cut.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Collects bytes.
#[derive(Debug)]
pub(super) struct Collected {
    /// What came so far.
    pub(super) bytes: Vec<u8>,
    limit: usize,
}

impl Collected {
    /// For at most this many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    /// Whether more came than was wanted; what is there is incomplete then.
    pub(super) fn overflowed(&self) -> bool {
        self.bytes.len() > self.limit
    }
}

impl AsyncWrite for Collected {
    /// Takes everything, so that the guest's program ends in its own way, and keeps one byte more than the limit.
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = self.limit.saturating_add(1) - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
