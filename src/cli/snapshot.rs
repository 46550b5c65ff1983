//! `regatta snapshot`: copies of guests' disks, taken, listed, put back and removed.

mod keepers;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::args::{Format, Global, SnapshotArgs, SnapshotCommand};
use super::consent::Consent;
use super::error::{CliError, Exit};
use super::forms::Form;
use super::output;
use super::plan::{self, Shown};
use super::run::{self, RunOptions, Telling};
use super::session::Session;
use crate::effect::{Clock as _, SystemClock};
use crate::plan::{Pattern, Snapshots};
use crate::render::{self, Length};
use keepers::{Keeper, Kept};

/// Does what is asked for.
pub(super) async fn run(global: &Global, form: Form, args: &SnapshotArgs) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    match &args.command {
        SnapshotCommand::List { guests } => list(global, &session, guests).await,
        _ => {
            run::check_forms(form, &[])?;
            change(global, form, &session, args).await
        }
    }
}

/// Everything that changes something: under the host's lock, with a journal, like every run.
async fn change(global: &Global, form: Form, session: &Session, args: &SnapshotArgs) -> Result<Exit, CliError> {
    let _lock = run::lock(session, "regatta snapshot", args.wait).await?;
    let now = SystemClock.now().to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M%S").to_string();
    let (observed, asked, consent) = match &args.command {
        SnapshotCommand::Create { guests, name } => {
            let (observed, keepers) = keepers::named(session, guests).await?;
            let take = |keeper: &Keeper| keeper.take(name.as_deref(), &now);
            (observed, keepers.iter().map(take).collect::<Result<Vec<_>, CliError>>()?, Consent::by_command())
        }
        SnapshotCommand::Restore { guest, snapshot, yes } => {
            let (observed, keeper) = keepers::one(session, guest).await?;
            keeper.must_have(std::slice::from_ref(snapshot))?;
            keeper.must_be_stopped()?;
            let restore = Snapshots::Restore { name: snapshot.clone(), kept: format!("before-{now}") };
            let consent = Consent { given: *yes, destroy: &[], question: "Put this snapshot back?" };
            (observed, vec![(keeper.of, restore)], consent)
        }
        SnapshotCommand::Delete { guest, snapshots, yes } => {
            let (observed, keeper) = keepers::one(session, guest).await?;
            keeper.must_have(snapshots)?;
            let delete = Snapshots::Delete { names: snapshots.clone() };
            let consent = Consent { given: *yes, destroy: &[], question: "Remove these snapshots for good?" };
            (observed, vec![(keeper.of, delete)], consent)
        }
        // Listing changes nothing, and is not done here.
        SnapshotCommand::List { .. } => return Ok(Exit::Success),
    };
    let plan = crate::plan::snapshots(session.desired(), &asked);
    run::show_before(&plan, global.format, Shown { length: Length::Short, next: "" })?;
    match plan::verdict(&plan) {
        Exit::Success => {}
        exit => return Err(CliError { exit, ..CliError::failure("nothing was done") }),
    }
    let options = RunOptions::new(consent, Telling { form, out: &[] });
    run::carry_out(session, observed, &plan, &options).await
}

/// What is told of one snapshot to machines.
#[derive(Serialize)]
struct Told<'a> {
    guest: &'a str,
    name: &'a str,
    taken: String,
    while_running: bool,
    with_memory: bool,
    why: &'a str,
    /// Unknown on clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

async fn list(global: &Global, session: &Session, guests: &[Pattern]) -> Result<Exit, CliError> {
    let all = ["*".parse::<Pattern>().map_err(CliError::failure)?];
    let guests = if guests.is_empty() { &all[..] } else { guests };
    let keepers = keepers::those_there(session, guests).await?;
    let told: Vec<Told<'_>> =
        keepers.iter().flat_map(|keeper| keeper.kept.iter().map(|kept| told(keeper.of.guest(), kept))).collect();
    match global.format {
        Format::Human => output::data(&table(&told)),
        Format::Json => {
            let text = serde_json::to_string_pretty(&serde_json::json!({ "format_version": 1, "snapshots": told }));
            output::data(&text.map(|text| text + "\n").map_err(|error| CliError::failure(error.to_string()))?);
        }
    }
    Ok(Exit::Success)
}

fn told<'a>(guest: &'a str, kept: &'a Kept) -> Told<'a> {
    let taken = jiff::Timestamp::from_second(kept.taken_s).map_or_else(|_| "?".into(), |time| time.to_string());
    let Kept { name, while_running, with_memory, why, bytes, .. } = kept;
    Told { guest, name, taken, while_running: *while_running, with_memory: *with_memory, why, bytes: *bytes }
}

fn table(told: &[Told<'_>]) -> String {
    if told.is_empty() {
        return "no snapshots\n".into();
    }
    let width = |column: fn(&Told<'_>) -> usize| told.iter().map(column).max().unwrap_or_default();
    let (guests, names) = (width(|one| one.guest.len()), width(|one| one.name.len()));
    let line = |one: &Told<'_>| {
        let ran = match (one.with_memory, one.while_running) {
            (true, _) => ", with its memory",
            (false, true) => ", while it ran",
            (false, false) => "",
        };
        let why = render::harmless(one.why.as_bytes());
        let tenths = one.bytes.map(|bytes| bytes.saturating_mul(10) >> 20);
        let size = tenths.map_or_else(|| "-".to_owned(), |mib| format!("{}.{}MiB", mib / 10, mib % 10));
        format!("{:guests$}  {:names$}  {}  {size:>10}  {why}{ran}\n", one.guest, one.name, one.taken)
    };
    told.iter().map(line).collect()
}
