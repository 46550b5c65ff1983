//! How commands get to a node.

use std::sync::Arc;
use std::time::Duration;

use super::Nodes;
use crate::config::NodeRoad;
use crate::driver::key_file::key_file;
use crate::driver::privilege::Privileged;
use crate::effect::{OverShell, Pipe, Run, SshTarget};
use crate::exec::Failure;
use crate::resource::cluster::NodeSpec;

/// Logging in to a node has this long.
const LOGIN: Duration = Duration::from_secs(15);

/// Logins at the same time. Many containers may be on one node, and an SSH server turns some away where ten have not logged in
/// yet (`MaxStartups` in sshd_config(5)).
pub(super) const LOGINS_AT_ONCE: usize = 4;

/// A node that commands get to.
pub(super) struct Road {
    /// Runs commands there as whoever logged in.
    pub(super) run: Arc<dyn Pipe>,
    /// Runs those of the catalogue as root.
    pub(super) root: Privileged,
}

impl Nodes {
    /// The way to a node, with nothing done there yet.
    ///
    /// # Errors
    /// It cannot be logged in to.
    pub(super) async fn road(&self, node: &NodeSpec) -> Result<Road, Failure> {
        let run = match self.target(node)? {
            None => Arc::clone(&self.doors.run),
            Some(target) => {
                let slots = self.logins.get(&(node.cluster.clone(), node.name.clone()));
                // Never closed, so that this waits for a slot and for nothing else.
                let slot = match slots {
                    Some(slots) => slots.acquire().await.ok(),
                    None => None,
                };
                let connected = self.doors.connect.connect(&target, LOGIN).await;
                drop(slot);
                let context = || format!("cannot log in to node `{}`", node.name);
                let shell = connected.map_err(|error| Failure::from(error).context(context()))?;
                Arc::new(OverShell::new(shell)) as Arc<dyn Pipe>
            }
        };
        let (clock, audit) = (Arc::clone(&self.doors.clock), Arc::clone(&self.doors.audit));
        let root = Privileged::new(Arc::clone(&run) as Arc<dyn Run>, clock, audit);
        Ok(match &node.road {
            NodeRoad::Local => Road { run, root },
            NodeRoad::Ssh { user, .. } => Road { run, root: root.logged_in_as(user) },
        })
    }

    /// Where its SSH server is; `None` is this machine.
    fn target(&self, node: &NodeSpec) -> Result<Option<SshTarget>, Failure> {
        let NodeRoad::Ssh { host, port, user, identity, host_key } = &node.road else { return Ok(None) };
        let identity = key_file(identity.as_deref(), self.home.as_deref(), &self.state)?;
        let (host, user, host_key) = (host.clone(), user.clone(), host_key.clone());
        Ok(Some(SshTarget { host, port: *port, user, host_key, identity, via: None }))
    }
}
