//! `regatta plan`: what apply would change, and why. Changes nothing.

use super::args::{Format, Global, PlanArgs};
use super::error::{CliError, Exit};
use super::output;
use super::session::Session;
use crate::plan::{Action, Options, Plan};
use crate::render::{self, Length, PlanView};

/// Shows the plan.
pub(super) async fn run(global: &Global, args: &PlanArgs) -> Result<Exit, CliError> {
    let session = Session::open(global).await?;
    let observed = session.observe().await?;
    let plan = crate::plan::plan(session.desired(), &observed, &Options::default());
    show(&plan, global.format, Shown { length: length(args.full), next: "regatta apply" })?;
    Ok(match verdict(&plan) {
        Exit::Success if args.detailed_exitcode && !plan.is_empty() => Exit::Changes,
        exit => exit,
    })
}

/// How a plan is shown to people.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    /// How much of long texts.
    pub length: Length,
    /// The command that comes next; empty for none.
    pub next: &'static str,
}

/// Prints a plan in the form asked for.
pub(super) fn show(plan: &Plan, format: Format, shown: Shown) -> Result<(), CliError> {
    let Shown { length, next } = shown;
    match format {
        Format::Human => output::data(&render::plan(plan, PlanView { screen: output::data_screen(), length, next })),
        Format::Json => output::data(&render::plan_json(plan)?),
    }
    Ok(())
}

/// How much of long texts is shown.
pub(super) const fn length(full: bool) -> Length {
    if full { Length::Full } else { Length::Short }
}

/// Whether a plan may be applied: refused, not fully known, or fine.
pub(super) fn verdict(plan: &Plan) -> Exit {
    if !plan.refusals.is_empty() {
        Exit::Refused
    } else if plan.changes.iter().any(|change| change.action == Action::Unreadable) {
        Exit::Failure
    } else {
        Exit::Success
    }
}
