//! Approvals that a run was given: verified against who is trusted, and written down whether they count or not.

use camino::{Utf8Path, Utf8PathBuf};

use super::error::CliError;
use super::session::Session;
use crate::driver::approvals::{Accepted, SpentStore, verify};
use crate::effect::{Clock as _, SystemClock, files, paths};
use crate::exec::{Audit as _, AuditFact};
use crate::plan::Plan;
use crate::plan::gate::approval::APPROVAL_LIMIT;
use crate::plan::gate::{Caller, Grants, Refusal, Signers, Target, granted};
use crate::resource::Digest;

/// No signers' file is larger, in bytes.
pub(super) const SIGNERS_LIMIT: u64 = 1 << 20;

/// A plan as approvals name it.
#[derive(Clone, Copy)]
pub(super) struct Sealed<'a> {
    pub plan: &'a Plan,
    pub seal: &'a Digest,
}

/// What was verified of one file.
pub(super) type Verified = Result<Accepted, Refusal>;

/// Verifies files, each for itself, and writes down what came of each.
///
/// # Errors
/// When it cannot be told who is trusted, what was spent, or the log cannot be written.
pub(super) fn check(
    session: &Session,
    caller: Caller,
    sealed: Sealed<'_>,
    given: &[Utf8PathBuf],
) -> Result<Vec<Verified>, CliError> {
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let target = Target {
        fleet: session.fleet().to_owned(),
        host: session.host().to_owned(),
        plan: sealed.seal.clone(),
        steps: Target::steps_of(&sealed.plan.graph),
        lifetime_hours: session.policies().for_caller(caller)?.lifetime_hours(),
    };
    check_for(session, caller, &target, given)
}

/// The same, for anything that approvals may be for.
///
/// # Errors
/// As [`check`].
pub(super) fn check_for(
    session: &Session,
    caller: Caller,
    target: &Target,
    given: &[Utf8PathBuf],
) -> Result<Vec<Verified>, CliError> {
    let signers = signers(session, caller)?;
    let spent = SpentStore::open(&session.state().approvals(session.fleet()))?;
    given.iter().map(|path| one(session, path, (&signers, target, &spent))).collect()
}

fn one(
    session: &Session,
    path: &Utf8Path,
    (signers, target, spent): (&Signers, &Target, &SpentStore),
) -> Result<Verified, CliError> {
    let now = SystemClock.now();
    let bytes = files::read_bounded(&paths::canonical(path)?, APPROVAL_LIMIT as u64 * 2)?.unwrap_or_default();
    let verified = verify(&bytes, signers, target, spent, now);
    let fact = match &verified {
        Ok(accepted) => AuditFact::Approval {
            file: accepted.file.clone(),
            nonce: Some(accepted.approval.nonce.clone()),
            principal: Some(accepted.principal.clone()),
            verdict: "accepted".into(),
        },
        Err(rejected) => AuditFact::Approval {
            file: rejected.file.clone(),
            nonce: rejected.nonce.clone(),
            principal: rejected.principal.clone(),
            verdict: rejected.refusal.name().into(),
        },
    };
    session.audit().append(now, &[fact]).map_err(|cause| CliError::failure(cause.to_string()))?;
    Ok(verified.map_err(|rejected| rejected.refusal))
}

/// All of them, or the refusal of the first that does not count.
pub(super) fn all(verified: Vec<Verified>, given: &[Utf8PathBuf]) -> Result<Vec<Accepted>, CliError> {
    verified
        .into_iter()
        .zip(given)
        .map(|(verified, path)| verified.map_err(|refusal| refused(path, &refusal)))
        .collect()
}

fn refused(path: &Utf8Path, refusal: &Refusal) -> CliError {
    let message = format!("the approval in `{path}` does not count ({}); nothing was done", refusal.name());
    CliError::refused(message).cause(refusal)
}

/// What approvals grant.
pub(super) fn grants(accepted: &[Accepted]) -> Grants {
    let mut grants = Grants::default();
    accepted.iter().for_each(|it| grants.approve(granted(&it.approval, &it.principal)));
    grants
}

/// Whose signatures count.
///
/// # Errors
/// When nobody says, or what they say cannot be read.
pub(super) fn signers(session: &Session, caller: Caller) -> Result<Signers, CliError> {
    let Some(trust) = session.policies().trust(caller) else {
        let error = CliError::refused("no policy says whose signatures count; nothing was done");
        return Err(error.hint("a policy names them: `policy { signers \"allowed_signers\"; }`"));
    };
    let signers = text(&trust.signers)?;
    let revoked = trust.revoked.as_deref().map(text).transpose()?.unwrap_or_default();
    Signers::parse(&signers, &revoked).map_err(|error| {
        CliError::refused(format!("`{}` or the file of revoked keys cannot be used", trust.signers)).cause(error)
    })
}

fn text(path: &Utf8Path) -> Result<String, CliError> {
    let bytes = files::read_bounded(&paths::canonical(path)?, SIGNERS_LIMIT)?;
    let bytes = bytes.ok_or_else(|| CliError::refused(format!("found no file `{path}`")))?;
    String::from_utf8(bytes).map_err(|_| CliError::refused(format!("`{path}` is not text")))
}
