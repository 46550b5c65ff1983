//! What the fleet file names on the host, as it was read: the one place where the host's files enter the pure layers.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use super::{Digest, FileKind, GuestPath, Hypervisors, SecretContent};
use crate::config::filter::Filter;
use crate::config::{Links, Secret};
use crate::syntax::SourceId;

/// A host path as written in a fleet file: `~` is the user's home, relative paths start at the declaring file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPath {
    /// As written.
    pub written: String,
    /// The file that wrote it.
    pub declared_in: SourceId,
    /// What below it is meant; everything when there is no pattern.
    pub include: Filter,
    /// What below it is left out.
    pub exclude: Filter,
    /// What becomes of symbolic links below it.
    pub links: Links,
}

/// Everything that was asked of the host for one fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Files and directories by the path that named them.
    pub paths: BTreeMap<HostPath, HostInput>,
    /// Secrets: what they are fetched from and their digests, never they themselves.
    pub secrets: BTreeMap<Secret, SecretInput>,
    /// `user.name` and `user.email` of `git config --global`; `None` where either is missing.
    pub git_identity: Option<(String, String)>,
    /// What the sources of images stand for, by the image's name.
    pub pins: BTreeMap<String, Pinned>,
    /// Public keys that always may log in, such as regatta's own: key lines.
    pub own_keys: Vec<String>,
    /// What decides which VMM runs a guest that names no machine.
    pub hypervisors: Hypervisors,
}

/// Whether it is known what the source of an image stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pinned {
    /// It is.
    At(Pin),
    /// It is not.
    Refused {
        /// Why; lower case, no full stop.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
}

/// What the source of an image stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The source, whole: a reference with its registry, a URL, an absolute path.
    pub location: String,
    /// `sha256:` and 64 digits.
    pub digest: String,
}

impl Pin {
    /// For whoever makes nothing of an image: it does not matter what its source stands for.
    pub fn unknown() -> Self {
        Self { location: UNKNOWN.into(), digest: UNKNOWN.into() }
    }

    /// Whether this is the digest of a source that nobody looked up.
    pub fn is_unknown(digest: &str) -> bool {
        digest == UNKNOWN
    }
}

const UNKNOWN: &str = "unknown";

/// What was found at a host path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostInput {
    /// Nothing.
    Missing,
    /// A file or a directory.
    Tree(HostTree),
    /// It must not or cannot be read, for this reason.
    Refused(String),
}

/// What is known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretInput {
    /// How it is fetched; and its digests, when it was.
    Known(SecretContent),
    /// Nobody asks for it: what it goes into is left out.
    Unasked,
    /// It cannot be fetched, for this reason.
    Refused(String),
}

/// A file, or a directory with everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTree {
    /// The absolute path.
    pub root: Utf8PathBuf,
    /// By path below the root; a single file stands at the empty path.
    pub entries: BTreeMap<GuestPath, HostEntry>,
    /// What was left out (symbolic links, devices), and why.
    pub skipped: Vec<(GuestPath, String)>,
}

/// One file or directory of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// File, directory or symbolic link.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Digest of a file's content.
    pub digest: Option<Digest>,
    /// The content, when it is small UTF-8 text; the target of a link.
    pub text: Option<String>,
}
