//! Files of guests: synced trees, authorized keys, the git identity.

use std::collections::{BTreeMap, BTreeSet};

use super::Lowering;
use crate::config::filter::Filter;
use crate::config::{
    AuthorizedKey, ClusterGuest, File, FileContent, FileSync, GitIdentity, Links, OnDrift, Secret, Session, Vm,
    key_line,
};
use crate::resource::cluster::Reach;
use crate::resource::{
    Address, Content, DesiredFile, FileKind, FileSet, FileSetKind, GuestPath, HostEntry, HostFile, HostInput, HostPath,
    HostTree, ROOT, Resource, SecretContent, SecretInput, SessionSpec,
};
use crate::syntax::{Diagnostic, Span, Spanned, shown};

/// Permission bits of directories we make.
const DIRECTORY_MODE: u32 = 0o755;

/// Permission bits of a single file that states none: what people sync by name is often a credential (LESSON 13).
const SINGLE_FILE_MODE: u32 = 0o600;

/// Bits of a host file that a guest's file may have: no set-user-id, set-group-id or sticky bit crosses over (LESSON 10).
const MODE_MASK: u32 = 0o777;

/// The permission bits that every link has; they mean nothing.
const LINK_MODE: u32 = 0o777;

/// Where `authorized-key` writes.
const AUTHORIZED_KEYS: &str = ".ssh/authorized_keys";

/// Where `git-identity` writes.
const GITCONFIG: &str = ".gitconfig";

/// The host path a `file-sync` reads.
pub(super) fn sync_path(sync: &FileSync) -> HostPath {
    HostPath {
        written: sync.from.clone(),
        declared_in: sync.declared_in,
        include: sync.include.clone(),
        exclude: sync.exclude.clone(),
        links: sync.links,
    }
}

/// Whose files are meant: what guests of this machine and those of clusters have in common.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    name: &'a str,
    span: Span,
    pub(super) authorized_keys: &'a [Spanned<AuthorizedKey>],
    pub(super) git_identity: Option<&'a Spanned<GitIdentity>>,
    pub(super) file_syncs: &'a [Spanned<FileSync>],
    pub(super) files: &'a [Spanned<File>],
    pub(super) sessions: &'a [Spanned<Session>],
    tags: &'a [Spanned<String>],
    ignore_drift: &'a [Spanned<String>],
}

impl<'a> Owner<'a> {
    /// A guest of this machine.
    pub(super) fn here(vm: &'a Vm) -> Self {
        Self {
            name: &vm.name,
            span: vm.span,
            authorized_keys: &vm.authorized_keys,
            git_identity: vm.git_identity.as_ref(),
            file_syncs: &vm.file_syncs,
            files: &vm.files,
            sessions: &vm.sessions,
            tags: &vm.tags,
            ignore_drift: &vm.ignore_drift,
        }
    }

    /// A guest of a cluster.
    pub(super) fn on_cluster(guest: &'a ClusterGuest) -> Self {
        let inside = &guest.inside;
        Self {
            name: &guest.name,
            span: guest.span,
            authorized_keys: &inside.authorized_keys,
            git_identity: inside.git_identity.as_ref(),
            file_syncs: &inside.file_syncs,
            files: &inside.files,
            sessions: &inside.sessions,
            tags: &guest.tags,
            ignore_drift: &[],
        }
    }
}

/// Whether regatta's own key is among those that may log in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnKeys {
    Added,
    /// Another key is named that logs in.
    Left,
}

/// One set of files with the place it was written at.
struct Planned {
    address: Address,
    set: FileSet,
    span: Span,
}

