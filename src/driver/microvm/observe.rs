//! Seeing the guests as they are: read-only, one pass, all guests at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::guests::{Guests, not_looked_at};
use super::ready::{Pace, wait_until_ready};
use super::start::Starting;
use crate::config::ByteSize;
use crate::driver::files::{Wanted, live};
use crate::effect::paths;
use crate::exec::Failure;
use crate::resource::{
    Built, ContentKey, Desired, GuestFiles, Observed, ObservedGuest, Reading, Record, Resource, RunState,
};

/// How long a running guest may take to let us in before its files count as unreadable.
const LOGIN_DEADLINE: Duration = Duration::from_secs(20);

/// How long a guest that let us in and then hung up may take to go down, or to let us in again.
const GOING_DOWN: Duration = Duration::from_secs(60);

/// How long after its start a guest may still be coming up, even emulated on a busy host.
const BOOT_TIME: Duration = Duration::from_secs(240);

/// Guests read at the same time.
const PARALLEL: usize = 16;

impl Guests {
    /// Reads the store and every guest that is declared or carries our mark.
    ///
    /// # Errors
    /// When the state directory itself cannot be read; a guest that cannot be read is part of the answer.
    pub async fn observe(self: &Arc<Self>, desired: &Desired) -> Result<Observed, Failure> {
        let built = self.built()?;
        let mut wanted = wanted(desired);
        self.look_under_earlier_names(desired, &mut wanted)?;
        let limit = Arc::new(tokio::sync::Semaphore::new(PARALLEL));
        let (mut guests, mut reads) = (BTreeMap::new(), tokio::task::JoinSet::new());
        for (name, found) in self.found(wanted.keys().cloned())? {
            let (record, state) = match found {
                Reading::Present(found) => found,
                Reading::Absent => {
                    guests.insert(name, Reading::Absent);
                    continue;
                }
                Reading::Unreadable(why) => {
                    guests.insert(name, Reading::Unreadable(why));
                    continue;
                }
            };
            let (observer, limit) = (Arc::clone(self), Arc::clone(&limit));
            let files = wanted.remove(&name).unwrap_or_default();
            reads.spawn(async move {
                let _permit = limit.acquire_owned().await;
                (name, observer.observe_guest(record, state, &files).await)
            });
        }
        while let Some(read) = reads.join_next().await {
            let (name, guest) = read.map_err(|error| Failure::unknown(format!("reading a guest failed: {error}")))?;
            guests.insert(name, Reading::Present(guest));
        }
        let mut observed = Observed { built, guests, ..Observed::default() };
        self.look_for_obstacles(desired, &mut observed).await;
        Ok(observed)
    }

    fn built(&self) -> Result<BTreeMap<ContentKey, Built>, Failure> {
        self.store.built().map_err(|cause| {
            Failure::permanent(cause.to_string()).context(format!("cannot read the store `{}`", self.state.store()))
        })
    }

    /// Sees which guests there are and which of them run, and logs in to none: their files count as not read.
    ///
    /// # Errors
    /// As [`Guests::observe`].
    pub fn glance(&self) -> Result<Observed, Failure> {
        let built = self.built()?;
        let found = self.found(std::iter::empty())?;
        let guests = found.into_iter().map(|(name, found)| {
            let guest = match found {
                Reading::Absent => Reading::Absent,
                Reading::Unreadable(why) => Reading::Unreadable(why),
                Reading::Present((record, state)) => {
                    let work_disk = self.work_disk_size(&name);
                    let disks = self.disk_sizes(&name).unwrap_or_default();
                    Reading::Present(ObservedGuest { record, state, work_disk, disks, files: Reading::Absent })
                }
            };
            (name, guest)
        });
        Ok(Observed { built, guests: guests.collect(), ..Observed::default() })
    }

    /// The record of each guest that is there or named, and whether its VMM runs; all of them in one pass over the
    /// process table.
    fn found(
        &self,
        named: impl Iterator<Item = String>,
    ) -> Result<BTreeMap<String, Reading<(Record, RunState)>>, Failure> {
        let names: BTreeSet<String> = self.names()?.into_iter().chain(named).collect();
        let records: BTreeMap<String, Reading<Record>> =
            names.into_iter().map(|name| (name.clone(), self.reading(&name))).collect();
        let mut states = self.run_states(records.values().filter_map(Reading::present));
        let found = records.into_iter().map(|(name, record)| {
            let found = match record {
                Reading::Absent => Reading::Absent,
                Reading::Unreadable(why) => Reading::Unreadable(why),
                Reading::Present(record) => {
                    let state = states.remove(&record.uuid).unwrap_or_else(not_looked_at);
                    Reading::Present((record, state))
                }
            };
            (name, found)
        });
        Ok(found.collect())
    }

