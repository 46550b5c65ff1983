//! `regatta completions`: what a shell has to know to complete arguments.

use clap::CommandFactory as _;

use super::args::{Cli, CompletionsArgs};
use super::error::Exit;
use super::output;

/// Prints the script.
pub(super) fn run(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "regatta", &mut script);
    output::data(&String::from_utf8_lossy(&script));
    Exit::Success
}
