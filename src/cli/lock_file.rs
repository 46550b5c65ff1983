//! `regatta lock`: writes down which bytes the fleet's images stand for.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::args::{Format, Global, LockArgs};
use super::error::{CliError, Exit};
use super::output;
use super::session::{self, Loaded};
use crate::config::LockFile;
use crate::driver::pins::{Ask, Pinning, Pins};
use crate::driver::{StateDir, Store};
use crate::effect::{CommandRunner, Environment, files};
use crate::exec::Progress;
use crate::resource::{Pin, Pinned};

/// A lock file is short.
const LIMIT: u64 = 4 << 20;

/// Where a fleet's lock file is: beside the fleet file, `fleet.lock.kdl` beside `fleet.kdl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockPath(Utf8PathBuf);

impl LockPath {
    /// Beside this fleet file.
    pub(super) fn beside(origin: &Utf8Path) -> Self {
        Self(origin.with_extension("lock.kdl"))
    }

    /// What is in it; nothing when there is none. Mistakes are told here.
    pub(super) fn read(&self, format: Format) -> Result<LockFile, CliError> {
        let Some(text) = files::read_bounded(&self.0, LIMIT)? else { return Ok(LockFile::default()) };
        let text = String::from_utf8(text).map_err(|_| CliError::failure(format!("`{}` is no UTF-8 text", self.0)))?;
        match LockFile::parse(&self.0, text) {
            Ok(lock) => Ok(lock),
            Err((sources, mistakes)) => {
                session::tell(&mistakes, &sources, format)?;
                Err(CliError::told(Exit::Failure))
            }
        }
    }

    /// Replaces it.
    pub(super) fn write(&self, lock: &LockFile) -> Result<(), CliError> {
        Ok(files::publish(&self.0, lock.to_string().as_bytes())?)
    }
}

/// Tells what is being asked on standard error, when it takes somebody's time.
struct Talk;

impl Progress for Talk {
    fn say(&self, text: &str) {
        output::talk(&format!("{text}\n"));
    }
}

/// What the images of a fleet stand for.
pub(super) async fn pins(
    loaded: &Loaded,
    lock: &LockFile,
    home: &Utf8Path,
    state: &StateDir,
    ask: Ask,
) -> Result<Pins, CliError> {
    let store = Store::new(state.store());
    let Loaded { fleet, sources, .. } = loaded;
    let pinning = Pinning { fleet, sources, home, run: &CommandRunner, store: &store, lock, progress: &Talk };
    Ok(pinning.pins(ask).await?)
}

/// Pins for a command that makes nothing of the images: what is not known stays so, and is no mistake.
pub(super) fn whatever_they_are(pins: BTreeMap<String, Pinned>) -> BTreeMap<String, Pinned> {
    let accepted = |pinned| if matches!(pinned, Pinned::Refused { .. }) { Pinned::At(Pin::unknown()) } else { pinned };
    pins.into_iter().map(|(name, pinned)| (name, accepted(pinned))).collect()
}

/// Makes the lock file right, or says that it is not.
pub(super) async fn run(global: &Global, args: &LockArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let loaded = session::load(global, &environment)?;
    let state = session::state_dir(global, &environment)?;
    let home = session::user(&environment)?.home;
    let path = LockPath::beside(&loaded.origin);
    let before = path.read(global.format)?;
    let mut known = before.clone();
    for name in &args.update {
        if !loaded.fleet.images.contains_key(name) {
            return Err(CliError::failure(format!("found no image `{name}` in the fleet file")));
        }
        known.images.remove(name);
    }
    let ask = if args.check { Ask::Nothing } else { Ask::Everything };
    let Pins { images, lock } = pins(&loaded, &known, &home, &state, ask).await?;
    let refused: Vec<String> = images
        .iter()
        .filter_map(|(name, pinned)| match pinned {
            Pinned::Refused { message, .. } => Some(format!("image `{name}`: {message}")),
            Pinned::At(_) => None,
        })
        .collect();
    if args.check {
        let left = before.images.keys().filter(|name| !lock.images.contains_key(*name) && !images.contains_key(*name));
        let left = left.map(|name| format!("image `{name}` is in the lock file and needs no entry there"));
        return verdict(&path, refused.into_iter().chain(left).collect());
    }
    if !refused.is_empty() {
        return verdict(&path, refused);
    }
    if lock != before {
        path.write(&lock)?;
    }
    output::data(&changes(&before, &lock));
    Ok(Exit::Success)
}

fn verdict(path: &LockPath, wrong: Vec<String>) -> Result<Exit, CliError> {
    if wrong.is_empty() {
        return Ok(Exit::Success);
    }
    let error = CliError::failure(format!("`{}` does not fit the fleet file", path.0));
    let hint = "run `regatta lock`, or `regatta lock --update IMAGE` for what was changed on purpose";
    Err(wrong.into_iter().fold(error, CliError::cause).hint(hint))
}

/// A line for each entry that is new, gone or another.
fn changes(before: &LockFile, after: &LockFile) -> String {
    let names: std::collections::BTreeSet<&String> = before.images.keys().chain(after.images.keys()).collect();
    let digest = |lock: &LockFile, name: &str| lock.images.get(name).map(|locked| locked.digest.clone());
    let lines = names.into_iter().filter_map(|name| match (digest(before, name), digest(after, name)) {
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) => Some(format!("image {name}: {old} → {new}\n")),
        (None, Some(new)) => Some(format!("image {name}: {new}\n")),
        (Some(_), None) => Some(format!("image {name}: removed\n")),
        (None, None) => None,
    });
    lines.collect()
}
