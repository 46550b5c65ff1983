//! The guests of one fleet on this machine: what the steps and the observation share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::firecracker::Jails;
use crate::driver::record;
use crate::driver::state::{GuestDir, StateDir};
use crate::driver::store::Store;
use crate::effect::{Clock, Connect, Detach, Liveness, ProcessId, Processes, Run, SshTarget, paths};
use crate::exec::Failure;
use crate::resource::{ProcessIdentity, Reading, Record, RunState};

/// User regatta logs in as.
const LOGIN_USER: &str = "root";

/// The doors to the world a driver needs.
pub struct Effects {
    /// Runs programs.
    pub run: Arc<dyn Run>,
    /// Logs in to guests.
    pub connect: Arc<dyn Connect>,
    /// Looks at processes.
    pub processes: Arc<dyn Processes>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Starts what outlives us.
    pub detach: Arc<dyn Detach>,
    /// Gives the new guest of a name its uuid.
    pub identify: fn(&str) -> Uuid,
}

/// What a login needs.
pub struct Login {
    /// Server, user and key.
    pub target: SshTarget,
    /// File that pins the host key.
    pub known_hosts: camino::Utf8PathBuf,
}

/// The guests of one fleet on this machine.
pub struct Guests {
    pub(super) fleet: String,
    pub(super) origin: String,
    pub(super) state: StateDir,
    pub(super) store: Store,
    pub(super) run: Arc<dyn Run>,
    pub(super) connect: Arc<dyn Connect>,
    pub(super) processes: Arc<dyn Processes>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) detach: Arc<dyn Detach>,
    pub(super) identify: fn(&str) -> Uuid,
    /// Where some guests' VMMs are locked in.
    pub(super) jails: Option<Jails>,
    /// Held while a port is chosen and written down: creations run in parallel.
    pub(super) ports: tokio::sync::Mutex<()>,
}

impl Guests {
    /// The guests of `fleet`, declared by the file at `origin` (absolute), below a state directory.
    pub fn new(fleet: &str, origin: &str, state: StateDir, effects: Effects) -> Self {
        let Effects { run, connect, processes, clock, detach, identify } = effects;
        let store = Store::new(state.store());
        let (fleet, origin) = (fleet.into(), origin.into());
        let ports = tokio::sync::Mutex::default();
        let jails = None;
        Self { fleet, origin, state, store, run, connect, processes, clock, detach, identify, jails, ports }
    }

    /// With what makes jails.
    #[must_use]
    pub fn jailing(self, jails: Jails) -> Self {
        Self { jails: Some(jails), ..self }
    }

    /// Removes the jail of a guest that does not run, if its VMM was in one.
    pub(super) fn leave_jail(&self, record: &Record) -> Result<(), Failure> {
        let was_jailed = record.applied.started.as_ref().is_some_and(|vm| vm.jailer.is_some());
        self.jails.as_ref().filter(|_| was_jailed).map_or(Ok(()), |jails| jails.remove(record.uuid))
    }

    /// Runs programs.
    pub(in crate::driver) fn run(&self) -> &dyn Run {
        &*self.run
    }

    /// Images and kernels.
    pub(in crate::driver) const fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn dir(&self, guest: &str) -> GuestDir {
        self.state.guest(&self.fleet, guest)
    }

    /// The record of a guest that must exist.
    pub(super) fn record(&self, guest: &str) -> Result<Record, Failure> {
        match self.reading(guest) {
            Reading::Present(record) => Ok(record),
            Reading::Absent => {
                Err(Failure::permanent(format!("guest `{guest}` has no record, so it was never created")))
            }
            Reading::Unreadable(why) => Err(Failure::permanent(why)),
        }
    }

    /// The record of a guest, under the name of its directory: when that is another one, a rename was cut short.
    pub(super) fn reading(&self, guest: &str) -> Reading<Record> {
        match record::read(&self.dir(guest).record()) {
            Reading::Present(record) if record.name != guest => {
                let formerly = record.formerly.or(Some(record.name));
                Reading::Present(Record { name: guest.into(), formerly, ..record })
            }
            reading => reading,
        }
    }

