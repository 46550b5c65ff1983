//! `regatta explain ADDRESS`: each value of a resource, who decided it, and where. Looks at the fleet file, and at what decides
//! which VMM runs a guest that names none.

use serde::Serialize;

use super::args::{ExplainArgs, Format, Global};
use super::error::{CliError, Exit};
use super::{output, session};
use crate::config::{self, Explanation};
use crate::driver::StateDir;
use crate::driver::microvm::{Trial, hypervisors};
use crate::effect::{CommandRunner, Environment};
use crate::resource;

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
pub(super) async fn run(global: &Global, args: &ExplainArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let loaded = session::load(global, &environment)?;
    let state = StateDir::new(session::state_root(global, &environment)?);
    let here = hypervisors(&loaded.fleet, &state, &CommandRunner, Trial::Known).await;
    let chosen = resource::chosen(&loaded.fleet, &here);
    let explanation =
        config::explain(&loaded.fleet, &loaded.sources, &chosen, &args.address).map_err(CliError::failure)?;
    match global.format {
        Format::Human => output::data(&explanation.to_string()),
        Format::Json => {
            let document = Document { format_version: FORMAT_VERSION, explanation: &explanation };
            output::data(&(serde_json::to_string_pretty(&document)? + "\n"));
        }
    }
    Ok(Exit::Success)
}