impl Lowering<'_> {
    /// Declares all files of one guest; each set needs the guest.
    pub(super) fn files(&mut self, owner: &Owner<'_>, guest: &Address, own: OwnKeys) {
        let mut planned = vec![self.keys(owner, own)];
        planned.extend(self.identity(owner));
        for sync in owner.file_syncs {
            planned.extend(self.sync(owner, sync));
        }
        for file in owner.files {
            planned.extend(self.file(owner, file));
        }
        planned.extend(owner.sessions.iter().map(|declared| session(owner, declared)));
        self.refuse_overlaps(&planned);
        for Planned { address, set, span } in planned {
            let address = self.declare(address, Resource::Files(set), span, BTreeSet::from([guest.clone()]));
            self.tag(&address, owner.tags, owner.ignore_drift);
        }
    }

    /// The keys that a guest of a cluster is made with.
    pub(super) fn key_lines_of(&mut self, owner: &Owner<'_>, reach: &Reach) -> Vec<String> {
        self.all_key_lines(owner, if reach.identity.is_none() { OwnKeys::Added } else { OwnKeys::Left })
    }

    /// Our own first, then those declared, each once.
    fn all_key_lines(&mut self, owner: &Owner<'_>, own: OwnKeys) -> Vec<String> {
        let mut lines: Vec<String> = if own == OwnKeys::Added { self.inputs.own_keys.clone() } else { Vec::new() };
        for key in owner.authorized_keys {
            for line in self.key_lines(key) {
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
        lines
    }

    /// All keys of a guest, as one file of it.
    fn keys(&mut self, vm: &Owner<'_>, own: OwnKeys) -> Planned {
        let lines = self.all_key_lines(vm, own);
        let span = vm.authorized_keys.first().map_or(vm.span, |key| key.span);
        let file = DesiredFile { content: Content::AuthorizedKeys(lines), mode: SINGLE_FILE_MODE, owner: ROOT };
        Planned {
            address: Address::authorized_key(vm.name),
            set: single(vm, FileSetKind::AuthorizedKey, AUTHORIZED_KEYS, file),
            span,
        }
    }

    /// The key lines that one declaration stands for.
    fn key_lines(&mut self, key: &Spanned<AuthorizedKey>) -> Vec<String> {
        let path = match &key.value {
            AuthorizedKey::Inline(line) => return vec![line.clone()],
            AuthorizedKey::File(path) => HostPath {
                written: path.clone(),
                declared_in: key.span.source,
                include: Filter::default(),
                exclude: Filter::default(),
                links: Links::Skip,
            },
        };
        let Some(tree) = self.tree(&path, key.span, "the key is left out") else { return Vec::new() };
        let entry = tree.entries.get(&GuestPath::root()).filter(|entry| entry.kind == FileKind::File);
        let Some(text) = entry.and_then(|entry| entry.text.as_deref()) else {
            let message = format!("`{}` is no file of public keys", shown(&path.written));
            self.report(Diagnostic::error("host::no-key", message, key.span, "expected a file that ends with `.pub`"));
            return Vec::new();
        };
        let mut lines = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match key_line::check(line) {
                Ok(line) => lines.push(line.to_owned()),
                Err(reason) => {
                    let message = format!("in `{}`: {reason}", shown(&path.written));
                    self.report(Diagnostic::error("host::no-key", message, key.span, "read for this"));
                    return Vec::new();
                }
            }
        }
        lines
    }

    /// The git identity, if there is one; a missing one is a warning (LESSON 15).
    fn identity(&mut self, vm: &Owner<'_>) -> Option<Planned> {
        let identity = vm.git_identity?;
        let (name, email) = match (&identity.value, &self.inputs.git_identity) {
            (GitIdentity::Given { name, email }, _) => (name.clone(), email.clone()),
            (GitIdentity::Host, Some((name, email))) => (name.clone(), email.clone()),
            (GitIdentity::Host, None) => {
                let message = "`git config --global` has no `user.name` or no `user.email`";
                self.report(
                    Diagnostic::warning(
                        "host::no-git-identity",
                        message,
                        identity.span,
                        "the git identity is left out",
                    )
                    .help("set both with `git config --global`, or write `name=` and `email=` here"),
                );
                return None;
            }
        };
        let file = DesiredFile { content: Content::GitIdentity { name, email }, mode: 0o644, owner: ROOT };
        Some(Planned {
            address: Address::git_identity(vm.name),
            set: single(vm, FileSetKind::GitIdentity, GITCONFIG, file),
            span: identity.span,
        })
    }

    fn sync(&mut self, vm: &Owner<'_>, sync: &Spanned<FileSync>) -> Option<Planned> {
        let FileSync { to, prune, on_drift, .. } = &sync.value;
        let tree = self.tree(&sync_path(&sync.value), sync.span, "nothing is written")?;
        let target = match GuestPath::new(to.value.as_str()) {
            Ok(target) => target,
            Err(reason) => {
                self.report(Diagnostic::error("host::bad-path", reason, to.span, "not possible"));
                return None;
            }
        };
        self.warn_of_dropped_bits(tree, sync);
        for (path, reason) in &tree.skipped {
            let message = format!("`{path}` of `{}` is left out: {}", shown(&sync.value.from), shown(reason));
            self.report(Diagnostic::warning("host::skipped", message, sync.span, "synced here"));
        }
        let files = match desired_files(tree, &target, &sync.value) {
            Ok(files) => files,
            Err(reason) => {
                self.report(Diagnostic::error("host::bad-path", reason, to.span, "not possible"));
                return None;
            }
        };
        let set = FileSet {
            guest: vm.name.to_owned(),
            kind: FileSetKind::FileSync,
            files,
            prune: prune.value,
            on_drift: *on_drift,
        };
        Some(Planned { address: Address::file_sync(vm.name, &target.to_string()), set, span: sync.span })
    }

    /// Says which bits do not cross over (LESSON 10); a stated mode is what was meant.
    fn warn_of_dropped_bits(&mut self, tree: &HostTree, sync: &Spanned<FileSync>) {
        let files = tree.entries.iter().filter(|(_, entry)| entry.kind == FileKind::File);
        for (path, _) in files.filter(|(_, entry)| entry.mode & !MODE_MASK != 0 && sync.value.mode.is_none()) {
            let from = shown(&sync.value.from);
            let message = format!("`{path}` of `{from}` loses its set-user-id, set-group-id or sticky bit");
            self.report(
                Diagnostic::warning("host::special-bits", message, sync.span, "synced here")
                    .help("write `mode=` to say what it should have in the guest"),
            );
        }
    }

    /// A file whose content the fleet file says.
    fn file(&mut self, vm: &Owner<'_>, file: &Spanned<File>) -> Option<Planned> {
        let File { path, mode, content } = &file.value;
        let target = match GuestPath::new(path.value.as_str()) {
            Ok(target) => target,
            Err(reason) => {
                self.report(Diagnostic::error("host::bad-path", reason, path.span, "not possible"));
                return None;
            }
        };
        let shown = target.to_string();
        let (address, kind, content) = match content {
            FileContent::Text(text) => (Address::file(vm.name, &shown), FileSetKind::File, Content::Text(text.clone())),
            FileContent::Secret(secret) => {
                let content = Content::Secret(self.secret(secret, file.span)?.into());
                (Address::secret(vm.name, &shown), FileSetKind::Secret, content)
            }
        };
        let files =
            BTreeMap::from([(target, DesiredFile { content, mode: mode.unwrap_or(SINGLE_FILE_MODE), owner: ROOT })]);
        Some(Planned {
            address,
            set: FileSet { guest: vm.name.to_owned(), kind, files, prune: false, on_drift: OnDrift::Repair },
            span: file.span,
        })
    }

    /// A secret as it was fetched. One that cannot be fetched is an error: without it a guest is not what was asked for.
    fn secret(&mut self, secret: &Secret, span: Span) -> Option<SecretContent> {
        let reason = match self.inputs.secrets.get(secret) {
            Some(SecretInput::Known(content)) => return Some(content.clone()),
            Some(SecretInput::Unasked) => return None,
            Some(SecretInput::Refused(reason)) => reason.as_str(),
            None => "it was not asked for",
        };
        let message = format!("cannot fetch a secret: {}", shown(reason));
        self.report(Diagnostic::error("host::no-secret", message, span, "wanted here"));
        None
    }

    /// Two sets of one guest must not write the same file, or one a file where another has a directory.
    fn refuse_overlaps(&mut self, planned: &[Planned]) {
        let mut written: BTreeMap<&GuestPath, (bool, &Planned)> = BTreeMap::new();
        for this in planned {
            for (path, file) in &this.set.files {
                let directory = file.content == Content::Directory;
                match written.get(path) {
                    Some((earlier, other)) if !(directory && *earlier) => {
                        let message = format!("`{path}` of one guest is written by two declarations");
                        self.report(
                            Diagnostic::error("host::duplicate-target", message, this.span, "written here")
                                .also(other.span, "and here")
                                .help("give each its own target, or take the file out of one of them"),
                        );
                    }
                    Some(_) => {}
                    None => {
                        written.insert(path, (directory, this));
                    }
                }
            }
        }
    }
}

