//! Proxies that the environment names, as curl and apt know them: `https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`, in
//! either case. What is encrypted goes through a tunnel (`CONNECT`, RFC 9110, section 9.3.6), so that the proxy sees names and
//! no content; what is not is asked of the proxy itself.

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use url::{Host, Url};

use super::HttpError;
use super::error::printable;
use crate::effect::base64;

/// Longest answer to `CONNECT` that is read.
const ANSWER_LIMIT: usize = 16 << 10;

/// Which proxy is for which server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    https: Option<Named>,
    http: Option<Named>,
    /// Names that are reached without one; a name stands for those below it as well.
    except: Vec<String>,
}

/// A variable and what it says.
type Named = (String, String);

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of a `Proxy-Authorization` header.
    pub(super) authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Proxies {
    /// Those that variables name. The first that is set counts, in lower case before upper case; an empty one is none.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| Some((name.to_owned(), variable(name)?.trim().to_owned()));
        let first = |names: [&str; 4]| names.iter().find_map(|name| set(name)).filter(|(_, value)| !value.is_empty());
        let except = ["no_proxy", "NO_PROXY"].iter().find_map(|name| variable(name)).unwrap_or_default();
        let except = except.split([',', ' ']).map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty());
        Self {
            https: first(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http: first(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            except: except.collect(),
        }
    }

    /// The proxy for a URL; none for this machine itself.
    ///
    /// # Errors
    /// When the variable names none that we can use.
    pub(super) fn find(&self, url: &Url) -> Result<Option<Proxy>, HttpError> {
        let named = if url.scheme() == "https" { &self.https } else { &self.http };
        let (Some((name, value)), Some(host)) = (named, url.host()) else { return Ok(None) };
        let is_here = match &host {
            Host::Domain(name) => *name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        if is_here || self.is_excepted(&host.to_string().to_lowercase(), url.port_or_known_default()) {
            return Ok(None);
        }
        parse(value).map(Some).map_err(|why| HttpError::Request(format!("`{name}` names no proxy: {why}")))
    }

    fn is_excepted(&self, host: &str, port: Option<u16>) -> bool {
        let host = host.trim_matches(['[', ']']);
        self.except.iter().any(|except| {
            let (except, wanted) = match except.rsplit_once(':') {
                Some((name, digits)) if !name.contains(':') => (name, digits.parse().ok()),
                _ => (except.as_str(), None),
            };
            let except = except.trim_matches(['[', ']']).trim_start_matches("*.").trim_start_matches('.');
            let below = || host.strip_suffix(except).is_some_and(|rest| rest.ends_with('.'));
            (except == "*" || host == except || below()) && (wanted.is_none() || wanted == port)
        })
    }
}

fn parse(value: &str) -> Result<Proxy, String> {
    let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    // The value may hold a password: it is not repeated.
    let url = Url::parse(&text).map_err(|cause| cause.to_string())?;
    if url.scheme() != "http" {
        return Err(format!("found `{}://`, expected `http://`", printable(url.scheme())));
    }
    let host = match url.host().ok_or("it names no host")? {
        Host::Ipv6(address) => address.to_string(),
        host => host.to_string(),
    };
    let authorization = (!url.username().is_empty()).then(|| {
        let plain = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
        format!("Basic {}", base64::encode(plain.as_bytes()))
    });
    // The parser drops a port that is the scheme's own.
    Ok(Proxy { host, port: url.port().unwrap_or(80), authorization })
}

/// Percent signs and two digits for bytes (RFC 3986, section 2.1).
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        let (byte, left) = match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => (byte, &after[2..]),
            None => (*first, after),
        };
        bytes.push(byte);
        rest = left;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Proxy {
    /// Asks for a tunnel to a server, `host:port`.
    ///
    /// # Errors
    /// When the proxy refuses, or answers something else.
    pub(super) async fn tunnel(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        server: &str,
    ) -> Result<(), HttpError> {
        let fail = |cause: String| HttpError::Connect { to: server.to_owned(), cause };
        let login = self.authorization.as_ref().map(|value| format!("Proxy-Authorization: {value}\r\n"));
        let request = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n{}\r\n", login.unwrap_or_default());
        stream.write_all(request.as_bytes()).await.map_err(|cause| fail(cause.to_string()))?;
        let mut answer = Vec::new();
        // What comes behind the answer belongs to the server.
        while !answer.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) if answer.len() < ANSWER_LIMIT => answer.push(byte),
                Ok(_) => return Err(fail(format!("the proxy `{self}` does not come to an end"))),
                Err(_) => return Err(fail(format!("the proxy `{self}` hung up"))),
            }
        }
        let text = String::from_utf8_lossy(&answer);
        let status = text.lines().next().unwrap_or_default();
        match status.split(' ').nth(1) {
            Some(code) if code.starts_with('2') && status.starts_with("HTTP/1.") => Ok(()),
            _ => Err(fail(format!("the proxy `{self}` answers `{}`", printable(status)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::of(|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn found(proxies: &Proxies, url: &str) -> Result<Option<String>, String> {
        let found = proxies.find(&Url::parse(url).unwrap());
        found.map(|found| found.map(|proxy| proxy.to_string())).map_err(|error| error.to_string())
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let both = proxies(&[("HTTPS_PROXY", "http://safe:3128"), ("http_proxy", "plain:8080/")]);
        assert_eq!(found(&both, "https://a.example/"), Ok(Some("safe:3128".into())));
        assert_eq!(found(&both, "http://a.example/"), Ok(Some("plain:8080".into())));
        let all = proxies(&[("https_proxy", ""), ("all_proxy", "http://any")]);
        assert_eq!((found(&all, "https://a/"), found(&all, "http://a/")), (Ok(None), Ok(Some("any:80".into()))));
    }

    #[test]
    fn who_is_near_or_excepted_is_asked_directly() {
        let except = "example.com, .org:8443 10.0.0.1 *.lan";
        let some = proxies(&[("all_proxy", "http://p:1"), ("no_proxy", except)]);
        for direct in [
            "https://localhost/",
            "https://127.0.0.1:5000/",
            "https://[::1]/",
            "https://example.com/",
            "https://A.Example.com/",
            "https://a.org:8443/",
            "http://10.0.0.1/",
            "http://nas.lan/",
        ] {
            assert_eq!(found(&some, direct), Ok(None), "{direct}");
        }
        for proxied in ["https://notexample.com/", "https://a.org/", "http://10.0.0.10/"] {
            assert_eq!(found(&some, proxied), Ok(Some("p:1".into())), "{proxied}");
        }
        assert_eq!(found(&proxies(&[("all_proxy", "http://p:1"), ("NO_PROXY", "*")]), "https://a/"), Ok(None));
    }

    #[test]
    fn what_cannot_be_used_is_said_without_its_password() {
        let wrong = |value: &str| found(&proxies(&[("https_proxy", value)]), "https://a/").unwrap_err();
        let socks = "cannot make the request: `https_proxy` names no proxy: found `socks5://`, expected `http://`";
        assert_eq!(wrong("socks5://me:s3cret@p"), socks);
        assert!(!wrong("http://me:s3cret@:1").contains("s3cret"));
        let login = parse("http://me:s%40cret@p:3").unwrap();
        assert_eq!(login.authorization.as_deref(), Some("Basic bWU6c0BjcmV0"));
        assert_eq!(format!("{login:?}"), "Proxy(p:3)");
    }
}
