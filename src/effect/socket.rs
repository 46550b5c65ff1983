//! Sockets that are not SSH: a VMM's control socket, and whether a loopback port is free.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use camino::Utf8Path;
use tokio::net::{UnixListener, UnixStream};

/// Connects to a Unix socket.
///
/// # Errors
/// When nobody listens, or not within the deadline (`TimedOut`).
pub async fn connect_unix(path: &Utf8Path, deadline: Duration) -> io::Result<UnixStream> {
    tokio::time::timeout(deadline, UnixStream::connect(path))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Time between two tries to connect.
const RETRY: Duration = Duration::from_millis(10);

/// Connects to a Unix socket that somebody is about to listen on.
///
/// # Errors
/// The last refusal, when nobody listens within the deadline.
pub async fn await_unix(path: &Utf8Path, deadline: Duration) -> io::Result<UnixStream> {
    let end = tokio::time::Instant::now() + deadline;
    loop {
        match connect_unix(path, deadline).await {
            Err(_) if tokio::time::Instant::now() + RETRY < end => tokio::time::sleep(RETRY).await,
            outcome => return outcome,
        }
    }
}

/// Listens on a Unix socket, in place of one that an ended process left there. Its directory must be ours alone: that is
/// what keeps others out.
///
/// # Errors
/// When something else than a socket has that name, or the system refuses.
pub fn listen_unix(path: &Utf8Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt as _;
    match path.symlink_metadata() {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => return Err(cause),
    }
    UnixListener::bind(path)
}

/// Whether a TCP port of the loopback address could be listened on right now.
pub fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