impl<'a> Lowering<'a> {
    /// What was read at a host path. A missing one is a warning and left out, a refused one an error (LESSON 11).
    fn tree(&mut self, path: &HostPath, span: Span, consequence: &str) -> Option<&'a HostTree> {
        let shown = shown(&path.written);
        match self.inputs.paths.get(path) {
            Some(HostInput::Tree(tree)) => return Some(tree),
            Some(HostInput::Refused(reason)) => {
                let message = format!("cannot read `{shown}`: {}", crate::syntax::shown(reason));
                self.report(Diagnostic::error("host::unreadable", message, span, "named here"));
            }
            Some(HostInput::Missing) | None => {
                let message = format!("found no `{shown}` on this host");
                self.report(Diagnostic::warning("host::missing", message, span, consequence));
            }
        }
        None
    }
}

fn single(vm: &Owner<'_>, kind: FileSetKind, path: &str, file: DesiredFile) -> FileSet {
    // The constant paths of this module are valid.
    let files = GuestPath::new(path).map(|path| BTreeMap::from([(path, file)])).unwrap_or_default();
    FileSet { guest: vm.name.to_owned(), kind, files, prune: false, on_drift: OnDrift::Repair }
}

/// What is declared of a session: a file that lies in the guest.
fn session(vm: &Owner<'_>, session: &Spanned<Session>) -> Planned {
    let spec = SessionSpec::from(session.value.clone());
    let file = DesiredFile { content: Content::Text(spec.text()), mode: SINGLE_FILE_MODE, owner: ROOT };
    // Names of sessions are labels: paths of such are valid.
    let files = SessionSpec::path(&spec.name).map(|path| BTreeMap::from([(path, file)])).unwrap_or_default();
    let kind = FileSetKind::Session;
    let set = FileSet { guest: vm.name.to_owned(), kind, files, prune: false, on_drift: OnDrift::Repair };
    Planned { address: Address::session(vm.name, &spec.name), set, span: session.span }
}

