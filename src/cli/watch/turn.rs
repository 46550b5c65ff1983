//! One turn of the agent: fetch, verify, plan, do what loses nothing, hold the rest.

use camino::Utf8PathBuf;

use super::status::{State, Waiting};
use super::{Agent, Fence};
use crate::cli::approvals::{self, Sealed};
use crate::cli::args::{Format, Global};
use crate::cli::consent::Consent;
use crate::cli::error::{CliError, Exit};
use crate::cli::forms::Form;
use crate::cli::left_behind;
use crate::cli::policy::Policies;
use crate::cli::run::{self, CutShort, RunOptions, Telling};
use crate::cli::session::Session;
use crate::cli::{output, plan};
use crate::config::Commits;
use crate::effect::{Clock as _, Environment, SystemClock, files, paths};
use crate::plan::gate::{Caller, Grants, Provenance, screen};
use crate::plan::{Options, Plan, SavedPlan};
use crate::resource::Digest;

/// More approvals than this are not looked at.
const APPROVALS_MAX: usize = 1_000;

/// Takes one turn.
pub(super) async fn take(agent: &mut Agent<'_>) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let policies = Policies::read(agent.global, &environment, None)?;
    let commit = agent.checkout.fetch().await?;
    let same = agent.status.applied.as_ref() == Some(&commit);
    agent.status.commit = Some(commit.clone());
    let given = given(agent)?;
    if same && !agent.args.repair_drift && given.is_empty() {
        return Ok(if agent.status.state == State::Held { Exit::Refused } else { Exit::Success });
    }
    if policies.for_caller(Caller::Agent)?.commits() == Commits::Signed {
        let trusted = policies.trust(Caller::Agent).ok_or_else(|| {
            CliError::refused("the policy asks for signed commits, and no policy but the fleet's may say who signs")
        })?;
        agent.checkout.verify(&commit, &trusted).await?;
    }
    agent.checkout.check_out(&commit).await?;
    apply(agent, &policies, &given, commit, same).await
}

async fn apply(
    agent: &mut Agent<'_>,
    policies: &Policies,
    given: &[Utf8PathBuf],
    commit: String,
    same: bool,
) -> Result<Exit, CliError> {
    let root = paths::canonical(agent.checkout.tree())?;
    let (trusted, commands) = policies.trusted();
    let global = Global {
        file: root.join(&agent.global.file),
        format: Format::Human,
        fence: Some(Fence { root, paths: trusted, commands }),
        ..agent.global.clone()
    };
    let session = Session::open(&global).await?;
    let _lock = run::lock(&session, "regatta watch", 0).await?;
    left_behind::wait(&session).await?;
    let (planned, seal, observed) = look(&session).await?;
    let digests: Vec<Digest> = given.iter().filter_map(digest_of).collect();
    let is_new = agent.seen.as_ref() != Some(&(seal.clone(), digests.clone()));
    let (mut grants, mut accepted) = (Grants::default(), Vec::new());
    if is_new {
        for verified in approvals::check(&session, Caller::Agent, Sealed { plan: &planned, seal: &seal }, given)? {
            // One that does not count stays where it is: the log says why, and it may be for another plan.
            accepted.extend(verified.ok());
        }
        grants = approvals::grants(&accepted);
    }
    agent.seen = Some((seal, digests));
    if same && !agent.args.repair_drift && accepted.is_empty() {
        return Ok(if agent.status.state == State::Held { Exit::Refused } else { Exit::Success });
    }
    let exit = match planned.graph.steps.is_empty() {
        true => Exit::Success,
        false => {
            let options = RunOptions {
                cut_short: CutShort::TakeUp,
                consent: Consent::by_nobody(),
                caller: Caller::Agent,
                grants,
                approvals: accepted,
                parallel: session.parallel(None),
                telling: Telling { form: Form::Human, out: &[] },
            };
            run::carry_out(&session, observed, &planned, &options).await?
        }
    };
    match exit {
        Exit::Success | Exit::Refused => agent.status.applied = Some(commit),
        exit => return Err(CliError { exit, ..CliError::failure("not everything was done") }),
    }
    settle(agent, &session, policies).await
}

/// What is planned now, its seal, and what it was made of.
async fn look(session: &Session) -> Result<(Plan, Digest, crate::resource::Observed), CliError> {
    let observed = session.observe().await?;
    let planned = crate::plan::plan(session.desired(), &observed, &Options::default());
    match plan::verdict(&planned) {
        Exit::Success => {}
        exit => {
            let why: Vec<String> =
                planned.refusals.iter().map(|it| format!("{}: {}", it.address, it.message)).collect();
            let error = CliError { exit, ..CliError::failure("the plan cannot be applied as it is; nothing was done") };
            return Err(why.into_iter().fold(error, CliError::cause));
        }
    }
    let saved = SavedPlan::new(planned.clone(), session.desired(), &observed, plan::VERSION, session.host());
    Ok((planned, saved.seal().clone(), observed))
}

/// Looks at what is left, and publishes the plan that waits for approval.
async fn settle(agent: &mut Agent<'_>, session: &Session, policies: &Policies) -> Result<Exit, CliError> {
    let (planned, _, observed) = look(session).await?;
    let saved = SavedPlan::new(planned.clone(), session.desired(), &observed, plan::VERSION, session.host());
    let provenance = Provenance::new(std::sync::Arc::new(observed));
    let policy = policies.for_caller(Caller::Agent)?;
    let held = screen(&planned.graph, &provenance, &policy, &Grants::default(), SystemClock.now());
    let waiting = held.iter().filter(|(step, held)| **step == held.because).filter_map(|(step, held)| {
        let step = planned.graph.steps.get(step.0 as usize)?;
        let address = step.addresses.first().map(ToString::to_string).unwrap_or_default();
        Some(Waiting { address, operation: step.op.name().to_owned(), needs: held.need.to_string() })
    });
    agent.status.held = waiting.collect();
    agent.status.message = None;
    let file = agent.published.join("plan.json");
    if agent.status.held.is_empty() {
        paths::remove_if_there(&file)?;
        agent.status.state = State::Done;
        return Ok(Exit::Success);
    }
    // The seal of what was published is what an approval names: it stays as it is until the world moves.
    files::publish(&file, saved.to_json()?.as_bytes())?;
    agent.seen = None;
    agent.status.state = State::Held;
    output::talk(&format!("held: look at `{file}`, and sign it with `regatta approve {file} --key KEY`\n"));
    Ok(Exit::Refused)
}

/// The files of approvals, by name.
fn given(agent: &Agent<'_>) -> Result<Vec<Utf8PathBuf>, CliError> {
    let Some(directory) = &agent.args.approvals else { return Ok(Vec::new()) };
    if !paths::exists(directory)? {
        return Ok(Vec::new());
    }
    let names = paths::names_in(directory)?;
    Ok(names
        .iter()
        .filter(|name| !name.starts_with('.'))
        .take(APPROVALS_MAX)
        .map(|name| directory.join(name))
        .collect())
}

fn digest_of(path: &Utf8PathBuf) -> Option<Digest> {
    files::read_bounded(path, 1 << 20).ok()?.map(|bytes| Digest::of(&bytes))
}
