//! Talking to one repository of a registry (OCI distribution specification 1.1), logged in as far as it asks for that.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::credentials::{self, Credentials};
use super::manifest::ACCEPTED;
use crate::config::OciReference;
use crate::driver::image::download::client;
use crate::effect::http::{Client, Request, Response};
use crate::effect::{Run, http};
use crate::exec::Failure;
use crate::resource::Digest;

/// Largest manifest that is read (the specification asks registries for 4 MiB).
const MANIFEST_LIMIT: u64 = 4 << 20;

/// Largest answer of a token service, and of an error.
const ANSWER_LIMIT: u64 = 1 << 20;

/// One repository of a registry.
#[derive(Debug)]
pub(super) struct Registry {
    client: Client,
    reference: OciReference,
    /// `https://registry.example`.
    base: String,
    credentials: Option<Credentials>,
    /// The value of the `Authorization` header that was accepted last.
    authorization: Mutex<Option<String>>,
}

/// A manifest as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// `sha256:…` of the text.
    pub(super) digest: String,
    /// The text.
    pub(super) text: Vec<u8>,
}

impl Registry {
    /// The repository that a reference names, with the user's login for it.
    pub(super) async fn open(run: &dyn Run, reference: &OciReference) -> Result<Self, Failure> {
        let host = match reference.registry.as_str() {
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        let scheme = if is_loopback(host) { "http" } else { "https" };
        Ok(Self {
            client: client(),
            reference: reference.clone(),
            base: format!("{scheme}://{host}"),
            credentials: credentials::find(run, &reference.registry).await?,
            authorization: Mutex::new(None),
        })
    }

    /// The image that is asked for.
    pub(super) const fn reference(&self) -> &OciReference {
        &self.reference
    }

    /// A manifest by tag or digest. One that is asked for by its digest has that digest.
    pub(super) async fn manifest(&self, tag_or_digest: &str) -> Result<Found, Failure> {
        let path = format!("/v2/{}/manifests/{tag_or_digest}", self.reference.repository);
        let response = self.get(&path, &[("accept", ACCEPTED)]).await?;
        if response.status.as_u16() != 200 {
            let missing = format!("`{}` has no image `{}`", self.reference.registry, self.name(tag_or_digest));
            return Err(self.refused(response, missing).await);
        }
        let text = response.body.bytes(MANIFEST_LIMIT).await?;
        let digest = format!("sha256:{}", Digest::from_hash(&Sha256::digest(&text)).as_str());
        if tag_or_digest.starts_with("sha256:") && tag_or_digest != digest {
            let name = self.name(tag_or_digest);
            let message = format!("the manifest of `{name}` is not what it should be: found the digest {digest}");
            return Err(Failure::permanent(message).hint("it was changed on its way or in the registry"));
        }
        Ok(Found { digest, text })
    }

    /// Begins to read a blob from an offset; says where it really begins.
    pub(super) async fn blob(&self, digest: &Digest, from: u64, name: &str) -> Result<(u64, http::Body), Failure> {
        let path = format!("/v2/{}/blobs/sha256:{}", self.reference.repository, digest.as_str());
        let range = format!("bytes={from}-");
        let headers: &[(&str, &str)] = if from > 0 { &[("range", &range)] } else { &[] };
        let response = self.get(&path, headers).await?;
        match response.status.as_u16() {
            200 => Ok((0, response.body)),
            206 if begins_at(&response, from) => Ok((from, response.body)),
            _ => {
                let missing = format!("`{}` lacks {name}", self.reference.registry);
                Err(self.refused(response, missing).await)
            }
        }
    }

    /// Sends a request, and logs in when the registry asks for it.
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response, Failure> {
        let url = format!("{}{path}", self.base);
        let known = self.authorization.lock().await.clone();
        let response = self.request(&url, headers, known.as_deref()).await?;
        if response.status.as_u16() != 401 {
            return Ok(response);
        }
        let mut slot = self.authorization.lock().await;
        // Another layer's download may have logged in meanwhile.
        if *slot == known {
            *slot = Some(self.log_in(&response).await?);
        }
        let authorization = slot.clone();
        drop(slot);
        self.request(&url, headers, authorization.as_deref()).await
    }

    async fn request(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        authorization: Option<&str>,
    ) -> Result<Response, Failure> {
        let mut request = Request::get("");
        for (name, value) in headers.iter().copied().chain(authorization.map(|value| ("authorization", value))) {
            request = request.header(name, value)?;
        }
        let asking = || format!("cannot ask the registry `{}`", self.reference.registry);
        self.client.send(url, request).await.map_err(|error| Failure::from(error).context(asking()))
    }

    /// The `Authorization` that a 401 asks for: basic, or a token of the service that it names.
    async fn log_in(&self, response: &Response) -> Result<String, Failure> {
        let challenge = response.header("www-authenticate").unwrap_or_default();
        match Challenge::parse(challenge) {
            Some(Challenge::Basic) => match &self.credentials {
                Some(credentials) => Ok(credentials.basic()),
                None => Err(self.no_access()),
            },
            Some(Challenge::Bearer { realm, service }) => self.token(&realm, service.as_deref()).await,
            None => Err(self.no_access()),
        }
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Result<String, Failure> {
        let as_safe_as_the_registry = self.base.starts_with("http://") && realm.starts_with("http://");
        if !(realm.starts_with("https://") || as_safe_as_the_registry) {
            let message = format!("the registry `{}` names no token service with HTTPS", self.reference.registry);
            return Err(Failure::permanent(message));
        }
        let scope = format!("repository:{}:pull", self.reference.repository);
        let separator = if realm.contains('?') { '&' } else { '?' };
        let mut url = format!("{realm}{separator}scope={}", encoded(&scope));
        if let Some(service) = service {
            url.push_str(&format!("&service={}", encoded(service)));
        }
        let basic = self.credentials.as_ref().map(Credentials::basic);
        let response = self.request(&url, &[], basic.as_deref()).await?;
        if response.status.as_u16() != 200 {
            return Err(self.no_access());
        }
        let text = response.body.bytes(ANSWER_LIMIT).await?;
        let token: Token = serde_json::from_slice(&text).map_err(|_| {
            Failure::permanent(format!("the token service of `{}` gave no token", self.reference.registry))
        })?;
        Ok(format!("Bearer {}", token.token.or(token.access_token).ok_or_else(|| self.no_access())?))
    }

    fn no_access(&self) -> Failure {
        let registry = &self.reference.registry;
        let message = format!("the registry `{registry}` gives no access to `{}`", self.reference.repository);
        Failure::permanent(message).hint(format!(
            "log in with `docker login {registry}` or `podman login {registry}`, or check the image's name"
        ))
    }

    /// What a status means that is no success.
    async fn refused(&self, response: Response, missing: String) -> Failure {
        let status = response.status.as_u16();
        let said = format!("{status} {}", response.reason);
        match status {
            404 => Failure::permanent(missing),
            401 | 403 => self.no_access(),
            429 | 500..=599 => Failure::transient(format!("the registry `{}` answers {said}", self.reference.registry)),
            _ => Failure::permanent(format!("the registry `{}` answers {said}", self.reference.registry)),
        }
    }

    fn name(&self, tag_or_digest: &str) -> String {
        let separator = if tag_or_digest.contains(':') { '@' } else { ':' };
        format!("{}{separator}{tag_or_digest}", self.reference.repository)
    }
}

/// Tokens have either name.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// What a registry asks for (RFC 6750; quoting as registries do it).
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    fn parse(header: &str) -> Option<Self> {
        let (scheme, parameters) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |name: &str| {
            let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        Some(Self::Bearer { realm: value("realm")?, service: value("service") })
    }
}

/// Registries on this machine are spoken to without TLS, as container tools do.
fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn begins_at(response: &Response, from: u64) -> bool {
    response.header("content-range").is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

/// Percent-encoding of everything but unreserved characters (RFC 3986).
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer =
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull""#;
        let (realm, service) = ("https://auth.example/token".to_owned(), Some("registry.example".to_owned()));
        assert_eq!(Challenge::parse(bearer), Some(Challenge::Bearer { realm, service }));
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        for other in ["", "Bearer", "Bearer realm=x", "Negotiate"] {
            assert_eq!(Challenge::parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_loopback_is_spoken_to_without_tls() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.3.2.1", "[::1]:5000", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["ghcr.io", "10.0.0.1:5000", "localhost.example", "127.0.0.1.example:80"] {
            assert!(!is_loopback(host), "{host}");
        }
        assert_eq!(encoded("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
    }
}
