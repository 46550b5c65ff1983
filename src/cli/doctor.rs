//! `regatta doctor`: whether this machine can do what the fleet asks. Never writes.

use std::sync::Arc;

use super::args::{Format, Global};
use super::error::{CliError, Exit};
use super::{output, session};
use crate::driver::StateDir;
use crate::driver::doctor::Doctor;
use crate::effect::{CommandRunner, Environment};
use crate::render;
use crate::resource::Health;

/// Looks at everything and says what is wrong; exits with 1 when something that is asked for will not work.
pub(super) async fn run(global: &Global) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let declared = session::declared(global, &environment)?;
    let state = StateDir::new(session::state_root(global, &environment)?);
    let networks = session::networks(&declared, &state);
    let doctor = Doctor::new(Arc::new(networks), state, Arc::new(CommandRunner));
    let mut findings = doctor.examine(&declared.desired).await;
    findings.extend(declared.clusters.examine(&declared.desired).await);
    match global.format {
        Format::Human => output::data(&render::doctor(&findings, output::data_screen())),
        Format::Json => output::data(&render::doctor_json(&findings)?),
    }
    let worst = findings.iter().map(|finding| finding.verdict).max();
    Ok(if worst == Some(Health::Fail) { Exit::Failure } else { Exit::Success })
}
