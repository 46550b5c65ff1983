//! `regatta adopt`: takes over guests whose records name another fleet file, and those of clusters that nobody manages.

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::adopt_cluster;
use super::args::{AdoptArgs, Global};
use super::consent::Consent;
use super::error::{CliError, Exit};
use super::forms::Form;
use super::plan::{self, Shown};
use super::run::{self, RunOptions, Telling};
use super::session::Session;
use crate::driver::microvm::Where;
use crate::effect::paths;
use crate::plan::Owner;
use crate::render::Length;
use crate::resource::{Observed, Reading, Stray};

/// Finds them, plans, asks, and takes them over.
pub(super) async fn run(global: &Global, form: Form, args: &AdoptArgs) -> Result<Exit, CliError> {
    run::check_forms(form, &[])?;
    if let Some(cluster) = &args.cluster {
        return adopt_cluster::run(global, form, (args, cluster)).await;
    }
    let session = Session::open(global).await?;
    let _lock = run::lock(&session, "regatta adopt", args.wait).await?;
    let strays = found(&session, args)?;
    if !args.take_over {
        refuse_owned(&session, &strays)?;
    }
    let guests = session.guests();
    let (place, taken) = (guests.place(), guests.taken()?);
    let owner = Owner { fleet: session.fleet(), origin: session.origin().as_str(), guests: &place, taken: &taken };
    let plan = crate::plan::adopt(&owner, &strays);
    run::show_before(&plan, global.format, Shown { length: Length::Short, next: "" })?;
    match plan::verdict(&plan) {
        Exit::Success => {}
        exit => return Err(CliError { exit, ..CliError::failure("not all of them can be adopted; nothing was done") }),
    }
    let telling = Telling { form, out: &[] };
    if plan.graph.steps.is_empty() {
        return run::nothing_to_do(&session, &plan, telling);
    }
    let consent = Consent { given: args.yes, destroy: &[], question: "Take over these guests?" };
    let options = RunOptions::new(consent, telling);
    run::carry_out(&session, Observed::default(), &plan, &options).await
}

/// The guests that were asked for; all that are found when none was.
fn found(session: &Session, args: &AdoptArgs) -> Result<BTreeMap<String, Stray>, CliError> {
    let place = match &args.from_fleet {
        Some(fleet) => Where::Fleet(fleet),
        None if args.forgotten => Where::Forgotten,
        None if args.destroyed => Where::Destroyed,
        None => Where::Here,
    };
    let mut strays = session.guests().strays(place)?;
    if let Some(missing) = args.guests.iter().find(|name| !strays.contains_key(*name)) {
        let error = CliError::failure(format!("found no guest `{missing}` there; nothing was done"));
        let known: Vec<&str> = strays.keys().map(String::as_str).collect();
        let hint = if known.is_empty() { "there is none".into() } else { format!("there are: {}", known.join(", ")) };
        return Err(error.hint(hint));
    }
    strays.retain(|name, _| args.guests.is_empty() || args.guests.contains(name));
    Ok(strays)
}

/// Two fleet files that manage one guest undo each other's work.
fn refuse_owned(session: &Session, strays: &BTreeMap<String, Stray>) -> Result<(), CliError> {
    let origins = strays.iter().filter_map(|(name, stray)| match &stray.guest {
        Reading::Present(guest) => Some((name, &guest.record.origin)),
        _ => None,
    });
    for (name, origin) in origins.filter(|(_, origin)| *origin != session.origin().as_str()) {
        if paths::exists(Utf8Path::new(origin))? {
            let error = CliError::refused(format!("guest `{name}` belongs to `{origin}`, which still exists"));
            return Err(error.hint("if that file no longer manages it, pass --take-over"));
        }
    }
    Ok(())
}
