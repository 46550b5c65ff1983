//! What a plan would run, found out by doing its steps where nothing matters: the driver's own code, on a scratch copy of
//! the state directory, with effects that write down what they are asked for.
//!
//! **Invariant:** a rehearsal changes nothing: it starts no guest, logs in nowhere, gets no privilege and writes below a
//! temporary directory of its own. Only tools that work on files are really run, on the files there.
//!
//! What a step finds in a guest or on its disk is not known here, so that both are taken for empty: the programs are
//! those that would run, the names of files among their arguments may differ in number.

mod stage;

use std::collections::BTreeSet;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use self::stage::{Door, Stage, in_the_world};
use super::boot::BootUnit;
use super::files::offline;
use super::microvm::{Effects, Guests, process_id};
use super::network::Networks;
use super::state::StateDir;
use super::{LocalDriver, record};
use crate::config::ByteSize;
use crate::effect::{CommandRunner, KeyPair, SystemClock, files};
use crate::exec::{AuditFile, Failure, Perform as _, Progress, Rehearsed};
use crate::plan::{Op, Plan, Step};
use crate::resource::{Content, FileSet, Observed, ObservedGuest, Reading, RunState, SecretRef};

/// Rehearses every step of a plan that is done when nothing fails, in an order that could run. `state` is the state
/// directory that the plan is for; only names in it and the answer of the KVM probe are taken from it.
///
/// # Errors
/// When the scratch directory cannot be made.
pub async fn rehearse(
    plan: &Plan,
    observed: &Observed,
    origin: &str,
    state: &StateDir,
) -> Result<Vec<Rehearsed>, Failure> {
    let scratch = tempfile::tempdir().map_err(|cause| Failure::permanent(format!("cannot rehearse: {cause}")))?;
    let root = Utf8PathBuf::try_from(scratch.path().to_owned())
        .map_err(|error| Failure::permanent(format!("cannot rehearse: {error}")))?;
    let stage = Arc::new(Stage::default());
    let scene = StateDir::new(root.clone());
    set(&stage, &scene, plan, observed, state).await?;
    let effects = Effects {
        run: Arc::clone(&stage) as _,
        connect: Arc::new(Door(Arc::clone(&stage))),
        processes: Arc::clone(&stage) as _,
        clock: Arc::new(SystemClock),
        detach: Arc::clone(&stage) as _,
        // Told twice, it is told the same.
        identify: |guest| uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_DNS, guest.as_bytes()),
    };
    let (run, clock) = (Arc::clone(&stage) as _, Arc::new(SystemClock));
    let audit = Arc::new(AuditFile::new(scene.audit_log()));
    let networks = Arc::new(Networks::new(&plan.fleet, origin, run, clock, audit));
    let boot = BootUnit::new(&plan.fleet, origin, &scene, Some(root.join("systemd")), Arc::clone(&stage) as _)?;
    let guests = Arc::new(Guests::new(&plan.fleet, origin, scene, effects));
    let driver = LocalDriver::new(Arc::clone(&guests), networks).starting_with_host(Arc::new(boot));
    let world = state.root().to_owned();
    let mut rehearsed = Vec::new();
    for (step, rescue) in plan.graph.steps.iter().zip(plan.graph.rescues()) {
        if rescue.is_some() {
            continue;
        }
        let cut_short = act(&stage, &guests, &driver, step).await;
        let commands = stage.take().into_iter().map(|asked| in_the_world(asked, root.as_str(), &world)).collect();
        let cut_short = cut_short.map(|why| why.replace(root.as_str(), world.as_str()));
        rehearsed.push(Rehearsed { step: step.id, commands, cut_short });
    }
    Ok(rehearsed)
}

/// Does one step; says why it did not come to its end.
async fn act(stage: &Stage, guests: &Guests, driver: &LocalDriver, step: &Step) -> Option<String> {
    let guest = step.addresses.first().and_then(|address| address.guest()).unwrap_or_default();
    let builds = matches!(step.op, Op::BuildImage { .. } | Op::BuildKernel { .. });
    stage.begin(guest);
    if let Err(error) = lay_out(guests, &step.op) {
        return Some(error.to_string());
    }
    if let Op::RenameGuest { from, to } = &step.op {
        stage.renamed(from, to);
    }
    let step = without_secrets(guests, step).await;
    match driver.perform(&step, &Silent).await {
        // What would be built is not there: a build ends where it takes its result.
        Err(_) if builds => None,
        Err(failure) => Some(failure.causes.join(": ")),
        Ok(()) => None,
    }
}

