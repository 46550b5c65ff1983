//! `regatta explain ADDRESS`: each value of a resource, who decided it, and where. Looks at the fleet file only.

use serde::Serialize;

use super::args::{ExplainArgs, Format, Global};
use super::error::{CliError, Exit};
use super::{output, session};
use crate::config::{self, Explanation};
use crate::effect::Environment;

/// Version of the JSON form.
const FORMAT_VERSION: u32 = 1;

/// The JSON form.
#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

/// Explains one resource.
pub(super) fn run(global: &Global, args: &ExplainArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let loaded = session::load(global, &environment)?;
    let explanation = config::explain(&loaded.fleet, &loaded.sources, &args.address).map_err(CliError::failure)?;
    match global.format {
        Format::Human => output::data(&explanation.to_string()),
        Format::Json => {
            let document = Document { format_version: FORMAT_VERSION, explanation: &explanation };
            output::data(&(serde_json::to_string_pretty(&document)? + "\n"));
        }
    }
    Ok(Exit::Success)
}
