//! Files that images are made from: of this host, or of a web server.

use std::fs::File;
use std::io::{self, Read as _};

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};

use crate::driver::meter::Meter;
use crate::driver::store::{Source, Store, Wanted};
use crate::effect::Environment;
use crate::effect::http::{self, Client, Deadlines, Proxies, Request, Trust};
use crate::exec::{Failure, Progress};
use crate::resource::Digest;

/// The digest of a file's content: `sha256:…`.
///
/// # Errors
/// When it cannot be read, or is no regular file.
pub(in crate::driver) fn digest_of(path: &Utf8Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(format!("sha256:{}", Digest::from_hash(&hash.finalize()).as_str()));
        }
        hash.update(&buffer[..read]);
    }
}

/// A file that has this digest: a local one where it lies, a remote one in the store.
///
/// # Errors
/// When it cannot be fetched or read, or is not what it should be.
pub(in crate::driver) async fn pinned(
    store: &Store,
    location: &str,
    digest: &str,
    progress: &dyn Progress,
) -> Result<Utf8PathBuf, Failure> {
    if let Some(url) = as_url(location) {
        let wanted = digest.strip_prefix("sha256:").and_then(Digest::parse);
        let digest = wanted.ok_or_else(|| Failure::permanent(format!("`{digest}` is no SHA-256 digest")))?;
        let wanted = Wanted { name: format!("`{location}`"), digest, size: None };
        let meter = Meter::new(progress, format!("fetching {location}"), None);
        return store.fetch(&wanted, &Page { url }, &meter).await;
    }
    let path = Utf8PathBuf::from(location);
    progress.say(&format!("reading {path}"));
    let reading = path.clone();
    let found = tokio::task::spawn_blocking(move || digest_of(&reading)).await;
    let found = found.map_err(|error| Failure::permanent(format!("regatta's own error: {error}")))?;
    match found {
        Err(cause) => Err(Failure::permanent(format!("cannot read `{path}`: {cause}"))),
        Ok(found) if found != digest => {
            let message = format!("`{path}` has the digest {found}, expected {digest}");
            Err(Failure::permanent(message).hint("it changed since the plan was made: plan again"))
        }
        Ok(_) => Ok(path),
    }
}

/// Fetches a file of unknown content into the store: its digest, `sha256:…`.
///
/// # Errors
/// When it cannot be fetched or stored.
pub(in crate::driver) async fn unpinned(store: &Store, url: &str, progress: &dyn Progress) -> Result<String, Failure> {
    let meter = Meter::new(progress, format!("fetching {url}"), None);
    let (_, body) = Page { url }.open(0).await?;
    store.take(body, url, &meter).await.map(|digest| format!("sha256:{}", digest.as_str()))
}

fn as_url(location: &str) -> Option<&str> {
    (location.starts_with("http://") || location.starts_with("https://")).then_some(location)
}

/// A client for what comes from far away.
pub(super) fn client() -> Client {
    Client::new(Trust::System, Deadlines::DOWNLOAD).through(Proxies::of(Environment::variable))
}

/// A file of a web server.
struct Page<'a> {
    url: &'a str,
}

#[async_trait]
impl Source for Page<'_> {
    async fn open(&self, from: u64) -> Result<(u64, http::Body), Failure> {
        let mut request = Request::get("");
        if from > 0 {
            request = request.header("range", &format!("bytes={from}-"))?;
        }
        let cannot = || format!("cannot fetch `{}`", self.url);
        let response = client().send(self.url, request).await;
        let response = response.map_err(|error| Failure::from(error).context(cannot()))?;
        let continues =
            response.header("content-range").is_some_and(|range| range.starts_with(&format!("bytes {from}-")));
        match response.status.as_u16() {
            200 => Ok((0, response.body)),
            206 if continues => Ok((from, response.body)),
            status => {
                let said = format!("the server answers {status} {}", response.reason);
                let failure =
                    if matches!(status, 429 | 500..=599) { Failure::transient(said) } else { Failure::permanent(said) };
                Err(failure.context(cannot()))
            }
        }
    }
}
