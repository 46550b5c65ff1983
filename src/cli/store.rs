//! `regatta store`: what is in the store of this machine.

use super::args::{Format, Global, StoreArgs};
use super::error::{CliError, Exit};
use super::{output, session};
use crate::driver::{Store, used};
use crate::effect::Environment;
use crate::render;
use crate::resource::Stored;

/// The fewest digits that a key can be told by.
const SHORTEST_KEY: usize = 6;

/// Lists everything, or tells what was asked for at length. Needs no fleet file.
pub(super) fn run(global: &Global, args: &StoreArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let state = session::state_dir(global, &environment)?;
    let mut stored = Store::new(state.store()).catalog(&used(&state)?)?;
    if let Some(unknown) = args.names.iter().find(|name| !stored.iter().any(|one| is_called(one, name))) {
        return Err(CliError::failure(format!("nothing in the store is called `{unknown}`"))
            .hint("`regatta store` lists what is there; `regatta apply` builds what guests need"));
    }
    if !args.names.is_empty() {
        stored.retain(|one| args.names.iter().any(|name| is_called(one, name)));
    }
    match global.format {
        Format::Json => output::data(&render::store_json(&stored)?),
        Format::Human if args.names.is_empty() => output::data(&render::store(&stored, output::data_screen())),
        Format::Human => output::data(&render::store_details(&stored, output::data_screen())),
    }
    Ok(Exit::Success)
}

fn is_called(stored: &Stored, name: &str) -> bool {
    let key = stored.recipe.key().as_str();
    stored.recipe.name() == name || (name.len() >= SHORTEST_KEY && key.starts_with(name))
}
