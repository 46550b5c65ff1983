//! Seeing a cluster as it is: what the token may see, one listing, and the configurations of guests that may be ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::api::{Listed, Listing};
use super::beside::{Asked, Services};
use super::cluster::Cluster;
use super::error::ApiError;
use crate::exec::Failure;
use crate::resource::Reading;
use crate::resource::cluster::{ObservedCluster, ObservedClusterGuest, mark};

/// Configurations read at the same time. A server takes 500 connections from all its clients together.
const PARALLEL: usize = 64;

/// Guests by name.
pub(super) type Guests = BTreeMap<String, Reading<ObservedClusterGuest>>;

impl Cluster {
    /// Reads the cluster and every guest that carries our mark or has one of these names.
    ///
    /// # Errors
    /// The cluster as a whole cannot be read; a guest that cannot be read is part of the answer.
    pub(super) async fn observe(
        self: &Arc<Self>,
        declared: &BTreeMap<String, Asked>,
    ) -> Result<(ObservedCluster, Guests), Failure> {
        self.may_look().await?;
        let listing = self.api.listing().await.map_err(Failure::from)?;
        let offline: BTreeSet<String> =
            listing.nodes.values().filter(|node| !node.online).map(|node| node.name.clone()).collect();
        let mut seen = Seen { declared, guests: Guests::new(), foreign: BTreeMap::new() };
        for (listed, read) in self.read_candidates(&listing, declared).await? {
            seen.add(&listed, read);
        }
        seen.may_be_on(&listing);
        let foreign = seen.foreign;
        Ok((ObservedCluster { unverified: self.unverified, offline, foreign }, seen.guests))
    }

    /// Listings leave out what the token must not see: without this right, our guests would seem to be gone.
    async fn may_look(&self) -> Result<(), Failure> {
        let privileges = self.api.privileges("/vms").await.map_err(Failure::from)?;
        if privileges.contains("VM.Audit") {
            return Ok(());
        }
        let failure =
            Failure::permanent("the API token lacks the privilege `VM.Audit` on `/vms`: its guests cannot be seen");
        Err(failure.hint(
            "give it a role with VM.Audit on `/vms`; a token with privilege separation needs it itself, beside its user",
        ))
    }

    async fn read_candidates(
        self: &Arc<Self>,
        listing: &Listing,
        declared: &BTreeMap<String, Asked>,
    ) -> Result<Vec<(Listed, Result<Option<ObservedClusterGuest>, ApiError>)>, Failure> {
        let tag = mark::tag(&self.fleet);
        let candidates = listing.guests.values().filter(|guest| guest.status != "unknown");
        let candidates = candidates.filter(|guest| guest.tags.contains(&tag) || declared.contains_key(&guest.name));
        let limit = Arc::new(Semaphore::new(PARALLEL));
        let services = Arc::new(Services::default());
        let mut reads = JoinSet::new();
        for guest in candidates.cloned() {
            let (cluster, limit, services) = (Arc::clone(self), Arc::clone(&limit), Arc::clone(&services));
            let asked = declared.get(&guest.name).copied().unwrap_or_default();
            reads.spawn(async move {
                let _permit = limit.acquire_owned().await;
                let read = cluster.read(&guest, asked, &services).await;
                (guest, read)
            });
        }
        let mut found = Vec::new();
        while let Some(read) = reads.join_next().await {
            found.push(read.map_err(|error| Failure::unknown(format!("reading a guest failed: {error}")))?);
        }
        found.sort_by_key(|(guest, _)| guest.vmid);
        Ok(found)
    }
}

/// What was seen so far.
struct Seen<'a> {
    declared: &'a BTreeMap<String, Asked>,
    guests: Guests,
    foreign: BTreeMap<String, u32>,
}

impl Seen<'_> {
    fn add(&mut self, listed: &Listed, read: Result<Option<ObservedClusterGuest>, ApiError>) {
        match read {
            Ok(Some(guest)) => {
                let name = guest.mark.guest.clone();
                let reading = match self.guests.get(&name) {
                    Some(Reading::Present(first)) => {
                        Reading::Unreadable(format!("guests {} and {} both carry its mark", first.vmid, guest.vmid))
                    }
                    Some(Reading::Unreadable(why)) => Reading::Unreadable(why.clone()),
                    _ => Reading::Present(guest),
                };
                self.guests.insert(name, reading);
            }
            Ok(None) if self.declared.contains_key(&listed.name) => {
                self.foreign.insert(listed.name.clone(), listed.vmid);
            }
            // A tag alone is no mark.
            Ok(None) => {}
            Err(error) => {
                let why = format!("cannot read guest {}: {error}", listed.vmid);
                self.guests.entry(listed.name.clone()).or_insert(Reading::Unreadable(why));
            }
        }
    }

    /// Guests of a node that does not answer have no name in the listing: any that is not found elsewhere may be there.
    fn may_be_on(&mut self, listing: &Listing) {
        let silent = listing.guests.values().find(|guest| guest.status == "unknown").map(|guest| guest.node.clone());
        for name in self.declared.keys() {
            let reading = match &silent {
                Some(node) => Reading::Unreadable(format!("it may be on the node `{node}`, which does not answer")),
                None => Reading::Absent,
            };
            self.guests.entry(name.clone()).or_insert(reading);
        }
    }
}
