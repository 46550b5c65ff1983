//! Making a guest: its number and node, the request, and what became of it when nobody says.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::api::{Listing, Place};
use super::beside::Asked;
use super::cluster::{Cluster, place};
use super::error::ApiError;
use super::making::request;
use super::waiting::Watch;
use crate::exec::Failure;
use crate::resource::cluster::{ClusterGuestSpec, GuestOrigin};

/// Numbers that are tried, and lost answers that are looked into, before it is given up.
const ATTEMPTS: usize = 20;

impl Cluster {
    /// Makes a guest, unless it is there.
    ///
    /// # Errors
    /// It is not there afterwards, or nobody knows.
    pub(super) async fn create(&self, spec: &ClusterGuestSpec, watch: Watch<'_>) -> Result<(), Failure> {
        if spec.origin == GuestOrigin::Existing {
            return Err(Failure::permanent(format!("guest `{}` is to be taken over, and is never made", spec.name)));
        }
        self.begun_before(spec, watch).await;
        let mut lost: Option<(Place, ApiError)> = None;
        for _ in 0..ATTEMPTS {
            let listing = self.api.listing().await.map_err(Failure::from)?;
            if self.find_in(&listing, &spec.name, Asked::default()).await?.is_some() {
                return Ok(());
            }
            // The same number again: if it happened after all, it is taken.
            let place = match &lost {
                Some((place, _)) => place.clone(),
                None => self.place_for(spec, &listing).await?,
            };
            let original = original(spec, &listing)?;
            self.have_volume(spec, &place, watch).await?;
            watch.say(&format!("makes guest {} on `{}`", place.vmid, place.node));
            match self.run(&request(spec, &place, original.as_ref()), watch).await {
                Ok(()) => return Ok(()),
                Err(ApiError::Taken(said)) if spec.vmid.from == spec.vmid.to && lost.is_none() => {
                    let hint = "give the guest another `vmid`, or a range";
                    return Err(Failure::permanent(said).hint(hint));
                }
                Err(ApiError::Taken(_)) => {
                    self.settle_making(original.as_ref(), &place, watch).await;
                    lost = None;
                }
                Err(error @ ApiError::Unknown(_)) => {
                    self.settle_making(original.as_ref(), &place, watch).await;
                    lost = Some((place, error));
                }
                Err(error @ ApiError::Forbidden(_)) => {
                    let lacks = self.lacks(spec, &place).await;
                    return Err(lacks.into_iter().rev().fold(error.into(), Failure::context));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let failure = lost.map(|(_, error)| Failure::from(error));
        Err(failure.unwrap_or_else(|| Failure::transient("every number that was tried is taken by somebody else")))
    }

    /// What an earlier run began may still be at work: until it is done, its guest has neither name nor mark, and another
    /// would be made beside it. Looked at once, before this process makes anything: later it would find its own.
    async fn begun_before(&self, spec: &ClusterGuestSpec, watch: Watch<'_>) {
        self.begun.get_or_init(|| self.wait_for_makers(spec, watch)).await;
    }

    async fn wait_for_makers(&self, spec: &ClusterGuestSpec, watch: Watch<'_>) {
        // Who may not see tasks sees none: then the numbers that are taken are all that is known.
        let running = self.api.running_makers().await.unwrap_or_default();
        let until = watch.until.min(Instant::now() + self.pace.patience);
        for task in running {
            watch.say(&format!("waits for `{}`, which was begun before ({})", task.kind(), spec.name));
            // How it ended shows in what is there afterwards.
            let _ = self.finish(&task, Watch { until, ..watch }).await;
        }
    }

    /// As [`Self::settle`]; the task that clones is the original's.
    async fn settle_making(&self, original: Option<&Place>, place: &Place, watch: Watch<'_>) {
        self.settle(place, watch).await;
        if let Some(original) = original {
            self.let_finish(original, watch).await;
        }
    }

    /// The privileges that making a guest needs and the token does not have: the server only says that there are some.
    async fn lacks(&self, spec: &ClusterGuestSpec, place: &Place) -> Vec<String> {
        let volumes = spec.values.values().filter_map(|value| value.as_properties()?.get("storage"));
        let storages: BTreeSet<String> = volumes.map(|storage| format!("/storage/{storage}")).collect();
        let needs = [(format!("/vms/{}", place.vmid), "VM.Allocate")];
        let needs = needs.into_iter().chain(storages.into_iter().map(|path| (path, "Datastore.AllocateSpace")));
        let mut lacks = Vec::new();
        for (path, privilege) in needs {
            // What cannot be asked is not known to be missing.
            if self.api.privileges(&path).await.is_ok_and(|has| !has.contains(privilege)) {
                lacks.push(format!("the API token lacks the privilege `{privilege}` on `{path}`"));
            }
        }
        lacks
    }

    /// Where a new guest goes, and its number.
    async fn place_for(&self, spec: &ClusterGuestSpec, listing: &Listing) -> Result<Place, Failure> {
        let node = node_for(spec, listing)?;
        let mut reserved = self.reserved.lock().await;
        let free = (spec.vmid.from..=spec.vmid.to)
            .find(|vmid| !listing.guests.contains_key(vmid) && !reserved.contains(vmid))
            .or_else(|| (spec.vmid.from == spec.vmid.to).then_some(spec.vmid.from));
        let Some(vmid) = free else {
            let message = format!("found no free number from {} to {}", spec.vmid.from, spec.vmid.to);
            return Err(Failure::permanent(message).hint("give `vmid` a larger range"));
        };
        reserved.insert(vmid);
        Ok(Place { node, kind: spec.kind, vmid })
    }
}

/// The original of a clone, where it is now.
fn original(spec: &ClusterGuestSpec, listing: &Listing) -> Result<Option<Place>, Failure> {
    let GuestOrigin::Clone { vmid, .. } = &spec.origin else { return Ok(None) };
    match listing.guests.get(vmid) {
        Some(listed) => Ok(Some(place(listed))),
        None => Err(Failure::permanent(format!("found no guest {vmid} to clone"))),
    }
}

/// The node: that of the original of a clone where it may be there, else the one with the most free memory of those it
/// may be on.
fn node_for(spec: &ClusterGuestSpec, listing: &Listing) -> Result<String, Failure> {
    let allowed = |name: &str| spec.nodes.is_empty() || spec.nodes.iter().any(|node| node == name);
    if let Some(original) = original(spec, listing)?.filter(|original| allowed(&original.node)) {
        return Ok(original.node);
    }
    let online = listing.nodes.values().filter(|node| node.online && allowed(&node.name));
    let best = online.max_by(|a, b| a.free.cmp(&b.free).then_with(|| b.name.cmp(&a.name)));
    best.map(|node| node.name.clone()).ok_or_else(|| {
        let known: Vec<&str> = listing.nodes.keys().map(String::as_str).collect();
        Failure::permanent(format!("no node that it may be made on is online; the cluster has {}", known.join(", ")))
    })
}
