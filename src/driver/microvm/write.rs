//! Bringing a guest's files to what is declared: on its disk while it is stopped, over SSH while it runs.

use std::time::Duration;

use camino::Utf8Path;

use super::guests::{Guests, cannot_tell, is_suspended};
use crate::driver::files::offline::Disk;
use crate::driver::files::{self, Request, live};
use crate::driver::secrets::{self, Fetched};
use crate::driver::sessions::{self, Sessions};
use crate::exec::{Failure, Progress};
use crate::resource::{Address, Content, FileSet, RunState, SessionSpec};

/// How long a running guest may take to let us in.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);

impl Guests {
    /// The secrets that these sets name, as they were planned.
    pub(in crate::driver) async fn fetch_secrets(
        &self,
        sets: &[(Address, FileSet)],
        progress: &dyn Progress,
    ) -> Result<Vec<Fetched>, Failure> {
        let mut files = sets.iter().flat_map(|(_, set)| set.files.values());
        if !files.any(|file| matches!(file.content, Content::Secret(_))) {
            return Ok(Vec::new());
        }
        progress.say("fetching secrets");
        secrets::for_sets(sets, &secrets::seal_key(&self.state)?, &*self.run).await
    }

    /// Does what is requested, by the road the guest's state asks for.
    pub(in crate::driver) async fn write_files(
        &self,
        guest: &str,
        request: &Request<'_>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let record = self.record(guest)?;
        match self.run_state(&record) {
            RunState::Stopped => {
                self.must_be_whole(guest)?;
                progress.say("writing files to the work disk");
                let still_stopped = || self.must_be_stopped(&record);
                self.disk(&self.dir(guest).work_disk(), &still_stopped).write(request).await
            }
            RunState::Running(_) => {
                progress.say("writing files over SSH");
                let shell = self.connect.connect(&self.ssh_target(&record), LOGIN_DEADLINE).await?;
                live::Guest::behind(&*shell).write(request, &*self.clock).await
            }
            RunState::Suspended => Err(is_suspended(guest)),
            RunState::Unknown(why) => Err(cannot_tell(guest, why)),
        }
    }

    /// Brings the sessions of a running guest to what is declared.
    pub(in crate::driver) async fn keep_sessions(
        &self,
        guest: &str,
        declared: &[SessionSpec],
        remove: &[String],
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let record = self.record(guest)?;
        match self.run_state(&record) {
            RunState::Running(_) => {
                let shell = self.connect.connect(&self.ssh_target(&record), LOGIN_DEADLINE).await?;
                sessions::keep(&Sessions::behind(&*shell), declared, remove, live::WORK_DIRECTORY, progress).await
            }
            RunState::Stopped => Err(Failure::transient(format!("guest `{guest}` does not run"))),
            RunState::Suspended => Err(is_suspended(guest)),
            RunState::Unknown(why) => Err(cannot_tell(guest, why)),
        }
    }

    /// A work disk of ours; `still_stopped` is asked right before anything is written.
    pub(super) fn disk<'a>(
        &'a self,
        image: &'a Utf8Path,
        still_stopped: &'a (dyn Fn() -> Result<(), Failure> + Sync),
    ) -> Disk<'a> {
        Disk { image, effects: files::Effects { run: &*self.run, clock: &*self.clock }, still_stopped }
    }
}
