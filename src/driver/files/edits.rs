//! The one meaning both roads share: from what should be and what is, the list of edits that gets there.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest;
use super::source::Source;
use crate::config::OnDrift;
use crate::driver::secrets::Fetched;
use crate::exec::Failure;
use crate::resource::{
    Address, Content, DesiredFile, Digest, FileKind, FileSet, GuestFiles, GuestPath, Manifest, ObservedFile, ROOT,
    WrittenFile, merge,
};

/// What should be done to a guest's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Sets to write, by resource.
    pub sets: &'a [(Address, FileSet)],
    /// Paths we wrote earlier, to remove.
    pub remove: &'a [GuestPath],
    /// Files of our own that no resource declares.
    pub seeds: &'a [Seed],
    /// The secrets that the sets name.
    pub secrets: &'a [Fetched],
    /// The guest's name, when it had another one until now: the manifest names resources by it.
    pub renamed: Option<&'a str>,
}

/// A file of our own, such as a guest's host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Where.
    pub path: GuestPath,
    /// What.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// One thing to do below a guest's work directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Remove a file or link.
    RemoveFile(GuestPath),
    /// Remove a directory, unless something is left in it.
    RemoveDirectory(GuestPath),
    /// Make a directory; its parent exists.
    MakeDirectory {
        /// Where.
        path: GuestPath,
        /// Permission bits.
        mode: u32,
        /// User and group.
        owner: (u32, u32),
    },
    /// Set owner and mode of something that is there.
    Permit {
        /// What.
        path: GuestPath,
        /// File or directory.
        kind: FileKind,
        /// Permission bits.
        mode: u32,
        /// User and group.
        owner: (u32, u32),
    },
    /// Make a symbolic link in place of whatever file or link is there.
    Link {
        /// Where.
        path: GuestPath,
        /// Where it leads.
        target: String,
        /// User and group.
        owner: (u32, u32),
        /// Whether something is there that goes.
        replaces: bool,
    },
    /// Put a file in place of whatever file or link is there.
    Write(NewFile),
}

impl Edit {
    /// What it is done to.
    pub fn path(&self) -> &GuestPath {
        match self {
            Self::RemoveFile(path) | Self::RemoveDirectory(path) => path,
            Self::MakeDirectory { path, .. } | Self::Permit { path, .. } | Self::Link { path, .. } => path,
            Self::Write(file) => &file.path,
        }
    }
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Where.
    pub path: GuestPath,
    /// Its bytes.
    pub source: Source,
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Whether something is there that goes.
    pub replaces: bool,
}

/// The edits, in an order that works one by one: removals, directories, permissions, files, and the manifest last.
/// Empty when everything is right already.
///
/// # Errors
/// When a file cannot be merged with, or when something is in the way that is not ours to remove.
pub fn edits(request: &Request<'_>, current: &GuestFiles) -> Result<Vec<Edit>, Failure> {
    let mut wanted = Wanted {
        current,
        secrets: request.secrets,
        directories: BTreeMap::new(),
        files: Vec::new(),
        named: BTreeSet::new(),
        cleared: BTreeSet::new(),
        manifest: named(&current.manifest, request.renamed),
    };
    for (address, set) in request.sets {
        wanted.set(address, set)?;
    }
    for seed in request.seeds {
        wanted.file(&seed.path, Source::Bytes(seed.bytes.clone()), Permissions::roots(seed.mode))?;
    }
    let mut removals = wanted.removals(request.remove);
    let intent = GuestPath::new(manifest::INTENT).map_err(Failure::permanent)?;
    let interrupted = current.files.contains_key(&intent);
    if interrupted {
        // What is left of it stands in the manifest from now on.
        removals.push(Edit::RemoveFile(intent));
    }
    if interrupted || wanted.manifest != current.manifest {
        let path = GuestPath::new(manifest::PATH).map_err(Failure::permanent)?;
        wanted.file(&path, Source::Bytes(manifest::encode(&wanted.manifest)), Permissions::roots(0o600))?;
    }
    if request.sets.iter().any(|(_, set)| holds_keys(set)) {
        wanted.repair_root();
    }
    let mut edits = removals;
    edits.extend(wanted.directory_edits());
    edits.extend(wanted.files);
    Ok(edits)
}

/// What was written, under the guest's name.
fn named(manifest: &Manifest, renamed: Option<&str>) -> Manifest {
    let Some(name) = renamed else { return manifest.clone() };
    manifest.iter().map(|(address, written)| (address.of_guest(name), written.clone())).collect()
}

fn holds_keys(set: &FileSet) -> bool {
    set.files.values().any(|file| matches!(file.content, Content::AuthorizedKeys(_)))
}

/// Mode and owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Permissions {
    mode: u32,
    owner: (u32, u32),
}

impl Permissions {
    const fn roots(mode: u32) -> Self {
        Self { mode, owner: ROOT }
    }

    fn are_those_of(self, found: &ObservedFile) -> bool {
        (found.mode, found.owner) == (self.mode, self.owner)
    }
}

