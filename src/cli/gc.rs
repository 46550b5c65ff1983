//! `regatta gc`: removes what nobody needs from the store.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::args::{Format, GcArgs, Global};
use super::error::{CliError, Exit};
use super::{lock, output, session};
use crate::driver::{Kept, Store, kept, remove_kept, used};
use crate::effect::Environment;
use crate::resource::ContentKey;

/// One day, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// Days for which destroyed guests can be taken back, unless somebody says otherwise.
const DESTROYED_DAYS: u32 = 7;

/// What is told of one thing.
#[derive(Serialize)]
struct Told {
    name: String,
    path: String,
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
    let older_than = |otherwise| Duration::from_secs(u64::from(args.older_than.unwrap_or(otherwise)) * DAY);
    let mut told = Vec::new();
    for one in kept(&state, older_than(DESTROYED_DAYS))? {
        if args.delete {
            remove_kept(&one)?;
        }
        let Kept { name, path, allocated, age } = one;
        told.push(Told {
            name,
            path: path.into_string(),
            bytes: allocated,
            age_s: age.as_secs(),
            removed: args.delete,
        });
    }
    let used: BTreeSet<ContentKey> = used(&state)?.into_keys().collect();
    for one in store.garbage(&used, older_than(0))? {
        let removed = args.delete && store.remove(&one)?;
        let (path, bytes) = (one.path.to_string(), one.allocated);
        told.push(Told { name: one.name, path, bytes, age_s: one.age.as_secs(), removed });
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

fn text(told: &[Told], delete: bool) -> String {
    let mut lines = String::new();
    for Told { name, bytes, age_s, removed, .. } in told {
        let word = match (delete, removed) {
            (false, _) => "would remove",
            (true, true) => "removed",
            (true, false) => "in use, kept",
        };
        lines.push_str(&format!("{word} {name}, {}, {} days old\n", mib(*bytes), age_s / DAY));
    }
    let total = told.iter().filter(|one| one.removed || !delete).map(|one| one.bytes).sum();
    let end = match (told.is_empty(), delete) {
        (true, _) => "nothing to remove\n".to_owned(),
        (false, true) => format!("{} freed\n", mib(total)),
        (false, false) => format!("{} in all; pass --delete to remove it\n", mib(total)),
    };
    lines + &end
}

fn json(told: &[Told]) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(&serde_json::json!({ "format_version": 1, "garbage": told }));
    text.map(|text| text + "\n").map_err(|error| CliError::failure(error.to_string()))
}
