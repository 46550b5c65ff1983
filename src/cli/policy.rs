//! Which policies are in force: the host's, the one that was named, the fleet's.

use camino::{Utf8Path, Utf8PathBuf};

use super::args::{Format, Global};
use super::error::{CliError, Exit};
use super::loader::FileLoader;
use super::output;
use super::session;
use crate::config::{self, Fleet};
use crate::effect::{Environment, files, paths};
use crate::plan::gate::{Caller, Policy};
use crate::syntax::SourceMap;

/// Root's own policy for everything that runs on this host. The environment does not move it.
const HOST_POLICY: &str = "/etc/regatta/policy.kdl";

/// A policy, and where its relative paths start.
#[derive(Debug, Clone)]
struct Sourced {
    policy: config::Policy,
    directory: Utf8PathBuf,
}

/// Whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trust {
    /// A file of the form of OpenSSH's `allowed_signers`.
    pub signers: Utf8PathBuf,
    /// A file of public keys that count no more.
    pub revoked: Option<Utf8PathBuf>,
}

/// Every policy that is in force, the one that counts most first.
#[derive(Debug, Clone, Default)]
pub(super) struct Policies {
    all: Vec<Sourced>,
}

impl Policies {
    /// Reads them.
    ///
    /// # Errors
    /// When one is there and cannot be used: what it says is not known then, so nothing may be done.
    pub(super) fn read(
        global: &Global,
        environment: &Environment,
        declared: Option<(&Fleet, &SourceMap)>,
    ) -> Result<Self, CliError> {
        let mut all = Vec::new();
        let host = Utf8Path::new(HOST_POLICY);
        if paths::exists(host)? {
            files::expect_root_owned(host)?;
            all.push(from_file(host, environment, global.format)?);
        }
        if let Some(named) = &global.policy {
            all.push(from_file(&environment.cwd.join(named), environment, global.format)?);
        }
        if let Some((fleet, sources)) = declared
            && let Some(policy) = &fleet.policy
        {
            refuse_trust(policy)?;
            let written = policy.signers.as_ref().or(policy.revoked.as_ref());
            let file = written.map(|path| environment.cwd.join(&sources.file(path.span.source).path));
            let directory = file.and_then(|file| file.parent().map(Utf8Path::to_owned));
            all.push(Sourced { policy: policy.clone(), directory: directory.unwrap_or_default() });
        }
        Ok(Self { all })
    }

    /// What is in force for a caller.
    ///
    /// # Errors
    /// A pattern that names nothing there can be.
    pub(super) fn for_caller(&self, caller: Caller) -> Result<Policy, CliError> {
        let all: Vec<&config::Policy> = self.all.iter().map(|sourced| &sourced.policy).collect();
        Policy::merge(&all, caller).map_err(|error| CliError::refused(error.to_string()))
    }

    /// Whose signatures count for a caller: as the first policy says that says it. The agent does not ask the fleet's.
    pub(super) fn trust(&self, caller: Caller) -> Option<Trust> {
        let asked = self.all.iter().filter(|sourced| caller != Caller::Agent || !sourced.policy.of_fleet);
        asked.into_iter().find_map(|sourced| {
            let place = |path: &crate::syntax::Spanned<String>| sourced.directory.join(&path.value);
            let Sourced { policy, .. } = sourced;
            let signers = place(policy.signers.as_ref()?);
            Some(Trust { signers, revoked: policy.revoked.as_ref().map(place) })
        })
    }

    /// What of the host a repository may name under the agent: directories, and whether programs and variables.
    pub(super) fn trusted(&self) -> (Vec<Utf8PathBuf>, bool) {
        let own = || self.all.iter().map(|sourced| &sourced.policy).filter(|policy| !policy.of_fleet);
        let paths = own().flat_map(|policy| &policy.trust_paths).map(Utf8PathBuf::from);
        (paths.collect(), own().any(|policy| policy.trust_commands))
    }

    /// Whether the audit log goes to syslog as well.
    pub(super) fn syslog(&self) -> bool {
        self.all.iter().any(|sourced| sourced.policy.syslog)
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
fn from_file(path: &Utf8Path, environment: &Environment, format: Format) -> Result<Sourced, CliError> {
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
    let directory = paths::canonical(path)?.parent().map(Utf8Path::to_owned).unwrap_or_default();
    Ok(Sourced { policy: config::Policy { of_fleet: false, ..policy }, directory })
}

/// Who starts this run, by what standard input is.
pub(super) fn caller() -> Caller {
    if output::is_person() { Caller::Person } else { Caller::Pipeline }
}
