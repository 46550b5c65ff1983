//! Which part of a fleet a command is about.

use super::args::{Part, Scope};
use super::error::{CliError, Exit};
use crate::plan::{Options, Selection};
use crate::resource::{Address, Desired, Observed};

impl Part {
    /// What is selected.
    ///
    /// # Errors
    /// Patterns that name nothing: a mistyped one must not look like «nothing to do».
    pub(super) fn options(&self, desired: &Desired, observed: &Observed) -> Result<Options, CliError> {
        let selection = Selection { only: self.only.clone(), exclude: self.exclude.clone() };
        let unmatched: Vec<String> =
            selection.unmatched(desired, observed).into_iter().map(ToString::to_string).collect();
        refuse_unknown(&unmatched)?;
        Ok(Options { selection, ..Options::default() })
    }
}

impl Scope {
    /// What is selected, and what is made anew.
    ///
    /// # Errors
    /// Names that name nothing.
    pub(super) fn options(&self, desired: &Desired, observed: &Observed) -> Result<Options, CliError> {
        let declared = |guest: &String| desired.resources.contains_key(&address(guest));
        let unknown: Vec<String> = self.replace.iter().filter(|guest| !declared(guest)).cloned().collect();
        refuse_unknown(&unknown)?;
        let replace = self.replace.iter().map(|guest| address(guest)).collect();
        Ok(Options { replace, ..self.part.options(desired, observed)? })
    }
}

fn refuse_unknown(names: &[String]) -> Result<(), CliError> {
    if names.is_empty() {
        return Ok(());
    }
    let error = CliError::failure(format!("nothing in the fleet is named `{}`", names.join("`, `")));
    let error = CliError { exit: Exit::Usage, ..error };
    Err(error.hint("`regatta status` lists the guests, `regatta plan --format json` all addresses"))
}

/// A guest's address, from its name or itself.
fn address(guest: &str) -> Address {
    Address::vm(guest.strip_prefix("vm.").unwrap_or(guest))
}