    pub(super) fn write_record(&self, record: &Record) -> Result<(), Failure> {
        record::write(&self.dir(&record.name).record(), record)
    }

    /// How regatta logs in to a guest.
    pub(super) fn ssh_target(&self, record: &Record) -> SshTarget {
        let (host, port) = record.ssh_address();
        SshTarget {
            host: host.to_string(),
            port,
            user: LOGIN_USER.into(),
            host_key: record.host_key.clone(),
            identity: self.state.identity(),
            via: None,
        }
    }

    /// How people log in to a guest.
    ///
    /// # Errors
    /// When there is no such guest, or it is stopped.
    pub fn login(&self, guest: &str) -> Result<Login, Failure> {
        let record = self.record(guest)?;
        match self.run_state(&record) {
            RunState::Stopped => return Err(is_stopped(guest)),
            RunState::Suspended => return Err(is_suspended(guest)),
            RunState::Running(_) | RunState::Unknown(_) => {}
        }
        Ok(self.login_of(&record))
    }

    /// How people log in to each guest, once it runs.
    ///
    /// # Errors
    /// When a guest's record cannot be read: it would look like a guest that is gone.
    pub fn logins(&self) -> Result<BTreeMap<String, Login>, Failure> {
        let mut logins = BTreeMap::new();
        for name in self.names()? {
            match record::read(&self.dir(&name).record()) {
                Reading::Present(record) => drop(logins.insert(name, self.login_of(&record))),
                Reading::Absent => {}
                Reading::Unreadable(why) => return Err(Failure::permanent(why)),
            }
        }
        Ok(logins)
    }

    fn login_of(&self, record: &Record) -> Login {
        Login { target: self.ssh_target(record), known_hosts: self.dir(&record.name).known_hosts() }
    }

    /// Makes connections to guests.
    pub fn connect(&self) -> &Arc<dyn Connect> {
        &self.connect
    }

