//! The composition root: arguments, real effects, exit codes.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program.
pub fn main(_args: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::SUCCESS
}
