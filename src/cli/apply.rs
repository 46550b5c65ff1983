//! `regatta apply`: shows the plan, asks, and makes it so.

use camino::Utf8Path;

use super::approvals::{self, Sealed};
use super::args::{ApplyArgs, Global};
use super::consent::Consent;
use super::error::{CliError, Exit};
use super::forms::Form;
use super::left_behind;
use super::plan::{self, Shown};
use super::policy;
use super::run::{self, CutShort, RunOptions, Telling};
use super::session::Session;
use crate::plan::{Action, Plan, SavedPlan};
use crate::resource::Observed;

/// Plans under the lock, so that what was shown is what is done.
pub(super) async fn run(global: &Global, form: Form, args: &ApplyArgs) -> Result<Exit, CliError> {
    run::check_forms(form, &args.out)?;
    let session = Session::open(global).await?;
    session.tell_warnings(global)?;
    let _lock = run::lock(&session, "regatta apply", args.wait).await?;
    left_behind::wait(&session).await?;
    let observed = session.observe().await?;
    let saved = match &args.plan {
        Some(file) => plan::saved(file)?,
        None => {
            let options = args.scope.options(session.desired(), &observed)?;
            let plan = crate::plan::plan(session.desired(), &observed, &options);
            SavedPlan::new(plan, session.desired(), &observed, plan::VERSION, session.host())
        }
    };
    // Before anything else: one that was carried out tells what came of it, although the world has moved since.
    let sealed = Sealed { plan: saved.plan(), seal: saved.seal() };
    let verified = approvals::check(&session, policy::caller(), sealed, &args.approval)?;
    let accepted = approvals::all(verified, &args.approval)?;
    let plan = match &args.plan {
        Some(file) => still_good(file, &saved, &session, &observed)?,
        None => saved.plan().clone(),
    };
    run::show_before(&plan, global.format, Shown { length: plan::length(args.full), next: "" })?;
    let skipped = match plan::verdict(&plan) {
        Exit::Success => false,
        Exit::Failure if args.skip_unreachable => true,
        exit => {
            let error = CliError { exit, ..CliError::failure("the plan cannot be applied as it is; nothing was done") };
            let skips = "pass --skip-unreachable to leave alone what cannot be read, or --exclude it";
            return Err(match (exit, session.owner()) {
                (Exit::Failure, _) => error.hint(skips),
                (_, Some(owner)) => error.hint(format!("`{}` owns this fleet", crate::syntax::shown(owner))),
                (_, None) => error,
            });
        }
    };
    let telling = Telling { form, out: &args.out };
    if plan.graph.steps.is_empty() {
        let exit = run::nothing_to_do(&session, &plan, telling)?;
        return Ok(if skipped { Exit::Partial } else { exit });
    }
    if removes_everything(&plan) && !args.allow_empty {
        let error = CliError::refused("this would remove every guest of the fleet; nothing was done");
        return Err(error.hint("if that is meant, pass --allow-empty, or use `regatta destroy`"));
    }
    let consent = Consent { given: args.yes, destroy: &args.yes_destroy, question: "Apply this?" };
    let options = RunOptions {
        cut_short: CutShort::TakeUp,
        consent,
        caller: policy::caller(),
        grants: approvals::grants(&accepted),
        approvals: accepted,
        parallel: session.parallel(args.parallel),
        telling,
    };
    match run::carry_out(&session, observed, &plan, &options).await? {
        Exit::Success if skipped => Ok(Exit::Partial),
        exit => Ok(exit),
    }
}

/// The saved plan, if neither the fleet file nor the world moved since it was made (LESSON 45).
fn still_good(file: &Utf8Path, saved: &SavedPlan, session: &Session, observed: &Observed) -> Result<Plan, CliError> {
    match saved.check(session.desired(), observed, plan::VERSION) {
        Ok(()) => Ok(saved.plan().clone()),
        Err(stale) => {
            let error = CliError::refused(format!("the plan in `{file}` is not applied"));
            let error = stale.iter().fold(error, CliError::cause);
            Err(error.hint("make it again with `regatta plan -o FILE`, and look at it again"))
        }
    }
}

/// Whether guests are removed and none is left.
fn removes_everything(plan: &Plan) -> bool {
    let mut guests =
        plan.changes.iter().filter(|change| matches!(change.address.kind(), "vm" | "container")).peekable();
    guests.peek().is_some() && guests.all(|change| change.action == Action::Destroy)
}
