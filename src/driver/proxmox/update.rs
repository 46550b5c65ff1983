//! Changing a guest: look, send one thing, look again, until nothing differs.
//!
//! Hot changes go one by one: when one of several fails, Proxmox has done some of them and says that it did none. What
//! waits for a start goes together, as does everything of a guest that is off. Disks grow by a request of their own. The
//! mark comes last.

use super::affinity::Affinities;
use super::api::Place;
use super::beside::{self, Asked, Change, Services};
use super::cluster::{Cluster, place};
use super::error::ApiError;
use super::exchange::{Call, Verb};
use super::waiting::Watch;
use crate::exec::Failure;
use crate::resource::cluster::mark::MARK_VERSION;
use crate::resource::cluster::{
    Act, ClusterGuestSpec, Difference, Effect, GuestKind, Home, Mark, ObservedClusterGuest, Power, compare, mark,
};

/// Changes that are sent before it is given up: more than a guest has fields.
const ROUNDS: usize = 200;

/// How often the configuration may move under us, or an answer be lost.
const SURPRISES: usize = 5;

/// One thing to send.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Fields { set: Vec<(String, String)>, delete: Vec<String> },
    Grow { disk: String, size: String },
    Beside(Change),
}

impl Cluster {
    /// Brings a guest's configuration to what is declared.
    ///
    /// # Errors
    /// Something could not be changed; what was changed before stays.
    pub(super) async fn update(&self, spec: &ClusterGuestSpec, watch: Watch<'_>) -> Result<(), Failure> {
        let (mut surprises, mut last, mut repeated) = (0, None, 0);
        for _ in 0..ROUNDS {
            let listing = self.api.listing().await.map_err(Failure::from)?;
            let found = self.find_in(&listing, &spec.name, Asked::of(spec)).await?;
            let Some((place, seen)) = found else {
                return Err(Failure::permanent(format!("guest `{}` is gone", spec.name)));
            };
            let affinities = self.affinities_for(spec, &seen).await?;
            let Some(next) = next(spec, (&place, &seen), affinities)? else { return Ok(()) };
            repeated = if last.as_ref() == Some(&next) { repeated + 1 } else { 0 };
            if repeated > SURPRISES {
                let message = format!("guest `{}` does not keep what is set, although it {}", spec.name, said(&next));
                return Err(Failure::permanent(message));
            }
            watch.say(&said(&next));
            match self.send(&place, &seen, &next, watch).await {
                Ok(()) => {}
                Err(error @ (ApiError::Stale(_) | ApiError::Absent(_) | ApiError::Unknown(_))) => {
                    surprises += 1;
                    if surprises > SURPRISES {
                        return Err(error.into());
                    }
                    if matches!(error, ApiError::Unknown(_)) {
                        self.settle(&place, watch).await;
                    }
                }
                Err(error) => return Err(Failure::from(error).context(format!("cannot change guest {}", place.vmid))),
            }
            last = Some(next);
        }
        Err(Failure::transient(format!("guest `{}` does not keep what is set", spec.name)))
    }

    async fn send(
        &self,
        place: &Place,
        seen: &ObservedClusterGuest,
        next: &Next,
        watch: Watch<'_>,
    ) -> Result<(), ApiError> {
        let call = match next {
            Next::Beside(change) => return self.run(&change.call(place, seen), watch).await,
            Next::Fields { set, delete } => {
                // Virtual machines have a task for it: disks that are made take their time.
                let verb = if place.kind == GuestKind::Vm { Verb::Post } else { Verb::Put };
                let call = Call::new(verb, place.path("/config"));
                let call = set.iter().fold(call, |call, (key, value)| call.with(key, value));
                if delete.is_empty() { call } else { call.with("delete", delete.join(",")) }
            }
            Next::Grow { disk, size } => {
                Call::new(Verb::Put, place.path("/resize")).with("disk", disk).with("size", size)
            }
        };
        let call = if seen.digest.is_empty() { call } else { call.with("digest", &seen.digest) };
        self.run(&call, watch).await
    }

    /// Asked only where it matters.
    async fn affinities_for(
        &self,
        spec: &ClusterGuestSpec,
        seen: &ObservedClusterGuest,
    ) -> Result<Affinities, Failure> {
        match Asked::of(spec).affinity() || seen.digests.contains_key("affinity") {
            true => self.api.affinities().await.map_err(Failure::from),
            false => Ok(Affinities::Rules),
        }
    }

