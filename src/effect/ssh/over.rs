//! Running commands on another machine as if it were this one.

use async_trait::async_trait;

use super::Shell;
use crate::effect::{Command, CommandError, Output, Run};

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
        let words = [command.program()].into_iter().chain(command.arguments().iter().map(String::as_str));
        let argv: Vec<&str> = words.collect();
        let ran = self.0.exec(&argv, command.input(), command.limit()).await;
        ran.map_err(|cause| CommandError::Remote { command: command.to_string(), cause })
    }
}
