//! What the tests of both roads share: a host tree, sets that sync it, and a fixed clock.

mod disks;
mod live;
mod offline;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use crate::config::OnDrift;
use crate::effect::walk::{self, EntryKind, Limits, Manner};
use crate::effect::{Clock, DigestCache};
use crate::resource::{
    Address, Content, DesiredFile, Digest, FileKind, FileSet, FileSetKind, GuestPath, HostFile, ObservedFile,
};

/// 2026-11-22T10:00:00Z.
pub(super) const NOW: i64 = 1_795_341_600;

pub(super) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(NOW).unwrap()
    }
}

pub(super) fn path(text: impl Into<Vec<u8>>) -> GuestPath {
    GuestPath::new(text).unwrap()
}

/// A scratch directory, link-free.
pub(super) fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
    (dir, path)
}

/// Writes a host file below a root, parents included; dated by its mode so that dates differ.
pub(super) fn host_file(root: &Utf8Path, below: &[u8], bytes: &[u8], mode: u32) {
    let path = root.as_std_path().join(std::ffi::OsStr::from_bytes(below));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000 + u64::from(mode));
    std::fs::File::options().read(true).open(&path).unwrap().set_modified(date).unwrap();
}

/// A tree as it is read when links that stay inside it are kept.
pub(super) fn walked(root: &Utf8Path) -> walk::Tree {
    let manner = Manner { excludes: &|_, _| false, links: walk::Links::Keep, digests: &DigestCache::default() };
    walk::walk_as(root, &[], &Limits::default(), &manner).unwrap()
}

/// The set that syncs a host tree to `to`.
pub(super) fn synced(root: &Utf8Path, to: &GuestPath) -> (Address, FileSet) {
    let tree = walked(root);
    let mut files = BTreeMap::new();
    for entry in tree.entries {
        let content = match entry.kind {
            EntryKind::Directory => Content::Directory,
            EntryKind::Link { target } => Content::Link(target),
            EntryKind::File { size, sha256, text } => Content::Host(Box::new(HostFile {
                root: tree.root.clone(),
                below: path(entry.path.clone()),
                digest: Digest::from_hash(&sha256),
                size,
                text,
            })),
        };
        let at = if entry.path.is_empty() { to.clone() } else { to.join(&entry.path).unwrap() };
        files.insert(at, DesiredFile { content, mode: entry.mode, owner: (0, 0) });
    }
    let set =
        FileSet { guest: "web".into(), kind: FileSetKind::FileSync, files, prune: true, on_drift: OnDrift::Repair };
    (Address::file_sync("web", &to.to_string()), set)
}

/// Sets for a key and a git identity.
pub(super) fn merged(key: &str) -> Vec<(Address, FileSet)> {
    let one = |kind, at: &str, content| {
        let files = BTreeMap::from([(path(at), DesiredFile { content, mode: 0o600, owner: (0, 0) })]);
        FileSet { guest: "web".into(), kind, files, prune: false, on_drift: OnDrift::Repair }
    };
    let identity = Content::GitIdentity { name: "Ann".into(), email: "ann@example.org".into() };
    vec![
        (
            Address::authorized_key("web"),
            one(FileSetKind::AuthorizedKey, ".ssh/authorized_keys", Content::AuthorizedKeys(vec![key.into()])),
        ),
        (Address::git_identity("web"), one(FileSetKind::GitIdentity, ".gitconfig", identity)),
    ]
}

pub(super) fn observed(bytes: &[u8], mode: u32) -> ObservedFile {
    ObservedFile {
        kind: FileKind::File,
        mode,
        owner: (0, 0),
        size: bytes.len() as u64,
        digest: Some(Digest::of(bytes)),
        text: walk::as_text(bytes.to_vec()),
    }
}

/// Names that have broken tools: options, quotes, escapes, inode syntax, other encodings, the longest.
pub(super) fn hostile_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "a b",
        "-rf",
        "--",
        "\"",
        "a\"b\" c",
        "''",
        "\\",
        "a\\nb",
        "<2>",
        "#",
        "$(id)",
        "`id`",
        ";x",
        "*",
        "~",
        "\t",
        "é",
        "..x",
        " ",
        "\u{1b}[31m",
        "\u{7f}",
        "%s",
        "!",
        "&",
        "a\nb",
        "\r",
        "\n",
        "a\nrm \"x\"",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(b"\xff\xfe".to_vec());
    names.push(vec![b'n'; 255]);
    names
}
