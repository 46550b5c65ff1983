//! What the sources of images stand for: read from the fleet file, the lock file, this host, or asked of a registry.
//! The one place where the outside decides what an image is; everything after it works with digests.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::image::{self, oci};
use super::inputs::resolve;
use super::store::Store;
use crate::config::{Fleet, ImageSource, LockFile, Locked, OciReference};
use crate::effect::Run;
use crate::exec::{Failure, Progress};
use crate::resource::{self, Pin, Pinned};
use crate::syntax::{SourceMap, Spanned};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Tags that are not in the lock file: a plan has to know what they stand for.
    Missing,
    /// All that is not in the lock file; files of URLs without a checksum are fetched for it.
    Everything,
    /// Nothing.
    Nothing,
}

/// What a fleet's images stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// By the image's name.
    pub images: BTreeMap<String, Pinned>,
    /// The lock file as it should be: what was asked for added, what is not used any more left out.
    pub lock: LockFile,
}

/// Where pins come from.
pub struct Pinning<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// Where it was written.
    pub sources: &'a SourceMap,
    /// `~`.
    pub home: &'a Utf8Path,
    /// Runs credential helpers.
    pub run: &'a dyn Run,
    /// Keeps what is fetched.
    pub store: &'a Store,
    /// The lock file as it is.
    pub lock: &'a LockFile,
    /// Takes what is being done.
    pub progress: &'a dyn Progress,
}

