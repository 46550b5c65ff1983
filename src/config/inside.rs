//! What is inside of guests on clusters, as it is declared: how they are logged in to, and which files go into them.

use super::{AuthorizedKey, File, FileSync, GitIdentity, Session};
use crate::syntax::Spanned;

/// What a guest of a cluster declares of its inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// `ssh …`, where it is written.
    pub ssh: Option<Spanned<GuestSsh>>,
    /// Keys that may log in as root.
    pub authorized_keys: Vec<Spanned<AuthorizedKey>>,
    /// Name and address for commits made in the guest.
    pub git_identity: Option<Spanned<GitIdentity>>,
    /// Files and directories copied from this machine.
    pub file_syncs: Vec<Spanned<FileSync>>,
    /// Files whose content the fleet file says.
    pub files: Vec<Spanned<File>>,
    /// Commands that are kept running in it.
    pub sessions: Vec<Spanned<Session>>,
}

impl Inside {
    /// Whether regatta logs in to the guest when it plans: something of it is looked at there.
    pub const fn is_looked_at(&self) -> bool {
        let files = !self.file_syncs.is_empty() || !self.files.is_empty();
        self.ssh.is_some() || self.git_identity.is_some() || files || !self.sessions.is_empty()
    }
}

/// `ssh host="10.0.0.5" port=22 identity="~/.ssh/id_ed25519" { host-key "ssh-ed25519 AAAA…" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestSsh {
    /// `via="node"`: not SSH, but `pct exec` on the container's node.
    pub via_node: bool,
    /// Where its SSH server is; `None` takes its declared address, else what the cluster says.
    pub host: Option<String>,
    /// TCP port.
    pub port: u16,
    /// File of the private key that logs in, absolute or below `~/`; `None` is regatta's own.
    pub identity: Option<String>,
    /// The only host key that is accepted; `None` takes a key that was read over a channel we trust.
    pub host_key: Option<String>,
}
