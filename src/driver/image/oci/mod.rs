//! Images of container registries: what a reference stands for, and its layers.

mod base64;
mod credentials;
mod manifest;
mod registry;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use tokio::sync::Semaphore;

use crate::config::OciReference;
use crate::driver::meter::Meter;
use crate::driver::side_by_side;
use crate::driver::store::{Source, Store, Wanted};
use crate::effect::{Run, http};
use crate::exec::{Failure, Progress};
use manifest::Descriptor;
use registry::Registry;

/// Layers that are fetched at the same time.
const PARALLEL: usize = 4;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// A layer in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver) struct Layer {
    /// The file.
    pub(in crate::driver) path: Utf8PathBuf,
    /// How to read it.
    pub(in crate::driver) compression: Compression,
}

/// The digest that a reference stands for right now: `sha256:…`.
///
/// # Errors
/// When the registry cannot be asked, or has no such image.
pub(in crate::driver) async fn resolve(run: &dyn Run, reference: &OciReference) -> Result<String, Failure> {
    match &reference.digest {
        Some(digest) => Ok(digest.clone()),
        None => {
            let registry = Registry::open(run, reference).await?;
            let tag = reference.tag.as_deref().unwrap_or("latest");
            Ok(registry.manifest(tag).await?.digest)
        }
    }
}

/// Fetches the layers of an image for this machine's processor, lowest first.
///
/// # Errors
/// When the registry cannot be asked, something is missing or not what it should be, or the disk is full.
pub(in crate::driver) async fn fetch(
    run: &dyn Run,
    store: &Store,
    reference: &OciReference,
    digest: &str,
    progress: &dyn Progress,
) -> Result<Vec<Layer>, Failure> {
    let registry = Registry::open(run, reference).await?;
    let layers = manifest::layers(&registry, digest).await?;
    let what = format!("fetching {} layers", layers.len());
    progress.say(&what);
    let total = layers.iter().map(|layer| layer.size).sum();
    let fetching = Fetching { store, registry: &registry, meter: Meter::new(progress, what, Some(total)) };
    let slots = Semaphore::new(PARALLEL);
    let mut fetches: Vec<side_by_side::Piece<'_, Layer, Failure>> = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let name = format!("layer {} of {} of `{reference}`", index + 1, layers.len());
        let (fetching, slots) = (&fetching, &slots);
        fetches.push(Box::pin(async move {
            // Never closed, so that this waits for a slot and for nothing else.
            let _slot = slots.acquire().await;
            fetching.layer(layer, name).await
        }));
    }
    side_by_side::all(fetches).await
}

/// What the downloads of one image share.
struct Fetching<'a> {
    store: &'a Store,
    registry: &'a Registry,
    meter: Meter<'a>,
}

impl Fetching<'_> {
    async fn layer(&self, layer: &Descriptor, name: String) -> Result<Layer, Failure> {
        let wanted = Wanted { name, digest: layer.digest.clone(), size: Some(layer.size) };
        let source = Blob { registry: self.registry, layer, name: &wanted.name };
        let path = self.store.fetch(&wanted, &source, &self.meter).await?;
        Ok(Layer { path, compression: layer.compression })
    }
}

/// A layer in a registry.
struct Blob<'a> {
    registry: &'a Registry,
    layer: &'a Descriptor,
    name: &'a str,
}

#[async_trait]
impl Source for Blob<'_> {
    async fn open(&self, from: u64) -> Result<(u64, http::Body), Failure> {
        self.registry.blob(&self.layer.digest, from, self.name).await
    }
}
