//! `regatta gc`: removes what nobody needs from the store.

use std::time::Duration;

use serde::Serialize;

use super::args::{Format, GcArgs, Global};
use super::error::{CliError, Exit};
use super::{lock, output, session};
use crate::driver::{Garbage, Store, used};
use crate::effect::Environment;

/// One day, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// What is told of one thing to machines.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    path: &'a str,
    bytes: u64,
    age_s: u64,
    removed: bool,
}

/// Shows what no guest of this machine needs, and removes it when that is asked for.
pub(super) async fn run(global: &Global, args: &GcArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let state = session::state_dir(global, &environment)?;
    let _lock = lock::take(&state.host_lock(), "regatta gc", Duration::from_secs(args.wait)).await?;
    let store = Store::new(state.store());
    let garbage = store.garbage(&used(&state)?, Duration::from_secs(u64::from(args.older_than) * DAY))?;
    let mut told = Vec::new();
    for one in &garbage {
        let removed = args.delete && store.remove(one)?;
        told.push((one, removed));
    }
    match global.format {
        Format::Human => output::data(&text(&told, args.delete)),
        Format::Json => output::data(&json(&told)?),
    }
    Ok(Exit::Success)
}

/// Bytes for people: a digit after the point.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{}MiB", tenths / 10, tenths % 10)
}

fn text(told: &[(&Garbage, bool)], delete: bool) -> String {
    let mut lines = String::new();
    for (garbage, removed) in told {
        let word = match (delete, removed) {
            (false, _) => "would remove",
            (true, true) => "removed",
            (true, false) => "in use, kept",
        };
        let days = garbage.age.as_secs() / DAY;
        lines.push_str(&format!("{word} {}, {}, {days} days old\n", garbage.name, mib(garbage.allocated)));
    }
    let total = told.iter().filter(|(_, removed)| *removed || !delete).map(|(garbage, _)| garbage.allocated).sum();
    let end = match (told.is_empty(), delete) {
        (true, _) => "nothing to remove\n".to_owned(),
        (false, true) => format!("{} freed\n", mib(total)),
        (false, false) => format!("{} in all; pass --delete to remove it\n", mib(total)),
    };
    lines + &end
}

fn json(told: &[(&Garbage, bool)]) -> Result<String, CliError> {
    let told: Vec<Told<'_>> = told
        .iter()
        .map(|(garbage, removed)| Told {
            name: &garbage.name,
            path: garbage.path.as_str(),
            bytes: garbage.allocated,
            age_s: garbage.age.as_secs(),
            removed: *removed,
        })
        .collect();
    let text = serde_json::to_string_pretty(&serde_json::json!({ "format_version": 1, "garbage": told }));
    text.map(|text| text + "\n").map_err(|error| CliError::failure(error.to_string()))
}
