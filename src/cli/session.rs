//! One invocation's view of the world: this machine, the fleet file, what it wants, what there is.

mod clusters;

pub(super) use clusters::clusters;

use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::args::{Format, Global};
use super::error::{CliError, Exit};
use super::loader::FileLoader;
use super::lock_file::{self, LockPath};
use super::policy::Policies;
use super::{lock, output};
use crate::config::{self, Fleet, LockFile};
use crate::driver::boot::{self, BootUnit};
use crate::driver::doctor::preflight;
use crate::driver::inputs::{self, Secrets, User};
use crate::driver::microvm::{self, Effects, Guests, Jails, Trial};
use crate::driver::network::{Guard, Networks};
use crate::driver::nodes::{NodeDoors, Nodes};
use crate::driver::pins::Ask;
use crate::driver::privilege::Privileged;
use crate::driver::proxmox::Clusters;
use crate::driver::secrets;
use crate::driver::{Doors, Insides, StateDir};
use crate::effect::{
    Clock as _, CommandRunner, Detacher, DigestCache, Environment, KeyPair, ProcFs, SshClient, Surroundings,
    SystemClock, files, fingerprint, paths, syslog,
};
use crate::exec::AuditFile;
use crate::render;
use crate::resource::{self, Desired, Lowered, Observed};
use crate::syntax::{Diagnostic, Severity, SourceMap};

/// A key file is short.
const KEY_LIMIT: u64 = 16 << 10;

/// Steps side by side where neither the command line nor the fleet file says.
const DEFAULT_PARALLEL: usize = 4;

/// Making a key takes milliseconds.
const KEY_DEADLINE: Duration = Duration::from_secs(10);

/// A fleet file that was read without a mistake.
pub(super) struct Loaded {
    /// The files it came from.
    pub sources: SourceMap,
    /// What they declare.
    pub fleet: Fleet,
    /// Absolute path of the fleet file: whose guests these are.
    pub origin: Utf8PathBuf,
}

/// A fleet file as it was read, with or without mistakes.
pub(super) struct Read {
    /// The files it came from.
    pub sources: SourceMap,
    /// What they declare, or everything that is wrong with them.
    pub fleet: Result<Fleet, Vec<Diagnostic>>,
    /// Absolute path of the fleet file.
    pub origin: Utf8PathBuf,
}

/// Reads and checks the fleet file.
pub(super) fn read(global: &Global, environment: &Environment) -> Result<Read, CliError> {
    let path = environment.cwd.join(&global.file);
    let origin = if paths::exists(&path).unwrap_or(false) { paths::canonical(&path)? } else { path };
    let directory = origin.parent().and_then(Utf8Path::file_name).unwrap_or_default();
    let default_name = config::default_name(directory);
    let (sources, fleet) =
        config::load(&global.file, &default_name, &mut FileLoader::fenced(environment, global.fence.as_ref()));
    Ok(Read { sources, fleet, origin })
}

/// Reads and checks the fleet file. Mistakes are told here, in the form asked for.
pub(super) fn load(global: &Global, environment: &Environment) -> Result<Loaded, CliError> {
    let Read { sources, fleet, origin } = read(global, environment)?;
    match fleet {
        Ok(fleet) => Ok(Loaded { sources, fleet, origin }),
        Err(mistakes) => {
            tell(&mistakes, &sources, global.format)?;
            Err(CliError::told(Exit::Failure))
        }
    }
}

/// Tells mistakes: for people on standard error, for machines on standard output.
pub(super) fn tell(mistakes: &[Diagnostic], sources: &SourceMap, format: Format) -> Result<(), CliError> {
    let errors = mistakes.iter().any(|mistake| mistake.severity == Severity::Error);
    match format {
        // Warnings alone leave standard output to the data.
        Format::Json if errors => output::data(&render::diagnostics_json(mistakes, sources)?),
        _ => output::talk(&render::diagnostics(mistakes, sources, output::error_screen())),
    }
    Ok(())
}

/// What a command needs to know beside the fleet file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Everything, secrets included.
    Secrets,
    /// All but secrets.
    NoSecrets,
    /// Which guests there are. A lock file that does not fit, or a registry that is away, must not keep anybody from
    /// removing a guest.
    Guests,
}

/// What a fleet file declares, without the files that it names on this machine: nothing else is read, nothing is written.
pub(super) struct Declared {
    /// Absolute path of the fleet file.
    pub origin: Utf8PathBuf,
    /// What it says.
    pub fleet: Fleet,
    /// What should exist.
    pub desired: Desired,
    /// The fleet's clusters, none of which was asked yet.
    pub clusters: Arc<Clusters>,
    /// Who has to agree.
    pub policies: Policies,
}

