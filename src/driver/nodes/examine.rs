//! What `doctor` says of nodes, and whether sudo's rules are in force there. Looks only.

use super::Nodes;
use crate::config::NodeRoad;
use crate::driver::privilege::{RootCommand, missing};
use crate::effect::process;
use crate::exec::Failure;
use crate::resource::Finding;
use crate::resource::cluster::NodeSpec;

impl Nodes {
    /// Whether each node can be reached, sudo allows there what the fleet may need, and its disks are mounted.
    pub async fn examine(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for node in self.all.values() {
            let check = format!("node {}/{}", node.cluster, node.name);
            findings.push(match self.not_allowed(node).await {
                Ok((0, _)) => Finding::pass(check, "is reached; nothing needs root there"),
                Ok((all, missing)) if missing.is_empty() => {
                    Finding::pass(check, format!("is reached; root may be asked for {all} commands"))
                }
                Ok((_, missing)) => {
                    let found = format!("sudo does not allow {} commands, such as `{}`", missing.len(), missing[0]);
                    Finding::fail(check, found, install(node))
                }
                Err(failure) => {
                    let fix = failure.hint.unwrap_or_else(|| "look at the `fence` of the cluster".into());
                    Finding::fail(check, failure.causes.join(": "), fix)
                }
            });
            findings.extend(self.examine_mounts(node).await);
        }
        findings
    }

    /// How many commands root may be asked for on a node, and those of them that sudo does not allow.
    ///
    /// # Errors
    /// The node cannot be reached, or has no sudo.
    pub async fn not_allowed(&self, node: &NodeSpec) -> Result<(usize, Vec<RootCommand>), Failure> {
        let commands = self.commands(node)?;
        let road = self.road(node).await?;
        let is_root = match &node.road {
            NodeRoad::Local => process::user_id() == 0,
            NodeRoad::Ssh { user, .. } => user == "root",
        };
        let missing =
            if is_root { Vec::new() } else { missing(&*road.run, &commands).await?.into_iter().cloned().collect() };
        Ok((commands.len(), missing))
    }
}

/// How the rules get to a node.
pub fn install(node: &NodeSpec) -> String {
    let name = &node.name;
    format!(
        "as root on `{name}`: what `regatta sudoers --node {name}` prints, with `install -m 0440 /dev/stdin /etc/sudoers.d/regatta`"
    )
}
