//! Images and kernels as they are declared.

use serde::{Deserialize, Serialize};

use super::{ByteSize, Setting};
use crate::syntax::{Span, Spanned};

/// `image NAME { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// The node.
    pub span: Span,
    /// What it is made from.
    pub source: ImageSource,
    /// Files that are put over what the source brings.
    pub files: Vec<Spanned<ImageFile>>,
    /// Size of the root file system; sparse on disk.
    pub size: Setting<ByteSize>,
}

/// `file "/etc/motd" { content "hello\n" }` in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Absolute path in the image.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: String,
}

/// `run "systemctl" "enable" "nftables"` in an image: a program and its arguments, never a line for a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageCommand(pub Vec<String>);

/// What an image is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// `debootstrap suite="bookworm" { package "git" … }`: built by mmdebstrap.
    Debootstrap {
        /// Release name, such as `bookworm`.
        suite: Spanned<String>,
        /// Archive address; `None` takes mmdebstrap's own default.
        mirror: Option<Spanned<String>>,
        /// Packages on top of those every guest needs, in the order written.
        packages: Vec<Spanned<String>>,
        /// What is run in the tree when all that is in place.
        commands: Vec<Spanned<ImageCommand>>,
    },
    /// `oci "debian:12"`: pulled from a registry.
    Oci {
        /// As written; it is a [`super::OciReference`].
        reference: Spanned<String>,
    },
    /// `tar`, `cloud-image` or `ext4`: one file, here or elsewhere.
    File {
        /// What it is.
        form: FileForm,
        /// A path or a URL, as written.
        location: Spanned<String>,
        /// SHA-256 that it must have: 64 digits.
        sha256: Option<Spanned<String>>,
    },
    /// `directory "./rootfs"`: a tree of this host.
    Directory {
        /// Its path, as written.
        path: Spanned<String>,
    },
}

/// What a file holds that an image is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileForm {
    /// A root file system as a tar file, compressed or not.
    Tar,
    /// A whole disk, qcow2 or raw, with a partition table or without.
    CloudImage,
    /// An ext4 file system.
    Ext4,
}

impl FileForm {
    /// Its node in a fleet file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::CloudImage => "cloud-image",
            Self::Ext4 => "ext4",
        }
    }
}

/// `kernel NAME { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// The node.
    pub span: Span,
    /// What it is made from.
    pub source: KernelSource,
    /// Arguments after those that regatta gives it.
    pub arguments: Vec<Spanned<String>>,
}

/// What a kernel is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// `debian suite="bookworm" package="linux-image-cloud-amd64"`.
    Debian {
        /// Release name.
        suite: Spanned<String>,
        /// Archive address; `None` takes mmdebstrap's own default.
        mirror: Option<Spanned<String>>,
        /// A kernel package or a metapackage that depends on one.
        package: Setting<String>,
    },
    /// `image "web"`: what lies in its `/boot`.
    Image {
        /// Its name.
        image: Spanned<String>,
    },
    /// `file "/srv/vmlinux" sha256="…"`.
    File {
        /// A URL or an absolute path.
        location: Spanned<String>,
        /// SHA-256 that it must have: 64 digits.
        sha256: Spanned<String>,
    },
}