/// Reads the fleet file and nothing else.
pub(super) fn declared(global: &Global, environment: &Environment) -> Result<Declared, CliError> {
    let loaded = load(global, environment)?;
    let clusters = Arc::new(clusters(&loaded, environment));
    let policies = Policies::read(global, environment, Some((&loaded.fleet, &loaded.sources)))?;
    let Loaded { sources, fleet, origin } = loaded;
    match resource::outline(&fleet, &sources) {
        Ok(desired) => Ok(Declared { origin, fleet, desired, clusters, policies }),
        Err(mistakes) => {
            tell(&mistakes, &sources, global.format)?;
            Err(CliError::told(Exit::Failure))
        }
    }
}

/// The bridged networks of a fleet that was read and nothing else.
pub(super) fn networks(declared: &Declared, state: &StateDir) -> Networks {
    let (runner, clock) = (Arc::new(CommandRunner), Arc::new(SystemClock));
    let audit = Arc::new(audit_log(state, &declared.policies));
    Networks::new(&declared.desired.fleet, declared.origin.as_str(), runner, clock, audit)
}

/// The nodes in the fences of a fleet that was read and nothing else.
pub(super) fn nodes(declared: &Declared, state: &StateDir, environment: &Environment) -> Nodes {
    let audit = Arc::new(audit_log(state, &declared.policies));
    let clusters = Arc::clone(&declared.clusters);
    Nodes::new(&declared.desired, clusters, node_doors(audit), state.clone(), environment.home.clone())
}

/// The nodes by whose way containers are gone into, for commands that read the fleet file and nothing else.
pub(super) fn nodes_on_the_way(
    global: &Global,
    loaded: &Loaded,
    clusters: &Arc<Clusters>,
    state: &StateDir,
    environment: &Environment,
) -> Result<Nodes, CliError> {
    let policies = Policies::read(global, environment, Some((&loaded.fleet, &loaded.sources)))?;
    let doors = node_doors(Arc::new(audit_log(state, &policies)));
    match resource::outline(&loaded.fleet, &loaded.sources) {
        Ok(desired) => Ok(Nodes::new(&desired, Arc::clone(clusters), doors, state.clone(), environment.home.clone())),
        Err(mistakes) => {
            tell(&mistakes, &loaded.sources, global.format)?;
            Err(CliError::told(Exit::Failure))
        }
    }
}

fn node_doors(audit: Arc<AuditFile>) -> NodeDoors {
    let (run, clock) = (Arc::new(CommandRunner), Arc::new(SystemClock));
    NodeDoors { connect: Arc::new(SshClient::default()), run, clock, audit }
}

/// Where decisions, and what runs as root, are written down.
fn audit_log(state: &StateDir, policies: &Policies) -> AuditFile {
    let file = AuditFile::new(state.audit_log());
    if policies.syslog() { file.witnessed(syslog) } else { file }
}

/// A fleet, and this machine as it concerns it.
pub(super) struct Session {
    state: StateDir,
    fleet: String,
    owner: Option<String>,
    parallelism: Option<u32>,
    origin: Utf8PathBuf,
    sources: SourceMap,
    warnings: Vec<Diagnostic>,
    desired: Desired,
    guests: Arc<Guests>,
    networks: Arc<Networks>,
    boot: Arc<BootUnit>,
    /// The lock file as it should be, when that is not what it is.
    lock: Option<(LockPath, LockFile)>,
    clusters: Arc<Clusters>,
    insides: Arc<Insides>,
    nodes: Arc<Nodes>,
    policies: Policies,
    /// What approvals name this host by.
    host: String,
}

impl Session {
    /// Reads the fleet file and everything it names on this machine, secrets included.
    pub(super) async fn open(global: &Global) -> Result<Self, CliError> {
        Self::open_with(global, Want::Secrets).await
    }

    /// As [`Self::open`], for commands that write no files: secrets are left alone.
    pub(super) async fn open_without_secrets(global: &Global) -> Result<Self, CliError> {
        Self::open_with(global, Want::NoSecrets).await
    }

    /// As [`Self::open_without_secrets`], for commands that make nothing of the images: it does not matter what those are.
    pub(super) async fn open_for_guests(global: &Global) -> Result<Self, CliError> {
        Self::open_with(global, Want::Guests).await
    }

