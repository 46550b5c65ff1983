//! `regatta schema`: the fleet language for editors, as a document in the KDL Schema Language.

use super::error::Exit;
use super::output;
use crate::config;

/// Prints the schema.
pub(super) fn run() -> Exit {
    output::data(&config::schema());
    Exit::Success
}
