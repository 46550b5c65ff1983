//! `regatta forget`: lets go of guests, and says what remains of them.

use std::collections::BTreeSet;

use super::args::{ForgetArgs, Global};
use super::consent::Consent;
use super::error::{CliError, Exit};
use super::forms::Form;
use super::plan::{self, Shown};
use super::run::{self, RunOptions, Telling};
use super::session::Session;
use crate::plan::{Goal, Options};
use crate::render::Length;
use crate::resource::Reading;

/// Plans it, asks, and carries it out.
pub(super) async fn run(global: &Global, form: Form, args: &ForgetArgs) -> Result<Exit, CliError> {
    run::check_forms(form, &[])?;
    let session = Session::open_for_guests(global).await?;
    let _lock = run::lock(&session, "regatta forget", args.wait).await?;
    let observed = session.observe().await?;
    let names: BTreeSet<String> = args.guests.iter().cloned().collect();
    let there = |name: &&String| !matches!(observed.guests.get(*name), None | Some(Reading::Absent));
    if let Some(missing) = names.iter().find(|name| !there(name)) {
        let error = CliError::failure(format!("found no guest `{missing}`; nothing was done"));
        return Err(error.hint("`regatta status` lists the guests"));
    }
    let options = Options { goal: Goal::Forget(names), ..Options::default() };
    let plan = crate::plan::plan(session.desired(), &observed, &options);
    run::show_before(&plan, global.format, Shown { length: Length::Short, next: "" })?;
    match plan::verdict(&plan) {
        Exit::Success => {}
        exit => return Err(CliError { exit, ..CliError::failure("not all of them can be read; nothing was done") }),
    }
    let consent = Consent { given: args.yes, destroy: &[], question: "Let go of these guests?" };
    let telling = Telling { form, out: &[] };
    let options = RunOptions::new(consent, telling);
    run::carry_out(&session, observed, &plan, &options).await
}
