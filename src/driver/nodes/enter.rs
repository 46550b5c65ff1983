//! Going into containers by way of their node: a shell like that of an SSH connection, over `pct exec`.

use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;

use super::Nodes;
use super::road::Road;
use crate::driver::privilege::{RootCommand, enter_container, first_line};
use crate::effect::{CommandError, ConnectError, Output, Shell, Status, Streams};
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

/// What pct(1) ends with when the container does not run, and when there is none; what runs in it may as well.
const FAILED: Status = Status::Code(255);

impl Nodes {
    /// Goes into a container that runs on this node, if sudo allows it.
    ///
    /// # Errors
    /// The node cannot be had, sudo refuses, or the container does not run.
    pub async fn enter(&self, reach: &Reach, node: &str, vmid: u32) -> Result<Box<dyn Shell>, Failure> {
        let road = self.road(self.node(&reach.cluster, node)?).await?;
        let entered = Entered { road, command: enter_container(vmid)? };
        let first = entered.first().await?;
        if !first.success() {
            let message = format!("`pct exec {vmid}` on `{node}` does not get in: {}", said(&first));
            return Err(match first.status {
                // As shells and env(1) say that a program cannot be run, or is not there.
                Status::Code(126 | 127) => Failure::permanent(message)
                    .hint("going in needs `/usr/bin/env`, `/bin/sh` and `true` in the container"),
                _ => Failure::transient(message),
            });
        }
        Ok(Box::new(entered))
    }
}

impl Entered {
    /// Goes in and does nothing there.
    async fn first(&self) -> Result<Output, Failure> {
        self.road.root.run_with(&self.command, first_line(&["true"])?.as_bytes(), FIRST).await
    }
}

fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).replace(char::is_control, " ");
    said.trim().chars().take(240).collect()
}

#[async_trait]
impl Shell for Entered {
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, deadline: Duration) -> Result<Status, ConnectError> {
        let line = first_line(argv)?;
        let mut stdin = line.as_bytes().chain(streams.stdin);
        let streams = Streams { stdin: &mut stdin, stdout: streams.stdout, stderr: streams.stderr };
        let ran = self.road.root.pipe(&*self.road.run, &self.command, streams, deadline).await;
        // What did not end is the command in the container, and not the one that went there.
        let program = || argv.first().copied().unwrap_or_default().replace(char::is_control, " ");
        let overdue = |after| ConnectError::Overdue { after, command: program() };
        let status = ran.map_err(|error| match error {
            CommandError::Remote { cause: ConnectError::Overdue { after, .. }, .. } => overdue(after),
            CommandError::Remote { cause, .. } => cause,
            CommandError::Deadline { deadline, .. } => overdue(deadline),
            other => ConnectError::Command(other.to_string()),
        })?;
        if status == FAILED {
            // Whether it was the command that failed, or the container that is gone: asked once more.
            match self.first().await {
                Ok(again) if again.success() => {}
                Ok(again) => return Err(ConnectError::Lost(format!("`{}` ran: {}", program(), said(&again)))),
                Err(failure) => {
                    return Err(ConnectError::Lost(format!("`{}` ran: {}", program(), failure.causes.join(": "))));
                }
            }
        }
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::driver::privilege::Privileged;
    use crate::effect::{Command, Pipe, Run, SystemClock};
    use crate::exec::{Audit, AuditFact};

    /// A node on which `pct` ends with each of these codes in turn, and says the same of errors each time.
    struct Node(Mutex<Vec<i32>>);

    #[async_trait]
    impl Run for Node {
        async fn run(&self, _: &Command) -> Result<Output, CommandError> {
            let status = Status::Code(self.0.lock().unwrap().pop().unwrap());
            Ok(Output { status, stdout: Vec::new(), stderr: b"container '105' not running!\n".to_vec() })
        }
    }

    #[async_trait]
    impl Pipe for Node {
        async fn pipe(&self, command: &Command, _: Streams<'_>) -> Result<Status, CommandError> {
            Ok(self.run(command).await?.status)
        }
    }

    struct Log;

    impl Audit for Log {
        fn append(&self, _: jiff::Timestamp, _: &[AuditFact]) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A command that ends with 255 of its own is told from a container that was stopped in the middle of a step: after that
    /// nobody knows what was done (LESSON 42).
    #[tokio::test]
    async fn a_container_that_stops_in_the_middle_is_no_failure_of_the_command() {
        for (codes, expected) in [
            (&[9][..], Ok(Status::Code(9))),
            (&[255, 0], Ok(Status::Code(255))),
            (&[255, 255], Err("`tar` ran: container '105' not running!")),
        ] {
            let node = Arc::new(Node(Mutex::new(codes.iter().rev().copied().collect())));
            let root = Privileged::new(Arc::clone(&node) as Arc<dyn Run>, Arc::new(SystemClock), Arc::new(Log));
            let entered =
                Entered { road: Road { run: Arc::clone(&node) as _, root }, command: enter_container(105).unwrap() };
            let ran = entered.exec(&["tar", "-x"], b"", FIRST).await.map(|output| output.status);
            assert_eq!(ran, expected.map_err(|why| ConnectError::Lost(why.to_owned())));
            assert_eq!(node.0.lock().unwrap().len(), 0);
        }
    }
}