/// The step without what only a real one may fetch; asks for each secret, so that its command is known.
async fn without_secrets(guests: &Guests, step: &Step) -> Step {
    let mut step = step.clone();
    let Op::WriteFiles { sets, .. } = &mut step.op else { return step };
    for (address, set) in sets {
        let secret = |content: &Content| matches!(content, Content::Secret(secret) if matches!(secret.from, SecretRef::Command { .. }));
        for (path, file) in set.files.iter().filter(|(_, file)| secret(&file.content)) {
            let files = [(path.clone(), file.clone())].into();
            let one = FileSet { files, ..set.clone() };
            // It answers nothing, which no secret is.
            let _ = guests.fetch_secrets(&[(address.clone(), one)], &Silent).await;
        }
        set.files.retain(|_, file| !matches!(file.content, Content::Secret(_)));
    }
    step
}

/// Empty files in place of the image or kernel that a step needs.
fn lay_out(guests: &Guests, op: &Op) -> Result<(), files::FileError> {
    let store = guests.store();
    let needed = match op {
        Op::CreateGuest { vm } | Op::ReplaceRoot { vm } => vec![store.image_path(&vm.image)],
        Op::StartGuest { vm } => {
            let kernel = store.kernel_paths(&vm.kernel);
            vec![kernel.vmlinux, kernel.initrd]
        }
        _ => Vec::new(),
    };
    for file in needed {
        file.parent().map_or(Ok(()), files::private_dir)?;
        files::write_atomic(&file, b"")?;
    }
    Ok(())
}

/// Sets the stage: a key of its own, and the guests that the plan is about, with empty disks.
async fn set(
    stage: &Stage,
    scene: &StateDir,
    plan: &Plan,
    observed: &Observed,
    state: &StateDir,
) -> Result<(), Failure> {
    let key = KeyPair::generate("rehearsal")?;
    files::write_atomic(&scene.identity(), key.private_pem()?.as_bytes())?;
    copy_probe(state.root(), scene.root())?;
    let named = plan.graph.steps.iter().flat_map(|step| {
        let from = match &step.op {
            Op::RenameGuest { from, .. } => Some(from.as_str()),
            _ => None,
        };
        step.addresses.iter().filter_map(|address| address.guest()).chain(from)
    });
    for name in named.collect::<BTreeSet<&str>>() {
        if let Some(Reading::Present(guest)) = observed.guests.get(name) {
            place(stage, scene, &plan.fleet, (name, guest)).await?;
        }
    }
    Ok(())
}

async fn place(
    stage: &Stage,
    scene: &StateDir,
    fleet: &str,
    (name, guest): (&str, &ObservedGuest),
) -> Result<(), Failure> {
    let dir = scene.guest(fleet, name);
    files::private_dir(dir.root())?;
    record::write(&dir.record(), &guest.record)?;
    if let RunState::Running(process) = &guest.state {
        stage.runs(name, guest.record.uuid.to_string(), process_id(process));
    }
    if let Some(disks) = &guest.record.applied.disks {
        let size = guest.work_disk.present().copied().unwrap_or(ByteSize::mib(64));
        offline::create_disk(&dir.work_disk(), size, &CommandRunner).await?;
        files::write_atomic(&dir.root_disk(disks.machine), b"")?;
    }
    Ok(())
}

/// Whether KVM works was tried long ago, most likely.
fn copy_probe(from: &Utf8Path, to: &Utf8Path) -> Result<(), Failure> {
    const ANSWER: &str = "accelerator.json";
    match files::read_bounded(&from.join(ANSWER), 16 << 10)? {
        Some(answer) => Ok(files::write_atomic(&to.join(ANSWER), &answer)?),
        None => Ok(()),
    }
}

struct Silent;

impl Progress for Silent {
    fn say(&self, _: &str) {}
}

#[cfg(test)]
mod tests;
