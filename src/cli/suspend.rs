//! `regatta suspend` and `regatta wake`: guests whose memory waits in a file.

use super::args::{Global, PauseArgs, WakeArgs};
use super::error::{CliError, Exit};
use super::session::Session;
use super::{on_cluster, output, run};
use crate::exec::Progress;
use crate::plan::{Pattern, power};

/// Says what is being done, on the terminal.
struct Talk<'a>(&'a str);

impl Progress for Talk<'_> {
    fn say(&self, text: &str) {
        output::talk(&format!("{}: {text}\n", self.0));
    }
}

/// Suspends every guest that is named, one after the other: each is bound by the disk.
pub(super) async fn suspend(global: &Global, args: &PauseArgs) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    let _lock = run::lock(&session, "regatta suspend", args.wait).await?;
    for guest in named(&session, &args.guests).await? {
        session.guests().suspend(&guest, &Talk(&guest)).await?;
        output::talk(&format!("{guest} is suspended\n"));
    }
    Ok(Exit::Success)
}

/// Wakes every guest that is named, or gives up what is kept of it.
pub(super) async fn wake(global: &Global, args: &WakeArgs) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    let _lock = run::lock(&session, "regatta wake", args.wait).await?;
    for guest in named(&session, &args.guests).await? {
        if args.discard {
            session.guests().discard_memory(&guest)?;
            output::talk(&format!("{guest} is stopped; what it had not written is lost\n"));
        } else {
            session.guests().wake(&guest, &Talk(&guest)).await?;
            session.guests().greet(&guest, &Talk(&guest)).await?;
            output::talk(&format!("{guest} is running\n"));
        }
    }
    Ok(Exit::Success)
}

/// The guests that are there and that a pattern names.
pub(super) async fn named(session: &Session, guests: &[Pattern]) -> Result<Vec<String>, CliError> {
    on_cluster::refuse_memory(session.desired(), guests)?;
    let observed = session.glance().await?;
    if let Some(first) = power::unmatched(session.desired(), &observed, guests).first() {
        let error = CliError { exit: Exit::Usage, ..CliError::failure(format!("found no guest `{first}`")) };
        return Err(error.hint("`regatta status` lists the guests"));
    }
    Ok(power::named_guests(session.desired(), &observed, guests))
}