    /// Names of all guests that have a directory; leftovers of removals (dot names) are none.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn names(&self) -> Result<BTreeSet<String>, Failure> {
        let names = paths::names_in(&self.state.guests(&self.fleet))?;
        Ok(names.into_iter().filter(|name| !name.starts_with('.')).collect())
    }

    /// Whether a guest's VMM runs.
    pub(super) fn run_state(&self, record: &Record) -> RunState {
        self.run_states([record]).remove(&record.uuid).unwrap_or_else(not_looked_at)
    }

    /// Whether each guest's VMM runs, by the guest's uuid. The recorded process decides; when that one is gone (or was
    /// never written down, because regatta died between starting and recording it), the uuid is looked for on the
    /// command lines of all processes, in one pass for all guests.
    pub(super) fn run_states<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> BTreeMap<Uuid, RunState> {
        let mut states = BTreeMap::new();
        let (mut unrecorded, mut at_rest) = (Vec::new(), BTreeMap::new());
        for record in records {
            match self.recorded_state(record) {
                Some(state) => drop(states.insert(record.uuid, state)),
                None => {
                    unrecorded.push(record.uuid);
                    at_rest.insert(record.uuid, self.at_rest(&record.name));
                }
            }
        }
        match self.find_processes(&unrecorded) {
            Ok(mut found) => {
                states.extend(at_rest);
                let running = |uuid| Some((uuid, RunState::Running(found.remove(&uuid)?)));
                states.extend(unrecorded.into_iter().filter_map(running));
            }
            Err(why) => states.extend(unrecorded.into_iter().map(|uuid| (uuid, RunState::Unknown(why.clone())))),
        }
        states
    }

    /// What a guest is that has no VMM.
    fn at_rest(&self, guest: &str) -> RunState {
        match paths::exists(&self.dir(guest).memory()) {
            Ok(true) => RunState::Suspended,
            Ok(false) => RunState::Stopped,
            Err(why) => RunState::Unknown(why.to_string()),
        }
    }

    /// What the recorded process says; `None` when it is gone.
    fn recorded_state(&self, record: &Record) -> Option<RunState> {
        let identity = record.process.as_ref()?;
        match self.processes.liveness(&process_id(identity)) {
            Liveness::Alive => Some(RunState::Running(identity.clone())),
            Liveness::Unknown(why) => Some(RunState::Unknown(why)),
            Liveness::Dead => None,
        }
    }

    /// The processes that have these uuids on their command lines.
    fn find_processes(&self, uuids: &[Uuid]) -> Result<BTreeMap<Uuid, ProcessIdentity>, String> {
        if uuids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let marks: Vec<String> = uuids.iter().map(Uuid::to_string).collect();
        let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
        let mut found = self.processes.find(&marks).map_err(|error| error.to_string())?;
        // While QEMU daemonizes there are two for a moment: the child, started last, stays.
        let newest = |uuid: &Uuid| {
            let processes = found.remove(&uuid.to_string())?;
            let last = processes.into_iter().map(|process| process.id).max_by_key(|id| (id.start_time, id.pid))?;
            Some((*uuid, process_identity(last)))
        };
        Ok(uuids.iter().filter_map(newest).collect())
    }

    /// The process of a guest that was just started.
    pub(super) fn started_process(&self, record: &Record) -> Result<Option<ProcessIdentity>, Failure> {
        Ok(self.find_processes(&[record.uuid]).map_err(Failure::unknown)?.remove(&record.uuid))
    }

    /// Succeeds when the guest is certainly stopped.
    pub(super) fn must_be_stopped(&self, record: &Record) -> Result<(), Failure> {
        match self.run_state(record) {
            RunState::Stopped => Ok(()),
            RunState::Running(ProcessIdentity { pid, .. }) => {
                Err(Failure::permanent(format!("guest `{}` runs (pid {pid}), expected it stopped", record.name)))
            }
            RunState::Suspended => Err(is_suspended(&record.name)),
            RunState::Unknown(why) => Err(cannot_tell(&record.name, why)),
        }
    }

    /// The record of a guest that certainly runs.
    pub(super) fn running(&self, guest: &str) -> Result<Record, Failure> {
        let record = self.record(guest)?;
        match self.run_state(&record) {
            RunState::Running(_) => Ok(record),
            RunState::Stopped => Err(is_stopped(guest)),
            RunState::Suspended => Err(is_suspended(guest)),
            RunState::Unknown(why) => Err(cannot_tell(guest, why)),
        }
    }
}

/// The failure of what must not be done to a guest that may run or not (LESSON 21).
pub(super) fn cannot_tell(guest: &str, why: String) -> Failure {
    Failure::unknown(why).context(format!("cannot tell whether guest `{guest}` runs"))
}

/// The failure of what must not be done while a guest's memory belongs to its disks.
pub(super) fn is_suspended(guest: &str) -> Failure {
    Failure::permanent(format!("guest `{guest}` is suspended")).hint(format!("`regatta wake {guest}` lets it go on"))
}

fn is_stopped(guest: &str) -> Failure {
    Failure::permanent(format!("guest `{guest}` is stopped"))
}

/// The effect's form of a recorded process.
pub(in crate::driver) fn process_id(identity: &ProcessIdentity) -> ProcessId {
    let ProcessIdentity { pid, start_time, boot_id } = identity.clone();
    ProcessId { pid, start_time, boot_id }
}

fn process_identity(id: ProcessId) -> ProcessIdentity {
    let ProcessId { pid, start_time, boot_id } = id;
    ProcessIdentity { pid, start_time, boot_id }
}

/// A guest that no answer was given for is not taken for stopped.
pub(super) fn not_looked_at() -> RunState {
    RunState::Unknown("its process was not looked for".into())
}
