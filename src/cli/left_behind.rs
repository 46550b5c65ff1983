//! What runs that died began on clusters: it is waited for before anything is looked at, so that what is planned is planned of how
//! it ended.

use super::error::CliError;
use super::output;
use super::session::Session;
use crate::exec::journal::{Journals, Story, recover};
use crate::exec::{FailureKind, Progress, RunId, Task};

/// Waits for every task that a dead run did not see the end of, and tells how it ended. That is told and no more: what comes next
/// follows from what is seen.
pub(super) async fn wait(session: &Session) -> Result<(), CliError> {
    for (run, task) in left(session)? {
        output::talk(&format!(
            "run {run} died while `{}` was going on on the cluster `{}`: waits for it\n",
            kind(&task),
            task.on
        ));
        let words = match session.clusters().wait_for(&task, &Talk).await {
            Ok(()) => "it is done".to_owned(),
            Err(failure) => {
                let known =
                    if failure.kind == FailureKind::Unknown { "nobody knows how it ended" } else { "it failed" };
                format!("{known}: {}", failure.causes.join(": "))
            }
        };
        output::talk(&format!("  {words}\n"));
    }
    Ok(())
}

/// The tasks of dead runs, oldest first. Their journals stay as they are: whoever takes their work up closes them.
fn left(session: &Session) -> Result<Vec<(RunId, Task)>, CliError> {
    let journals = Journals::new(session.state().runs(session.fleet()));
    let unfinished = journals.unfinished()?;
    Ok(unfinished.iter().flat_map(|open| last_tasks(open.story()).into_iter().map(|task| (open.run(), task))).collect())
}

/// Of each step that was left open, the last: a step waits for one before it begins another.
fn last_tasks(story: &Story) -> Vec<Task> {
    recover(story).into_iter().filter_map(|left| left.tasks.into_iter().next_back()).collect()
}

/// What a task does, by its name.
fn kind(task: &Task) -> &str {
    task.name.split(':').nth(5).unwrap_or(&task.name)
}

struct Talk;

impl Progress for Talk {
    fn say(&self, text: &str) {
        output::talk(&format!("  {text}\n"));
    }
}
