//! `regatta sudoers`: the rules that let a user make the fleet's bridged networks, or do on a node of a cluster what no API
//! token may, and whether they are in force.

use std::collections::BTreeSet;

use super::args::{Format, Global, SudoersArgs};
use super::error::{CliError, Exit};
use super::{output, session};
use crate::config::NodeRoad;
use crate::driver::StateDir;
use crate::driver::nodes::install;
use crate::driver::privilege::{RootCommand, Rules, missing};
use crate::effect::{CommandRunner, Environment, process};
use crate::resource::Resource;

/// Prints the rules, or proves them.
pub(super) async fn run(global: &Global, args: &SudoersArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let declared = session::declared(global, &environment)?;
    if let Some(name) = &args.node {
        return on_node(global, args, name, &declared, &environment).await;
    }
    let account = process::account(args.user.as_deref()).map_err(CliError::failure)?;
    let fleet = &declared.desired.fleet;
    let networks = session::networks(&declared, &StateDir::new(session::state_root(global, &environment)?));
    let mut commands = Vec::new();
    let mut names = BTreeSet::new();
    for resource in declared.desired.resources.values().map(|declared| &declared.resource) {
        if let Resource::Network(spec) = resource {
            commands.extend(networks.commands(spec, account.id).await?);
            names.insert(spec.name.as_str());
        }
    }
    if !commands.is_empty() {
        // What left the file, or is called otherwise now, has to go first.
        commands.extend(networks.commands_to_remove_others(&names).await?);
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

/// The same for a node of a cluster.
async fn on_node(
    global: &Global,
    args: &SudoersArgs,
    name: &str,
    declared: &session::Declared,
    environment: &Environment,
) -> Result<Exit, CliError> {
    let nodes = session::nodes(declared, &StateDir::new(session::state_root(global, environment)?), environment);
    let [node] = nodes.named(name)[..] else {
        let found = nodes.named(name).len();
        let error = CliError::failure(format!("found {found} nodes `{name}` in the fences of the fleet, expected one"));
        return Err(error.hint("a cluster's `fence` names the nodes on which root may be asked for something"));
    };
    if args.check {
        let (needed, missing) = nodes.not_allowed(node).await?;
        return told(global, needed, &missing);
    }
    let user = match &node.road {
        NodeRoad::Ssh { user, .. } => user.clone(),
        NodeRoad::Local => process::account(args.user.as_deref()).map_err(CliError::failure)?.name,
    };
    if user == "root" {
        output::talk("root needs no rules\n");
        return Ok(Exit::Success);
    }
    let commands = nodes.commands(node)?;
    if commands.is_empty() {
        output::talk(&format!("no guest of the fleet needs root on `{name}`\n"));
        return Ok(Exit::Success);
    }
    let rules = Rules::new(&user, &declared.desired.fleet, &commands).map_err(CliError::failure)?;
    output::data(&rules.to_string());
    output::talk(&format!("install them {}\n", install(node)));
    output::talk("install them anew when a guest leaves the fleet file: its number may become somebody else's\n");
    Ok(Exit::Success)
}

/// Asks sudo about every command; it runs none.
async fn check(global: &Global, commands: &[RootCommand], user: u32) -> Result<Exit, CliError> {
    if user != process::user_id() {
        let error = CliError::failure("sudo answers for the user who asks");
        return Err(error.hint("run `regatta sudoers --check` as that user"));
    }
    let missing = if user == 0 { Vec::new() } else { missing(&CommandRunner, commands).await? };
    told(global, commands.len(), &missing.into_iter().cloned().collect::<Vec<_>>())
}

/// Says which of so many commands are not allowed.
fn told(global: &Global, needed: usize, missing: &[RootCommand]) -> Result<Exit, CliError> {
    let lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
    match global.format {
        Format::Json => {
            let report = serde_json::json!({ "format_version": 1, "needed": needed, "missing": lines });
            output::data(&(serde_json::to_string_pretty(&report)? + "\n"));
        }
        Format::Human => {
            output::data(&lines.iter().map(|line| format!("not allowed: {line}\n")).collect::<String>());
            output::talk(&format!("{} of {needed} commands are allowed\n", needed.saturating_sub(lines.len())));
        }
    }
    Ok(if lines.is_empty() { Exit::Success } else { Exit::Failure })
}
