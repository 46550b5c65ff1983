//! `regatta signers`: whose signatures count, and how others take their place (`docs/design/gate.md`, "Rotation").

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::{SignedDuration, Timestamp};

use super::args::{Format, Global, NewSigners, SignersArgs, SignersCommand};
use super::error::{CliError, Exit};
use super::policy::Trust;
use super::session::Session;
use super::{approvals, output, policy, run};
use crate::driver::approvals::{Accepted, SpentStore};
use crate::effect::{Clock as _, SystemClock, files, fingerprint, paths};
use crate::exec::{Audit as _, AuditFact, Outcome, RunId};
use crate::plan::gate::approval::{Approval, NAMESPACE};
use crate::plan::gate::rotation::{Change, Rotation, gate_rotation, locks_out};
use crate::plan::gate::{Caller, Decision, Policy, Signers};
use crate::render::{self, ListedSigner};
use crate::resource::Digest;

/// Does what was asked.
pub(super) async fn run(global: &Global, args: &SignersArgs) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    match &args.command {
        SignersCommand::Show => show(&session, global.format),
        SignersCommand::Propose { files, hours, out } => propose(&session, files, *hours, out.as_deref()),
        SignersCommand::Rotate { files, approval, wait } => {
            let _lock = run::lock(&session, "regatta signers rotate", *wait).await?;
            rotate(&session, files, approval)
        }
    }
}

fn show(session: &Session, format: Format) -> Result<Exit, CliError> {
    let caller = policy::caller();
    let (policy, now) = (session.policies().for_caller(caller)?, SystemClock.now());
    let signers = approvals::signers(session, caller)?;
    let mut listed = Vec::new();
    for (principal, key, counts) in signers.keys(NAMESPACE, now) {
        listed.push(ListedSigner {
            principal: principal.to_owned(),
            fingerprint: fingerprint(key)?,
            refusal: counts.err().map(|refusal| refusal.name()),
            may_rotate: policy.may_rotate(principal),
        });
    }
    output::data(&match format {
        Format::Human => render::signers(&listed, output::data_screen()),
        Format::Json => render::signers_json(&listed)?,
    });
    Ok(Exit::Success)
}

/// A rotation that was read: what it is, and the bytes that come.
struct Proposed {
    rotation: Rotation,
    trust: Trust,
    signers: Vec<u8>,
    revoked: Option<Vec<u8>>,
}

fn propose(session: &Session, files: &NewSigners, hours: u16, out: Option<&Utf8Path>) -> Result<Exit, CliError> {
    let proposed = proposed(session, files)?;
    let now = Timestamp::from_second(SystemClock.now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH);
    let expires = now.checked_add(SignedDuration::from_hours(hours.into()));
    let approval = Approval {
        fleet: session.fleet().to_owned(),
        host: session.host().to_owned(),
        plan: proposed.rotation.digest(),
        nonce: uuid::Uuid::now_v7().simple().to_string(),
        issued: now,
        expires: expires.map_err(|cause| CliError::failure("it would expire too late").cause(cause))?,
        steps: vec![proposed.rotation.approved()],
    };
    match out {
        Some(path) => files::publish(path, approval.to_text().as_bytes())?,
        None => output::data(&approval.to_text()),
    }
    Ok(Exit::Success)
}

