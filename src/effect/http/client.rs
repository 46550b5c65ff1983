//! Requests to URLs: a connection for each, redirects followed.

use hyper::Method;
use hyper::header::{AUTHORIZATION, COOKIE, LOCATION};
use tokio::time::Instant;
use url::Url;

use super::error::printable;
use super::proxy::Proxy;
use super::{Connection, Deadlines, Endpoint, HttpError, Proxies, Request, Response, Trust};

/// Redirects that are followed one after the other.
const REDIRECTS: usize = 5;

/// Sends requests to URLs: a connection for each, redirects followed.
///
/// A redirect is followed for `GET` and `HEAD` only, never from `https` to `http`, and what proves who we are
/// (`Authorization`, `Cookie`) is sent to the server it is meant for and to no other.
#[derive(Debug, Clone)]
pub struct Client {
    trust: Trust,
    deadlines: Deadlines,
    proxies: Proxies,
}

impl Client {
    /// A client that accepts these certificates, and asks servers directly.
    pub fn new(trust: Trust, deadlines: Deadlines) -> Self {
        Self { trust, deadlines, proxies: Proxies::default() }
    }

    /// Has it go through proxies.
    #[must_use]
    pub fn through(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// Sends a request to an `http` or `https` URL, and to where that redirects. Its path is the URL's.
    ///
    /// # Errors
    /// See [`HttpError`]; a status such as 404 is none.
    pub async fn send(&self, url: &str, request: Request) -> Result<Response, HttpError> {
        let mut url = parse(url)?;
        let mut request = request;
        let end = Instant::now() + self.deadlines.total;
        for _ in 0..=REDIRECTS {
            request.target = target(&url);
            let again = request.payload.again().filter(|_| matches!(request.method, Method::GET | Method::HEAD));
            let next = again.map(|payload| Request {
                method: request.method.clone(),
                target: String::new(),
                headers: request.headers.clone(),
                payload,
            });
            let proxy = self.proxies.find(&url)?;
            if let Some(proxy) = proxy.as_ref().filter(|_| url.scheme() == "http") {
                request = asked_of(proxy, &url, request)?;
            }
            let endpoint = self.endpoint(&url)?;
            let mut connection = Connection::open_through(&endpoint, proxy.as_ref(), self.deadlines).await?;
            let response = connection.send_until(request, end).await?;
            let Some((location, mut following)) = location(&response).zip(next) else { return Ok(response) };
            let to = redirected(&url, &location)?;
            if to.origin() != url.origin() {
                following.headers.remove(AUTHORIZATION);
                following.headers.remove(COOKIE);
            }
            (url, request) = (to, following);
        }
        Err(HttpError::Redirect { from: shown(&url), why: format!("once more after {REDIRECTS} times") })
    }

    fn endpoint(&self, url: &Url) -> Result<Endpoint, HttpError> {
        let host = match url.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err(HttpError::Request(format!("`{}` names no host", shown(url)))),
        };
        let port = url.port_or_known_default().unwrap_or(443);
        match url.scheme() {
            "https" => Ok(Endpoint::Tls { host, port, trust: self.trust.clone() }),
            _ => Ok(Endpoint::Tcp { host, port }),
        }
    }
}

impl Endpoint {
    /// The server of an `https` URL without a path, at this port when it names none.
    ///
    /// # Errors
    /// It is no such URL.
    pub fn https(url: &str, default_port: u16, trust: Trust) -> Result<Self, HttpError> {
        let parsed = parse(url)?;
        let plain = parsed.scheme() == "https" && matches!(parsed.path(), "" | "/") && parsed.query().is_none();
        let host = match parsed.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(host) if plain => host.to_string(),
            _ => return Err(HttpError::Request(format!("found `{}`, expected `https://HOST:PORT`", shown(&parsed)))),
        };
        // The parser drops a port that is the scheme's own, which then has to be looked for.
        let written = url.trim_end_matches('/').ends_with(":443");
        Ok(Self::Tls { host, port: parsed.port().unwrap_or(if written { 443 } else { default_port }), trust })
    }
}

fn parse(text: &str) -> Result<Url, HttpError> {
    let refused = |why: &str| HttpError::Request(format!("found the URL `{}`, {why}", printable(text)));
    let url = Url::parse(text).map_err(|cause| refused(&cause.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.username().is_empty() && url.password().is_none() => Ok(url),
        "http" | "https" => Err(HttpError::Request("found a URL with a user name in it, expected none".to_owned())),
        _ => Err(refused("expected http:// or https://")),
    }
}

/// The request as a proxy wants it that answers in the server's place: with the whole URL, and our name for the proxy.
fn asked_of(proxy: &Proxy, url: &Url, mut request: Request) -> Result<Request, HttpError> {
    let mut whole = url.clone();
    whole.set_fragment(None);
    request.target = whole.to_string();
    match &proxy.authorization {
        Some(value) => request.header("proxy-authorization", value),
        None => Ok(request),
    }
}

/// Path and query.
fn target(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

/// A URL without its query, which may hold a signature.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn location(response: &Response) -> Option<String> {
    match response.status.as_u16() {
        301 | 302 | 303 | 307 | 308 => Some(response.headers.get(LOCATION)?.to_str().ok()?.to_owned()),
        _ => None,
    }
}

fn redirected(from: &Url, location: &str) -> Result<Url, HttpError> {
    let refused = |why: String| HttpError::Redirect { from: shown(from), why };
    let to = from.join(location).map_err(|_| refused(format!("to `{}`, which is no URL", printable(location))))?;
    match (from.scheme(), to.scheme()) {
        ("https", "http") => Err(refused(format!("to `{}`, which is not encrypted", shown(&to)))),
        (_, "http" | "https") => Ok(to),
        _ => Err(refused(format!("to `{}`, expected http:// or https://", shown(&to)))),
    }
}
