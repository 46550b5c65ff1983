//! Addresses: the one way to name a resource, in code, plans, logs and on the command line.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cluster::GuestKind;

/// `KIND.NAME` or `KIND.GUEST/PATH`: `vm.web-1`, `image.bookworm`, `file-sync.web-1/~/.config/nvim`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// `image.NAME`
    pub fn image(name: &str) -> Self {
        Self(format!("image.{name}"))
    }

    /// `kernel.NAME`
    pub fn kernel(name: &str) -> Self {
        Self(format!("kernel.{name}"))
    }

    /// `network.NAME`
    pub fn network(name: &str) -> Self {
        Self(format!("network.{name}"))
    }

    /// `vm.NAME`
    pub fn vm(name: &str) -> Self {
        Self(format!("vm.{name}"))
    }

    /// `policy.signers`: the files that say whose signatures count.
    pub fn signers() -> Self {
        Self("policy.signers".to_owned())
    }

    /// `cluster.NAME`
    pub fn cluster(name: &str) -> Self {
        Self(format!("cluster.{name}"))
    }

    /// `mount.CLUSTER/NODE/PATH`: a disk of a node.
    pub fn mount(cluster: &str, node: &str, at: &str) -> Self {
        Self(format!("mount.{cluster}/{node}{at}"))
    }

    /// `container.NAME`, or `vm.NAME`: of a guest on a cluster.
    pub fn on_cluster(kind: GuestKind, name: &str) -> Self {
        match kind {
            GuestKind::Container => Self::container(name),
            GuestKind::Vm => Self::vm(name),
        }
    }

    /// `container.NAME`
    pub fn container(name: &str) -> Self {
        Self(format!("container.{name}"))
    }

    /// `file-sync.GUEST/PATH`
    pub fn file_sync(guest: &str, path: &str) -> Self {
        Self(format!("file-sync.{guest}/{path}"))
    }

    /// `file.GUEST/PATH`
    pub fn file(guest: &str, path: &str) -> Self {
        Self(format!("file.{guest}/{path}"))
    }

    /// `secret.GUEST/PATH`: a file that holds one.
    pub fn secret(guest: &str, path: &str) -> Self {
        Self(format!("secret.{guest}/{path}"))
    }

    /// `session.GUEST/NAME`
    pub fn session(guest: &str, name: &str) -> Self {
        Self(format!("session.{guest}/{name}"))
    }

    /// `git-identity.GUEST`
    pub fn git_identity(guest: &str) -> Self {
        Self(format!("git-identity.{guest}"))
    }

    /// `authorized-key.GUEST`: all keys of a guest are one resource, because they are one block of one file.
    pub fn authorized_key(guest: &str) -> Self {
        Self(format!("authorized-key.{guest}"))
    }

    /// The part before the first dot.
    pub fn kind(&self) -> &str {
        self.0.split_once('.').map_or(self.0.as_str(), |(kind, _)| kind)
    }

    /// The guest it belongs to; `None` for what guests share.
    pub fn guest(&self) -> Option<&str> {
        let (kind, rest) = self.0.split_once('.')?;
        match kind {
            "vm" | "container" | "file-sync" | "file" | "secret" | "session" | "git-identity" | "authorized-key" => {
                rest.split('/').next()
            }
            _ => None,
        }
    }

    /// The same of another guest; itself for what guests share.
    #[must_use]
    pub fn of_guest(&self, guest: &str) -> Self {
        let Some(before) = self.guest() else { return self.clone() };
        let (kind, rest) = (self.kind(), &self.0[self.kind().len() + 1 + before.len()..]);
        Self(format!("{kind}.{guest}{rest}"))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_guest() {
        assert_eq!(Address::file_sync("web-1", "~/.config/a.b").guest(), Some("web-1"));
        assert_eq!(Address::vm("web-1").guest(), Some("web-1"));
        assert_eq!(Address::image("bookworm").guest(), None);
        assert_eq!(Address::file_sync("web", "~/web").of_guest("db"), Address::file_sync("db", "~/web"));
        assert_eq!(Address::git_identity("web").of_guest("db"), Address::git_identity("db"));
        assert_eq!(Address::image("web").of_guest("db"), Address::image("web"));
    }
}
