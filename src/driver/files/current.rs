//! What is asked about a guest's files.

use std::collections::BTreeMap;

use super::Request;
use super::manifest;
use crate::resource::{Content, Digest, FileSet, FileSetKind, GuestPath, Manifest};

/// Bytes up to which the text of a guest's file is read.
pub(super) const TEXT_LIMIT: u64 = 64 << 10;

/// Paths to look at. Their ancestors are always looked at as well: a link among them hides what is below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    paths: BTreeMap<GuestPath, Interest>,
    and_written: bool,
    sessions: bool,
}

/// How closely to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interest {
    /// Kind, mode, owner and size.
    Metadata,
    /// And the digest, but never the text: it is a secret.
    Digest,
    /// And the digest; and the text when the digest is another one than this.
    TextUnless(Digest),
    /// And digest and text.
    Text,
}

impl Wanted {
    /// Everything a plan for these sets compares: them, and all that we wrote earlier.
    pub fn of<'a>(sets: impl IntoIterator<Item = &'a FileSet>) -> Self {
        let mut wanted = Self::default();
        let sets: Vec<&FileSet> = sets.into_iter().collect();
        wanted.sessions = sets.iter().any(|set| set.kind == FileSetKind::Session);
        for (path, file) in sets.into_iter().flat_map(|set| &set.files) {
            let interest = match &file.content {
                Content::Directory => Interest::Metadata,
                Content::Host(host) => Interest::TextUnless(host.digest.clone()),
                Content::Link(_) => Interest::Text,
                Content::Text(text) => Interest::TextUnless(Digest::of(text.as_bytes())),
                Content::Secret(_) => Interest::Digest,
                Content::AuthorizedKeys(_) | Content::GitIdentity { .. } => Interest::Text,
            };
            wanted.add(path.clone(), interest);
        }
        wanted.add(GuestPath::root(), Interest::Metadata);
        wanted.and_written = true;
        wanted
    }

    /// And this path, content included.
    #[must_use]
    pub fn and(mut self, path: GuestPath) -> Self {
        self.add(path, Interest::Text);
        self
    }

    /// What computing edits needs to know.
    pub(super) fn for_request(request: &Request<'_>) -> Self {
        let mut wanted =
            Self { and_written: false, sessions: false, ..Self::of(request.sets.iter().map(|(_, set)| set)) };
        for path in request.remove {
            wanted.add(path.clone(), Interest::Metadata);
        }
        for seed in request.seeds {
            wanted.add(seed.path.clone(), Interest::TextUnless(Digest::of(&seed.bytes)));
        }
        // Their digests are not needed: they are compared as what they say.
        for path in [manifest::PATH, manifest::INTENT].into_iter().flat_map(GuestPath::new) {
            wanted.add(path, Interest::Metadata);
        }
        wanted
    }

    /// And, where a plan asks, what the manifest says we wrote; and always what an interrupted write intended.
    pub(super) fn complete(&mut self, manifest: &Manifest, intent: &Manifest) {
        if self.and_written {
            self.sessions |= manifest.keys().any(|address| address.kind() == "session");
            self.add_written(manifest);
        }
        self.add_written(intent);
    }

    /// Whether the guest's sessions matter.
    pub(super) const fn sessions(&self) -> bool {
        self.sessions
    }

    fn add_written(&mut self, manifest: &Manifest) {
        for (address, written) in manifest {
            for (path, written) in written {
                let interest = match &written.digest {
                    // What was a secret when it was written is one, whatever is declared at its path now.
                    Some(_) if address.kind() == "secret" => Interest::Digest,
                    _ if self.paths.contains_key(path) => continue,
                    Some(digest) => Interest::TextUnless(digest.clone()),
                    None => Interest::Metadata,
                };
                self.add(path.clone(), interest);
            }
        }
    }

    fn add(&mut self, path: GuestPath, interest: Interest) {
        for above in path.ancestors() {
            self.paths.entry(above).or_insert(Interest::Metadata);
        }
        self.paths.insert(path, interest);
    }

    /// In order of path: what is above comes before what is below.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&GuestPath, &Interest)> {
        self.paths.iter()
    }
}
