//! What is asked of a server.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Uri};
use tokio::io::{AsyncRead, ReadBuf};

use super::HttpError;

/// Bytes that are read of a stream at a time.
const PIECE: usize = 64 << 10;

/// What is asked of a server. The target is given beside it, to a connection or a client.
#[derive(Debug)]
pub struct Request {
    pub(super) method: Method,
    /// Path and query for a connection; filled in from the URL by a client.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
}

/// The body of a request.
pub enum Payload {
    /// None.
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// So many bytes of a stream. Less of them breaks the request off; more are not read.
    Stream {
        /// Bytes.
        length: u64,
        /// Where they come from.
        from: Box<dyn AsyncRead + Send + Sync + Unpin>,
    },
}

impl fmt::Debug for Payload {
    /// Without content: bodies carry secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream { length, .. } => write!(f, "Stream({length})"),
        }
    }
}

impl Request {
    /// A request for a path with its query, such as `/v2/`, which a [`super::Client`] takes from its URL instead.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, target: path.into(), headers: HeaderMap::new(), payload: Payload::Empty }
    }

    /// `GET`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Sets a header, in place of one of that name.
    ///
    /// # Errors
    /// When the name or the value cannot stand in a header. The value is not repeated: it may be a secret.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HttpError> {
        let key: HeaderName =
            name.parse().map_err(|_| HttpError::Request(format!("`{}` is no header", name.escape_debug())))?;
        let mut content = HeaderValue::from_str(value)
            .map_err(|_| HttpError::Request(format!("the value of the header `{name}` is not printable ASCII")))?;
        content.set_sensitive(matches!(
            key.as_str(),
            "authorization" | "proxy-authorization" | "cookie" | "csrfpreventiontoken"
        ));
        self.headers.insert(key, content);
        Ok(self)
    }

    /// Gives it a body.
    #[must_use]
    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// Gives it a body of a type, such as `application/json`.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.payload(Payload::Bytes(body.into()))
    }

    /// As hyper sends it: with its length, so that no server has to understand chunks.
    pub(super) fn build(self, host: &str) -> Result<hyper::Request<Outgoing>, HttpError> {
        let bad = |what: &str| HttpError::Request(format!("`{}` is no {what}", what_is(&self.target)));
        let uri: Uri = self.target.parse().map_err(|_| bad("path"))?;
        let length = self.payload.length();
        let mut request = hyper::Request::new(Outgoing(self.payload));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        let headers = request.headers_mut();
        if !headers.contains_key(HOST) {
            let host = HeaderValue::from_str(host);
            headers.insert(HOST, host.map_err(|_| HttpError::Request("the host is no name".to_owned()))?);
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("regatta/", env!("CARGO_PKG_VERSION"))));
        if length > 0 || !matches!(self.method, Method::GET | Method::HEAD) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Ok(request)
    }
}

/// The query may hold a token.
fn what_is(target: &str) -> String {
    target.split('?').next().unwrap_or_default().escape_debug().take(200).collect()
}

impl Payload {
    fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stream { length, .. } => *length,
        }
    }

    /// A second one of the same, if it can be sent twice.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Stream { .. } => None,
        }
    }
}

/// A payload being sent.
pub(super) struct Outgoing(Payload);

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match std::mem::replace(&mut self.0, Payload::Empty) {
            Payload::Empty => Poll::Ready(None),
            Payload::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Payload::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Payload::Stream { length: 0, .. } => Poll::Ready(None),
            Payload::Stream { length, mut from } => {
                let mut piece = vec![0; PIECE.min(usize::try_from(length).unwrap_or(PIECE))];
                let mut buffer = ReadBuf::new(&mut piece);
                let read = Pin::new(&mut from).poll_read(context, &mut buffer);
                let count = buffer.filled().len();
                match read {
                    Poll::Pending => {
                        self.0 = Payload::Stream { length, from };
                        Poll::Pending
                    }
                    Poll::Ready(Err(cause)) => Poll::Ready(Some(Err(cause))),
                    Poll::Ready(Ok(())) if count == 0 => {
                        Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())))
                    }
                    Poll::Ready(Ok(())) => {
                        piece.truncate(count);
                        self.0 = Payload::Stream { length: length - count as u64, from };
                        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.length())
    }
}
