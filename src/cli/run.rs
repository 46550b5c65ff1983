//! What `apply` and `destroy` share once they know the plan: lock, ask, journal, run, report.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::args::Format;
use super::consent::{Consent, Judged};
use super::error::{CliError, Exit};
use super::forms::{self, Form, Out};
use super::plan::{self, Shown};
use super::progress::ProgressScreen;
use super::session::Session;
use super::{consent, lock, output, policy, signals, ssh_config};
use crate::driver::approvals::{Accepted, SpentStore};
use crate::driver::{FleetDriver, LocalDriver};
use crate::effect::{Clock, Lock, SystemClock, files};
use crate::exec::journal::{Keep, Verdict, recover};
use crate::exec::{
    Cancel, Durations, Event, Gatekeeper, Identity, Journals, Limits, Outcome, Report, Retry, RunId, Runner, estimate,
};
use crate::plan::Plan;
use crate::plan::gate::{Caller, Grants, Provenance, digest_of, screen};
use crate::render::{self, PlanView, Screen};
use crate::resource::Observed;

/// In which forms a run is told.
#[derive(Clone, Copy)]
pub(super) struct Telling<'a> {
    /// On standard output.
    pub form: Form,
    /// The report, in files.
    pub out: &'a [Out],
}

/// What becomes of the journals of runs that were cut short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CutShort {
    /// This run was planned of the whole world as they left it, and takes up their work.
    TakeUp,
    /// This run is about something else: the next apply sees to them.
    Leave,
}

/// How a run is to be carried out.
pub(super) struct RunOptions<'a> {
    /// What becomes of runs that were cut short.
    pub cut_short: CutShort,
    /// Who agrees.
    pub consent: Consent<'a>,
    /// Who starts it.
    pub caller: Caller,
    /// What was agreed to beforehand.
    pub grants: Grants,
    /// The approvals that it is agreed by: they are spent when the run begins.
    pub approvals: Vec<Accepted>,
    /// Steps at the same time.
    pub parallel: usize,
    /// How it is told.
    pub telling: Telling<'a>,
}

impl<'a> RunOptions<'a> {
    /// A run that needs no approval, and leaves runs that were cut short to the next apply.
    pub(super) fn new(consent: Consent<'a>, telling: Telling<'a>) -> Self {
        Self {
            cut_short: CutShort::Leave,
            consent,
            caller: policy::caller(),
            grants: Grants::default(),
            approvals: Vec::new(),
            parallel: Limits::default().parallel,
            telling,
        }
    }
}

/// Refuses forms that no run is told in, before anything happens.
pub(super) fn check_forms(form: Form, out: &[Out]) -> Result<(), CliError> {
    match form {
        Form::Human | Form::Json | Form::Jsonl => {}
        _ => return Err(form.unknown_here("human, json and jsonl")),
    }
    Out::expect(out, &[Form::Human, Form::Json, Form::Prometheus])
}

/// Takes the host's lock: only one process changes this host at a time.
pub(super) async fn lock(session: &Session, command: &str, wait_s: u64) -> Result<Lock, CliError> {
    lock::take(&session.state().host_lock(), command, Duration::from_secs(wait_s)).await
}

/// Shows what is about to be done. With `--format json` standard output is kept for the report.
pub(super) fn show_before(plan: &Plan, format: Format, shown: Shown) -> Result<(), CliError> {
    match format {
        Format::Human => plan::show(plan, format, shown),
        Format::Json => {
            let Shown { length, next } = shown;
            output::talk(&render::plan(plan, PlanView { screen: output::error_screen(), length, next, links: None }));
            Ok(())
        }
    }
}

/// Reports a run that had nothing to do. What an interrupted one left open is settled by that as well.
pub(super) fn nothing_to_do(session: &Session, plan: &Plan, telling: Telling<'_>) -> Result<Exit, CliError> {
    let nothing = Report::nothing(&plan.fleet, SystemClock.now());
    close_unfinished(&Journals::new(session.state().runs(session.fleet())), nothing.run, &SystemClock)?;
    tell_nothing(&nothing, telling)
}

/// Reports a run that was not needed.
pub(super) fn tell_nothing(nothing: &Report, telling: Telling<'_>) -> Result<Exit, CliError> {
    if telling.form == Form::Json {
        output::data(&render::report_json(nothing)?);
    }
    write_report(nothing, telling.out)?;
    Ok(Exit::Success)
}

/// Asks, unless told not to; runs the plan's steps; reports.
///
/// `observed` is what the plan was made of: it says whose data there is.
pub(super) async fn carry_out(
    session: &Session,
    observed: Observed,
    plan: &Plan,
    options: &RunOptions<'_>,
) -> Result<Exit, CliError> {
    let Some(gate) = gatekeeper(session, observed, plan, options)? else {
        output::talk("nothing was done\n");
        return Ok(Exit::Failure);
    };
    let done = perform(session, plan, options, gate).await?;
    match options.telling.form {
        Form::Json => output::data(&render::report_json(&done)?),
        _ => output::talk(&render::report_text(&done, output::error_screen())),
    }
    write_report(&done, options.telling.out)?;
    ssh_config::refresh(session).await?;
    Ok(match done.outcome() {
        Outcome::Done => Exit::Success,
        Outcome::Failed => Exit::Failure,
        Outcome::Held => Exit::Refused,
        Outcome::Partial => Exit::Partial,
        Outcome::Reverted => Exit::Reverted,
        Outcome::Interrupted => Exit::Interrupted,
    })
}

