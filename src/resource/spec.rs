//! What images, kernels and guests should be: canonical, serialisable, free of spans.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Digest, LinkName};
use crate::config::{
    Accelerator, ByteSize, Disk, FileForm, Forward, ImageCommand, ImageFile, Mac, Machine, NetworkMode, Subnet4,
    Subnet6,
};

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

/// A root file system to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// Its name in the fleet file. Not part of the recipe: two names with one recipe share one build.
    pub name: String,
    /// What it is made from.
    pub source: SourceSpec,
    /// Files that are put over that, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ImageFile>,
    /// Size of the file system.
    pub size: ByteSize,
    /// Digest of the recipe.
    pub key: ContentKey,
}

/// What an image is made from: named so that the same bytes come of it tomorrow, where the source allows that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum SourceSpec {
    /// Packages, installed by mmdebstrap.
    Debootstrap {
        /// Release name.
        suite: String,
        /// Archive address, or mmdebstrap's default.
        mirror: Option<String>,
        /// Every package to install: those guests need and those declared, sorted, without repeats.
        packages: Vec<String>,
        /// What is run in the tree afterwards, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        commands: Vec<ImageCommand>,
    },
    /// An image of a registry.
    Oci {
        /// The reference, whole: registry, repository, tag.
        reference: String,
        /// `sha256:…` of its manifest, or of the list of its manifests.
        digest: String,
    },
    /// One file.
    File {
        /// What it is.
        form: FileForm,
        /// A URL, or an absolute path of the host.
        location: String,
        /// `sha256:…` of the file.
        digest: String,
    },
    /// A directory of the host.
    Directory {
        /// Absolute path.
        path: String,
        /// `sha256:…` of what its entries say of themselves: names, modes, owners, sizes, times, targets.
        digest: String,
    },
}

impl SourceSpec {
    /// What pins it: `sha256:…`; `None` for packages, which are what the archive has on the day.
    pub fn digest(&self) -> Option<&str> {
        match self {
            Self::Debootstrap { .. } => None,
            Self::Oci { digest, .. } | Self::File { digest, .. } | Self::Directory { digest, .. } => Some(digest),
        }
    }
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
    /// Kernel package or metapackage; for a kernel that is a file, the package with the initramfs' programs.
    pub package: String,
    /// The file that is the kernel, when it is not from that package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<KernelFile>,
    /// The image that it is taken from, when it is neither of a package nor a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ContentKey>,
    /// Digest of the recipe.
    pub key: ContentKey,
}

/// A file that is a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFile {
    /// A URL, or an absolute path of the host.
    pub location: String,
    /// `sha256:…` of the file.
    pub digest: String,
}

/// How a guest is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// How.
    pub mode: NetworkMode,
    /// Declared forwards of a user-mode network, sorted. The port for SSH is not here: it is chosen at creation and kept
    /// in the record. On a bridge they belong to the network, which can change them while guests run.
    pub forwards: Vec<Forward>,
    /// How it is plugged to a bridge; `None` in user mode. Boxed, because a large fleet has most guests without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<LinkSpec>>,
}

/// How a guest is plugged to a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSpec {
    /// The network's name in the fleet file.
    pub network: String,
    /// The host's end of the cable.
    pub tap: LinkName,
    /// MAC address of the guest's end.
    pub mac: Mac,
    /// The guest's address.
    pub address: Ipv4Addr,
    /// The network's addresses: the first is the gateway.
    pub subnet: Subnet4,
    /// The guest's IPv6 address, and the network's IPv6 addresses.
    pub ipv6: Option<(Ipv6Addr, Subnet6)>,
    /// DNS servers.
    pub nameservers: Vec<IpAddr>,
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
    /// Arguments of the kernel, after those that regatta gives it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_arguments: Vec<String>,
    /// How it is connected.
    pub network: NetworkSpec,
    /// Size of the work disk.
    pub work_disk: ByteSize,
    /// Further disks, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// Accelerator.
    pub accel: Accelerator,
    /// What it is as a machine.
    #[serde(default)]
    pub machine: Machine,
    /// The user that its VMM is in a jail; `None` runs it as whoever applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jailer: Option<String>,
}
