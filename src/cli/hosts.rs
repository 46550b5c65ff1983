//! `regatta hosts`: the names of guests on bridges, as lines for `/etc/hosts`.

use serde::Serialize;

use super::args::{Format, Global};
use super::error::{CliError, Exit};
use super::{output, session};
use crate::effect::Environment;
use crate::resource::Resource;

/// One name.
#[derive(Serialize)]
struct Entry {
    address: String,
    name: String,
}

/// Prints them; who wants them resolved puts them where he wants.
pub(super) fn run(global: &Global) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let desired = session::declared(global, &environment)?.desired;
    let mut entries = Vec::new();
    for declared in desired.resources.values() {
        let Resource::Network(spec) = &declared.resource else { continue };
        for (guest, tap) in &spec.taps {
            let name = format!("{guest}.{}", desired.fleet);
            let addresses = std::iter::once(tap.address.to_string()).chain(tap.address6.map(|it| it.to_string()));
            entries.extend(addresses.map(|address| Entry { address, name: name.clone() }));
        }
    }
    match global.format {
        Format::Json => output::data(&(serde_json::to_string_pretty(&entries)? + "\n")),
        Format::Human => {
            let line = |entry: &Entry| format!("{}\t{}\n", entry.address, entry.name);
            output::data(&entries.iter().map(line).collect::<String>());
        }
    }
    if entries.is_empty() {
        output::talk("no guest has an address: only those on a bridged network do\n");
    }
    Ok(Exit::Success)
}
