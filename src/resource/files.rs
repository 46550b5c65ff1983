//! Files that should be in a guest: sets of them, what each should contain, and where it comes from.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::OnDrift;

/// SHA-256, as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hash(&Sha256::digest(bytes))
    }

    /// What tells one target of a symbolic link from another. Never that of a file's bytes.
    pub fn of_link(target: &str) -> Self {
        Self::from_hash(&Sha256::new().chain_update(b"symbolic link\0").chain_update(target).finalize())
    }

    /// From the 32 bytes of a finished SHA-256.
    pub fn from_hash(hash: &[u8]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in hash {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// From 64 lower-case hexadecimal digits; `None` when it is anything else.
    pub fn parse(digits: &str) -> Option<Self> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (digits.len() == 64 && digits.bytes().all(digit)).then(|| Self(digits.to_owned()))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.short())
    }
}

/// A path in a guest, relative to its work directory (`/root`): bytes, because file names are; no empty, `.` or `..` parts.
/// The empty path is the work directory itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath(Vec<u8>);

/// The longest file name ext4 can hold, in bytes.
const NAME_MAX: usize = 255;

impl GuestPath {
    /// The work directory itself.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Checks and takes a relative path.
    ///
    /// # Errors
    /// Says which part is not allowed: absolute paths, `.`, `..`, empty parts, NUL, names over 255 bytes.
    pub fn new(path: impl Into<Vec<u8>>) -> Result<Self, String> {
        let path = path.into();
        if path.is_empty() {
            return Ok(Self::root());
        }
        for part in path.split(|b| *b == b'/') {
            let shown = || String::from_utf8_lossy(part).escape_debug().to_string();
            match part {
                b"" => return Err("found an empty part, expected names between single slashes".into()),
                b"." | b".." => return Err(format!("found `{}`, expected a path without `.` and `..`", shown())),
                _ if part.contains(&0) => return Err("found a NUL byte in a file name".into()),
                _ if part.len() > NAME_MAX => {
                    return Err(format!("found a name of {} bytes, the limit is {NAME_MAX}", part.len()));
                }
                _ => {}
            }
        }
        Ok(Self(path))
    }

    /// This path and one more name.
    ///
    /// # Errors
    /// As [`GuestPath::new`].
    pub fn join(&self, name: &[u8]) -> Result<Self, String> {
        let mut path = self.0.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self::new(path)
    }

    /// The bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its last part; empty for the work directory itself.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// The directory it is in; `None` for the work directory itself.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// All directories above it, outermost first, without the work directory itself.
    pub fn ancestors(&self) -> Vec<Self> {
        let mut found: Vec<Self> =
            std::iter::successors(self.parent(), Self::parent).filter(|path| !path.0.is_empty()).collect();
        found.reverse();
        found
    }
}

impl fmt::Display for GuestPath {
    /// `~/…`, with anything that is not plain text escaped: safe on a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("~");
        }
        f.write_str("~/")?;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || c == '\\' { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestPath({self})")
    }
}

impl Serialize for GuestPath {
    /// Percent-encoded: JSON strings hold text, file names hold bytes.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&percent_encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for GuestPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = percent_decode(&text).ok_or_else(|| serde::de::Error::custom("malformed percent-encoding"))?;
        Self::new(bytes).map_err(serde::de::Error::custom)
    }
}

fn percent_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '%' || c.is_control() {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().for_each(|b| text.push_str(&format!("%{b:02X}")));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|b| text.push_str(&format!("%{b:02X}")));
    }
    text
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(bytes)
}

/// What a guest path is, or should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

/// Which declaration a set of files comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSetKind {
    /// `file-sync`
    FileSync,
    /// `git-identity`
    GitIdentity,
    /// `authorized-key`
    AuthorizedKey,
    /// `file` with a content
    File,
    /// `file` with a secret
    Secret,
    /// `session`: what is declared of it
    Session,
}

/// All files one resource puts into one guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSet {
    /// The guest.
    pub guest: String,
    /// What declared it.
    pub kind: FileSetKind,
    /// Desired files and directories by path; parents are created as needed (0755, root).
    pub files: BTreeMap<GuestPath, DesiredFile>,
    /// Whether files we wrote earlier for this resource, and that are no longer here, are removed.
    pub prune: bool,
    /// What becomes of files that were changed in the guest.
    #[serde(default, skip_serializing_if = "OnDrift::is_default")]
    pub on_drift: OnDrift,
}

