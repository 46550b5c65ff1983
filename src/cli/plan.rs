//! `regatta plan`: what apply would change, and why. Changes nothing.

use camino::Utf8Path;

use super::args::{Format, Global, PlanArgs};
use super::error::{CliError, Exit};
use super::forms::{self, Form};
use super::session::Session;
use super::{commands, output};
use crate::effect::files;
use crate::plan::{Action, Plan, SavedPlan};
use crate::render::{self, Length, PlanView};

/// Shows the plan, saves it, writes it in other forms.
pub(super) async fn run(global: &Global, form: Form, args: &PlanArgs) -> Result<Exit, CliError> {
    if args.print_commands {
        return commands::run(global, form, args).await;
    }
    let (plan, save) = match &args.plan {
        Some(file) => (saved(file)?.plan().clone(), None),
        None => {
            let session = Session::open(global).await?;
            session.tell_warnings(global)?;
            let observed = session.observe().await?;
            let options = args.scope.options(session.desired(), &observed)?;
            let plan = crate::plan::plan(session.desired(), &observed, &options);
            let saved =
                || SavedPlan::new(plan.clone(), session.desired(), &observed, VERSION, session.host()).to_json();
            let save = args.save.as_ref().map(|file| saved().map(|text| (file, text))).transpose()?;
            (plan, save)
        }
    };
    let next = match args.save.as_ref().or(args.plan.as_ref()) {
        Some(file) => format!("regatta apply {file}"),
        None => "regatta apply".into(),
    };
    forms::emit(form, &args.out, |form| match form {
        Form::Human => {
            let (screen, links) = (output::data_screen(), output::links());
            let view = PlanView { screen, length: length(args.full), next: &next, links: links.as_deref() };
            Ok(render::plan(&plan, view))
        }
        Form::Json => Ok(render::plan_json(&plan)?),
        Form::Markdown => Ok(render::plan_markdown(&plan)),
        Form::Junit => Ok(render::plan_junit(&plan)),
        Form::Gitlab => Ok(render::gitlab_report(&plan)?),
        form => Err(form.unknown_here("human, json, markdown, junit or gitlab")),
    })?;
    if let Some((file, text)) = save {
        files::write_atomic(file, text.as_bytes())?;
    }
    Ok(match verdict(&plan) {
        Exit::Success if args.detailed_exitcode && !plan.is_empty() => Exit::Changes,
        exit => exit,
    })
}

/// The version that saved plans are bound to.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A saved plan may be large; whatever is larger is none.
const SAVED_LIMIT: u64 = 512 << 20;

/// Reads a saved plan.
pub(super) fn saved(file: &Utf8Path) -> Result<SavedPlan, CliError> {
    let Some(bytes) = files::read_bounded(file, SAVED_LIMIT)? else {
        return Err(CliError::failure(format!("found no saved plan at `{file}`")));
    };
    SavedPlan::from_json(&String::from_utf8_lossy(&bytes))
        .map_err(|stale| CliError::refused(format!("`{file}` cannot be used")).cause(stale))
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
        Format::Human => {
            let (screen, links) = (output::data_screen(), output::links());
            output::data(&render::plan(plan, PlanView { screen, length, next, links: links.as_deref() }));
        }
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
