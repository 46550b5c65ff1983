//! `regatta check`: every mistake of the fleet file and everything it imports, in one run. Touches nothing.

use super::args::{CheckArgs, Format, Global};
use super::error::{CliError, Exit};
use super::forms::{self, Form, Out};
use super::output;
use super::session::{self, Read};
use crate::effect::Environment;
use crate::render::{self, Screen};

/// Checks the file.
pub(super) fn run(global: &Global, args: &CheckArgs) -> Result<Exit, CliError> {
    Out::expect(&args.out, &[Form::Human, Form::Json, Form::Sarif])?;
    let environment = Environment::read().map_err(CliError::failure)?;
    let Read { sources, fleet, .. } = session::read(global, &environment)?;
    let mistakes = fleet.as_ref().err().map_or(&[][..], Vec::as_slice);
    forms::write(&args.out, |form| match form {
        Form::Human => Ok(render::diagnostics(mistakes, &sources, Screen::plain(100))),
        Form::Json => Ok(render::diagnostics_json(mistakes, &sources)?),
        Form::Sarif => Ok(render::sarif(mistakes, &sources, env!("CARGO_PKG_VERSION"))?),
        form => Err(form.unknown_here("human, json or sarif")),
    })?;
    match (&fleet, global.format) {
        (Err(mistakes), format) => {
            session::tell(mistakes, &sources, format)?;
            return Err(CliError::told(Exit::Failure));
        }
        (Ok(_), Format::Json) => output::data(&render::diagnostics_json(&[], &sources)?),
        (Ok(fleet), Format::Human) => {
            let files = sources.files().count();
            let guests = fleet.vms.len() + fleet.containers.len() + fleet.cluster_vms.len();
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
