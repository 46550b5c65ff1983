//! Mistakes in fleet files, for people and for machines.

mod excerpt;
mod graphical;
mod json;

pub use graphical::diagnostics;
pub use json::{DIAGNOSTICS_FORMAT_VERSION, diagnostics_json};
