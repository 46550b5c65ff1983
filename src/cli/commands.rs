//! `regatta plan --print-commands`: every command that applying would run. Runs none of them.

use super::args::{Global, PlanArgs};
use super::error::{CliError, Exit};
use super::forms::{self, Form};
use super::output;
use super::plan;
use super::session::Session;
use crate::driver::rehearse;
use crate::render;

/// Rehearses the plan, or a saved one, and prints what it asked for.
pub(super) async fn run(global: &Global, form: Form, args: &PlanArgs) -> Result<Exit, CliError> {
    let session = Session::open(global).await?;
    session.tell_warnings(global)?;
    let observed = session.observe().await?;
    let plan = match &args.plan {
        Some(file) => plan::saved(file)?.plan().clone(),
        None => {
            let options = args.scope.options(session.desired(), &observed)?;
            crate::plan::plan(session.desired(), &observed, &options)
        }
    };
    let rehearsed = rehearse(&plan, &observed, session.origin().as_str(), session.state()).await?;
    forms::emit(form, &args.out, |form| match form {
        Form::Human => Ok(render::commands(&plan.graph, &rehearsed, output::data_screen())),
        Form::Json => Ok(render::commands_json(&plan.fleet, &plan.graph, &rehearsed)?),
        form => Err(form.unknown_here("human or json")),
    })?;
    Ok(plan::verdict(&plan))
}
