//! `regatta ssh NAME [-- cmd…]`: hands over to the `ssh` program, with our key and the pinned host key.

use super::args::{Global, SshArgs};
use super::error::{CliError, Exit};
use super::session;
use crate::driver::microvm::Guests;
use crate::effect::{Environment, exec, ssh_arguments};

/// The program.
const SSH: &str = "ssh";

/// Becomes `ssh`: the terminal, signals and the exit code are the program's own. It exits with 255 when the guest cannot
/// be reached, else with the command's code.
pub(super) fn run(global: &Global, args: &SshArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let loaded = session::load(global, &environment)?;
    let guests: Guests = session::guests(&loaded, session::state_dir(global, &environment)?);
    let login = guests.login(&args.guest).map_err(|failure| {
        let names: Vec<&str> = loaded.fleet.vms.keys().map(String::as_str).collect();
        CliError::from(failure).hint(match names.contains(&args.guest.as_str()) {
            true => "`regatta apply` makes and starts it".to_owned(),
            false => format!("the fleet has {}", if names.is_empty() { "no guests".into() } else { names.join(", ") }),
        })
    })?;
    let command: Vec<&str> = args.command.iter().map(String::as_str).collect();
    let arguments = ssh_arguments(&login.target, &login.known_hosts, &command)?;
    Err(CliError::failure(exec(SSH, &arguments)).hint("the Debian package `openssh-client` has the program `ssh`"))
}
