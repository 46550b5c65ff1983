//! Changes that could cut an operator off are made with their revert armed: another process, which needs nothing of ours, takes
//! them back when we die or do not confirm them in time.
//!
//! ```text
//! armed ──confirmed by us (the ways in are as before)──▶ disarmed
//!   │
//!   └──a way was lost · we died · the deadline passed──▶ taken back ──▶ disarmed
//! ```
//! That it is armed is a file with a number that is like no other. Whoever confirms or takes back holds a lock and looks whether it is
//! still that number: only one of them does.

use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::Networks;
use crate::driver::StateDir;
use crate::driver::microvm::process_id;
use crate::effect::{
    Clock, CommandRunner, Detach, Detached, Holder, Liveness, Lock, ProcFs, Processes as _, SystemClock, files, paths,
};
use crate::exec::{Failure, Progress};
use crate::resource::{BridgeSpec, ProcessIdentity};

/// The command of this program that takes a network back; its argument is the file that says what.
pub const KEEP_WAY: &str = "keep-way";

/// What was not confirmed after this long is taken back. A step that makes a network has failed by then.
const DEADLINE: Duration = Duration::from_secs(90);

/// A process is there milliseconds after it was started; a busy host may take its time.
const STARTED: Duration = Duration::from_secs(10);

/// Nobody holds the lock for longer than a few commands take.
const DECIDED: Duration = Duration::from_secs(60);

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(100);

/// How often taking back is tried.
const TRIES: u32 = 5;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// A command that changes a network is done in milliseconds.
const LAST_COMMAND: Duration = Duration::from_secs(1);

/// These files are short.
const LIMIT: u64 = 4 << 20;

/// Arms reverts.
pub struct Guard {
    detach: Arc<dyn Detach>,
    state: StateDir,
    fleet: String,
    origin: String,
}

/// What a network was before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Before {
    /// It was not there.
    Absent,
    /// As it was confirmed last.
    As(Box<BridgeSpec>),
    /// Something of ours; what exactly is written down nowhere.
    Unknown,
}

/// A change that is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Armed {
    nonce: Uuid,
    state: Utf8PathBuf,
    fleet: String,
    origin: String,
    /// What it is becoming.
    pub(super) network: BridgeSpec,
    /// What it was.
    pub(super) before: Before,
    /// Who has to confirm it.
    by: ProcessIdentity,
}

impl Guard {
    /// A guard for the networks of `fleet`, declared by the file at `origin` (absolute).
    pub fn new(fleet: &str, origin: &str, state: StateDir, detach: Arc<dyn Detach>) -> Self {
        Self { detach, state, fleet: fleet.into(), origin: origin.into() }
    }

    fn place(&self, network: &str) -> Place {
        Place(self.state.networks(&self.fleet).join(network))
    }

    /// What a network was confirmed as last, when that is written down.
    pub(super) fn confirmed(&self, network: &str) -> Option<BridgeSpec> {
        let text = files::read_bounded(&self.place(network).confirmed(), LIMIT).ok()??;
        serde_json::from_slice(&text).ok()
    }

    /// Starts the process that takes a change back, before the change is made.
    ///
    /// # Errors
    /// When it does not start: then nothing is to be changed.
    pub(super) async fn arm(&self, network: &BridgeSpec, before: Before) -> Result<Armed, Failure> {
        let place = self.place(&network.name);
        files::private_dir(&self.state.networks(&self.fleet))?;
        let _decided = place.lock().await?;
        let nonce = Uuid::now_v7();
        let armed = Armed {
            nonce,
            state: self.state.root().to_owned(),
            fleet: self.fleet.clone(),
            origin: self.origin.clone(),
            network: network.clone(),
            before,
            by: this_process()?,
        };
        write(&place.armed(), &armed)?;
        let guard = Detached { arguments: vec![KEEP_WAY.into(), place.armed().into_string()], ..Detached::default() };
        let not_started =
            |why: String| Failure::permanent(why).context("the process that would take the network back did not start");
        self.detach.detach(guard).map_err(|cause| not_started(cause.to_string()))?;
        let end = Instant::now() + STARTED;
        while !place.is_watched(nonce) {
            if Instant::now() >= end {
                paths::remove_if_there(&place.armed())?;
                return Err(not_started(format!("waited {} s for it", STARTED.as_secs())));
            }
            tokio::time::sleep(LOOK / 10).await;
        }
        Ok(armed)
    }

    /// Leaves the change as it is: `as_declared` says whether all of it was made.
    ///
    /// # Errors
    /// When it was taken back meanwhile, because this took too long.
    pub(super) async fn confirm(&self, armed: &Armed, as_declared: AsDeclared) -> Result<(), Failure> {
        let place = self.place(&armed.network.name);
        let _decided = place.lock().await?;
        if !place.is_armed(armed.nonce)? {
            return Err(Failure::permanent("it was taken back, because it was not confirmed in time")
                .hint("look why this host is so slow, then apply again"));
        }
        match as_declared {
            AsDeclared::Whole => write(&place.confirmed(), &armed.network)?,
            AsDeclared::Partly => paths::remove_if_there(&place.confirmed())?,
        }
        place.disarm()
    }

