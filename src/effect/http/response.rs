//! What a server answers: its head, and its body piece by piece.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::HttpError;
use super::connection::Driver;
use super::error::{chain, printable};

/// What a server answers.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its reason phrase, fit for a terminal: some servers say there what is wrong.
    pub reason: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, which is still to be read.
    pub body: Body,
}

impl Response {
    pub(super) fn new(response: hyper::Response<Incoming>, body: impl FnOnce(Incoming) -> Body) -> Self {
        let (head, incoming) = response.into_parts();
        let reason = match head.extensions.get::<ReasonPhrase>() {
            Some(reason) => printable(&String::from_utf8_lossy(reason.as_bytes())),
            None => head.status.canonical_reason().unwrap_or_default().to_owned(),
        };
        Self { status: head.status, reason, headers: head.headers, body: body(incoming) }
    }

    /// A header as text; `None` when it is missing or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The body of a response. When it is dropped before its end, its connection is closed.
#[derive(Debug)]
pub struct Body {
    pub(super) incoming: Incoming,
    pub(super) server: String,
    pub(super) idle: Duration,
    pub(super) end: Instant,
    pub(super) total: Duration,
    /// Keeps the connection going until the body is read.
    pub(super) _driver: Arc<Driver>,
}

impl Body {
    /// The next piece; `None` at the end. An end before the announced length is an error.
    ///
    /// # Errors
    /// When the connection breaks, or stands still for longer than the deadline.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let idle_end = Instant::now() + self.idle;
        loop {
            let Ok(frame) = timeout_at(idle_end.min(self.end), self.incoming.frame()).await else {
                let (doing, after) = match idle_end < self.end {
                    true => ("to send any more", self.idle),
                    false => ("to send it all", self.total),
                };
                return Err(HttpError::Deadline { to: self.server.clone(), doing, after, sent: true });
            };
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    // Trailers.
                    Err(_) => {}
                },
                Some(Err(cause)) => {
                    let (to, doing) = (self.server.clone(), "in the middle of its response");
                    return Err(HttpError::Lost { to, doing, cause: chain(&cause), sent: true });
                }
            }
        }
    }

    /// All of it, if it is no longer than `limit` bytes.
    ///
    /// # Errors
    /// As [`Body::chunk`]; and when it is longer.
    pub async fn bytes(mut self, limit: u64) -> Result<Vec<u8>, HttpError> {
        let mut read = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if (read.len() + piece.len()) as u64 > limit {
                return Err(HttpError::TooLarge { to: self.server, limit });
            }
            read.extend_from_slice(&piece);
        }
        Ok(read)
    }
}
