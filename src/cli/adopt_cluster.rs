//! `regatta adopt --cluster CLUSTER VMID…`: writes guests of a cluster into the fleet file as they are, and puts the fleet's mark on
//! them. Nothing else of them changes, or nothing happens.

use std::collections::BTreeSet;

use camino::Utf8Path;

use super::args::{AdoptArgs, Global};
use super::consent::Consent;
use super::error::{CliError, Exit};
use super::forms::Form;
use super::plan::{self, Shown};
use super::run::{self, RunOptions, Telling};
use super::session::Session;
use crate::config::is_label;
use crate::effect::files;
use crate::plan::{Options, Plan, Selection};
use crate::render::Length;
use crate::resource::Address;
use crate::resource::cluster::{ObservedClusterGuest, written};

/// A fleet file is not larger.
const FILE_LIMIT: u64 = 16 << 20;

/// Writes, plans, asks, and puts the marks on. A fleet file that leads to anything else becomes what it was.
pub(super) async fn run(global: &Global, form: Form, (args, cluster): (&AdoptArgs, &str)) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    let _lock = run::lock(&session, "regatta adopt", args.wait).await?;
    let guests = found(&session, args, cluster).await?;
    let path = session.origin().to_owned();
    let before = files::read_bounded(&path, FILE_LIMIT)?.unwrap_or_default();
    let text: String = guests.iter().map(|seen| format!("\n{}", written(seen))).collect();
    let gap: &[u8] = if before.ends_with(b"\n") { b"" } else { b"\n" };
    files::rewrite(&path, &[&before, gap, text.as_bytes()].concat())?;
    let undo = Undo { path: &path, before: &before };
    drop(session);
    match take_over(global, form, args, &guests).await {
        Ok(Exit::Success) => Ok(Exit::Success),
        // Some carry the mark by now: what declares them has to stay.
        Ok(exit @ (Exit::Partial | Exit::Interrupted)) => Ok(exit),
        other => {
            undo.undo()?;
            other
        }
    }
}

/// The guests of these numbers, none of which is anybody's.
async fn found(session: &Session, args: &AdoptArgs, cluster: &str) -> Result<Vec<ObservedClusterGuest>, CliError> {
    let mut guests: Vec<ObservedClusterGuest> = Vec::new();
    for written in &args.guests {
        let wrong = || {
            let error = CliError::failure(format!("found `{written}`, expected the number of a guest, such as 105"));
            CliError { exit: Exit::Usage, ..error }
        };
        let seen = session.clusters().unmarked(cluster, written.parse().map_err(|_| wrong())?).await?;
        let name = &seen.mark.guest;
        let taken = [Address::vm(name), Address::container(name)];
        if !is_label(name) {
            let error = CliError::failure(format!("guest {} is called `{name}`, which is no DNS label", seen.vmid));
            return Err(error.hint("give it such a name in Proxmox first"));
        }
        if taken.iter().any(|address| session.desired().resources.contains_key(address))
            || guests.iter().any(|other| other.mark.guest == *name)
        {
            return Err(CliError::failure(format!("the fleet has a guest `{name}` already")));
        }
        guests.push(seen);
    }
    Ok(guests)
}

/// Plans what the fleet file says by now, for these guests alone, and does it when it only puts marks on.
async fn take_over(
    global: &Global,
    form: Form,
    args: &AdoptArgs,
    guests: &[ObservedClusterGuest],
) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    let mut observed = session.glance_everywhere().await?;
    // A guest that has a directory of a node's disk takes that along.
    session.nodes().observe(&mut observed).await;
    let only = guests.iter().map(|seen| Address::on_cluster(seen.kind, &seen.mark.guest));
    let only: Result<Vec<_>, String> = only.map(|address| address.as_str().parse()).collect();
    let selection = Selection { only: only.map_err(CliError::failure)?, exclude: Vec::new() };
    observed.inside.clear();
    let plan = crate::plan::plan(session.desired(), &observed, &Options { selection, ..Options::default() });
    run::show_before(&plan, global.format, Shown { length: Length::Full, next: "" })?;
    refuse_more(&plan)?;
    let consent = Consent { given: args.yes, destroy: &[], question: "Take over these guests?" };
    let options = RunOptions::new(consent, Telling { form, out: &[] });
    run::carry_out(&session, observed, &plan, &options).await
}

/// Taking over changes the mark and the tag that goes with it: anything else means that what was written is not what is there.
fn refuse_more(plan: &Plan) -> Result<(), CliError> {
    match plan::verdict(plan) {
        Exit::Success => {}
        exit => return Err(CliError { exit, ..CliError::failure("not all of them can be adopted; nothing was done") }),
    }
    let allowed = BTreeSet::from(["mark", "tags"]);
    let changes = plan
        .changes
        .iter()
        .flat_map(|change| change.attributes.iter().map(move |attribute| (&change.address, attribute.path.as_str())));
    let more: Vec<String> = changes
        .filter(|(_, path)| !allowed.contains(path))
        .map(|(address, path)| format!("{address}: {path}"))
        .collect();
    if more.is_empty() {
        return Ok(());
    }
    let error = CliError::failure("what was written would change the guest; nothing was done, and nothing is written");
    Err(more.into_iter().fold(error, CliError::cause))
}

struct Undo<'a> {
    path: &'a Utf8Path,
    before: &'a [u8],
}

impl Undo<'_> {
    fn undo(&self) -> Result<(), CliError> {
        Ok(files::rewrite(self.path, self.before)?)
    }
}
