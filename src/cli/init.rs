//! `regatta init`: writes a commented fleet file to start from. Never replaces one.

use super::args::Global;
use super::error::{CliError, Exit};
use super::output;
use crate::config::STARTER;
use crate::effect::{Environment, files};

/// Writes the file.
pub(super) fn run(global: &Global) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    if !files::create_new(&environment.cwd.join(&global.file), STARTER.as_bytes())? {
        let error = CliError::failure(format!("`{}` is there already", global.file));
        return Err(error.hint("name another file with `--file`"));
    }
    output::talk(&format!("{} is written; `regatta check` and `regatta plan` come next\n", global.file));
    Ok(Exit::Success)
}
