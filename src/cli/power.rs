//! `regatta start`, `regatta stop` and `regatta restart`: guests by name, as they were last applied.

use super::args::{Global, PowerArgs};
use super::consent::Consent;
use super::error::{CliError, Exit};
use super::forms::Form;
use super::run::{self, RunOptions, Telling};
use super::session::Session;
use super::{output, plan};
use crate::effect::{Clock as _, SystemClock};
use crate::exec::Report;
use crate::plan::power::{self, Power};
use crate::plan::{Action, Pattern, Plan};
use crate::resource::{Desired, Observed};

/// Does it under the host's lock, with a journal, like every run. Guests that are as asked for already are left alone.
pub(super) async fn run(global: &Global, form: Form, (args, power): (&PowerArgs, Power)) -> Result<Exit, CliError> {
    run::check_forms(form, &args.out)?;
    let session = Session::open_for_guests(global).await?;
    let command = match power {
        Power::On => "regatta start",
        Power::Off => "regatta stop",
        Power::Cycle => "regatta restart",
    };
    let _lock = run::lock(&session, command, args.wait).await?;
    let asks_clusters = power::may_name_on_clusters(session.desired(), &args.guests);
    let observed = if asks_clusters { session.glance_everywhere().await? } else { session.glance().await? };
    let named = if args.autostart { power::autostarted(&observed) } else { args.guests.clone() };
    check(session.desired(), &observed, (&named, power))?;
    let plan = power::power(session.desired(), &observed, &named, power);
    if plan::verdict(&plan) != Exit::Success {
        return Err(not_known(&plan));
    }
    let telling = Telling { form, out: &args.out };
    if plan.is_empty() {
        let word = if power == Power::Off { "stopped" } else { "running" };
        if named.is_empty() {
            output::talk("nothing to do: no guest starts with its host\n");
        }
        let guests: Vec<&str> = plan.changes.iter().filter_map(|change| change.address.guest()).collect();
        output::talk(&format!("nothing to do: {word} already: {}\n", guests.join(", ")));
        return run::tell_nothing(&Report::nothing(&plan.fleet, SystemClock.now()), telling);
    }
    let parallel = session.parallel(args.parallel);
    let options = RunOptions { parallel, ..RunOptions::new(Consent::by_command(), telling) };
    run::carry_out(&session, observed, &plan, &options).await
}

fn check(desired: &Desired, observed: &Observed, (guests, power): (&[Pattern], Power)) -> Result<(), CliError> {
    let unmatched = power::unmatched(desired, observed, guests);
    if let Some(first) = unmatched.first() {
        let error = CliError { exit: Exit::Usage, ..CliError::failure(format!("found no guest `{first}`")) };
        return Err(error.hint("`regatta status` lists the guests"));
    }
    let obstacles = power::obstacles(desired, observed, guests, power);
    if obstacles.is_empty() {
        return Ok(());
    }
    let error = obstacles.into_iter().fold(CliError::failure("nothing was done"), CliError::cause);
    Err(error.hint("`regatta apply` makes what is missing"))
}

fn not_known(plan: &Plan) -> CliError {
    let unknown = plan.changes.iter().filter(|change| change.action == Action::Unreadable);
    unknown.fold(CliError::failure("not every guest could be looked at; nothing was done"), |error, change| {
        error.cause(format!("{}: {}", change.address, change.note.as_deref().unwrap_or("no reason is known")))
    })
}
