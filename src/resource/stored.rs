//! What lies in the store of a host, as it was written down when it was built.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{ContentKey, ImageSpec, KernelSpec};
use crate::config::ByteSize;

/// An image or a kernel in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// What it was made from.
    pub recipe: Recipe,
    /// What was put right in it, so that guests of ours can use it, in the order in which that was done.
    pub prepared: Vec<String>,
    /// Versions of its packages, by name, where they are known.
    pub packages: BTreeMap<String, String>,
    /// What it takes of the host, in bytes.
    pub disk: ByteSize,
    /// Since it was built, in seconds.
    pub age_s: u64,
    /// Guests that need it, of every fleet on the host: `FLEET/GUEST`, or what is left of one.
    pub used_by: BTreeSet<String>,
    /// Whether its files are what they were when it was built.
    pub unbroken: bool,
}

/// What something in the store was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Recipe {
    /// A root file system.
    Image(ImageSpec),
    /// A kernel with its initramfs.
    Kernel(KernelSpec),
}

impl Recipe {
    /// `image` or `kernel`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Kernel(_) => "kernel",
        }
    }

    /// Its name in the fleet file that it was built for first.
    pub fn name(&self) -> &str {
        match self {
            Self::Image(image) => &image.name,
            Self::Kernel(kernel) => &kernel.name,
        }
    }

    /// The digest that is its name in the store.
    pub const fn key(&self) -> &ContentKey {
        match self {
            Self::Image(image) => &image.key,
            Self::Kernel(kernel) => &kernel.key,
        }
    }
}