    /// After a change was taken back by us.
    pub(super) async fn disarm(&self, armed: &Armed) -> Result<(), Failure> {
        let place = self.place(&armed.network.name);
        let _decided = place.lock().await?;
        if place.is_armed(armed.nonce)? { place.disarm() } else { Ok(()) }
    }

    /// Forgets what a network was that is gone.
    pub(super) fn forget(&self, network: &str) -> Result<(), Failure> {
        Ok(paths::remove_if_there(&self.place(network).confirmed())?)
    }
}

/// Whether all of a network is as it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AsDeclared {
    Whole,
    Partly,
}

/// The files of one network, without their ends.
struct Place(Utf8PathBuf);

impl Place {
    fn armed(&self) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.armed", self.0))
    }

    fn watched(&self) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.watched", self.0))
    }

    fn confirmed(&self) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.json", self.0))
    }

    async fn lock(&self) -> Result<Lock, Failure> {
        let path = Utf8PathBuf::from(format!("{}.lock", self.0));
        let holder = Holder::this_process("regatta changing a network", SystemClock.now());
        Lock::acquire(&path, &holder, DECIDED).await.map_err(|error| Failure::transient(error.to_string()))
    }

    fn is_watched(&self, nonce: Uuid) -> bool {
        let text = files::read_bounded(&self.watched(), LIMIT).ok().flatten().unwrap_or_default();
        text == nonce.to_string().as_bytes()
    }

    fn is_armed(&self, nonce: Uuid) -> Result<bool, Failure> {
        Ok(read(&self.armed())?.is_some_and(|armed| armed.nonce == nonce))
    }

    fn disarm(&self) -> Result<(), Failure> {
        paths::remove_if_there(&self.armed())?;
        Ok(paths::remove_if_there(&self.watched())?)
    }
}

/// What the other process does: waits until the change of a file is confirmed, and takes it back when it is not.
///
/// # Errors
/// When the file cannot be read, or taking back fails again and again.
pub async fn keep_way(file: &Utf8Path) -> Result<(), Failure> {
    let Some(armed) = read(file)? else { return Ok(()) };
    let state = StateDir::new(armed.state.clone());
    let place = Place(state.networks(&armed.fleet).join(&armed.network.name));
    files::write_atomic(&place.watched(), armed.nonce.to_string().as_bytes())?;
    let end = Instant::now() + DEADLINE;
    loop {
        if !place.is_armed(armed.nonce)? {
            return Ok(());
        }
        if Instant::now() >= end {
            break;
        }
        if ProcFs::default().liveness(&process_id(&armed.by)) == Liveness::Dead {
            // Another run may have begun, and see to this network itself; its end is waited for.
            let holder = Holder::this_process("regatta taking a network back", SystemClock.now());
            let left = end.saturating_duration_since(Instant::now());
            let _host = Lock::acquire(&state.host_lock(), &holder, left).await.ok();
            return take_back(&armed, &place, &state).await;
        }
        tokio::time::sleep(LOOK).await;
    }
    take_back(&armed, &place, &state).await
}

async fn take_back(armed: &Armed, place: &Place, state: &StateDir) -> Result<(), Failure> {
    let _decided = place.lock().await?;
    if !place.is_armed(armed.nonce)? {
        return Ok(());
    }
    let (run, clock) = (Arc::new(CommandRunner), Arc::new(SystemClock));
    let audit = Arc::new(crate::exec::AuditFile::new(state.audit_log()));
    let networks = Networks::new(&armed.fleet, &armed.origin, run, clock, audit);
    let mut tries = 0;
    loop {
        tries += 1;
        match networks.take_back(armed, &Silent).await {
            // What was being run when its starter died may end after that: it is looked at again.
            Ok(()) if tries == 1 => tokio::time::sleep(LAST_COMMAND).await,
            Ok(()) => return place.disarm(),
            Err(failure) if tries >= TRIES => return Err(failure),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Nobody listens to a process that is on its own.
struct Silent;

impl Progress for Silent {
    fn say(&self, _: &str) {}
}

fn this_process() -> Result<ProcessIdentity, Failure> {
    let id = i32::try_from(std::process::id()).ok();
    let found = id.map(|pid| ProcFs::default().identify(pid)).transpose();
    let found = found.map_err(|error| Failure::permanent(error.to_string()))?.flatten();
    found
        .map(|id| ProcessIdentity { pid: id.pid, start_time: id.start_time, boot_id: id.boot_id })
        .ok_or_else(|| Failure::permanent("this process is not in the process table"))
}

fn write(path: &Utf8Path, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_vec(value).map_err(|error| Failure::permanent(error.to_string()))?;
    Ok(files::write_atomic(path, &text)?)
}

/// `None` when nothing is armed.
fn read(path: &Utf8Path) -> Result<Option<Armed>, Failure> {
    let Some(text) = files::read_bounded(path, LIMIT)? else { return Ok(None) };
    let unreadable = |error| Failure::permanent(format!("`{path}` cannot be read: {error}"));
    serde_json::from_slice(&text).map(Some).map_err(unreadable)
}
