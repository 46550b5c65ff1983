//! What images, kernels and guests should be: canonical, serialisable, free of spans.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Digest;
use crate::config::{Accelerator, ByteSize, Forward, NetworkMode};

/// Names a built image or kernel by what it was built from: the digest of its recipe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentKey(String);

impl ContentKey {
    /// The key of a recipe: SHA-256 of its canonical JSON, cut to 16 hexadecimal digits (a folder name people can read).
    pub fn of(recipe: &impl Serialize) -> Self {
        // Recipes are plain structs of strings and numbers: serialising them cannot fail.
        let canonical = serde_json::to_vec(recipe).unwrap_or_default();
        Self(Digest::of(&canonical).as_str().chars().take(16).collect())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A root file system to build with mmdebstrap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// Its name in the fleet file. Not part of the recipe: two names with one recipe share one build.
    pub name: String,
    /// Release name.
    pub suite: String,
    /// Archive address, or mmdebstrap's default.
    pub mirror: Option<String>,
    /// Every package to install: those guests need and those declared, sorted, without repeats.
    pub packages: Vec<String>,
    /// Size of the file system.
    pub size: ByteSize,
    /// Digest of the recipe.
    pub key: ContentKey,
}

/// A kernel with the initramfs that boots our guests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSpec {
    /// Its name in the fleet file, or `default`.
    pub name: String,
    /// Release name.
    pub suite: String,
    /// Archive address, or mmdebstrap's default.
    pub mirror: Option<String>,
    /// Kernel package or metapackage.
    pub package: String,
    /// Digest of the recipe.
    pub key: ContentKey,
}

/// How a guest is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// How.
    pub mode: NetworkMode,
    /// Declared forwards, sorted. The port for SSH is not here: it is chosen at creation and kept in the record.
    pub forwards: Vec<Forward>,
}

/// A VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// Its name.
    pub name: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory.
    pub memory: ByteSize,
    /// The image the root disk is made from.
    pub image: ContentKey,
    /// The kernel it boots.
    pub kernel: ContentKey,
    /// How it is connected.
    pub network: NetworkSpec,
    /// Size of the work disk.
    pub work_disk: ByteSize,
    /// Accelerator.
    pub accel: Accelerator,
}
