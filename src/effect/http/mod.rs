//! HTTP/1.1 as a client: over TCP, TLS, a Unix socket, or any stream that somebody else opened.
//!
//! [`Connection`] sends requests one after the other over one stream. [`Client`] opens connections for URLs and follows
//! redirects. Every wait has a deadline ([`Deadlines`]), and whoever reads a body says how much of it at most.

mod client;
mod connection;
mod error;
mod proxy;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod tls;

use std::time::Duration;

use camino::Utf8PathBuf;

pub use client::Client;
pub use connection::Connection;
pub use error::HttpError;
pub use hyper::header::{HeaderMap, HeaderName, HeaderValue};
pub use hyper::{Method, StatusCode};
pub use proxy::Proxies;
pub use request::{Payload, Request};
pub use response::{Body, Response};
pub use tls::{Fingerprint, Trust};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// HTTP over TCP.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// HTTPS.
    Tls {
        /// Name or address, without brackets. It is what the certificate must name, unless it is pinned.
        host: String,
        /// Port.
        port: u16,
        /// Which certificates are accepted.
        trust: Trust,
    },
    /// HTTP over a Unix socket.
    Unix {
        /// The socket.
        path: Utf8PathBuf,
    },
}

/// How long is waited for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// From the start of a request, its body included, to the head of the response.
    pub first_byte: Duration,
    /// Between two pieces of a response's body.
    pub idle: Duration,
    /// For a request with its whole response.
    pub total: Duration,
}

impl Deadlines {
    /// Short requests to a server that is near.
    pub const BRIEF: Self = Self {
        connect: Duration::from_secs(10),
        first_byte: Duration::from_secs(30),
        idle: Duration::from_secs(30),
        total: Duration::from_secs(60),
    };

    /// Downloads, which may take long but must not stand still.
    pub const DOWNLOAD: Self = Self {
        connect: Duration::from_secs(15),
        first_byte: Duration::from_secs(60),
        idle: Duration::from_secs(30),
        total: Duration::from_secs(4 * 60 * 60),
    };
}

/// Sends one request over a stream that somebody else opened, which is closed with the response.
///
/// # Errors
/// See [`HttpError`].
pub async fn send(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    host: &str,
    deadlines: Deadlines,
    request: Request,
) -> Result<Response, HttpError> {
    Connection::over(stream, host, deadlines).await?.send(request).await
}