    /// A guest that is still called by an earlier name is asked for what is declared of it.
    fn look_under_earlier_names(
        &self,
        desired: &Desired,
        wanted: &mut BTreeMap<String, Wanted>,
    ) -> Result<(), Failure> {
        for (to, earlier) in &desired.moved {
            if paths::exists(self.dir(to).root())? {
                continue;
            }
            for name in earlier {
                if paths::exists(self.dir(name).root())?
                    && let Some(files) = wanted.get(to).cloned()
                {
                    wanted.insert(name.clone(), files);
                }
            }
        }
        Ok(())
    }

    fn work_disk_size(&self, guest: &str) -> Reading<ByteSize> {
        match paths::size(&self.dir(guest).work_disk()) {
            Ok(Some(size)) => Reading::Present(ByteSize::bytes(size)),
            Ok(None) => Reading::Absent,
            Err(error) => Reading::Unreadable(error.to_string()),
        }
    }

    async fn observe_guest(&self, record: Record, state: RunState, wanted: &Wanted) -> ObservedGuest {
        let work_disk = self.work_disk_size(&record.name);
        let (disks, state) = match self.disk_sizes(&record.name) {
            Ok(disks) => (disks, state),
            // What disks it has decides what is planned for it.
            Err(failure) => (BTreeMap::new(), RunState::Unknown(failure.causes.join(": "))),
        };
        let (state, files) = match state {
            state if record.applied.disks.is_none() => (state, Reading::Absent),
            RunState::Unknown(why) => (RunState::Unknown(why.clone()), Reading::Unreadable(why)),
            RunState::Stopped => (RunState::Stopped, self.read_stopped(&record, wanted).await),
            RunState::Suspended => {
                let why = format!("it is suspended: `regatta wake {}` lets it go on", record.name);
                (RunState::Suspended, Reading::Unreadable(why))
            }
            running @ RunState::Running(_) => self.observe_running(&record, running, wanted).await,
        };
        ObservedGuest { record, state, work_disk, disks, files }
    }

    async fn read_stopped(&self, record: &Record, wanted: &Wanted) -> Reading<GuestFiles> {
        let still_stopped = || self.must_be_stopped(record);
        self.disk(&self.dir(&record.name).work_disk(), &still_stopped).read(wanted).await
    }

    /// A guest that was told to stop by an apply that died meanwhile runs, hangs up, and is gone a moment later: it is read
    /// as the stopped guest that it becomes.
    async fn observe_running(
        &self,
        record: &Record,
        running: RunState,
        wanted: &Wanted,
    ) -> (RunState, Reading<GuestFiles>) {
        if self.is_paused(record).await {
            let why = format!("it is paused: `regatta resume {}` lets it go on", record.name);
            return (running, Reading::Unreadable(why));
        }
        let mut files = self.read_running(record, LOGIN_DEADLINE, wanted).await;
        if let Ok(Reading::Unreadable(_)) = files {
            files = self.read_running(record, GOING_DOWN, wanted).await;
        }
        match files {
            Ok(files @ (Reading::Present(_) | Reading::Absent)) => (running, files),
            Ok(Reading::Unreadable(why)) | Err(why) => match self.run_state(record) {
                RunState::Stopped => (RunState::Stopped, self.read_stopped(record, wanted).await),
                RunState::Running(_) | RunState::Suspended | RunState::Unknown(_) => {
                    (running, Reading::Unreadable(why))
                }
            },
        }
    }

    /// What a running guest answers once we are logged in, or why we are not: at once when its VMM ends. A guest that was
    /// started a moment ago gets the time to come up that its apply would have given it: that apply may have died, and
    /// the next must not give up for that.
    async fn read_running(
        &self,
        record: &Record,
        deadline: Duration,
        wanted: &Wanted,
    ) -> Result<Reading<GuestFiles>, String> {
        // The record is written when the guest is started.
        let age = paths::age(&self.dir(&record.name).record()).map_err(|error| error.to_string())?;
        let deadline = deadline.max(age.map_or(Duration::ZERO, |age| BOOT_TIME.saturating_sub(age)));
        let starting = Starting { guests: self, record };
        let ready =
            wait_until_ready(&*self.connect, &self.ssh_target(record), &starting, deadline, Pace::default()).await;
        let shell = ready.map_err(|not_ready| not_ready.cause.to_string())?;
        Ok(live::Guest::behind(&*shell).read(wanted).await)
    }
}

/// What to look at in each declared guest.
fn wanted(desired: &Desired) -> BTreeMap<String, Wanted> {
    let mut sets: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut here = BTreeSet::new();
    for declared in desired.resources.values() {
        match &declared.resource {
            Resource::Vm(vm) => {
                here.insert(vm.name.clone());
                sets.entry(vm.name.clone()).or_default();
            }
            Resource::Files(set) => sets.entry(set.guest.clone()).or_default().push(set),
            Resource::Image(_)
            | Resource::Kernel(_)
            | Resource::Network(_)
            | Resource::Cluster(_)
            | Resource::ClusterGuest(_)
            | Resource::NodeMount(_) => {}
        }
    }
    // Guests of clusters have files as well.
    let sets = sets.into_iter().filter(|(guest, _)| here.contains(guest));
    sets.map(|(guest, sets)| (guest, Wanted::of(sets))).collect()
}
