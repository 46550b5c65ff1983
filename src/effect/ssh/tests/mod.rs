//! The client against a real server, and against things that are none.

mod commands;
mod connecting;
mod logins;

use std::time::Duration;

use super::{Connect as _, ConnectError, Destination, Shell, SshClient, SshTarget};

pub(super) const DEADLINE: Duration = Duration::from_secs(20);

async fn connect(target: &SshTarget) -> Result<Box<dyn Shell>, ConnectError> {
    SshClient::default().connect(target, DEADLINE).await
}

/// The error of an attempt that must fail.
async fn refusal(target: &SshTarget) -> ConnectError {
    connect(target).await.err().unwrap()
}

async fn outcome(to: &Destination) -> Result<(), ConnectError> {
    SshClient::default().connect_to(to, DEADLINE).await.map(drop)
}
