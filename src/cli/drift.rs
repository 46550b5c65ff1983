//! `regatta drift`: what reality moved since it was last applied. It is given nothing to perform steps with.

use super::args::{DriftArgs, Global};
use super::error::{CliError, Exit};
use super::forms::{self, Form};
use super::output;
use super::session::Session;
use crate::effect::{Clock as _, SystemClock};
use crate::render;

/// Compares, and says nothing on standard output when nothing moved.
pub(super) async fn run(global: &Global, form: Form, args: &DriftArgs) -> Result<Exit, CliError> {
    let session = Session::open_without_secrets(global).await?;
    let observed = session.observe().await?;
    let options = args.part.options(session.desired(), &observed)?;
    let plan = crate::plan::plan(session.desired(), &observed, &options);
    let drift = crate::plan::drift(&plan, &args.ignore);
    let checked_at = SystemClock.now().as_second();
    forms::emit(form, &args.out, |form| match form {
        Form::Human => Ok(render::drift(&drift, output::data_screen())),
        Form::Json => Ok(render::drift_json(&drift)?),
        Form::Markdown => Ok(render::drift_markdown(&drift)),
        Form::Junit => Ok(render::drift_junit(&drift)),
        Form::Prometheus => Ok(render::drift_prometheus(&drift, checked_at)),
        form => Err(form.unknown_here("human, json, markdown, junit or prometheus")),
    })?;
    Ok(match (drift.moved.is_empty(), drift.unreadable.is_empty()) {
        (false, _) => Exit::Changes,
        (true, false) => Exit::Failure,
        (true, true) => Exit::Success,
    })
}
