//! Which policies are in force: the host's, the one that was named, the fleet's.

use camino::Utf8Path;

use super::args::{Format, Global};
use super::error::{CliError, Exit};
use super::loader::FileLoader;
use super::output;
use super::session;
use crate::config::{self, Fleet};
use crate::effect::{Environment, files, paths};
use crate::plan::gate::{Caller, Policy};

/// Root's own policy for everything that runs on this host. The environment does not move it.
const HOST_POLICY: &str = "/etc/regatta/policy.kdl";

/// Every policy that is in force, the one that counts most first.
#[derive(Debug, Clone, Default)]
pub(super) struct Policies {
    all: Vec<config::Policy>,
}

impl Policies {
    /// Reads them.
    ///
    /// # Errors
    /// When one is there and cannot be used: what it says is not known then, so nothing may be done.
    pub(super) fn read(global: &Global, environment: &Environment, fleet: Option<&Fleet>) -> Result<Self, CliError> {
        let mut all = Vec::new();
        let host = Utf8Path::new(HOST_POLICY);
        if paths::exists(host)? {
            files::expect_root_owned(host)?;
            all.push(from_file(host, environment, global.format)?);
        }
        if let Some(named) = &global.policy {
            all.push(from_file(&environment.cwd.join(named), environment, global.format)?);
        }
        if let Some(policy) = fleet.and_then(|fleet| fleet.policy.as_ref()) {
            refuse_trust(policy)?;
            all.push(policy.clone());
        }
        Ok(Self { all })
    }

    /// What is in force for a caller.
    ///
    /// # Errors
    /// A pattern that names nothing there can be.
    pub(super) fn for_caller(&self, caller: Caller) -> Result<Policy, CliError> {
        let all: Vec<&config::Policy> = self.all.iter().collect();
        Policy::merge(&all, caller).map_err(|error| CliError::refused(error.to_string()))
    }

    /// Whether the audit log goes to syslog as well.
    pub(super) fn syslog(&self) -> bool {
        self.all.iter().any(|policy| policy.syslog)
    }
}

/// A fleet file must not say what of the host it may use.
fn refuse_trust(policy: &config::Policy) -> Result<(), CliError> {
    if policy.trust_paths.is_empty() && !policy.trust_commands {
        return Ok(());
    }
    let error = CliError::refused("found `trust-paths` or `trust-commands` in the policy of a fleet file");
    Err(error.hint(format!("they belong into `{HOST_POLICY}`, or a policy that `--policy` names")))
}

/// A file that holds a policy and nothing else.
fn from_file(path: &Utf8Path, environment: &Environment, format: Format) -> Result<config::Policy, CliError> {
    let (sources, fleet) = config::load(path, "policy", &mut FileLoader::new(environment));
    let fleet = match fleet {
        Ok(fleet) => fleet,
        Err(mistakes) => {
            session::tell(&mistakes, &sources, format)?;
            return Err(CliError::told(Exit::Refused));
        }
    };
    let others =
        [fleet.vms.len(), fleet.images.len(), fleet.kernels.len(), fleet.networks.len(), fleet.containers.len()];
    let alone = sources.files().count() == 1 && others.iter().all(|count| *count == 0);
    let (Some(policy), true) = (fleet.policy, alone) else {
        let error = CliError::refused(format!("`{path}` is no policy"));
        return Err(error.hint("expected one `policy { … }`, and nothing else"));
    };
    Ok(config::Policy { of_fleet: false, ..policy })
}

/// Who starts this run, by what standard input is.
pub(super) fn caller() -> Caller {
    if output::is_person() { Caller::Person } else { Caller::Pipeline }
}
