//! One connection, over which requests go one after the other.

use std::sync::Arc;

use camino::Utf8Path;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::chain;
use super::proxy::Proxy;
use super::request::Outgoing;
use super::{Body, Deadlines, Endpoint, HttpError, Request, Response, tls};
use crate::effect::connect_unix;

/// A stream that HTTP is spoken over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection, over which requests go one after the other.
#[derive(Debug)]
pub struct Connection {
    sender: http1::SendRequest<Outgoing>,
    /// The server's name in the `Host` header.
    host: String,
    /// The server's name in errors: a socket has a path instead.
    server: String,
    deadlines: Deadlines,
    driver: Arc<Driver>,
}

/// The task that moves a connection's bytes. It ends when nobody needs the connection any more.
#[derive(Debug)]
pub(super) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Connects, and makes sure that it is the right server.
    ///
    /// # Errors
    /// [`HttpError::Connect`], [`HttpError::Trust`] or [`HttpError::Deadline`].
    pub async fn open(endpoint: &Endpoint, deadlines: Deadlines) -> Result<Self, HttpError> {
        Self::open_through(endpoint, None, deadlines).await
    }

    /// As [`Connection::open`], by way of a proxy.
    pub(super) async fn open_through(
        endpoint: &Endpoint,
        proxy: Option<&Proxy>,
        deadlines: Deadlines,
    ) -> Result<Self, HttpError> {
        let to = authority(endpoint);
        match timeout(deadlines.connect, stream(endpoint, proxy, &to, deadlines)).await {
            Ok(stream) => {
                let connection = Self::over(stream?, &to, deadlines).await?;
                Ok(match endpoint {
                    Endpoint::Unix { path } => Self { server: path.to_string(), ..connection },
                    Endpoint::Tcp { .. } | Endpoint::Tls { .. } => connection,
                })
            }
            Err(_) => Err(HttpError::Deadline { to, doing: "to connect", after: deadlines.connect, sent: false }),
        }
    }

    /// Speaks HTTP over a stream that somebody else opened. `host` is for the `Host` header and for errors.
    ///
    /// # Errors
    /// When the stream is broken.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: &str,
        deadlines: Deadlines,
    ) -> Result<Self, HttpError> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|cause| HttpError::Connect { to: host.to_owned(), cause: chain(&cause) })?;
        // Its errors are told to whoever waits for a response or a body.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, host: host.to_owned(), server: host.to_owned(), deadlines, driver: Arc::new(Driver(driver)) })
    }

    /// Whether another request can be sent: the last body was read, and the server did not hang up.
    pub async fn is_usable(&mut self) -> bool {
        !self.sender.is_closed() && matches!(timeout(self.deadlines.idle, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Sends a request and waits for the head of its response. The body of the last response must have been read.
    ///
    /// # Errors
    /// See [`HttpError`]; a status such as 404 is none.
    pub async fn send(&mut self, request: Request) -> Result<Response, HttpError> {
        self.send_until(request, Instant::now() + self.deadlines.total).await
    }

    /// As [`Connection::send`], with an end that is shared with other requests.
    pub(super) async fn send_until(&mut self, request: Request, end: Instant) -> Result<Response, HttpError> {
        let Deadlines { first_byte, idle, total, .. } = self.deadlines;
        let lost = |doing, cause: hyper::Error| {
            // Canceled: it was still waiting here when the connection ended.
            let sent = !cause.is_canceled();
            HttpError::Lost { to: self.server.clone(), doing, cause: chain(&cause), sent }
        };
        let request = request.build(&self.host)?;
        let head_end = end.min(Instant::now() + first_byte);
        match timeout_at(head_end, self.sender.ready()).await {
            Ok(ready) => ready.map_err(|cause| {
                let (to, doing) = (self.server.clone(), "before the request was sent");
                HttpError::Lost { to, doing, cause: chain(&cause), sent: false }
            })?,
            Err(_) => return Err(self.deadline("to take a request", false)),
        }
        let response = match timeout_at(head_end, self.sender.send_request(request)).await {
            Ok(response) => response.map_err(|cause| lost("before it answered", cause))?,
            Err(_) => return Err(self.deadline("to answer", true)),
        };
        let (server, _driver) = (self.server.clone(), self.driver.clone());
        Ok(Response::new(response, |incoming| Body { incoming, server, idle, end, total, _driver }))
    }

    fn deadline(&self, doing: &'static str, sent: bool) -> HttpError {
        HttpError::Deadline { to: self.server.clone(), doing, after: self.deadlines.first_byte, sent }
    }
}

/// The server's name, as the `Host` header wants it.
fn authority(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp { host, port } => with_port(host, *port, 80),
        Endpoint::Tls { host, port, .. } => with_port(host, *port, 443),
        Endpoint::Unix { .. } => "localhost".to_owned(),
    }
}

/// `host:port`; without the port that goes without saying.
fn with_port(host: &str, port: u16, default: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == default { host } else { format!("{host}:{port}") }
}

async fn stream(
    endpoint: &Endpoint,
    proxy: Option<&Proxy>,
    to: &str,
    deadlines: Deadlines,
) -> Result<Box<dyn Stream>, HttpError> {
    match (endpoint, proxy) {
        (Endpoint::Tcp { host, port }, None) => Ok(Box::new(tcp(host, *port, to).await?)),
        (Endpoint::Tcp { .. }, Some(proxy)) => Ok(Box::new(to_proxy(proxy, to).await?)),
        (Endpoint::Tls { host, port, trust }, proxy) => {
            let client = tls::Client::new(trust, to).await?;
            let stream = match proxy {
                None => tcp(host, *port, to).await?,
                Some(proxy) => {
                    let mut stream = to_proxy(proxy, to).await?;
                    proxy.tunnel(&mut stream, &with_port(host, *port, 0)).await?;
                    stream
                }
            };
            Ok(Box::new(client.connect(stream, host, to).await?))
        }
        (Endpoint::Unix { path }, _) => Ok(Box::new(unix(path, deadlines).await?)),
    }
}

async fn to_proxy(proxy: &Proxy, to: &str) -> Result<TcpStream, HttpError> {
    tcp(&proxy.host, proxy.port, to).await.map_err(|error| match error {
        HttpError::Connect { to, cause } => {
            HttpError::Connect { to, cause: format!("through the proxy `{proxy}`: {cause}") }
        }
        other => other,
    })
}

async fn tcp(host: &str, port: u16, to: &str) -> Result<TcpStream, HttpError> {
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|cause| HttpError::Connect { to: to.to_owned(), cause: cause.to_string() })?;
    // Many small requests and answers: waiting for more to send only costs time.
    stream.set_nodelay(true).map_err(|cause| HttpError::Connect { to: to.to_owned(), cause: cause.to_string() })?;
    Ok(stream)
}

async fn unix(path: &Utf8Path, deadlines: Deadlines) -> Result<tokio::net::UnixStream, HttpError> {
    let fail = |cause: std::io::Error| HttpError::Connect { to: path.to_string(), cause: cause.to_string() };
    connect_unix(path, deadlines.connect).await.map_err(fail)
}
