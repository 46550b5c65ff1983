//! `regatta sudoers`: the rules that let a user make the fleet's bridged networks, and whether they are in force.

use super::args::{Format, Global, SudoersArgs};
use super::error::{CliError, Exit};
use super::{output, session};
use crate::driver::StateDir;
use crate::driver::privilege::{RootCommand, Rules, missing};
use crate::effect::{CommandRunner, Environment, process};
use crate::resource::Resource;

/// Prints the rules, or proves them.
pub(super) async fn run(global: &Global, args: &SudoersArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let declared = session::declared(global, &environment)?;
    let account = process::account(args.user.as_deref()).map_err(CliError::failure)?;
    let fleet = &declared.desired.fleet;
    let networks = session::networks(&declared, &StateDir::new(session::state_root(global, &environment)?));
    let mut commands = Vec::new();
    for resource in declared.desired.resources.values().map(|declared| &declared.resource) {
        if let Resource::Network(spec) = resource {
            commands.extend(networks.commands(spec, account.id).await?);
        }
    }
    if commands.is_empty() {
        output::talk("the fleet has no bridged network: nothing of it runs as root\n");
        return Ok(Exit::Success);
    }
    if args.check {
        return check(global, &commands, account.id).await;
    }
    if account.id == 0 {
        return Err(CliError::failure("root needs no rules").hint("name the user who applies the fleet: --user USER"));
    }
    let rules = Rules::new(&account.name, fleet, &commands).map_err(CliError::failure)?;
    output::data(&rules.to_string());
    output::talk(&format!(
        "install them as root: regatta sudoers --user {} | install -m 0440 /dev/stdin /etc/sudoers.d/regatta-{fleet}\n",
        account.name
    ));
    Ok(Exit::Success)
}

/// Asks sudo about every command; it runs none.
async fn check(global: &Global, commands: &[RootCommand], user: u32) -> Result<Exit, CliError> {
    if user != process::user_id() {
        let error = CliError::failure("sudo answers for the user who asks");
        return Err(error.hint("run `regatta sudoers --check` as that user"));
    }
    let missing = if user == 0 { Vec::new() } else { missing(&CommandRunner, commands).await? };
    let lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
    match global.format {
        Format::Json => {
            let report = serde_json::json!({ "format_version": 1, "needed": commands.len(), "missing": lines });
            output::data(&(serde_json::to_string_pretty(&report)? + "\n"));
        }
        Format::Human => {
            output::data(&lines.iter().map(|line| format!("not allowed: {line}\n")).collect::<String>());
            let allowed = commands.len() - lines.len();
            output::talk(&format!("{allowed} of {} commands are allowed\n", commands.len()));
        }
    }
    Ok(if lines.is_empty() { Exit::Success } else { Exit::Failure })
}
