//! What goes into guests, as it is declared: files, keys, identity, secrets.

use serde::{Deserialize, Serialize};

use super::Setting;
use super::filter::Filter;
use crate::syntax::{SourceId, Spanned};

/// `authorized-key file="~/.ssh/id_ed25519.pub"` or `authorized-key "ssh-ed25519 AAAA… me"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizedKey {
    /// Path of a public key file on the host, as written.
    File(String),
    /// The key line itself.
    Inline(String),
}

/// `git-identity from="host"` or `git-identity name="…" email="…"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitIdentity {
    /// The host user's `git config --global`, and nothing else.
    Host,
    /// As written.
    Given {
        /// `user.name`.
        name: String,
        /// `user.email`.
        email: String,
    },
}

/// `file-sync "~/.config/nvim" to="~/.config/nvim" mode="0600"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSync {
    /// Path on the host, as written; `~` is the user's home, relative paths start at the declaring file.
    pub from: String,
    /// The file that declared it, whose directory relative paths start at.
    pub declared_in: SourceId,
    /// Path in the guest, below the work directory, as written.
    pub to: Spanned<String>,
    /// Permission bits of files; `None` keeps the host's for directories and means 0600 for a single file.
    pub mode: Option<u32>,
    /// Whether files that left the source are removed from the guest.
    pub prune: Setting<bool>,
    /// Permission bits of directories; `None` means 0755.
    pub dir_mode: Option<u32>,
    /// Numbers of the user and group that everything belongs to in the guest.
    pub owner: (u32, u32),
    /// What below the source is meant; everything when there is no pattern.
    pub include: Filter,
    /// What below the source is left out.
    pub exclude: Filter,
    /// What becomes of symbolic links below the source.
    pub links: Links,
    /// What becomes of files that were changed in the guest.
    pub on_drift: OnDrift,
}

/// What becomes of symbolic links in a tree of the host. None is ever followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Links {
    /// They are left out, with a warning.
    #[default]
    Skip,
    /// Those that stay within the tree are links in the guest as well.
    Keep,
}

/// What becomes of files that were changed in the guest since they were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDrift {
    /// They are written again.
    #[default]
    Repair,
    /// They stay as they are.
    Keep,
    /// Plans are refused until somebody has looked.
    Fail,
}

impl OnDrift {
    /// Whether it says nothing special.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `file "~/.netrc" mode="0600" { … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path in the guest, below the work directory.
    pub path: Spanned<String>,
    /// Permission bits; `None` means 0600.
    pub mode: Option<u32>,
    /// What is in it.
    pub content: FileContent,
}

/// What is in a declared file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// `content "…"`
    Text(String),
    /// `secret …`
    Secret(Secret),
}

/// `secret …`: how something confidential is fetched. Never what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret {
    /// What is asked for it.
    pub source: SecretSource,
    /// The file that declared it: relative paths and commands start in its directory.
    pub declared_in: SourceId,
}

/// What is asked for a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretSource {
    /// An environment variable.
    Variable(String),
    /// A file of the host, as written.
    File(String),
    /// The standard output of a program.
    Command {
        /// As written: a name that is looked for on `PATH`, or a path.
        program: String,
        /// As written.
        arguments: Vec<String>,
    },
}