/// What every step of the run will have to pass; `None` when somebody said no.
fn gatekeeper(
    session: &Session,
    observed: Observed,
    plan: &Plan,
    options: &RunOptions<'_>,
) -> Result<Option<Gatekeeper>, CliError> {
    let (caller, policy) = (options.caller, session.policies().for_caller(options.caller)?);
    let provenance = Provenance::new(Arc::new(observed));
    let judged = Judged { plan, provenance: &provenance, policy: &policy, caller };
    let grants = consent::ask(&judged, options.consent, options.grants.clone())?;
    let audit = Arc::new(session.audit());
    Ok(grants.map(|grants| Gatekeeper { caller, policy, grants, provenance, audit }))
}

async fn perform(
    session: &Session,
    plan: &Plan,
    options: &RunOptions<'_>,
    gate: Gatekeeper,
) -> Result<Report, CliError> {
    session.write_lock()?;
    let directory = session.state().runs(session.fleet());
    files::private_dir(&directory)?;
    let (journals, run, clock) = (Journals::new(directory), RunId::generate(), Arc::new(SystemClock));
    let resumes = match options.cut_short {
        CutShort::TakeUp => close_unfinished(&journals, run, &*clock)?,
        CutShort::Leave => Vec::new(),
    };
    journals.rotate(Keep::default())?;
    let identity = Identity { run, fleet: plan.fleet.clone(), resumes };
    let used = used(&gate, plan, &options.approvals, clock.now());
    let journal = journals.begin(identity, &plan.graph, clock.now())?;
    // Durable before the first step: whatever becomes of the run, they are spent.
    let mut spent = SpentStore::open(&session.state().approvals(session.fleet()))?;
    if !used.is_empty() {
        spent.spend(&used, run, clock.now())?;
    }
    let cancel = Cancel::default();
    signals::listen(cancel.clone())?;
    let local = LocalDriver::new(session.guests(), session.networks()).starting_with_host(session.boot());
    let runner = Runner {
        perform: Arc::new(FleetDriver::new(local, session.clusters(), session.insides(), session.nodes())),
        clock,
        limits: Limits::with_parallel(options.parallel),
        retry: Retry::default(),
        cancel,
        gate,
    };
    let past: Vec<_> = journals.list()?.into_iter().filter_map(|listed| listed.story.ok()).collect();
    let progress = ProgressScreen::new(estimate(&plan.graph, &runner.limits, &Durations::learn(&past)));
    let lines = options.telling.form == Form::Jsonl;
    let mut tell = |event: &Event| {
        progress.tell(event);
        if lines {
            output::data(&render::event_line(event));
        }
    };
    let report = progress.watch(runner.run(&plan.graph, journal, &mut tell)).await;
    if !used.is_empty() {
        spent.finish(run, report.outcome())?;
    }
    Ok(report)
}

/// The approvals that let a step begin. One that is not enough, because others are lacking, is not spent.
fn used<'a>(gate: &Gatekeeper, plan: &Plan, approvals: &'a [Accepted], now: Timestamp) -> Vec<&'a Accepted> {
    let held = screen(&plan.graph, &gate.provenance, &gate.policy, &gate.grants, now);
    let going = plan.graph.steps.iter().filter(|step| !held.contains_key(&step.id));
    let going: Vec<_> = going.map(|step| (step.op.name(), digest_of(step), &step.addresses)).collect();
    let lets_go = |it: &&Accepted| {
        let mut steps = it.approval.steps.iter();
        steps.any(|step| {
            going
                .iter()
                .any(|(op, digest, at)| step.operation == *op && step.digest == *digest && step.addresses == **at)
        })
    };
    approvals.iter().filter(lets_go).collect()
}

/// Runs whose process died are closed. Their work is taken up by what was just planned: the plan was made of the world
/// as they left it, under the lock that only one run can hold. What only a person can tell stops everything.
fn close_unfinished(journals: &Journals, by: RunId, clock: &dyn Clock) -> Result<Vec<RunId>, CliError> {
    let mut resumed = Vec::new();
    for open in journals.unfinished()? {
        output::talk(&render::cut_short(open.run(), open.story(), output::error_screen()));
        if recover(open.story()).iter().any(|left| left.verdict == Verdict::Ask) {
            let error = CliError::refused("a step of it must not be repeated, and nobody knows whether it happened");
            let path = journals.path(open.run());
            return Err(error.hint(format!("find out, put right what is not, then move `{path}` away")));
        }
        resumed.push(open.run());
        open.close(by, clock.now())?;
    }
    Ok(resumed)
}

/// Writes the report to every file that was asked for.
fn write_report(report: &Report, out: &[Out]) -> Result<(), CliError> {
    forms::write(out, |form| match form {
        Form::Json => Ok(render::report_json(report)?),
        Form::Prometheus => Ok(render::report_prometheus(report)),
        _ => Ok(render::report_text(report, Screen::plain(100))),
    })
}