    async fn open_with(global: &Global, want: Want) -> Result<Self, CliError> {
        let environment = Environment::read().map_err(CliError::failure)?;
        let loaded = load(global, &environment)?;
        let state = state_dir(global, &environment)?;
        // Of whoever runs us, whatever the fence lets the fleet see.
        let units = boot::folder(environment.config_home().as_deref());
        let environment = fenced(global, &loaded, environment)?;
        let own_key = own_key(&state).await?;
        let user = user(&environment)?;
        let access = match want {
            Want::Secrets => Secrets::Fetch(secrets::seal_key(&state)?),
            Want::NoSecrets | Want::Guests => Secrets::Leave,
        };
        let digests = Arc::new(known_digests(&state));
        let mut inputs = inputs::read(&loaded.fleet, &loaded.sources, &user, &CommandRunner, &access, &digests).await?;
        // A cache that cannot be written costs time and nothing else.
        let _ = digests.save(&state.digests());
        let host = fingerprint(&own_key)?;
        inputs.own_keys = vec![own_key];
        let trial = if want == Want::Guests { Trial::Known } else { Trial::Allowed };
        inputs.hypervisors = microvm::hypervisors(&loaded.fleet, &state, &CommandRunner, trial).await;
        let lock = LockPath::beside(&loaded.origin);
        let known = lock.read(global.format)?;
        let ask = if want == Want::Guests { Ask::Nothing } else { Ask::Missing };
        let pins = lock_file::pins(&loaded, &known, &user.home, &state, ask).await?;
        inputs.pins = if want == Want::Guests { lock_file::whatever_they_are(pins.images) } else { pins.images };
        // What other images have there is theirs: an apply adds, and only `regatta lock` removes.
        let learned = LockFile { images: known.images.clone().into_iter().chain(pins.lock.images).collect() };
        let lock = (learned != known).then_some((lock, learned));
        let Lowered { desired, warnings } = match resource::lower(&loaded.fleet, &loaded.sources, &inputs) {
            Ok(lowered) => lowered,
            Err(mistakes) => {
                tell(&mistakes, &loaded.sources, global.format)?;
                return Err(CliError::told(Exit::Failure));
            }
        };
        let clusters = Arc::new(clusters(&loaded, &environment));
        let policies = Policies::read(global, &environment, Some((&loaded.fleet, &loaded.sources)))?;
        let (runner, clock, audit) = (Arc::new(CommandRunner), Arc::new(SystemClock), audit_log(&state, &policies));
        let jails = Jails::new(Privileged::new(runner, clock, Arc::new(audit)));
        let guests = Arc::new(guests(&loaded, state.clone()).jailing(jails));
        let Loaded { sources, fleet, origin } = loaded;
        let (owner, parallelism) = (fleet.owner.map(|owner| owner.value), fleet.parallelism.map(|steps| steps.value));
        let (runner, clock) = (Arc::new(CommandRunner), Arc::new(SystemClock));
        let boot = BootUnit::new(&fleet.name.value, origin.as_str(), &state, units, Arc::clone(&runner) as _)?;
        let guard = Guard::new(&fleet.name.value, origin.as_str(), state.clone(), Arc::new(Detacher));
        let audit = Arc::new(audit_log(&state, &policies));
        let doors = node_doors(Arc::clone(&audit));
        let nodes = Nodes::new(&desired, Arc::clone(&clusters), doors, state.clone(), environment.home.clone());
        let nodes = Arc::new(nodes);
        let insides = insides(&fleet.name.value, Arc::clone(&clusters), state.clone(), &environment);
        let insides = insides.by_way_of(Arc::clone(&nodes));
        let networks = Networks::new(&fleet.name.value, origin.as_str(), runner, clock, audit).guarded(guard);
        Ok(Self {
            state,
            fleet: fleet.name.value,
            owner,
            parallelism,
            origin,
            sources,
            warnings,
            desired,
            guests,
            clusters,
            insides: Arc::new(insides),
            nodes,
            networks: Arc::new(networks),
            boot: Arc::new(boot),
            lock,
            policies,
            host,
        })
    }

    /// Tells what the fleet file names and this machine lacks: where it matters, before something is made of it.
    pub(super) fn tell_warnings(&self, global: &Global) -> Result<(), CliError> {
        if self.warnings.is_empty() { Ok(()) } else { tell(&self.warnings, &self.sources, global.format) }
    }

    /// Writes down what was asked of registries for this session.
    pub(super) fn write_lock(&self) -> Result<(), CliError> {
        self.lock.as_ref().map_or(Ok(()), |(path, lock)| path.write(lock))
    }

