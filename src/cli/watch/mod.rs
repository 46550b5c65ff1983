//! `regatta watch`: keeps the host as a repository says. It does what loses nothing, holds what needs approval, and says so.

mod fence;
mod git;
mod status;
mod turn;

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

pub(super) use fence::Fence;
use git::Checkout;
use status::{State, Status};

use super::args::{Global, WatchArgs};
use super::error::{CliError, Exit};
use super::{lock, output, session, signals};
use crate::effect::{Clock as _, Environment, SystemClock, files};
use crate::exec::{Cancel, CancelLevel};
use crate::resource::Digest;

/// The longest wait after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// A status is small.
const STATUS_LIMIT: u64 = 16 << 20;

/// The agent of one repository.
struct Agent<'a> {
    global: &'a Global,
    args: &'a WatchArgs,
    checkout: Checkout,
    /// Where its status goes, and the plan that waits.
    published: Utf8PathBuf,
    status: Status,
    /// What was looked at last: a plan and the approvals there were.
    seen: Option<(Digest, Vec<Digest>)>,
}

/// Looks again and again, one turn at a time, until it is told to stop; once with `--once`.
pub(super) async fn run(global: &Global, args: &WatchArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let state = session::state_dir(global, &environment)?;
    let home = state.watch(Digest::of(format!("{}\n{}", args.repo, args.reference).as_bytes()).short());
    files::private_dir(&home)?;
    let _one = lock::take(&home.join("lock"), "regatta watch", Duration::ZERO).await?;
    let published = args.status.as_ref().map_or_else(|| home.join("status"), |dir| environment.cwd.join(dir));
    if args.status.is_none() {
        files::private_dir(&published)?;
    }
    let status = last_status(&published)?.filter(|it| it.repository == args.repo && it.reference == args.reference);
    let checkout = Checkout::new(&args.repo, &args.reference, home.join("tree"))?;
    let status = status.unwrap_or_else(|| Status::new(&args.repo, &args.reference));
    let mut agent = Agent { global, args, checkout, published, status, seen: None };
    let cancel = Cancel::default();
    signals::listen(cancel.clone())?;
    loop {
        let exit = agent.turn().await?;
        if args.once {
            return Ok(exit);
        }
        tokio::select! {
            () = cancel.reached(CancelLevel::Finish) => return Ok(Exit::Success),
            () = tokio::time::sleep(agent.wait()) => {}
        }
    }
}

impl Agent<'_> {
    /// One look, and what follows from it. What goes wrong is part of the status; only a status that cannot be published ends the
    /// agent.
    async fn turn(&mut self) -> Result<Exit, CliError> {
        let before = self.status.clone();
        let exit = match turn::take(self).await {
            Ok(exit) => {
                self.status.failures = 0;
                exit
            }
            Err(error) => {
                self.status.state = if error.exit == Exit::Refused { State::Refused } else { State::Failed };
                self.status.message = Some(error.causes.join(": "));
                self.status.failures = self.status.failures.saturating_add(1);
                output::error(&error);
                error.exit
            }
        };
        if self.status != before {
            output::talk(&format!(
                "{:?}: {}\n",
                self.status.state,
                self.status.commit.as_deref().unwrap_or("no commit")
            ));
        }
        self.status.at = SystemClock.now();
        self.status.publish(&self.published)?;
        Ok(exit)
    }

    /// The interval; twice as long after each failure in a row.
    fn wait(&self) -> Duration {
        backoff(Duration::from_secs(self.args.interval), self.status.failures)
    }
}

fn backoff(interval: Duration, failures: u32) -> Duration {
    let most = BACKOFF_MAX.max(interval);
    interval.checked_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX)).map_or(most, |wait| wait.min(most))
}

fn last_status(published: &Utf8Path) -> Result<Option<Status>, CliError> {
    let bytes = files::read_bounded(&published.join("status.json"), STATUS_LIMIT)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_make_it_wait_longer_up_to_an_hour() {
        let minute = Duration::from_secs(60);
        let waits = [0, 1, 2, 30].map(|failures| backoff(minute, failures).as_secs());
        assert_eq!(waits, [60, 120, 240, 3600]);
        assert_eq!(backoff(Duration::from_secs(7200), 5).as_secs(), 7200);
    }
}
