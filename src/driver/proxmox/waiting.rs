//! What a request may have to wait for: locks of other tasks, its own task's end, and what a lost answer was about.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api::Place;
use super::cluster::Cluster;
use super::error::ApiError;
use super::exchange::Call;
use super::task::{Ended, Upid};
use crate::exec::{Progress, Task};

/// Whom to tell, and until when to wait.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    pub(super) progress: &'a dyn Progress,
    pub(super) until: Instant,
}

impl Watch<'_> {
    pub(super) fn say(&self, text: &str) {
        self.progress.say(text);
    }
}

impl Cluster {
    /// Sends a request; waits for locks to pass, and for the task that it starts.
    pub(super) async fn run(&self, call: &Call, watch: Watch<'_>) -> Result<(), ApiError> {
        let mut wait = self.pace.first;
        let patience = watch.until.min(Instant::now() + self.pace.patience);
        loop {
            match self.follow(self.api.call(call).await, watch).await {
                Err(error) if error.is_in_the_way() && Instant::now() + wait < patience => {
                    watch.say(&format!("waits: {error}"));
                    sleep(wait).await;
                    wait = (wait * 2).min(self.pace.longest);
                }
                other => return other,
            }
        }
    }

    /// Waits for the task that an answer names, if it names one.
    pub(super) async fn follow(&self, answer: Result<Value, ApiError>, watch: Watch<'_>) -> Result<(), ApiError> {
        let Value::String(name) = answer? else { return Ok(()) };
        let Some(task) = Upid::parse(&name) else { return Ok(()) };
        watch.progress.task(Task { on: self.name.clone(), name });
        self.finish(&task, watch).await
    }

    /// Waits until a task is over. A server that does not answer for a while says nothing about the task.
    pub(super) async fn finish(&self, task: &Upid, watch: Watch<'_>) -> Result<(), ApiError> {
        let mut wait = self.pace.poll;
        while Instant::now() < watch.until {
            match self.api.ended(task).await {
                Ok(Some(ended)) => return self.judge(task, ended, watch).await,
                Ok(None) | Err(ApiError::Unreachable(_) | ApiError::Unknown(_) | ApiError::NodeDown(_)) => {}
                Err(error) => {
                    return Err(ApiError::Unknown(format!("cannot follow the task `{}`: {error}", task.kind())));
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2)).max(self.pace.poll);
        }
        Err(ApiError::Unknown(format!("the task `{}` is still running", task.kind())))
    }

    async fn judge(&self, task: &Upid, ended: Ended, watch: Watch<'_>) -> Result<(), ApiError> {
        let (said, unknown) = match ended {
            Ended::Ok => return Ok(()),
            Ended::Warnings(count) => {
                let tail = self.api.tail(task).await.unwrap_or_default();
                let warnings = tail.iter().filter(|line| line.contains("WARN")).map(String::as_str);
                watch.say(&format!("{count} warnings: {}", warnings.collect::<Vec<_>>().join("; ")));
                return Ok(());
            }
            Ended::Failed(said) => (said, false),
            Ended::Unknown(said) => (said, true),
        };
        let classed = ApiError::of(500, said.clone(), &[].into());
        if classed.is_in_the_way() {
            return Err(classed);
        }
        let tail = self.api.tail(task).await.unwrap_or_default();
        let tail: Vec<&str> = tail.iter().map(String::as_str).filter(|line| !line.ends_with(&said)).collect();
        let log = if tail.is_empty() { String::new() } else { format!(" (its log ends: {})", tail.join(" | ")) };
        let message = format!("the task `{}` ended with `{said}`{log}", task.kind());
        Err(if unknown { ApiError::Unknown(message) } else { ApiError::Refused(message) })
    }

    /// After an answer was lost: gives what was asked for the time to begin, then waits for whatever runs on the guest.
    pub(super) async fn settle(&self, place: &Place, watch: Watch<'_>) {
        watch.say("the answer was lost: looks whether it happened");
        sleep(self.pace.settle).await;
        self.let_finish(place, watch).await;
    }

    /// Waits for whatever runs on a guest.
    pub(super) async fn let_finish(&self, place: &Place, watch: Watch<'_>) {
        for task in self.api.running_tasks(place).await.unwrap_or_default() {
            // How it ended shows in what is there afterwards.
            let _ = self.finish(&task, watch).await;
        }
    }
}
