//! The composition root: arguments, real effects, exit codes. One file per command.

mod adopt;
mod adopt_cluster;
mod apply;
mod approvals;
mod approve;
mod args;
mod audit;
mod autostart;
mod check;
mod commands;
mod completions;
mod consent;
mod console;
mod cp;
mod destroy;
mod doctor;
mod drift;
mod error;
mod exec;
mod explain;
mod fmt;
mod forget;
mod forms;
mod gc;
mod graph;
mod hosts;
mod init;
mod journal;
mod keep_way;
mod left_behind;
mod loader;
mod lock;
mod lock_file;
mod logs;
mod on_cluster;
mod output;
mod pause;
mod plan;
mod policy;
mod power;
mod progress;
mod protect;
mod repin;
mod run;
mod schema;
mod scope;
mod session;
mod sessions;
mod signals;
mod signers;
mod snapshot;
mod ssh;
mod ssh_config;
mod status;
mod store;
mod sudoers;
mod suspend;
mod watch;
mod ways;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use error::{CliError, Exit};

use crate::driver::microvm::{Pause, Protection};
use crate::plan::power::Power;

/// Runs the program: parses its arguments, carries out the command, tells what went wrong, and gives the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(usage) => return wrong_usage(&usage).into(),
    };
    output::set_color(cli.global.color);
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("REGATTA_LOG"))
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            output::error(&CliError::failure("cannot start").cause(cause));
            return Exit::Failure.into();
        }
    };
    match runtime.block_on(carry_out(&cli)).and_then(|exit| output::lost().map_or(Ok(exit), Err)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::error(&error);
            error.exit.into()
        }
    }
}

async fn carry_out(cli: &Cli) -> Result<Exit, CliError> {
    let (global, form) = cli.global.with_form();
    let global = &match &cli.command {
        // These know more forms than other commands and look at theirs themselves.
        Command::Plan(_)
        | Command::Drift(_)
        | Command::Graph(_)
        | Command::Apply(_)
        | Command::Adopt(_)
        | Command::Forget(_)
        | Command::Destroy(_)
        | Command::Start(_)
        | Command::Stop(_)
        | Command::Restart(_)
        | Command::Snapshot(_) => global,
        _ => cli.global.basic()?,
    };
    match &cli.command {
        Command::Init => init::run(global),
        Command::Check(args) => check::run(global, args),
        Command::Explain(args) => explain::run(global, args).await,
        Command::Fmt(args) => fmt::run(global, args),
        Command::Schema => Ok(schema::run()),
        Command::Completions(args) => Ok(completions::run(args)),
        Command::Plan(args) => plan::run(global, form, args).await,
        Command::Apply(args) => apply::run(global, form, args).await,
        Command::Approve(args) => approve::run(args).await,
        Command::Signers(args) => signers::run(global, args).await,
        Command::Audit(args) => audit::run(global, args),
        Command::Watch(args) => watch::run(global, args).await,
        Command::Drift(args) => drift::run(global, form, args).await,
        Command::Graph(args) => graph::run(global, form, args).await,
        Command::Journal(args) => journal::run(global, args),
        Command::Gc(args) => gc::run(global, args).await,
        Command::Store(args) => store::run(global, args),
        Command::Lock(args) => lock_file::run(global, args).await,
        Command::Status => status::run(global).await,
        Command::Start(args) => power::run(global, form, (args, Power::On)).await,
        Command::Stop(args) => power::run(global, form, (args, Power::Off)).await,
        Command::Restart(args) => power::run(global, form, (args, Power::Cycle)).await,
        Command::Pause(args) => pause::run(global, args, Pause::On).await,
        Command::Resume(args) => pause::run(global, args, Pause::Off).await,
        Command::Suspend(args) => suspend::suspend(global, args).await,
        Command::Wake(args) => suspend::wake(global, args).await,
        Command::Logs(args) => logs::run(global, args).await,
        Command::Console(args) => console::run(global, args).await,
        Command::KeepConsole(args) => console::keep(args).await,
        Command::KeepWay(args) => keep_way::run(args).await,
        Command::Ssh(args) => ssh::run(global, args).await,
        Command::Exec(args) => exec::run(global, args).await,
        Command::Cp(args) => cp::run(global, args).await,
        Command::SshConfig(args) => ssh_config::run(global, args).await,
        Command::Repin(args) => repin::run(global, args).await,
        Command::Session(args) => sessions::run(global, args).await,
        Command::Snapshot(args) => snapshot::run(global, form, args).await,
        Command::Protect(args) => protect::run(global, args, Protection::On).await,
        Command::Unprotect(args) => protect::run(global, args, Protection::Off).await,
        Command::Adopt(args) => adopt::run(global, form, args).await,
        Command::Forget(args) => forget::run(global, form, args).await,
        Command::Doctor => doctor::run(global).await,
        Command::Sudoers(args) => sudoers::run(global, args).await,
        Command::Autostart(args) => autostart::run(global, args).await,
        Command::Hosts => hosts::run(global),
        Command::Destroy(args) => destroy::run(global, form, args).await,
    }
}

/// Help and version are data and a success; anything else is wrong usage.
fn wrong_usage(error: &clap::Error) -> Exit {
    // Where it cannot be printed, nobody reads it.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Success }
}