impl Pinning<'_> {
    /// Pins every image that a guest uses, or that `all` asks for.
    ///
    /// # Errors
    /// When a registry or server cannot be asked. What the fleet file can mend is in the pins.
    pub async fn pins(&self, ask: Ask) -> Result<Pins, Failure> {
        let mut pins = Pins::default();
        for name in self.names(ask) {
            let Some(image) = self.fleet.images.get(&name) else { continue };
            let pinned = self.pin(&name, &image.source, ask, &mut pins.lock).await;
            let doing = || format!("cannot find out what image `{name}` is");
            let pinned = pinned.map_err(|failure| failure.context(doing()))?;
            pins.images.extend(pinned.map(|pinned| (name, pinned)));
        }
        Ok(pins)
    }

    /// A plan needs what guests use. A lock file holds every image of the fleet.
    fn names(&self, ask: Ask) -> BTreeSet<String> {
        match ask {
            Ask::Missing => resource::requests(self.fleet).images,
            Ask::Everything | Ask::Nothing => self.fleet.images.keys().cloned().collect(),
        }
    }

    async fn pin(
        &self,
        name: &str,
        source: &ImageSource,
        ask: Ask,
        lock: &mut LockFile,
    ) -> Result<Option<Pinned>, Failure> {
        let pinned = match source {
            ImageSource::Debootstrap { .. } => return Ok(None),
            ImageSource::Oci { reference } => match OciReference::parse(&reference.value) {
                Ok(reference) => self.oci(name, &reference, ask, lock).await?,
                Err(why) => refused(why),
            },
            ImageSource::File { location, sha256, .. } => {
                let sha256 = sha256.as_ref().map(|digits| format!("sha256:{}", digits.value));
                match is_url(&location.value) {
                    true => self.url(name, &location.value, sha256, ask, lock).await?,
                    false => self.path(location, sha256).await,
                }
            }
            ImageSource::Directory { path } => self.directory(path).await,
        };
        Ok(Some(pinned))
    }

    async fn oci(
        &self,
        name: &str,
        reference: &OciReference,
        ask: Ask,
        lock: &mut LockFile,
    ) -> Result<Pinned, Failure> {
        let source = reference.to_string();
        if let Some(digest) = &reference.digest {
            return Ok(at(source, digest.clone()));
        }
        match self.locked(name, &source) {
            Err(refusal) => Ok(refusal),
            Ok(Some(digest)) => Ok(keep(name, source, digest, lock)),
            Ok(None) if ask == Ask::Nothing => Ok(not_locked(&source)),
            Ok(None) => {
                self.progress.say(&format!("asking what {source} stands for"));
                let digest = oci::resolve(self.run, reference).await?;
                Ok(keep(name, source, digest, lock))
            }
        }
    }

    async fn url(
        &self,
        name: &str,
        url: &str,
        sha256: Option<String>,
        ask: Ask,
        lock: &mut LockFile,
    ) -> Result<Pinned, Failure> {
        if let Some(digest) = sha256 {
            return Ok(at(url.to_owned(), digest));
        }
        match self.locked(name, url) {
            Err(refusal) => Ok(refusal),
            Ok(Some(digest)) => Ok(keep(name, url.to_owned(), digest, lock)),
            Ok(None) if ask == Ask::Everything => {
                let digest = image::download::unpinned(self.store, url, self.progress).await?;
                Ok(keep(name, url.to_owned(), digest, lock))
            }
            Ok(None) => Ok(not_locked(url)),
        }
    }

    /// What the lock file says of an image; a refusal when that is about another source.
    fn locked(&self, name: &str, source: &str) -> Result<Option<String>, Pinned> {
        match self.lock.images.get(name) {
            None => Ok(None),
            Some(Locked { source: known, digest }) if known == source => Ok(Some(digest.clone())),
            Some(Locked { source: known, .. }) => Err(Pinned::Refused {
                message: format!("found `{source}`, but the lock file has `{known}` for image `{name}`"),
                help: Some(format!("if the change is meant, run `regatta lock --update {name}`")),
            }),
        }
    }

    /// A file of this host, as it is now.
    async fn path(&self, location: &Spanned<String>, sha256: Option<String>) -> Pinned {
        let path = match self.host_path(location) {
            Ok(path) => path,
            Err(refusal) => return refusal,
        };
        match (blocking(&path, image::download::digest_of).await, sha256) {
            (Err(cause), _) => refused(format!("cannot read `{path}`: {cause}")),
            (Ok(found), Some(expected)) if found != expected => {
                refused(format!("`{path}` has the digest {found}, expected {expected}"))
            }
            (Ok(found), _) => at(path.into_string(), found),
        }
    }

    async fn directory(&self, path: &Spanned<String>) -> Pinned {
        let path = match self.host_path(path) {
            Ok(path) => path,
            Err(refusal) => return refusal,
        };
        match blocking(&path, image::directory::digest).await {
            Err(cause) => refused(format!("cannot read `{path}`: {cause}")),
            Ok(digest) => at(path.into_string(), digest),
        }
    }

    fn host_path(&self, written: &Spanned<String>) -> Result<Utf8PathBuf, Pinned> {
        let text = written.value.strip_prefix("file://").unwrap_or(&written.value);
        let file = &self.sources.file(written.span.source).path;
        let beside = file.parent().filter(|dir| !dir.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
        let path = resolve(text, beside, self.home);
        let path = path.ok_or_else(|| refused("other users' homes are not read, expected `~/…` or a path"))?;
        path.canonicalize_utf8().map_err(|cause| refused(format!("cannot read `{path}`: {cause}")))
    }
}

async fn blocking(path: &Utf8Path, read: fn(&Utf8Path) -> io::Result<String>) -> io::Result<String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || read(&path)).await.map_err(io::Error::other)?
}

fn is_url(location: &str) -> bool {
    location.starts_with("http://") || location.starts_with("https://")
}

const fn at(location: String, digest: String) -> Pinned {
    Pinned::At(Pin { location, digest })
}

fn keep(name: &str, source: String, digest: String, lock: &mut LockFile) -> Pinned {
    lock.images.insert(name.to_owned(), Locked { source: source.clone(), digest: digest.clone() });
    at(source, digest)
}

fn refused(message: impl Into<String>) -> Pinned {
    Pinned::Refused { message: message.into(), help: None }
}

fn not_locked(source: &str) -> Pinned {
    Pinned::Refused {
        message: format!("`{source}` is not in the lock file, so it is not known which bytes are meant"),
        help: Some("run `regatta lock`, or write the digest beside it".to_owned()),
    }
}
