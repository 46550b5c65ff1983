//! Going into containers by way of their node: a shell like that of an SSH connection, over `pct exec`.

use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;

use super::Nodes;
use super::road::Road;
use crate::driver::privilege::{RootCommand, enter_container, first_line};
use crate::effect::{CommandError, ConnectError, Shell, Status, Streams};
use crate::exec::Failure;
use crate::resource::cluster::Reach;

/// The first command in a container, which shows that it can be gone into, has this long.
const FIRST: Duration = Duration::from_secs(30);

/// A container that is gone into by way of its node. Each command is in the audit log, as every one of root's is; what it was
/// in the container is not.
struct Entered {
    road: Road,
    command: RootCommand,
}

impl Nodes {
    /// Goes into a container that runs on this node, if sudo allows it.
    ///
    /// # Errors
    /// The node cannot be had, sudo refuses, or the container does not run.
    pub async fn enter(&self, reach: &Reach, node: &str, vmid: u32) -> Result<Box<dyn Shell>, Failure> {
        let road = self.road(self.node(&reach.cluster, node)?).await?;
        let command = enter_container(vmid)?;
        let nothing = first_line(&["true"])?;
        let first = road.root.run_with(&command, nothing.as_bytes(), FIRST).await?;
        if !first.success() {
            let said = String::from_utf8_lossy(&first.stderr).replace(char::is_control, " ");
            let said: String = said.trim().chars().take(240).collect();
            return Err(Failure::transient(format!("`pct exec {vmid}` on `{node}` does not get in: {said}")));
        }
        Ok(Box::new(Entered { road, command }))
    }
}

#[async_trait]
impl Shell for Entered {
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, deadline: Duration) -> Result<Status, ConnectError> {
        let line = first_line(argv)?;
        let mut stdin = line.as_bytes().chain(streams.stdin);
        let streams = Streams { stdin: &mut stdin, stdout: streams.stdout, stderr: streams.stderr };
        let ran = self.road.root.pipe(&*self.road.run, &self.command, streams, deadline).await;
        // What did not end is the command in the container, and not the one that went there.
        let overdue = |after| {
            let program = argv.first().copied().unwrap_or_default();
            ConnectError::Overdue { after, command: program.replace(char::is_control, " ") }
        };
        ran.map_err(|error| match error {
            CommandError::Remote { cause: ConnectError::Overdue { after, .. }, .. } => overdue(after),
            CommandError::Remote { cause, .. } => cause,
            CommandError::Deadline { deadline, .. } => overdue(deadline),
            other => ConnectError::Command(other.to_string()),
        })
    }
}
