//! `regatta snapshot`: copies of guests' disks, taken, listed, put back and removed.

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
use crate::driver::microvm::KeptSnapshot;
use crate::effect::{Clock as _, SystemClock};
use crate::plan::{Impact, Pattern, Snapshots, power};
use crate::render::{self, Length};
use crate::resource::{Observed, Reading, RunState};

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
    let observed = session.glance().await?;
    let now = SystemClock.now().to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M%S").to_string();
    let (asked, consent) = match &args.command {
        SnapshotCommand::Create { guests, name } => {
            let name = name.clone().unwrap_or(now);
            let guests = named(session, &observed, guests)?;
            let take = |guest: String| {
                taken(session, &guest, &name)?;
                let impact = impact(&observed, &guest);
                Ok((guest, Snapshots::Take { name: name.clone(), why: "asked for".into(), impact }))
            };
            let asked = guests.into_iter().map(take).collect::<Result<Vec<_>, CliError>>()?;
            (asked, Consent::by_command())
        }
        SnapshotCommand::Restore { guest, snapshot, yes } => {
            must_have(session, guest, std::slice::from_ref(snapshot))?;
            must_be_stopped(&observed, guest)?;
            let restore = Snapshots::Restore { name: snapshot.clone(), kept: format!("before-{now}") };
            (vec![(guest.clone(), restore)], Consent { given: *yes, destroy: &[], question: "Put this snapshot back?" })
        }
        SnapshotCommand::Delete { guest, snapshots, yes } => {
            must_have(session, guest, snapshots)?;
            let delete = Snapshots::Delete { names: snapshots.clone() };
            (
                vec![(guest.clone(), delete)],
                Consent { given: *yes, destroy: &[], question: "Remove these snapshots for good?" },
            )
        }
        SnapshotCommand::List { .. } => (Vec::new(), Consent::by_command()),
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

/// The guests that patterns name; each pattern must name one that is there.
fn named(session: &Session, observed: &Observed, guests: &[Pattern]) -> Result<Vec<String>, CliError> {
    if let Some(first) = power::unmatched(session.desired(), observed, guests).first() {
        let error = CliError { exit: Exit::Usage, ..CliError::failure(format!("found no guest `{first}`")) };
        return Err(error.hint("`regatta status` lists the guests"));
    }
    let there = |name: &String| matches!(observed.guests.get(name), Some(Reading::Present(_)));
    let named = power::named_guests(session.desired(), observed, guests);
    match named.iter().find(|name| !there(name)) {
        Some(absent) => Err(CliError::failure(format!("guest `{absent}` is not made yet, or cannot be read"))),
        None if named.is_empty() => Err(CliError::failure("none of these guests is made yet")),
        None => Ok(named),
    }
}

/// A name that is taken is not taken again.
fn taken(session: &Session, guest: &str, name: &str) -> Result<(), CliError> {
    let kept = session.guests().snapshots(guest)?;
    match kept.iter().any(|kept| kept.snapshot.name == name) {
        true => Err(CliError::failure(format!("guest `{guest}` has a snapshot `{name}` already"))
            .hint("choose another name, or delete that one first")),
        false => Ok(()),
    }
}

fn must_have(session: &Session, guest: &str, names: &[String]) -> Result<(), CliError> {
    let kept = session.guests().snapshots(guest)?;
    let lacks = |name: &&String| !kept.iter().any(|kept| kept.snapshot.name == **name);
    match names.iter().find(lacks) {
        None => Ok(()),
        Some(name) => Err(CliError::failure(format!("guest `{guest}` has no snapshot `{name}`"))
            .hint(format!("`regatta snapshot list {guest}` lists them"))),
    }
}

/// A running guest would go on writing what it has in memory of the disks it had.
fn must_be_stopped(observed: &Observed, guest: &str) -> Result<(), CliError> {
    match observed.guests.get(guest).and_then(Reading::present).map(|guest| &guest.state) {
        Some(RunState::Stopped) => Ok(()),
        _ => Err(CliError::failure(format!("guest `{guest}` runs, or it cannot be told whether it does"))
            .hint(format!("`regatta stop {guest}` first, and `regatta start {guest}` afterwards"))),
    }
}

/// Standing still for a moment is felt.
fn impact(observed: &Observed, guest: &str) -> Impact {
    match observed.guests.get(guest).and_then(Reading::present).map(|guest| &guest.state) {
        Some(RunState::Running(_)) => Impact::Live,
        _ => Impact::None,
    }
}

/// What is told of one snapshot to machines.
#[derive(Serialize)]
struct Told<'a> {
    guest: &'a str,
    name: &'a str,
    taken: String,
    while_running: bool,
    why: &'a str,
    bytes: u64,
}

async fn list(global: &Global, session: &Session, guests: &[Pattern]) -> Result<Exit, CliError> {
    let observed = session.glance().await?;
    let all = ["*".parse::<Pattern>().map_err(CliError::failure)?];
    let guests = if guests.is_empty() { &all[..] } else { guests };
    let mut kept = Vec::new();
    for guest in power::named_guests(session.desired(), &observed, guests) {
        if !matches!(observed.guests.get(&guest), Some(Reading::Present(_))) {
            continue;
        }
        kept.extend(session.guests().snapshots(&guest)?.into_iter().map(|one| (guest.clone(), one)));
    }
    let told: Vec<Told<'_>> = kept.iter().map(|(guest, kept)| told(guest, kept)).collect();
    match global.format {
        Format::Human => output::data(&table(&told)),
        Format::Json => {
            let text = serde_json::to_string_pretty(&serde_json::json!({ "format_version": 1, "snapshots": told }));
            output::data(&text.map(|text| text + "\n").map_err(|error| CliError::failure(error.to_string()))?);
        }
    }
    Ok(Exit::Success)
}

fn told<'a>(guest: &'a str, kept: &'a KeptSnapshot) -> Told<'a> {
    let snapshot = &kept.snapshot;
    let taken = jiff::Timestamp::from_second(snapshot.taken_s).map_or_else(|_| "?".into(), |time| time.to_string());
    let (name, while_running, why) = (&snapshot.name, snapshot.while_running, &snapshot.why);
    Told { guest, name, taken, while_running, why, bytes: kept.allocated }
}

fn table(told: &[Told<'_>]) -> String {
    if told.is_empty() {
        return "no snapshots\n".into();
    }
    let width = |column: fn(&Told<'_>) -> usize| told.iter().map(column).max().unwrap_or_default();
    let (guests, names) = (width(|one| one.guest.len()), width(|one| one.name.len()));
    let line = |one: &Told<'_>| {
        let ran = if one.while_running { ", while it ran" } else { "" };
        let why = render::harmless(one.why.as_bytes());
        let mib = one.bytes.saturating_mul(10) >> 20;
        let size = format!("{}.{}MiB", mib / 10, mib % 10);
        format!("{:guests$}  {:names$}  {}  {size:>10}  {why}{ran}\n", one.guest, one.name, one.taken)
    };
    told.iter().map(line).collect()
}
