//! Bringing the files of a guest on a cluster to what is declared.

use std::time::Duration;

use async_trait::async_trait;

use super::Insides;
use crate::driver::files::{Request, live};
use crate::driver::secrets::{self, Fetched};
use crate::driver::sessions::{self, Sessions};
use crate::exec::{Failure, Perform, Progress};
use crate::plan::{Op, Step};
use crate::resource::cluster::Reach;
use crate::resource::{Address, Content, FileSet};

/// How long a guest that was just started may take to let us in.
const READY_DEADLINE: Duration = Duration::from_secs(180);

#[async_trait]
impl Perform for Insides {
    async fn perform(&self, step: &Step, progress: &dyn Progress) -> Result<(), Failure> {
        match &step.op {
            Op::WriteFiles { sets, remove, reach: Some(reach), .. } => {
                let secrets = self.fetch_secrets(sets, progress).await?;
                let request = Request { sets, remove, secrets: &secrets, ..Request::default() };
                self.write(reach, &request, progress).await
            }
            Op::EnsureSessions { sessions: declared, remove, reach: Some(reach), .. } => {
                let shell = self.enter(reach, READY_DEADLINE, progress).await?;
                let home = self.account.home.as_str();
                sessions::keep(&Sessions::behind(&*shell).in_home(home), declared, remove, home, progress).await
            }
            other => Err(Failure::permanent(format!("`{}` is no step inside a guest of a cluster", other.name()))),
        }
    }
}

impl Insides {
    async fn fetch_secrets(
        &self,
        sets: &[(Address, FileSet)],
        progress: &dyn Progress,
    ) -> Result<Vec<Fetched>, Failure> {
        let mut files = sets.iter().flat_map(|(_, set)| set.files.values());
        if !files.any(|file| matches!(file.content, Content::Secret(_))) {
            return Ok(Vec::new());
        }
        progress.say("fetching secrets");
        secrets::for_sets(sets, &secrets::seal_key(&self.state)?, &*self.doors.run).await
    }

    async fn write(&self, reach: &Reach, request: &Request<'_>, progress: &dyn Progress) -> Result<(), Failure> {
        let shell = self.enter(reach, READY_DEADLINE, progress).await?;
        progress.say("writing files over SSH");
        let guest = live::Guest::behind(&*shell).with_work_directory(self.account.home.as_str());
        guest.write(request, &*self.doors.clock).await
    }
}
