//! `regatta journal`: the runs of a fleet, and what each of them did.

use super::args::{Format, Global, JournalArgs, JournalCommand};
use super::error::{CliError, Exit};
use super::{output, session};
use crate::effect::Environment;
use crate::exec::{Journals, RunId};
use crate::render;

/// Lists the runs, or tells one.
pub(super) fn run(global: &Global, args: &JournalArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let loaded = session::load(global, &environment)?;
    let state = session::state_dir(global, &environment)?;
    let journals = Journals::new(state.runs(&loaded.fleet.name.value));
    match &args.command {
        None => list(&journals, global.format)?,
        Some(JournalCommand::Show { run }) => show(&journals, run.as_deref(), global.format)?,
    }
    Ok(Exit::Success)
}

fn list(journals: &Journals, format: Format) -> Result<(), CliError> {
    let runs = journals.list()?;
    match format {
        Format::Human => output::data(&render::journal_list(&runs, output::data_screen())),
        Format::Json => output::data(&render::journal_list_json(&runs)?),
    }
    Ok(())
}

fn show(journals: &Journals, named: Option<&str>, format: Format) -> Result<(), CliError> {
    let listed = journals.look(find(&journals.runs()?, named)?)?;
    match (format, &listed.story) {
        (Format::Json, _) => output::data(&render::journal_json(&listed)?),
        (Format::Human, Ok(story)) => output::data(&render::journal_story(&listed, story, output::data_screen())),
        (Format::Human, Err(error)) => return Err(CliError::failure(error.to_string())),
    }
    Ok(())
}

/// The run that is meant: the last, or the only one whose id begins so.
fn find(runs: &[RunId], named: Option<&str>) -> Result<RunId, CliError> {
    let hint = "`regatta journal` lists the runs";
    let Some(named) = named else {
        return runs.last().copied().ok_or_else(|| CliError::failure("this fleet has no runs yet"));
    };
    let mut found = runs.iter().filter(|run| run.to_string().starts_with(named));
    match (found.next(), found.next()) {
        (Some(run), None) => Ok(*run),
        (None, _) => Err(CliError::failure(format!("found no run `{named}`")).hint(hint)),
        (Some(_), Some(_)) => {
            Err(CliError::failure(format!("found several runs that begin with `{named}`")).hint(hint))
        }
    }
}
