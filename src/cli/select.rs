//! Which guests a command works in.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{CliError, Exit};
use super::session::Loaded;
use crate::driver::microvm::{Guests, Login};
use crate::plan::Pattern;
use crate::resource::Address;

/// The guests that these patterns name, declared ones and those that are only there.
///
/// # Errors
/// A pattern that names none: a mistyped one must not look like a command that had nothing to do.
pub(super) fn guests(loaded: &Loaded, guests: &Guests, patterns: &[Pattern]) -> Result<BTreeSet<String>, CliError> {
    let mut known: BTreeMap<String, BTreeSet<String>> =
        guests.names()?.into_iter().map(|name| (name, BTreeSet::new())).collect();
    for (name, vm) in &loaded.fleet.vms {
        known.insert(name.clone(), vm.tags.iter().map(|tag| tag.value.clone()).collect());
    }
    let mut selected = BTreeSet::new();
    for pattern in patterns {
        let named = known.iter().filter(|(name, tags)| pattern.matches(&Address::vm(name), tags));
        let named: Vec<String> = named.map(|(name, _)| name.clone()).collect();
        if named.is_empty() {
            let error = CliError::failure(format!("no guest is named `{pattern}`"));
            return Err(CliError { exit: Exit::Usage, ..error }.hint(names(known.keys())));
        }
        selected.extend(named);
    }
    Ok(selected)
}

/// How to log in to one running guest.
///
/// # Errors
/// When there is no such guest, or it is stopped.
pub(super) fn login(loaded: &Loaded, guests: &Guests, guest: &str) -> Result<Login, CliError> {
    guests.login(guest).map_err(|failure| {
        CliError::from(failure).hint(match loaded.fleet.vms.contains_key(guest) {
            true => "`regatta apply` makes and starts it".to_owned(),
            false => names(loaded.fleet.vms.keys()),
        })
    })
}

fn names<'a>(known: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = known.map(String::as_str).collect();
    format!("the fleet has {}", if names.is_empty() { "no guests".into() } else { names.join(", ") })
}