struct Wanted<'a> {
    current: &'a GuestFiles,
    secrets: &'a [Fetched],
    /// Directories by path: with their permissions when some were asked for, else as they are or 0755 of root's.
    directories: BTreeMap<GuestPath, Option<Permissions>>,
    files: Vec<Edit>,
    /// Every path that should hold a file.
    named: BTreeSet<GuestPath>,
    /// Files and links that make room for a declared directory.
    cleared: BTreeSet<GuestPath>,
    manifest: Manifest,
}

impl Wanted<'_> {
    fn set(&mut self, address: &Address, set: &FileSet) -> Result<(), Failure> {
        let mut written = BTreeMap::new();
        for (path, file) in &set.files {
            let kept = self.kept(address, set, path);
            let now = match kept {
                Some(kept) => kept,
                None => {
                    let digest = self.desired(path, file)?;
                    WrittenFile { digest, mode: Some(file.mode), owner: Some(file.owner) }
                }
            };
            written.insert(path.clone(), now);
        }
        if !set.prune {
            // What stays in the guest stays ours: turning `prune` on later still finds it.
            for (path, earlier) in self.manifest.get(address).into_iter().flatten() {
                written.entry(path.clone()).or_insert_with(|| earlier.clone());
            }
        }
        for (other, files) in &mut self.manifest {
            // What another declaration wrote there is overwritten: it is this one's now.
            if other != address {
                files.retain(|path, _| !set.files.contains_key(path));
            }
        }
        self.manifest.retain(|_, files| !files.is_empty());
        self.manifest.insert(address.clone(), written);
        Ok(())
    }

    /// What was written to a file that was changed in the guest since and stays that way.
    fn kept(&self, address: &Address, set: &FileSet, path: &GuestPath) -> Option<WrittenFile> {
        let written = self.manifest.get(address)?.get(path).filter(|_| set.on_drift == OnDrift::Keep)?;
        let found = self.current.files.get(path).and_then(|file| file.digest.as_ref());
        (written.digest.is_some() && found != written.digest.as_ref()).then(|| written.clone())
    }

    /// Notes one desired file or directory, and gives the digest of what will be in the file.
    fn desired(&mut self, path: &GuestPath, file: &DesiredFile) -> Result<Option<Digest>, Failure> {
        let source = match &file.content {
            Content::Directory => {
                self.parents(path)?;
                let permissions = Permissions { mode: file.mode, owner: file.owner };
                self.directories.insert(path.clone(), Some(permissions));
                if self.current.files.get(path).is_some_and(|found| found.kind != FileKind::Directory) {
                    self.cleared.insert(path.clone());
                }
                return Ok(None);
            }
            Content::Link(target) => return self.link(path, target, file.owner).map(Some),
            Content::Host(host) => Source::Host(host.clone()),
            Content::Text(text) => Source::Bytes(text.clone().into_bytes()),
            Content::Secret(secret) => {
                let fetched = self.secrets.iter().find(|fetched| fetched.from == secret.from);
                let bytes = fetched.map(|fetched| fetched.bytes.clone());
                Source::Secret(bytes.ok_or_else(|| Failure::permanent(format!("the secret of `{path}` is missing")))?)
            }
            Content::AuthorizedKeys(_) | Content::GitIdentity { .. } => {
                Source::Bytes(merged(path, &file.content, self.current.files.get(path))?)
            }
        };
        if matches!(file.content, Content::AuthorizedKeys(_)) {
            self.directories.extend(
                path.parent().filter(|dir| *dir != GuestPath::root()).map(|dir| (dir, Some(Permissions::roots(0o700)))),
            );
        }
        let digest = source.digest();
        self.file(path, source, Permissions { mode: file.mode, owner: file.owner })?;
        Ok(Some(digest))
    }

    /// Notes one link, unless it is right already, and gives what tells its target.
    fn link(&mut self, path: &GuestPath, target: &str, owner: (u32, u32)) -> Result<Digest, Failure> {
        self.claim(path)?;
        let (found, digest) = (self.current.files.get(path), Digest::of_link(target));
        let right = found.is_some_and(|link| link.digest.as_ref() == Some(&digest) && link.owner == owner);
        if !right {
            let (target, replaces) = (target.to_owned(), found.is_some());
            self.files.push(Edit::Link { path: path.clone(), target, owner, replaces });
        }
        Ok(digest)
    }

    /// Notes a path that should hold a file or a link.
    fn claim(&mut self, path: &GuestPath) -> Result<(), Failure> {
        self.parents(path)?;
        self.expect(path, FileKind::File)?;
        if self.named.insert(path.clone()) {
            return Ok(());
        }
        Err(Failure::permanent(format!("`{path}` is declared twice")).hint("keep one of the declarations"))
    }

    /// Notes one file, unless it is right already.
    fn file(&mut self, path: &GuestPath, source: Source, permissions: Permissions) -> Result<(), Failure> {
        self.claim(path)?;
        let found = self.current.files.get(path);
        let same_content = found.is_some_and(|file| file.digest.as_ref() == Some(&source.digest()));
        let permitted = found.is_some_and(|file| permissions.are_those_of(file));
        let Permissions { mode, owner } = permissions;
        self.files.extend(match (same_content, permitted) {
            (true, true) => None,
            (true, false) => Some(Edit::Permit { path: path.clone(), kind: FileKind::File, mode, owner }),
            (false, _) => {
                let replaces = found.is_some();
                Some(Edit::Write(NewFile { path: path.clone(), source, mode, owner, replaces }))
            }
        });
        Ok(())
    }

    /// Notes the directories above a path; refuses to go through anything that is no directory.
    fn parents(&mut self, path: &GuestPath) -> Result<(), Failure> {
        for above in path.ancestors() {
            if !self.cleared.contains(&above) {
                self.expect(&above, FileKind::Directory)?;
            }
            let mode = (above.as_bytes() == manifest::DIRECTORY.0.as_bytes())
                .then_some(Permissions::roots(manifest::DIRECTORY.1));
            self.directories.entry(above).or_insert(mode);
        }
        Ok(())
    }

    /// Refuses when something is there that must not go. A link in place of a file is replaced, never followed.
    fn expect(&self, path: &GuestPath, kind: FileKind) -> Result<(), Failure> {
        let found = self.current.files.get(path).map(|file| file.kind);
        let name = |kind| match kind {
            FileKind::File => "a file",
            FileKind::Directory => "a directory",
            FileKind::Symlink => "a symbolic link",
            FileKind::Other => "a special file",
        };
        match (kind, found) {
            (_, None) | (FileKind::File, Some(FileKind::File | FileKind::Symlink | FileKind::Other)) => Ok(()),
            (_, Some(found)) if found == kind => Ok(()),
            (_, Some(found)) => {
                Err(Failure::permanent(format!("`{path}` in the guest is {}, expected {}", name(found), name(kind)))
                    .hint("remove it in the guest, or sync to another path"))
            }
        }
    }

    /// Removes what was asked for and is there, files first and then directories from the bottom up.
    fn removals(&mut self, remove: &[GuestPath]) -> Vec<Edit> {
        let remove: BTreeSet<&GuestPath> = remove.iter().collect();
        for written in self.manifest.values_mut() {
            written.retain(|path, _| !remove.contains(path));
        }
        self.manifest.retain(|_, written| !written.is_empty());
        let mut files: Vec<Edit> = self.cleared.iter().cloned().map(Edit::RemoveFile).collect();
        let mut directories = Vec::new();
        for path in
            remove.into_iter().filter(|path| !self.named.contains(*path) && !self.directories.contains_key(*path))
        {
            match self.current.files.get(path).map(|file| file.kind) {
                None => {}
                Some(FileKind::Directory) => directories.push(Edit::RemoveDirectory(path.clone())),
                Some(_) => files.push(Edit::RemoveFile(path.clone())),
            }
        }
        // A parent's path is the start of its children's, so it sorts before them.
        directories.reverse();
        files.append(&mut directories);
        files
    }

    /// LESSON 16: sshd's StrictModes looks at the home directory as well, which must be root's and closed to others.
    fn repair_root(&mut self) {
        let closed = |file: &&ObservedFile| file.mode & 0o022 == 0 && file.owner == (0, 0);
        if self.current.files.get(&GuestPath::root()).filter(closed).is_none() {
            self.directories.insert(GuestPath::root(), Some(Permissions::roots(0o700)));
        }
    }

    fn directory_edits(&self) -> impl Iterator<Item = Edit> {
        let found = |path| self.current.files.get(path).filter(|_| !self.cleared.contains(path));
        self.directories.iter().filter_map(move |(path, asked)| match (found(path), asked) {
            (None, asked) if *path != GuestPath::root() => {
                let Permissions { mode, owner } = asked.unwrap_or(Permissions::roots(0o755));
                Some(Edit::MakeDirectory { path: path.clone(), mode, owner })
            }
            (Some(found), Some(permissions)) if permissions.are_those_of(found) => None,
            (_, Some(Permissions { mode, owner })) => {
                Some(Edit::Permit { path: path.clone(), kind: FileKind::Directory, mode: *mode, owner: *owner })
            }
            (_, None) => None,
        })
    }
}

fn merged(path: &GuestPath, content: &Content, found: Option<&ObservedFile>) -> Result<Vec<u8>, Failure> {
    let current = match found {
        None => "",
        Some(ObservedFile { kind: FileKind::File, text: Some(text), .. }) => text,
        Some(ObservedFile { kind: FileKind::File, .. }) => {
            return Err(Failure::permanent(format!("`{path}` in the guest is no text of at most 64 KiB"))
                .hint("correct or remove it in the guest: what is in it would be lost"));
        }
        Some(_) => {
            return Err(Failure::permanent(format!(
                "`{path}` in the guest is no regular file, so it is not merged with"
            ))
            .hint("replace it with a file in the guest"));
        }
    };
    merge::merged(content, current.as_bytes())
        .unwrap_or_else(|| Ok(Vec::new()))
        .map_err(|why| Failure::permanent(format!("`{path}` in the guest: {why}")))
}