    /// What the fleet file wants.
    pub(super) const fn desired(&self) -> &Desired {
        &self.desired
    }

    /// Whom to ask about the fleet.
    pub(super) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Steps side by side: as the command line says, else the fleet file, else the default.
    pub(super) fn parallel(&self, asked: Option<u16>) -> usize {
        parallel(asked, self.parallelism)
    }

    /// The fleet's guests on this machine.
    pub(super) fn guests(&self) -> Arc<Guests> {
        Arc::clone(&self.guests)
    }

    /// What approvals name this host by: the fingerprint of regatta's own key.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Who has to agree.
    pub(super) const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Where decisions are written down.
    pub(super) fn audit(&self) -> AuditFile {
        audit_log(&self.state, &self.policies)
    }

    /// The fleet's clusters.
    pub(super) fn clusters(&self) -> Arc<Clusters> {
        Arc::clone(&self.clusters)
    }

    /// The insides of guests on clusters.
    pub(super) fn insides(&self) -> Arc<Insides> {
        Arc::clone(&self.insides)
    }

    /// The nodes on which root is asked for what no token may do.
    pub(super) fn nodes(&self) -> Arc<Nodes> {
        Arc::clone(&self.nodes)
    }

    /// The fleet's bridged networks on this machine.
    pub(super) fn networks(&self) -> Arc<Networks> {
        Arc::clone(&self.networks)
    }

    /// What starts the fleet's guests with the host.
    pub(super) fn boot(&self) -> Arc<BootUnit> {
        Arc::clone(&self.boot)
    }

    /// Where files are.
    pub(super) const fn state(&self) -> &StateDir {
        &self.state
    }

    /// Absolute path of the fleet file.
    pub(super) fn origin(&self) -> &Utf8Path {
        &self.origin
    }

    /// The fleet's name.
    pub(super) fn fleet(&self) -> &str {
        &self.fleet
    }

    /// Sees what there is. Guests of another fleet file with the same fleet name stop everything: planning with them
    /// would mean planning their removal.
    pub(super) async fn observe(&self) -> Result<Observed, CliError> {
        let mut observed = self.own(self.guests.observe(&self.desired).await?)?;
        self.networks.observe(&self.desired, &mut observed).await?;
        self.clusters.observe(&self.desired, &mut observed).await;
        self.insides.observe(&self.desired, &mut observed).await;
        self.nodes.observe(&mut observed).await;
        self.boot.observe(&self.desired, &mut observed).await?;
        preflight(&CommandRunner, &self.state, &self.desired, &mut observed).await;
        Ok(observed)
    }

    /// As [`Session::observe`], without logging in anywhere.
    pub(super) async fn glance(&self) -> Result<Observed, CliError> {
        let mut observed = self.guests.glance()?;
        self.networks.observe(&self.desired, &mut observed).await?;
        self.own(observed)
    }

    /// As [`Session::glance`], with the clusters as well.
    pub(super) async fn glance_everywhere(&self) -> Result<Observed, CliError> {
        let mut observed = self.glance().await?;
        self.clusters.observe(&self.desired, &mut observed).await;
        Ok(observed)
    }

    fn own(&self, observed: Observed) -> Result<Observed, CliError> {
        let foreign = observed
            .guests
            .values()
            .filter_map(|guest| guest.present())
            .find(|guest| guest.record.origin != self.origin);
        match foreign {
            None => Ok(observed),
            Some(guest) => {
                let record = &guest.record;
                let message =
                    format!("guest `{}` of fleet `{}` was created from `{}`", record.name, record.fleet, record.origin);
                let hint = if paths::exists(Utf8Path::new(&record.origin)).unwrap_or(true) {
                    "give one of the two fleets another name (`fleet \"…\"`), or pass another --state-dir"
                } else {
                    "that file is gone: if it was moved here, `regatta adopt` takes its guests over"
                };
                Err(CliError::refused(message).cause(format!("this is `{}`", self.origin)).hint(hint))
            }
        }
    }
}

/// Behind a fence, the home is the repository, and what leads out is refused before anything of it is read.
fn fenced(global: &Global, loaded: &Loaded, environment: Environment) -> Result<Environment, CliError> {
    let Some(fence) = &global.fence else { return Ok(environment) };
    let crossings = fence.crossings(&loaded.fleet, &loaded.sources);
    if !crossings.is_empty() {
        let error = CliError::refused("the repository names what is not its own; nothing was done");
        let error = crossings.into_iter().fold(error, CliError::cause);
        return Err(error.hint("the host's policy may allow it: `trust-paths`, `trust-commands`"));
    }
    Ok(Environment { home: Some(fence.root.clone()), git: Vec::new(), ..environment })
}

