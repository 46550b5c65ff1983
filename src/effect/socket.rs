//! Sockets that are not SSH: a VMM's control socket, and whether a loopback port is free.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use camino::Utf8Path;
use tokio::net::UnixStream;

/// Connects to a Unix socket.
///
/// # Errors
/// When nobody listens, or not within the deadline (`TimedOut`).
pub async fn connect_unix(path: &Utf8Path, deadline: Duration) -> io::Result<UnixStream> {
    tokio::time::timeout(deadline, UnixStream::connect(path))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whether a TCP port of the loopback address could be listened on right now.
pub fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