/// Root's number and that of its group: the owner of everything that states none.
pub const ROOT: (u32, u32) = (0, 0);

fn is_root(owner: &(u32, u32)) -> bool {
    *owner == ROOT
}

/// One file or directory as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredFile {
    /// What it should contain.
    pub content: Content,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Numbers of its user and group in the guest.
    #[serde(default, skip_serializing_if = "is_root")]
    pub owner: (u32, u32),
}

/// What a file should contain. Kept small, because fleets have many files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// It is a directory.
    Directory,
    /// The bytes of a host file.
    Host(Box<HostFile>),
    /// It is a symbolic link with this target, which stays within the tree that it is part of.
    Link(String),
    /// This text of the fleet file.
    Text(String),
    /// What is fetched when it is written, and never kept.
    Secret(Box<SecretContent>),
    /// Our marked block in `authorized_keys`, everything else kept; key lines in order.
    AuthorizedKeys(Vec<String>),
    /// `user.name` and `user.email` in `.gitconfig`, everything else kept.
    GitIdentity {
        /// `user.name`.
        name: String,
        /// `user.email`.
        email: String,
    },
}

/// A file of the host, as it was when read for the plan. Applying reads it again and refuses when the digest differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFile {
    /// The root named in the fleet file, absolute.
    pub root: Utf8PathBuf,
    /// Path below the root; empty when the root itself is the file.
    pub below: GuestPath,
    /// Digest of the content.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// The content, when it is small UTF-8 text: for the plan's diff only, never stored.
    #[serde(skip)]
    pub text: Option<String>,
}

/// A secret that a file should contain: how it is fetched, and what it was when the plan was made. Applying fetches it
/// again and refuses when the seal differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretContent {
    /// How it is fetched.
    pub from: SecretRef,
    /// HMAC-SHA-256 of the content with a key that this machine keeps: tells whether it changed, and to those without the
    /// key nothing. `None` when it was not fetched: then the file is taken to be as it was written.
    pub seal: Option<Digest>,
    /// SHA-256 of the content, for comparing with a guest's file. Never stored: a short secret can be found from it.
    #[serde(skip)]
    pub digest: Option<Digest>,
}

/// How a secret is fetched on the machine that writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretRef {
    /// From this environment variable.
    Variable(String),
    /// From this file, absolute.
    File {
        /// The file.
        path: Utf8PathBuf,
        /// Directories that it must be in, once links are resolved.
        allowed: Vec<Utf8PathBuf>,
    },
    /// From the standard output of a program.
    Command {
        /// A name that is looked for on `PATH`, or an absolute path.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// Where it is started, absolute.
        directory: Utf8PathBuf,
    },
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "the variable `{name}`"),
            Self::File { path, .. } => write!(f, "`{path}`"),
            Self::Command { program, .. } => write!(f, "the output of `{program}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_paths_stay_below_the_work_directory() {
        for wrong in ["/etc", "a//b", "a/../b", ".", "a/", "a\0b"] {
            assert!(GuestPath::new(wrong).is_err(), "{wrong:?} was accepted");
        }
        let path = GuestPath::new(".config/a b").unwrap();
        assert_eq!(path.to_string(), "~/.config/a b");
        assert_eq!(path.ancestors(), [GuestPath::new(".config").unwrap()]);
        assert_eq!(GuestPath::root().join(b"x").unwrap(), GuestPath::new("x").unwrap());
    }

    #[test]
    fn hostile_names_survive_json_and_are_safe_to_print() {
        let path = GuestPath::new(&b"a\n\x1b[31m%41\xff"[..]).unwrap();
        let json = serde_json::to_string(&path).unwrap();
        assert_eq!(json, r#""a%0A%1B[31m%2541%FF""#);
        assert_eq!(serde_json::from_str::<GuestPath>(&json).unwrap(), path);
        assert_eq!(path.to_string(), "~/a\\n\\u{1b}[31m%41\\xff");
    }
}
