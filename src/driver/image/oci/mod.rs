//! Images of container registries: what a reference stands for, and its layers.

mod credentials;
mod manifest;
mod registry;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use tokio::sync::{Semaphore, oneshot};

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
    /// What it is called in errors, such as `layer 2 of 3`.
    pub(in crate::driver) name: String,
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

/// An image that is about to be fetched.
pub(in crate::driver) struct Pull {
    registry: Registry,
    layers: Vec<Descriptor>,
}

/// Asks which layers an image has for this machine's processor.
///
/// # Errors
/// When the registry cannot be asked, or has no such image.
pub(in crate::driver) async fn open(run: &dyn Run, reference: &OciReference, digest: &str) -> Result<Pull, Failure> {
    let registry = Registry::open(run, reference).await?;
    let layers = manifest::layers(&registry, digest).await?;
    Ok(Pull { registry, layers })
}

impl Pull {
    /// How many layers it has.
    pub(in crate::driver) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Fetches the layers side by side, and hands on each as soon as it is whole and verified: by its place, the lowest
    /// first.
    ///
    /// # Errors
    /// When something is missing or not what it should be, or the disk is full.
    pub(in crate::driver) async fn fetch(
        &self,
        store: &Store,
        hand_on: Vec<oneshot::Sender<Layer>>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let count = self.layers.len();
        let what = format!("fetching {count} layers");
        progress.say(&what);
        let total = self.layers.iter().map(|layer| layer.size).sum();
        let fetching = Fetching { store, registry: &self.registry, meter: Meter::new(progress, what, Some(total)) };
        let slots = Semaphore::new(PARALLEL);
        let mut fetches: Vec<side_by_side::Piece<'_, (), Failure>> = Vec::new();
        for ((index, layer), hand_on) in self.layers.iter().enumerate().zip(hand_on) {
            let name = format!("layer {} of {count}", index + 1);
            let (fetching, slots) = (&fetching, &slots);
            fetches.push(Box::pin(async move {
                // Never closed, so that this waits for a slot and for nothing else.
                let _slot = slots.acquire().await;
                let path = fetching.layer(layer, &name).await?;
                // Who does not want it any more has an error of its own to tell.
                let _ = hand_on.send(Layer { name, path, compression: layer.compression });
                Ok(())
            }));
        }
        side_by_side::all(fetches).await.map(drop)
    }
}

/// What the downloads of one image share.
struct Fetching<'a> {
    store: &'a Store,
    registry: &'a Registry,
    meter: Meter<'a>,
}

impl Fetching<'_> {
    async fn layer(&self, layer: &Descriptor, name: &str) -> Result<Utf8PathBuf, Failure> {
        let name = format!("{name} of `{}`", self.registry.reference());
        let wanted = Wanted { name, digest: layer.digest.clone(), size: Some(layer.size) };
        let source = Blob { registry: self.registry, layer, name: &wanted.name };
        self.store.fetch(&wanted, &source, &self.meter).await
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
