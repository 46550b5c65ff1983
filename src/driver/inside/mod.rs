//! Inside the guests of clusters: logging in to them, seeing their files, writing them.
//!
//! ```text
//! proxmox ── is it ours, does it run, where is it ─┐
//!                                                  ├ login ─▶ Shell ─▶ files::live
//! Reach   ── what the fleet file says of the way ──┘
//! ```
//! The API tells where a guest is, and SSH goes there: neither knows of the other, and only here they meet. Where the fleet
//! file says `via="node"`, its node goes in instead (`driver::nodes`).
//!
//! **Invariant:** no host key is accepted because it was seen first. It is declared, vouched for (`regatta repin`), or was
//! read over a channel that is trusted already.

pub(super) mod login;
mod observe;
mod pin;
mod write;

use std::sync::Arc;

use camino::Utf8PathBuf;

use super::nodes::Nodes;
use super::proxmox::Clusters;
use super::state::StateDir;
use crate::effect::{Clock, Connect, Run, Surroundings};

/// As whom guests are logged in to, and where their files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: String,
    /// Its home, which `~` means.
    pub home: Utf8PathBuf,
}

impl Default for Account {
    /// Root: files get owners and modes.
    fn default() -> Self {
        Self { user: "root".into(), home: "/root".into() }
    }
}

/// The doors to the world that are needed.
#[derive(Clone)]
pub struct Doors {
    /// Logs in.
    pub connect: Arc<dyn Connect>,
    /// Runs programs of this machine: commands that print secrets, `ssh-keyscan`.
    pub run: Arc<dyn Run>,
    /// Dates what is written.
    pub clock: Arc<dyn Clock>,
}

/// The insides of the guests that one fleet has on clusters.
pub struct Insides {
    fleet: String,
    clusters: Arc<Clusters>,
    doors: Doors,
    state: StateDir,
    /// The user's home on this machine: keys below `~/` are there.
    home: Option<Utf8PathBuf>,
    account: Account,
    /// What the user's own configuration of `ssh` is read with.
    surroundings: Surroundings,
    /// The nodes by whose way containers are gone into.
    nodes: Option<Arc<Nodes>>,
}

impl Insides {
    /// The guests of `fleet` on these clusters.
    pub fn new(fleet: &str, clusters: Arc<Clusters>, doors: Doors, state: StateDir, home: Option<Utf8PathBuf>) -> Self {
        let surroundings = Surroundings { home: home.clone(), ..Surroundings::default() };
        Self {
            fleet: fleet.to_owned(),
            clusters,
            doors,
            state,
            home,
            account: Account::default(),
            surroundings,
            nodes: None,
        }
    }

    /// The same with an SSH agent, or another configuration of `ssh` than the user's own.
    #[must_use]
    pub fn surrounded_by(self, surroundings: Surroundings) -> Self {
        Self { surroundings, ..self }
    }

    /// The same with nodes by whose way containers are gone into.
    #[must_use]
    pub fn by_way_of(self, nodes: Arc<Nodes>) -> Self {
        Self { nodes: Some(nodes), ..self }
    }

    /// The same as another user.
    #[must_use]
    pub fn as_account(self, account: Account) -> Self {
        Self { account, ..self }
    }

    /// Makes connections to guests.
    pub fn connect(&self) -> &Arc<dyn Connect> {
        &self.doors.connect
    }
}
