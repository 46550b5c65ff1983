//! The `regatta` binary: hands the process' arguments to [`regatta::cli`] and exits with what it returns.

use std::process::ExitCode;

fn main() -> ExitCode {
    regatta::cli::main(std::env::args_os())
}