/// Verifies, decides, writes down, and only then replaces: the revoked keys first, so that a crash between the two leaves less trust
/// and not more.
fn rotate(session: &Session, files: &NewSigners, given: &[Utf8PathBuf]) -> Result<Exit, CliError> {
    let proposed = proposed(session, files)?;
    let (policy, now) = (policy(session)?, SystemClock.now());
    let target = proposed.rotation.target(session.fleet(), session.host(), &policy);
    let accepted = approvals::all(approvals::check_for(session, Caller::Agent, &target, given)?, given)?;
    let principals: BTreeSet<String> = accepted.iter().map(|it| it.principal.clone()).collect();
    let decision = gate_rotation(&policy, &principals);
    let run = RunId::generate();
    write_down(session, &proposed.rotation, run, &decision)?;
    if let Decision::Held { need } = &decision {
        let error = CliError::refused(format!("replacing the signers {need}; nothing was done"));
        return Err(error.hint("`regatta signers show` lists who may approve it"));
    }
    let mut spent = SpentStore::open(&session.state().approvals(session.fleet()))?;
    spent.spend(&accepted.iter().collect::<Vec<&Accepted>>(), run, now)?;
    if let (Some(path), Some(bytes)) = (&proposed.trust.revoked, &proposed.revoked) {
        files::publish(&paths::canonical(path)?, bytes)?;
    }
    files::publish(&paths::canonical(&proposed.trust.signers)?, &proposed.signers)?;
    spent.finish(run, Outcome::Done)?;
    let ended = AuditFact::Finished { run, outcome: Outcome::Done };
    append(session, ended)?;
    output::talk(&format!("the signers in `{}` are replaced\n", proposed.trust.signers));
    Ok(Exit::Success)
}

fn write_down(session: &Session, rotation: &Rotation, run: RunId, decision: &Decision) -> Result<(), CliError> {
    let fact = AuditFact::Rotation { run, digest: rotation.digest(), decision: decision.clone() };
    append(session, fact)
}

fn append(session: &Session, fact: AuditFact) -> Result<(), CliError> {
    session.audit().append(SystemClock.now(), &[fact]).map_err(|cause| CliError::failure(cause.to_string()))
}

/// The policy that a rotation is judged by: whoever asks for it, it needs signatures, and the fleet file has no say in whose.
fn policy(session: &Session) -> Result<Policy, CliError> {
    session.policies().for_caller(Caller::Agent)
}

fn proposed(session: &Session, files: &NewSigners) -> Result<Proposed, CliError> {
    let Some(trust) = session.policies().trust(Caller::Agent) else {
        let error = CliError::refused("no policy of this host, or that `--policy` names, says whose signatures count");
        return Err(error.hint(
            "the signers of a fleet file's own policy are replaced in its repository, where changes are reviewed",
        ));
    };
    let read = |path: &Utf8Path| {
        let bytes = files::read_bounded(path, approvals::SIGNERS_LIMIT)?;
        bytes.ok_or_else(|| CliError::refused(format!("found no file `{path}`")))
    };
    let (before, after) = (read(&paths::canonical(&trust.signers)?)?, read(&files.signers)?);
    let signers = Change { before: Digest::of(&before), after: Digest::of(&after) };
    let (was, comes) = match (&trust.revoked, &files.revoked) {
        (None, Some(_)) => {
            let error = CliError::refused("the policy names no file of revoked keys, so that none can be replaced");
            return Err(error.hint("add `revoked \"FILE\"` to the policy"));
        }
        (at, new) => {
            let at = at.as_deref().map(paths::canonical).transpose()?;
            (at.as_deref().map(read).transpose()?, new.as_deref().map(read).transpose()?)
        }
    };
    let revoked = was.as_ref().map(|was| {
        let after = comes.as_ref().unwrap_or(was);
        Change { before: Digest::of(was), after: Digest::of(after) }
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let parsed = Signers::parse(&text(&after), &text(comes.as_ref().or(was.as_ref()).map_or(&[], Vec::as_slice)));
    let parsed =
        parsed.map_err(|error| CliError::refused(format!("`{}` cannot be used", files.signers)).cause(error))?;
    if locks_out(&policy(session)?, &parsed, SystemClock.now()) {
        let error = CliError::refused("too few would be left who may replace the signers again; nothing was done");
        return Err(error.hint("keep the keys of those whom `regatta signers show` marks"));
    }
    Ok(Proposed { rotation: Rotation { signers, revoked }, trust, signers: after, revoked: comes })
}