pub(super) fn guests(loaded: &Loaded, state: StateDir) -> Guests {
    let effects = Effects {
        run: Arc::new(CommandRunner),
        connect: Arc::new(SshClient::default()),
        processes: Arc::new(ProcFs::default()),
        clock: Arc::new(SystemClock),
        detach: Arc::new(Detacher),
        identify: |_| uuid::Uuid::now_v7(),
    };
    Guests::new(&loaded.fleet.name.value, loaded.origin.as_str(), state, effects)
}

/// The insides of a fleet's guests on clusters.
pub(super) fn insides(fleet: &str, clusters: Arc<Clusters>, state: StateDir, environment: &Environment) -> Insides {
    let doors =
        Doors { connect: Arc::new(SshClient::default()), run: Arc::new(CommandRunner), clock: Arc::new(SystemClock) };
    let agent = environment.ssh_agent.clone();
    let surroundings = Surroundings { home: environment.home.clone(), agent, config: None };
    Insides::new(fleet, clusters, doors, state, environment.home.clone()).surrounded_by(surroundings)
}

/// The state directory: made when missing, ours alone.
pub(super) fn state_dir(global: &Global, environment: &Environment) -> Result<StateDir, CliError> {
    let root = state_root(global, environment)?;
    files::private_dir(&root)?;
    Ok(StateDir::new(paths::canonical(&root)?))
}

/// Where the state directory is, or will be.
pub(super) fn state_root(global: &Global, environment: &Environment) -> Result<Utf8PathBuf, CliError> {
    match (&global.state_dir, &environment.state_home) {
        (Some(dir), _) => Ok(environment.cwd.join(dir)),
        (None, Some(state_home)) => Ok(state_home.join("regatta")),
        (None, None) => {
            let error = CliError::failure("found no place for the state directory: HOME is not set");
            Err(error.hint("pass --state-dir, or set REGATTA_STATE_DIR"))
        }
    }
}

/// What was read of this machine's files before.
fn known_digests(state: &StateDir) -> DigestCache {
    let boot = ProcFs::default().boot_id();
    boot.map(|boot| DigestCache::load(&state.digests(), &boot, SystemClock.now())).unwrap_or_default()
}

/// The public half of regatta's own key. The pair is made at first use, once: guests know only the first one.
async fn own_key(state: &StateDir) -> Result<String, CliError> {
    if let Some(public) = read_own_key(state)? {
        return Ok(public);
    }
    let _one_makes_it = lock::take(&state.identity_lock(), "regatta making its key", KEY_DEADLINE).await?;
    if let Some(public) = read_own_key(state)? {
        return Ok(public);
    }
    let pair = KeyPair::generate("regatta")?;
    files::write_atomic(&state.identity(), pair.private_pem()?.as_bytes())?;
    Ok(pair.public_line()?)
}

/// `None` when there is no pair yet.
fn read_own_key(state: &StateDir) -> Result<Option<String>, CliError> {
    let path = state.identity();
    let Some(pem) = files::read_bounded(&path, KEY_LIMIT)? else { return Ok(None) };
    let pair = KeyPair::from_private_pem(&String::from_utf8_lossy(&pem))
        .map_err(|error| CliError::failure(format!("cannot use regatta's own key `{path}`")).cause(error))?;
    Ok(Some(pair.public_line()?))
}

pub(super) fn user(environment: &Environment) -> Result<User, CliError> {
    let Some(home) = environment.home.clone() else {
        return Err(CliError::failure("found no home directory: HOME is not set"));
    };
    Ok(User { home, git_environment: environment.git.clone() })
}

/// How many steps run side by side: the flag goes before the fleet file, and that before the default.
fn parallel(flag: Option<u16>, declared: Option<u32>) -> usize {
    let declared = declared.and_then(|steps| usize::try_from(steps).ok());
    flag.map(usize::from).or(declared).unwrap_or(DEFAULT_PARALLEL)
}

#[cfg(test)]
mod tests {
    use super::parallel;

    #[test]
    fn the_flag_goes_before_the_fleet() {
        assert_eq!(parallel(Some(2), Some(16)), 2);
        assert_eq!(parallel(None, Some(16)), 16);
        assert_eq!(parallel(None, None), 4);
    }
}
