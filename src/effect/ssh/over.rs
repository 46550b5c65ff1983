//! Running commands on another machine as if it were this one.

use async_trait::async_trait;

use super::{Shell, Streams};
use crate::effect::{Command, CommandError, Output, Pipe, Run, Status};

/// Runs each command in a session of one connection. The server decides about the environment and the working directory.
pub struct OverShell(Box<dyn Shell>);

impl OverShell {
    /// A runner over this connection.
    pub fn new(shell: Box<dyn Shell>) -> Self {
        Self(shell)
    }
}

#[async_trait]
impl Run for OverShell {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let ran = self.0.exec(&argv(command), command.input(), command.limit()).await;
        ran.map_err(|cause| CommandError::Remote { command: command.to_string(), cause })
    }
}

#[async_trait]
impl Pipe for OverShell {
    async fn pipe(&self, command: &Command, streams: Streams<'_>) -> Result<Status, CommandError> {
        let ran = self.0.stream(&argv(command), streams, command.limit()).await;
        ran.map_err(|cause| CommandError::Remote { command: command.to_string(), cause })
    }
}

fn argv(command: &Command) -> Vec<&str> {
    [command.program()].into_iter().chain(command.arguments().iter().map(String::as_str)).collect()
}
