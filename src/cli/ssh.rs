//! `regatta ssh NAME [-- cmd…]`: hands over to the `ssh` program, with our key and the pinned host key.

use super::args::{Global, SshArgs};
use super::error::{CliError, Exit};
use super::ways::Ways;
use crate::effect::{exec, ssh_arguments};

/// The program.
const SSH: &str = "ssh";

/// Becomes `ssh`: the terminal, signals and the exit code are the program's own. It exits with 255 when the guest cannot
/// be reached, else with the command's code.
pub(super) async fn run(global: &Global, args: &SshArgs) -> Result<Exit, CliError> {
    let login = Ways::open(global)?.login(&args.guest).await?;
    let command: Vec<&str> = args.command.iter().map(String::as_str).collect();
    let arguments = ssh_arguments(&login.target, &login.known_hosts, &command)?;
    Err(CliError::failure(exec(SSH, &arguments)).hint("the Debian package `openssh-client` has the program `ssh`"))
}
