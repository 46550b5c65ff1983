//! `regatta graph`: the steps of the plan, as lines, as a picture, as data. Changes nothing.

use super::args::{Global, GraphArgs};
use super::error::{CliError, Exit};
use super::forms::{self, Form};
use super::session::Session;
use crate::render;

/// Shows the graph.
pub(super) async fn run(global: &Global, form: Form, args: &GraphArgs) -> Result<Exit, CliError> {
    let session = Session::open(global).await?;
    let observed = session.observe().await?;
    let options = args.scope.options(session.desired(), &observed)?;
    let plan = crate::plan::plan(session.desired(), &observed, &options);
    forms::emit(form, &[], |form| match form {
        Form::Human | Form::Text => Ok(render::graph_text(&plan.graph)),
        Form::Dot => Ok(render::graph_dot(&plan.graph)),
        Form::Mermaid => Ok(render::graph_mermaid(&plan.graph)),
        Form::Json => Ok(render::graph_json(&plan.fleet, &plan.graph)?),
        form => Err(form.unknown_here("text, dot, mermaid or json")),
    })?;
    Ok(Exit::Success)
}
