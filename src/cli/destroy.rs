//! `regatta destroy`: removes every guest of the fleet, and nothing else.

use super::args::{DestroyArgs, Global};
use super::consent::Consent;
use super::error::{CliError, Exit};
use super::forms::Form;
use super::left_behind;
use super::plan::{self, Shown};
use super::run::{self, CutShort, RunOptions, Telling};
use super::session::Session;
use crate::plan::{Goal, Options};
use crate::render::Length;

/// Plans the removal, asks, and carries it out.
pub(super) async fn run(global: &Global, form: Form, args: &DestroyArgs) -> Result<Exit, CliError> {
    run::check_forms(form, &args.out)?;
    let session = Session::open_for_guests(global).await?;
    let _lock = run::lock(&session, "regatta destroy", args.wait).await?;
    left_behind::wait(&session).await?;
    let observed = session.observe().await?;
    let plan = crate::plan::plan(session.desired(), &observed, &Options { goal: Goal::Destroy, ..Options::default() });
    run::show_before(&plan, global.format, Shown { length: Length::Short, next: "" })?;
    match plan::verdict(&plan) {
        Exit::Success => {}
        exit => return Err(CliError { exit, ..CliError::failure("not everything can be removed; nothing was done") }),
    }
    if plan.is_empty() {
        return run::nothing_to_do(&session, &plan, Telling { form, out: &args.out });
    }
    let question = "Remove these guests and everything on their disks?";
    let consent = Consent { given: args.yes, destroy: &args.yes_destroy, question };
    let telling = Telling { form, out: &args.out };
    let parallel = session.parallel(None);
    let options = RunOptions { cut_short: CutShort::TakeUp, parallel, ..RunOptions::new(consent, telling) };
    run::carry_out(&session, observed, &plan, &options).await
}