    /// The guest of this number, if it is the one that is meant.
    pub(super) async fn same(&self, name: &str, vmid: u32) -> Result<Option<(Place, ObservedClusterGuest)>, Failure> {
        let listing = self.api.listing().await.map_err(Failure::from)?;
        let Some(listed) = listing.guests.get(&vmid) else { return Ok(None) };
        let seen = self.read(listed, Asked::default(), &Services::default()).await.map_err(Failure::from)?;
        match seen.filter(|seen| seen.mark.guest == name) {
            Some(seen) => Ok(Some((place(listed), seen))),
            None => Err(Failure::permanent(format!("guest {vmid} no longer carries the mark of `{name}`"))),
        }
    }
}

fn said(next: &Next) -> String {
    match next {
        Next::Fields { set, delete } => {
            let keys: Vec<&str> =
                set.iter().map(|(key, _)| key.as_str()).chain(delete.iter().map(String::as_str)).collect();
            format!("changes {}", keys.join(", "))
        }
        Next::Grow { disk, size } => format!("lets {disk} grow to {size}"),
        Next::Beside(change) => change.said(),
    }
}

/// What is sent next; nothing when all is as declared.
fn next(
    spec: &ClusterGuestSpec,
    (place, seen): (&Place, &ObservedClusterGuest),
    affinities: Affinities,
) -> Result<Option<Next>, Failure> {
    let found = compare(spec, seen);
    if let Some((_, message, help)) = found.refused.into_iter().next() {
        return Err(Failure::permanent(message).hint(help));
    }
    let (for_root, found): (Vec<Difference>, Vec<Difference>) =
        found.all.into_iter().partition(|difference| difference.needs_root(spec));
    let (growing, fields): (Vec<Difference>, Vec<Difference>) =
        found.into_iter().partition(|difference| matches!(difference.act, Act::Grow { .. }));
    // First: what else is set of a disk has its size in it.
    if let Some(Difference { act: Act::Grow { disk, size }, .. }) = growing.into_iter().next() {
        return Ok(Some(Next::Grow { disk, size }));
    }
    let (fields, beside): (Vec<Difference>, Vec<Difference>) =
        fields.into_iter().partition(|difference| difference.home == Home::Config);
    let together = |difference: &Difference| seen.power == Power::Off || difference.effect == Effect::AtStart;
    let (waiting, live): (Vec<Difference>, Vec<Difference>) = fields.into_iter().partition(together);
    let chosen = if waiting.is_empty() { live.into_iter().take(1).collect() } else { waiting };
    if !chosen.is_empty() {
        let (mut set, mut delete) = (Vec::new(), Vec::new());
        for difference in chosen {
            match difference.act {
                Act::Set { key, value } => set.push((key, value)),
                Act::Delete { key } => delete.push(key),
                Act::Grow { .. } => {}
            }
        }
        return Ok(Some(Next::Fields { set, delete }));
    }
    let paths: Vec<String> = beside.into_iter().map(|difference| difference.path).collect();
    if let Some(change) = beside::change(spec, (place, seen), &paths, affinities) {
        return Ok(Some(Next::Beside(change)));
    }
    match for_root.first() {
        None => Ok(marked(spec, seen)),
        Some(first) => {
            let failure = Failure::permanent(format!("no API token may change `{}`", first.path));
            Err(failure.hint("it changed since the plan was made: plan again"))
        }
    }
}

/// The mark, when it does not say what was applied now, or the notes are not as declared.
fn marked(spec: &ClusterGuestSpec, seen: &ObservedClusterGuest) -> Option<Next> {
    let notes = match (&spec.notes, &seen.mark.notes) {
        (Some(notes), _) => notes.as_str(),
        (None, Some(applied)) if *applied == seen.notes => "",
        (None, _) => seen.notes.as_str(),
    };
    let (applied, notes_applied) = (spec.values.clone(), spec.notes.clone());
    let wish = Mark { version: MARK_VERSION, applied, notes: notes_applied, ..seen.mark.clone() };
    if wish == seen.mark && notes == seen.notes {
        return None;
    }
    let set = vec![("description".to_owned(), mark::write(notes, &wish))];
    Some(Next::Fields { set, delete: Vec::new() })
}
