//! Becoming another program.

use std::os::unix::process::CommandExt as _;

/// Replaces this process with a program found on `PATH`, passing everything on: environment, terminal, open streams.
/// Returns only when that failed, with the reason.
pub fn exec(program: &str, arguments: &[String]) -> String {
    let cause = std::process::Command::new(program).args(arguments).exec();
    format!("cannot run `{program}`: {cause}")
}
