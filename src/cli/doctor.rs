//! `regatta doctor`: whether this machine can do what the fleet asks. Never writes.

use std::sync::Arc;

use super::args::{Format, Global};
use super::error::{CliError, Exit};
use super::{output, session};
use crate::driver::StateDir;
use crate::driver::doctor::{self, Doctor};
use crate::driver::microvm::{Trial, hypervisors};
use crate::effect::{CommandRunner, Environment};
use crate::render;
use crate::resource::{self, Health};

/// Looks at everything and says what is wrong; exits with 1 when something that is asked for will not work.
pub(super) async fn run(global: &Global) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let declared = session::declared(global, &environment)?;
    let state = StateDir::new(session::state_root(global, &environment)?);
    let networks = session::networks(&declared, &state);
    let here = hypervisors(&declared.fleet, &state, &CommandRunner, Trial::Known).await;
    let nodes = session::nodes(&declared, &state, &environment);
    let doctor = Doctor::new(Arc::new(networks), state, Arc::new(CommandRunner));
    let mut findings = doctor.examine(&declared.desired).await;
    findings.extend(doctor::machines(&resource::chosen(&declared.fleet, &here)));
    findings.extend(declared.clusters.examine(&declared.desired).await);
    findings.extend(nodes.examine().await);
    match global.format {
        Format::Human => output::data(&render::doctor(&findings, output::data_screen())),
        Format::Json => output::data(&render::doctor_json(&findings)?),
    }
    let worst = findings.iter().map(|finding| finding.verdict).max();
    Ok(if worst == Some(Health::Fail) { Exit::Failure } else { Exit::Success })
}