/// The entries of a host tree as files below the target.
fn desired_files(
    tree: &HostTree,
    target: &GuestPath,
    sync: &FileSync,
) -> Result<BTreeMap<GuestPath, DesiredFile>, String> {
    let mut files = BTreeMap::new();
    for (below, entry) in &tree.entries {
        let path = join(target, below)?;
        if path == GuestPath::root() {
            if entry.kind == FileKind::File {
                return Err("found a single file with `~` as target, expected a target with a file name".into());
            }
            // The work directory itself is not ours to set.
            continue;
        }
        files.extend(desired_file(tree, below, entry, sync).map(|file| (path, file)));
    }
    Ok(files)
}

fn join(target: &GuestPath, below: &GuestPath) -> Result<GuestPath, String> {
    let parts = below.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    parts.into_iter().try_fold(target.clone(), |path, part| path.join(part))
}

/// One entry as it should be; nothing for what is neither file nor directory (the reader skips those and says so).
fn desired_file(tree: &HostTree, below: &GuestPath, entry: &HostEntry, sync: &FileSync) -> Option<DesiredFile> {
    let owner = sync.owner;
    match (entry.kind, &entry.digest) {
        (FileKind::Directory, _) => {
            Some(DesiredFile { content: Content::Directory, mode: sync.dir_mode.unwrap_or(DIRECTORY_MODE), owner })
        }
        (FileKind::Symlink, _) => {
            let target = entry.text.clone()?;
            Some(DesiredFile { content: Content::Link(target), mode: LINK_MODE, owner })
        }
        (FileKind::File, Some(digest)) => {
            let alone = *below == GuestPath::root();
            let own = if alone { SINGLE_FILE_MODE } else { entry.mode & MODE_MASK };
            let content = Content::Host(Box::new(HostFile {
                root: tree.root.clone(),
                below: below.clone(),
                digest: digest.clone(),
                size: entry.size,
                text: entry.text.clone(),
            }));
            Some(DesiredFile { content, mode: sync.mode.unwrap_or(own), owner })
        }
        _ => None,
    }
}
