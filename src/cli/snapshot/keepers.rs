//! Guests that keep snapshots, on this machine and on clusters, and the snapshots that they keep.

use crate::cli::error::{CliError, Exit};
use crate::cli::session::Session;
use crate::plan::{Impact, Pattern, SnapshotOf, Snapshots, named_on_clusters, power};
use crate::resource::cluster::Power;
use crate::resource::{Observed, Reading, RunState};

/// A guest and its snapshots.
pub(super) struct Keeper {
    pub(super) of: SnapshotOf,
    /// Whether it runs; `None` when nobody can tell.
    runs: Option<bool>,
    pub(super) kept: Vec<Kept>,
}

/// A snapshot.
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) taken_s: i64,
    pub(super) while_running: bool,
    pub(super) with_memory: bool,
    pub(super) why: String,
    /// What it takes on disk, where that is known.
    pub(super) bytes: Option<u64>,
}

impl Keeper {
    /// Takes a snapshot, under this name or the time.
    pub(super) fn take(&self, name: Option<&str>, now: &str) -> Result<(SnapshotOf, Snapshots), CliError> {
        let guest = self.of.guest();
        let on_cluster = matches!(self.of, SnapshotOf::OnCluster { .. });
        let name = match name {
            // Proxmox wants a letter first.
            None if on_cluster => format!("at-{now}"),
            None => now.to_owned(),
            Some(name) => name.to_owned(),
        };
        if on_cluster && !(name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphabetic())) {
            return Err(CliError::failure(format!("found the name `{name}`, expected one that begins with a letter"))
                .hint(format!(
                    "`{guest}` is on a cluster, where names have a letter first and at least two characters"
                )));
        }
        if self.kept.iter().any(|kept| kept.name == name) {
            return Err(CliError::failure(format!("guest `{guest}` has a snapshot `{name}` already"))
                .hint("choose another name, or delete that one first"));
        }
        // Standing still for a moment is felt.
        let impact = if self.runs == Some(true) { Impact::Live } else { Impact::None };
        Ok((self.of.clone(), Snapshots::Take { name, why: "asked for".into(), impact }))
    }

    pub(super) fn must_have(&self, names: &[String]) -> Result<(), CliError> {
        let guest = self.of.guest();
        match names.iter().find(|name| !self.kept.iter().any(|kept| kept.name == **name)) {
            None => Ok(()),
            Some(name) => Err(CliError::failure(format!("guest `{guest}` has no snapshot `{name}`"))
                .hint(format!("`regatta snapshot list {guest}` lists them"))),
        }
    }

    /// A running guest would go on writing what it has in memory of the disks it had.
    pub(super) fn must_be_stopped(&self) -> Result<(), CliError> {
        let guest = self.of.guest();
        match self.runs {
            Some(false) => Ok(()),
            _ => Err(CliError::failure(format!("guest `{guest}` runs, or it cannot be told whether it does"))
                .hint(format!("`regatta stop {guest}` first, and `regatta start {guest}` afterwards"))),
        }
    }
}

/// The one guest of this name.
pub(super) async fn one(session: &Session, guest: &str) -> Result<(Observed, Keeper), CliError> {
    let pattern: Pattern = guest.parse().map_err(CliError::failure)?;
    let (observed, keepers) = named(session, &[pattern]).await?;
    match keepers.into_iter().next() {
        Some(keeper) => Ok((observed, keeper)),
        None => Err(CliError::failure(format!("guest `{guest}` is not made yet, or cannot be read"))),
    }
}

/// The guests that patterns name; each pattern must name one, and each that is named must be there.
pub(super) async fn named(session: &Session, guests: &[Pattern]) -> Result<(Observed, Vec<Keeper>), CliError> {
    let observed = look(session, guests).await?;
    let on_clusters = named_on_clusters(session.desired(), guests);
    let elsewhere =
        |pattern: &&Pattern| named_on_clusters(session.desired(), std::slice::from_ref(*pattern)).is_empty();
    if let Some(first) = power::unmatched(session.desired(), &observed, guests).into_iter().find(elsewhere) {
        let error = CliError { exit: Exit::Usage, ..CliError::failure(format!("found no guest `{first}`")) };
        return Err(error.hint("`regatta status` lists the guests"));
    }
    let local = power::named_guests(session.desired(), &observed, guests);
    let there = |name: &String| {
        matches!(observed.guests.get(name), Some(Reading::Present(_)))
            || matches!(observed.cluster_guests.get(name), Some(Reading::Present(_)))
    };
    if let Some(absent) = local.iter().chain(&on_clusters).find(|name| !there(name)) {
        return Err(CliError::failure(format!("guest `{absent}` is not made yet, or cannot be read")));
    }
    let keepers = keepers(session, &observed, &local, &on_clusters).await?;
    if keepers.is_empty() {
        return Err(CliError::failure("none of these guests is made yet"));
    }
    Ok((observed, keepers))
}

/// Those of the guests that patterns name which are there.
pub(super) async fn those_there(session: &Session, guests: &[Pattern]) -> Result<Vec<Keeper>, CliError> {
    let observed = look(session, guests).await?;
    let local = power::named_guests(session.desired(), &observed, guests);
    let on_clusters = named_on_clusters(session.desired(), guests);
    keepers(session, &observed, &local, &on_clusters).await
}

/// What there is; clusters are asked when one of their guests is named.
async fn look(session: &Session, guests: &[Pattern]) -> Result<Observed, CliError> {
    let mut observed = session.glance().await?;
    if !named_on_clusters(session.desired(), guests).is_empty() {
        session.clusters().observe(session.desired(), &mut observed).await;
    }
    Ok(observed)
}

async fn keepers(
    session: &Session,
    observed: &Observed,
    local: &[String],
    on_clusters: &[String],
) -> Result<Vec<Keeper>, CliError> {
    let mut keepers = Vec::new();
    for guest in local {
        let Some(seen) = observed.guests.get(guest).and_then(Reading::present) else { continue };
        let kept = session.guests().snapshots(guest)?.into_iter().map(|kept| Kept {
            bytes: Some(kept.allocated),
            taken_s: kept.snapshot.taken_s,
            while_running: kept.snapshot.while_running,
            with_memory: kept.snapshot.started.is_some(),
            why: kept.snapshot.why,
            name: kept.snapshot.name,
        });
        let runs = match seen.state {
            RunState::Running(_) => Some(true),
            // Its memory goes into a snapshot, and is in the way of putting another one back: the driver says so.
            RunState::Stopped | RunState::Suspended => Some(false),
            RunState::Unknown(_) => None,
        };
        keepers.push(Keeper { of: SnapshotOf::Local { guest: guest.clone() }, runs, kept: kept.collect() });
    }
    for guest in on_clusters {
        let Some(seen) = observed.cluster_guests.get(guest).and_then(Reading::present) else { continue };
        let kept = session.clusters().snapshots(&seen.cluster, guest, seen.vmid).await?;
        let kept = kept.into_iter().map(|kept| Kept {
            name: kept.name,
            taken_s: kept.taken_s,
            while_running: kept.with_memory,
            with_memory: kept.with_memory,
            why: kept.why,
            bytes: None,
        });
        let (cluster, vmid, kind) = (seen.cluster.clone(), seen.vmid, seen.kind);
        let of = SnapshotOf::OnCluster { cluster, guest: guest.clone(), vmid, kind };
        keepers.push(Keeper { of, runs: Some(seen.power == Power::On), kept: kept.collect() });
    }
    Ok(keepers)
}
