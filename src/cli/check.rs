//! `regatta check`: every mistake of the fleet file and everything it imports, in one run. Touches nothing.

use super::args::{Format, Global};
use super::error::{CliError, Exit};
use super::output;
use super::session;
use crate::effect::Environment;
use crate::render;

/// Checks the file.
pub(super) fn run(global: &Global) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let loaded = session::load(global, &environment)?;
    match global.format {
        Format::Json => output::data(&render::diagnostics_json(&[], &loaded.sources)?),
        Format::Human => {
            let (files, guests) = (loaded.sources.files().count(), loaded.fleet.vms.len());
            output::talk(&format!(
                "{}: no mistakes ({} read, {})\n",
                global.file,
                counted(files, "file"),
                counted(guests, "guest")
            ));
        }
    }
    Ok(Exit::Success)
}

/// `1 file`, `2 files`.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
