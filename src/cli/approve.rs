//! `regatta approve`: signs what a saved plan may lose, or a proposal of other signers. Needs that and a key, and neither fleet file
//! nor host.

use camino::Utf8Path;
use jiff::{SignedDuration, Timestamp};

use super::args::ApproveArgs;
use super::error::{CliError, Exit};
use super::{output, plan};
use crate::effect::{Clock as _, Command, CommandRunner, Run as _, SystemClock, files, sign};
use crate::plan::gate::approval::{Approval, Approved, NAMESPACE};
use crate::plan::gate::digest_of;
use crate::plan::gate::rotation::is_rotation;
use crate::plan::{SavedPlan, Step};
use crate::render::{self, Length, PlanView};

/// Somebody has to find the security key and touch it.
const TOUCH_DEADLINE: std::time::Duration = std::time::Duration::from_secs(120);

/// A saved plan is longer, and begins in another way.
const PROPOSAL_LIMIT: u64 = 64 << 20;

/// A key file is short.
const KEY_LIMIT: u64 = 64 << 10;

/// Shows what would be approved, asks, signs, and writes it.
pub(super) async fn run(args: &ApproveArgs) -> Result<Exit, CliError> {
    let approval = match proposal(&args.plan)? {
        Some(proposal) => proposal,
        None => {
            let saved = plan::saved(&args.plan)?;
            let view = PlanView { screen: output::error_screen(), length: Length::Short, next: "", links: None };
            output::talk(&render::plan(saved.plan(), view));
            approval(&saved, args)?
        }
    };
    output::talk(&render::approval(&approval, output::error_screen()));
    let text = approval.to_text();
    let file = match &args.key {
        _ if args.document => text,
        None => {
            return Err(CliError { exit: Exit::Usage, ..CliError::failure("found no `--key`, and no `--document`") });
        }
        Some(key) => {
            let agreed = args.yes || output::ask("Sign this?").unwrap_or(false);
            if !agreed {
                output::talk("nothing was signed; without a terminal, pass --yes\n");
                return Ok(Exit::Failure);
            }
            text.clone() + &signature(key, &text).await?
        }
    };
    match &args.out {
        Some(path) => files::publish(path, file.as_bytes())?,
        None => output::data(&file),
    }
    Ok(Exit::Success)
}

/// What `regatta signers propose` wrote; `None` when it is something else.
fn proposal(file: &Utf8Path) -> Result<Option<Approval>, CliError> {
    let bytes = files::read_bounded(file, PROPOSAL_LIMIT)?.unwrap_or_default();
    if !bytes.starts_with(NAMESPACE.as_bytes()) {
        return Ok(None);
    }
    let wrong = |why: String| CliError::failure(format!("`{file}` is no proposal")).cause(why);
    let text = str::from_utf8(&bytes).map_err(|_| wrong("it is not text".into()))?;
    let approval = Approval::parse(text).map_err(wrong)?;
    // Whoever signs looks at the plan first, and this text does not have it.
    if is_rotation(&approval) { Ok(Some(approval)) } else { Err(wrong("sign the plan itself".into())) }
}

fn approval(saved: &SavedPlan, args: &ApproveArgs) -> Result<Approval, CliError> {
    let chosen = |step: &&Step| {
        let named =
            |it: &String| step.addresses.iter().any(|address| address.as_str() == it || address.guest() == Some(it));
        saved.destructive().contains(&step.id) && (args.only.is_empty() || args.only.iter().any(named))
    };
    let mut steps: Vec<Approved> = saved.plan().graph.steps.iter().filter(chosen).map(approved).collect();
    steps.sort();
    if steps.is_empty() {
        let error = CliError::failure("nothing of this plan needs an approval");
        return Err(error.hint("`--only` takes addresses and guests of the plan"));
    }
    // Whole seconds: a clock's rest says nothing, and makes the text longer.
    let now = Timestamp::from_second(SystemClock.now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH);
    let expires = now.checked_add(SignedDuration::from_hours(args.hours.into()));
    Ok(Approval {
        fleet: saved.plan().fleet.clone(),
        host: saved.host().to_owned(),
        plan: saved.seal().clone(),
        nonce: uuid::Uuid::now_v7().simple().to_string(),
        issued: now,
        expires: expires.map_err(|cause| CliError::failure("it would expire too late").cause(cause))?,
        steps,
    })
}

fn approved(step: &Step) -> Approved {
    let (operation, addresses) = (step.op.name().to_owned(), step.addresses.clone());
    Approved { operation, digest: digest_of(step), addresses }
}

/// With a plain private key here, with everything else through `ssh-keygen`: agents, passphrases, security keys.
async fn signature(key: &Utf8Path, text: &str) -> Result<String, CliError> {
    let Some(bytes) = files::read_bounded(&crate::effect::paths::canonical(key)?, KEY_LIMIT)? else {
        return Err(CliError::failure(format!("found no key `{key}`")));
    };
    if let Some(armour) = sign(&String::from_utf8_lossy(&bytes), NAMESPACE, text.as_bytes())? {
        return Ok(armour);
    }
    let command = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-f", key.as_str(), "-n", NAMESPACE])
        .stdin(text.as_bytes())
        .with_callers_environment()
        .deadline(TOUCH_DEADLINE);
    let failed = |cause: String| {
        let error = CliError::failure(format!("`ssh-keygen` did not sign with `{key}`")).cause(cause);
        error.hint("load a key with a passphrase into the agent (`ssh-add`), and touch a security key")
    };
    let output = CommandRunner.run(&command).await.map_err(|error| failed(error.to_string()))?;
    match String::from_utf8(output.stdout.clone()) {
        Ok(armour) if output.success() => Ok(armour),
        _ => Err(failed(String::from_utf8_lossy(&output.stderr).replace(char::is_control, " ").trim().to_owned())),
    }
}
